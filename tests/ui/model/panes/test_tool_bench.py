"""The tool bench: what is shown of tools, what each act sends, and that trust goes to the very text that was read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from a4ps.kernel.backend import Backend
from a4ps.protocol.requests.tools import Folder, ForgeTool, MendTool, PromoteTool, RemoveTool, RunTool, Tool, Tools
from a4ps.tools.specification import Specification, SpecificationShape
from a4ps.tools.tool import Evidence
from a4ps.tools.tool import Tool as WrittenTool
from a4ps.ui.model.blocks import Act, Bar, Block, Button, Buttons, Code, Entry
from a4ps.ui.model.pane import Answer, Copy, Do, Effect, Keep, Notice, Open, Outcome, Seen, Send, Stop, known_panes
from a4ps.ui.model.panes.tool_blocks import Parameter, parameters_of
from a4ps.ui.model.society import Society
from tests.doubles.pane_driver import Driven, pressables, text_of

PANE = known_panes()["tool_bench"]
HASH = "ab" * 32


def tool(**other: Any) -> dict[str, Any]:
    return {
        "name": "slugify",
        "signature": "slugify(text: str, most: int = 9) -> str",
        "summary": "Lower-case words joined by hyphens.",
        "version": 2,
        "author": "BRICK",
        "level": "sandboxed",
        "calls": 214,
        "failures": 1,
        "ms": 2140.0,
        "folders": [],
        "writable": [],
        "contract": "Words joined by one hyphen.",
        "errors": [{"exception": "ValueError", "when": "most is negative"}],
        "source": "def slugify(text, most=9):\n    return text\n",
        "hash": HASH,
        "tests": [{"text": "slugify('A b') == 'a-b'", "origin": "alfred", "held_out": True}],
        "evidence": {
            "attempts": 2,
            "checks": 9,
            "unseen": 4,
            "generated": 50,
            "tier": "gvisor",
            "writer": "BRICK",
            "tester": "ALFRED",
            "notes": ["one input was slow"],
        },
        "task": "a slug of a title",
        "made_at": "2026-11-30T10:00:00+00:00",
        "verified": True,
        "deterministic": True,
        "failed": [{"args": "('',)", "why": "IndexError", "at": "2026-11-30T11:00:00+00:00"}],
        **other,
    }


def seen(found: dict[str, Any] | None = None, **state: Any) -> Seen:
    answers = {"tool": Answer(found or tool(), asking=False)}
    return Seen({"pane": "tool_bench", "subject": "slugify", **state}, answers, Society())


def listed(*found: dict[str, Any], unreadable: tuple[str, ...] = (), **state: Any) -> Seen:
    answer = Answer({"tools": list(found), "unreadable": list(unreadable)}, asking=False)
    return Seen({"pane": "tool_bench", **state}, {"tools": answer}, Society())


def texts(at: Seen) -> list[str]:
    return [text_of(block) for block in PANE.blocks(at)]


def buttons(at: Seen) -> dict[str, Button]:
    return buttons_of(PANE.blocks(at))


def buttons_of(blocks: Sequence[Block]) -> dict[str, Button]:
    return {each.label: each for block in blocks if isinstance(block, Buttons) for each in block.buttons}


def entries(at: Seen) -> dict[str, Entry]:
    return {block.key: block for block in PANE.blocks(at) if isinstance(block, Entry)}


def after(at: Seen, *effects: Effect) -> Seen:
    """As the desk would have it once the state is kept."""
    kept = [each.state for each in effects if isinstance(each, Keep)]
    return Seen({"pane": "tool_bench", **kept[-1]}, at.answers, at.society)


def sent(effects: Any) -> Send:
    (found,) = [each for each in effects if isinstance(each, Send)]
    return found


def pressed(at: Seen, label: str) -> list[Effect]:
    return list(PANE.acted(buttons(at)[label].act, at))


def holds(blocks: list[Block], kind: type) -> bool:
    return any(isinstance(block, kind) for block in blocks)


# The list


def test_a_row_says_version_trust_speed_and_failures() -> None:
    at = listed(tool(), tool(name="idle", calls=0, failures=0, ms=0.0, level="granted"), unreadable=("torn",))
    assert texts(at)[:3] == [
        "slugify | v2 | sandboxed | 10 ms | 214 calls · 1 failed",
        "idle | v2 | granted |  | not used yet",
        "torn | cannot be read",
    ]
    row = dict(pressables(PANE.blocks(at)))["torn | cannot be read"]
    assert PANE.acted(row, at) == [Open("tool_bench", {"subject": "torn"})]


def test_without_any_tool_it_says_how_one_comes_to_be() -> None:
    assert "There are no tools yet." in texts(listed())
    assert not buttons(listed())["Have it written"].enabled


def test_only_what_is_shown_is_asked_for() -> None:
    (need,) = PANE.needs({}, Society())
    assert need.request == Tools()
    (need,) = PANE.needs({"subject": "slugify"}, Society())
    assert need.request == Tool(tool="slugify")
    assert {"proto", "trust", "tool-use"} <= need.kinds


# Making


def test_a_tool_is_asked_for_with_its_examples_a_line_each() -> None:
    at = listed(typed={"task": " the n-th Fibonacci number ", "examples": "f(10) == 55\n\n f(1) == 1\n"})
    effects = pressed(at, "Have it written")
    send = sent(effects)
    assert send.request == ForgeTool(task="the n-th Fibonacci number", examples=["f(10) == 55", "f(1) == 1"])
    assert send.follows
    making = after(at, *effects)
    assert holds(list(PANE.blocks(making)), Bar)
    assert not entries(making)


def test_its_making_is_told_step_by_step_and_can_be_stopped() -> None:
    at = listed(making="Making a slug", steps=[])
    for number, line in enumerate(("BRICK specifies", "attempt 1 fails 2 of 9"), 1):
        step = {"step": "forging", "line": line, "attempt": number - 1, "passed": None if number == 1 else False}
        at = after(at, *PANE.told(Outcome("made", step=step), at))
    (bar,) = [block for block in PANE.blocks(at) if isinstance(block, Bar)]
    assert bar.fraction is None
    assert bar.label == "Making a slug: attempt 1 fails 2 of 9"
    assert any("BRICK specifies" in text for text in texts(at))
    effects = pressed(at, "Stop")
    assert effects[0] == Stop()
    assert "task" in entries(after(at, *effects))


def test_a_step_that_comes_after_a_stop_is_not_kept() -> None:
    step = {"step": "forging", "line": "late", "attempt": 1, "passed": None}
    assert PANE.told(Outcome("made", step=step), listed()) == ()


def test_a_verified_tool_is_opened() -> None:
    report = {"name": "slugify", "verified": True, "attempts": 2, "failures": [], "summary": "done", "tool": tool()}
    effects = PANE.told(Outcome("made", report), listed(making="Making", typed={"task": "x"}))
    assert Open("tool_bench", {"subject": "slugify"}) in effects
    assert "typed" not in after(listed(), *effects).state


def test_what_was_not_verified_is_told_with_its_best_attempt() -> None:
    report = {
        "name": "slugify",
        "verified": False,
        "attempts": 3,
        "failures": ["slugify('') gave None"],
        "summary": "not verified in 3 attempts",
        "tool": tool(),
    }
    at = listed(making="Making", typed={"task": "a slug"})
    now = after(at, *PANE.told(Outcome("made", report), at))
    assert "not verified in 3 attempts" in texts(now)
    assert "slugify('') gave None" in texts(now)
    assert holds(list(PANE.blocks(now)), Code)
    assert entries(now)["task"].text == "a slug", "so that it can be put in other words"


def test_a_making_that_fails_says_what_can_be_done() -> None:
    at = listed(making="Making", typed={"task": "a slug"})
    effects = PANE.told(Outcome("made", fault="no model answers", next_step="a4ps doctor"), at)
    assert Notice("no model answers", "a4ps doctor", bad=True) in effects
    assert "making" not in after(at, *effects).state


def test_only_a_tool_that_has_failed_is_mended() -> None:
    assert sent(pressed(seen(), "Have it mended")).request == MendTool(tool="slugify")
    assert not buttons(seen(tool(failures=0)))["Have it mended"].enabled


# Running


def test_each_parameter_has_a_field_and_one_left_out_is_not_sent() -> None:
    at = seen(typed={"argument:text": "Hello World", "argument:most": ""})
    assert [each.label for each in entries(at).values()] == ["text: str", "most: int, if wanted"]
    effects = pressed(at, "Run")
    assert sent(effects).request == RunTool(tool="slugify", arguments=["text=Hello World"], spelt=True)
    running = after(at, *effects)
    assert not buttons(running)["Run"].enabled
    assert PANE.acted(Act("run"), running) == ()


def test_an_empty_text_that_is_needed_is_sent() -> None:
    at = seen(typed={"argument:text": ""})
    assert sent(PANE.acted(Act("run"), at)).request == RunTool(tool="slugify", arguments=["text="], spelt=True)


def test_the_result_is_shown_and_can_be_copied() -> None:
    at = seen(running=True)
    value = {"tool": "slugify", "version": 2, "result": "hello-world", "ms": 12.4, "tier": "gvisor"}
    now = after(at, *PANE.told(Outcome("ran", value), at))
    assert "→ hello-world" in texts(now)
    assert "12 ms · gvisor · version 2   Copy" in texts(now)
    assert buttons(now)["Run"].enabled
    assert PANE.acted(Act("copy"), now) == [Copy("hello-world")]


def test_a_call_that_fails_says_why_beside_its_fields() -> None:
    at = seen(running=True, typed={"argument:text": "x"})
    now = after(at, *PANE.told(Outcome("ran", fault="most is no int", next_step="write a number"), at))
    assert "most is no int: write a number" in texts(now)
    assert entries(now)["argument:text"].text == "x"


def test_who_was_dropped_on_it_is_asked_in_the_chat_field() -> None:
    at = seen(persona="ROBIN", typed={"argument:text": "Hi"})
    told = {"persona": "ROBIN", "text": "use the tool slugify with text=Hi"}
    assert pressed(at, "Ask ROBIN to use it") == [Do(Act("talk", told))]


@pytest.mark.parametrize("line", ["", "f(", "f(x) -> int\nimport os", "f" * 5])
def test_a_signature_that_cannot_be_read_has_no_parameters(line: str) -> None:
    assert parameters_of(line) == ()


def test_parameters_say_which_are_needed() -> None:
    assert parameters_of("f(a: list[int], b: str = 'x, y') -> str") == [
        Parameter("a", "list[int]", True),
        Parameter("b", "str", False),
    ]


# Source, tests, trust


def test_source_and_evidence_are_shown() -> None:
    assert "Raises ValueError: most is negative" in texts(seen(tab="Source"))
    assert any(isinstance(block, Code) and "return text" in block.text for block in PANE.blocks(seen(tab="Source")))
    shown = texts(seen(tab="Tests"))
    assert "slugify('A b') == 'a-b' | alfred · held back" in shown
    assert "9 cases · 4 unseen by the writer · 50 generated inputs" in shown
    assert "one input was slow" in shown
    assert any(text.startswith("('',) | IndexError") for text in shown)


def test_every_level_says_what_it_means() -> None:
    shown = texts(seen(tab="Trust"))
    assert any(text.startswith("sandboxed | ") for text in shown)
    assert "in-process | runs in A4PS's own process, where it may do whatever you may" in shown


def test_trust_goes_to_the_text_that_was_read() -> None:
    asked = after(seen(tab="Trust"), *pressed(seen(tab="Trust"), "Let it run in-process …"))
    assert holds(list(PANE.blocks(asked)), Code), "the text itself, before the button"
    (send,) = pressed(asked, "Yes: in-process")
    assert isinstance(send, Send)
    assert send.request == PromoteTool(tool="slugify", level="in-process", digest=HASH)
    other = Seen(asked.state, {"tool": Answer(tool(hash="cd" * 32), asking=False)}, Society())
    assert any("another one by now" in text for text in texts(other))
    assert sent(pressed(other, "Yes: in-process")).request == send.request, "which the backend refuses"


def test_folders_are_granted_a_line_each() -> None:
    at = seen(tab="Trust", promoting="granted", digest=HASH, typed={"folders": "/data\n/out:rw\n"})
    assert sent(pressed(at, "Yes: granted")).request == PromoteTool(
        tool="slugify",
        level="granted",
        digest=HASH,
        folders=[Folder(path="/data"), Folder(path="/out", writable=True)],
    )


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("rides", "rides is no whole path: begin it with /"),
        ("", "it needs a folder: name one, such as /home/you/rides"),
    ],
)
def test_a_folder_that_names_nothing_is_refused_at_its_field(typed: str, fault: str) -> None:
    at = seen(tab="Trust", promoting="granted", digest=HASH, typed={"folders": typed})
    now = after(at, *pressed(at, "Yes: granted"))
    assert entries(now)["folders"].fault == fault
    assert entries(now)["folders"].text == typed


def test_a_refused_promotion_says_why_and_stays_open() -> None:
    at = seen(tab="Trust", promoting="in-process", digest=HASH)
    now = after(at, *PANE.told(Outcome("promoted", fault="the text is another one", next_step="look again"), at))
    assert "the text is another one: look again" in texts(now)
    assert "Yes: in-process" in buttons(now)
    assert "Yes: in-process" not in buttons(after(now, *pressed(now, "Leave it")))


def test_a_removal_can_be_undone() -> None:
    send = sent(pressed(seen(), "Remove"))
    assert (send.request, send.undoes) == (RemoveTool(tool="slugify"), True)
    effects = PANE.told(Outcome("removed", {"removed": "slugify", "change": 9}), seen())
    assert "subject" not in after(seen(), *effects).state
    assert Notice("slugify is removed.", "Ctrl-Z brings it back") in effects


@pytest.fixture
def slugify(backend: Backend) -> str:
    """A tool of a living image, which only a test has verified."""
    shape = {
        "name": "slugify",
        "parameters": [{"name": "text", "type": "str"}, {"name": "most", "type": "int"}],
        "returns": "str",
        "contract": "Lower-case words joined by hyphens.",
    }
    source = "def slugify(text, most):\n    return '-'.join(text.lower().split())[:most]\n"
    at = datetime(2026, 12, 1, tzinfo=UTC)
    specification = Specification.of(SpecificationShape.model_validate(shape))
    backend.tools.install(WrittenTool("slugify", source, specification, (), Evidence(), 1, "BRICK", "a slug", at))
    return "slugify"


async def test_a_living_tool_is_read_trusted_run_and_removed(backend: Backend, slugify: str) -> None:
    bench = Driven(backend, "tool_bench")
    assert "slugify | v1 | sandboxed |  | not used yet" in await bench.texts()
    window = Driven(backend, "tool_bench", subject=slugify)
    await window.press("Trust")
    await window.press("Let it run in-process")
    await window.press("Yes: in-process")
    assert Notice("slugify is in-process from now on.") in window.effects
    await window.press("Run")
    await window.enter("argument:text", "Hello  World")
    await window.enter("argument:most", "7")
    await window.do(buttons_of(await window.look())["Run"].act)
    assert "→ hello-w" in await window.texts()
    await window.enter("argument:most", "many")
    await window.do(buttons_of(await window.look())["Run"].act)
    assert not any(text.startswith("→") for text in await window.texts())
    assert any("many" in str(text) and "most" in str(text) for text in await window.texts())
    await window.press("Remove")
    assert len(window.changes) == 1
    assert "There are no tools yet." in await bench.texts()


async def test_a_text_that_became_another_since_it_was_read_is_not_trusted(backend: Backend, slugify: str) -> None:
    window = Driven(backend, "tool_bench", subject=slugify)
    await window.press("Trust")
    await window.press("Let it run in-process")
    before = backend.tools.get(slugify)
    other = replace(before, source=before.source + "# another\n", version=2)
    await asyncio.to_thread(backend.tools.install, other)
    await window.press("Yes: in-process")
    assert any("another one" in text for text in await window.texts())
    assert backend.tools.get(slugify).level == "sandboxed"


async def test_a_tool_that_is_not_there_says_so(backend: Backend) -> None:
    shown = await Driven(backend, "tool_bench", subject="nothing").texts()
    assert any("nothing" in text for text in shown)
    assert not any(text.startswith("Run") for text in shown)
    assert "There are no tools yet." in await Driven(backend, "tool_bench").texts()
