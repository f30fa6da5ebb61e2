"""What replaces the image's content in a backend: everything that knew the old one is closed, and opens over the new."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import BackendBusy, Stopped
from a4ps.governance.roles import Role
from a4ps.image.turns import Turn
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import handler_of
from a4ps.kernel.serving.call import Call
from a4ps.kernel.serving.working import Tell, working
from a4ps.kernel.wiring import environment
from a4ps.protocol.requests import image, system, turns
from a4ps.protocol.requests.base import Request


@pytest.fixture
async def backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    opened = await Backend.open(environment(str(tmp_path / "home"), {"A4PS_ENGINE": "rehearsal"}), fleeting=True)
    yield opened
    await opened.aclose()


async def asked(backend: Backend, request: Request, steps: list[Mapping[str, Any]] | None = None) -> Mapping[str, Any]:
    heard = [] if steps is None else steps
    call: Call[Any] = Call(request, "key", Role.ARCHITECT, "test", heard.append)
    return await handler_of(type(request))(backend, call)


async def test_the_log_of_the_turns_is_that_of_what_was_loaded(backend: Backend, tmp_path: Path) -> None:
    """Its count, its open turns, and what a session offers to resume: before anybody asks anything."""
    saved = str(tmp_path / "saved")
    await asked(backend, turns.Ask(text="Tea or coffee in the morning?"))
    await asked(backend, image.Save(file=saved))
    await asked(backend, turns.Ask(text="And in the evening?"))
    now = backend.store.clock.now()
    await backend.log.accept(Turn("", "Left open?", now, "rehearsal", {}, {}))
    assert backend.log.open_ids == ("3",)
    before = await backend.kernel()
    loaded = await asked(backend, image.Load(file=saved))
    assert loaded["kept"] is not None
    assert backend.opened is None
    assert backend.log.count() == 1
    assert not backend.log.open_turns()
    assert (await asked(backend, turns.CutOff()))["turns"] == []
    assert await backend.kernel() is not before
    answer = await asked(backend, turns.Ask(text="What did I ask before?"))
    assert (answer["turn_id"], [memory["id"] for memory in answer["memories_used"]]) == ("2", ["1"])


async def test_nothing_is_loaded_under_a_turn(backend: Backend, tmp_path: Path) -> None:
    saved = str(tmp_path / "saved")
    await asked(backend, turns.Ask(text="hello"))
    await asked(backend, image.Save(file=saved))
    kernel = await backend.kernel()
    generation = backend.store.generation
    async with kernel._turn:
        with pytest.raises(BackendBusy):
            await asked(backend, image.Load(file=saved))
    assert backend.store.generation == generation
    assert backend.opened is kernel


async def test_a_deep_check_tells_how_far_it_is(backend: Backend) -> None:
    await asked(backend, turns.Ask(text="hello"))
    steps: list[Mapping[str, Any]] = []
    report = await asked(backend, image.Verify(deep=True), steps)
    assert report["ok"]
    told = [(step["label"], step["of"]) for step in steps if step["step"] == "working"]
    assert told == [("commits", report["commits"]), ("pages", 0), ("the full-text index", 0)]


async def test_stopped_work_has_ended_and_finished_work_is_done() -> None:
    call: Call[Any] = Call(image.Verify(), "key", Role.ARCHITECT, "test", lambda _: None)
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def tells(tell: Tell) -> str:
        begun.set()
        assert go.wait(30)
        try:
            tell("work", 1, 2)
        except Stopped:
            ended.set()
            raise
        return "done"

    def commits(_: Tell) -> str:
        begun.set()
        assert go.wait(30)
        return "committed"

    for work, outcome in ((tells, None), (commits, "committed")):
        begun.clear()
        go.clear()
        task = asyncio.create_task(working(call, work))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        await asyncio.sleep(0)
        go.set()
        if outcome is None:
            with pytest.raises(asyncio.CancelledError):
                await task
            assert ended.is_set()
        else:
            assert await task == outcome


async def test_an_end_that_stops_nothing_is_refused_while_something_runs(backend: Backend) -> None:
    running = 2
    backend.life.running = lambda: running
    with pytest.raises(BackendBusy):
        await asked(backend, system.Down(wait_s=0.0, stops=False))
    assert not backend.life.ended.is_set()
    waits = asyncio.create_task(asked(backend, system.Down(wait_s=60.0, stops=False)))
    await asyncio.sleep(0)
    running = 1
    await backend.life.ended.wait()
    assert not waits.done(), "it tells what came of the others once they have ended"
    backend.life.settled.set()
    await waits


@pytest.mark.parametrize("path", ["relative", "", "/a\0b", "/" + "x" * 5_000])
def test_a_file_is_named_by_an_absolute_path(path: str) -> None:
    with pytest.raises(ValueError, match="absolute path"):
        image.Backup(file=path)


def test_a_name_that_is_not_utf_8_can_be_sent() -> None:
    assert image.Backup(file="/tmp/\udcff").as_wire()["file"] == "/tmp/\udcff"
