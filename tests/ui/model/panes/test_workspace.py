"""The Workspace: do it, print it, inspect it; what came of it stays, and what it changed can be taken back."""

from __future__ import annotations

import asyncio
import threading

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.pane import Notice, Open, Outcome, Send
from a4ps.ui.model.panes.evaluating import KEPT
from tests.doubles.pane_driver import Driven


async def test_what_is_chosen_or_else_all_is_evaluated(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    await window.enter("workspace", "x = 20\nx + 1")
    await window.press("Print it")
    assert "→ 21" in await window.texts()
    await window.enter("workspace", "x * 2", "ctrl-p")
    assert (await window.texts())[2:4] == ["» x * 2", "→ 40"], "the newest first"
    await window.enter("workspace", "x * 3", "ctrl-d")
    assert "→ 60" not in await window.texts(), "doing it shows no value"
    await window.press("» x * 2")
    assert (await window.entry("workspace")).text == "x * 2"


async def test_output_and_errors_are_shown(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    await window.enter("workspace", "print('so far'); 1 / 0", "ctrl-p")
    texts = await window.texts()
    assert "so far" in texts
    assert any("ZeroDivisionError" in text for text in texts)
    await window.enter("workspace", "   ", "ctrl-p")
    assert isinstance(window.effects[-1], Notice)


async def test_a_change_has_its_number_and_is_reverted(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    await window.enter("workspace", "image['NOTE'].count = 8", "ctrl-d")
    change = window.changes[0]
    assert f"Revert change {change} change {change}" in await window.texts()
    await window.press(f"Revert change {change}")
    assert backend.protos.get_proto("NOTE").state["count"] == 3


async def test_a_proto_is_inspected_itself(backend: Backend) -> None:
    window = Driven(backend, "workspace", subject="NOTE")
    await window.enter("workspace", "self", "ctrl-i")
    assert window.effects == [Open("inspector", {"subject": "NOTE"})]


async def test_what_runs_can_be_interrupted(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    await window.press("Interrupt")
    assert window.effects == [Notice("Nothing is being evaluated.")]
    assert backend.console is not None
    begun = backend.console._namespace["begun"] = threading.Event()
    running = asyncio.create_task(window.do(Act("do", {"value": "begun.set()\nwhile True: pass"})))
    assert await asyncio.to_thread(begun.wait, 30)
    await window.do(Act("interrupt"))
    await running
    assert any(text.endswith("KeyboardInterrupt") for text in await window.texts())


async def test_what_is_typed_is_completed(backend: Backend) -> None:
    window = Driven(backend, "workspace", subject="NOTE")
    await window.enter("workspace", "x = 1\nself.cou")
    await window.enter("workspace", "self.cou", "ctrl-space")
    assert (await window.entry("workspace")).text == "x = 1\nself.count"
    await window.enter("workspace", "self.co")
    await window.enter("workspace", "self.co", "ctrl-space")
    assert (await window.entry("workspace")).text == "self.co"
    assert "codex  count" in await window.texts()


async def test_only_so_much_is_kept_with_the_window(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    for at in range(KEPT + 5):
        await window.enter("workspace", f"{at}", "ctrl-p")
    await window.enter("workspace", "'x' * 10_000", "ctrl-p")
    assert len(window.state["evaluated"]) == KEPT
    assert len(window.state["evaluated"][0]["value"]) == 2_000
    assert "This is not all of it." in await window.texts()


async def test_a_backend_that_has_gone_is_told_in_the_window(backend: Backend) -> None:
    window = Driven(backend, "workspace")
    sent = window.pane.acted(Act("do", {"value": "1"}), window.seen)[-1]
    assert isinstance(sent, Send)
    kept = window.pane.told(Outcome(sent.tag, fault="the backend has gone", next_step="a4ps up"), window.seen)
    assert kept[0].state["evaluated"][0]["error"] == "the backend has gone: a4ps up"  # type: ignore[union-attr]
