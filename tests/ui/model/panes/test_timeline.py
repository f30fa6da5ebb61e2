"""The Timeline over a living image: what was committed is on the line, and a change is taken back from it."""

from __future__ import annotations

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Act, Marks, SideBySide
from a4ps.ui.model.pane import Answer, Notice, Open, Seen, known_panes
from a4ps.ui.model.panes.timeline import SHOWN, at_place, events_request, headline, marks
from a4ps.ui.model.society import Society
from tests.doubles.pane_driver import Driven, pressables

PANE = known_panes()["timeline"]

QUESTION = {
    "sequence": 7,
    "at": "2026-11-30T10:00:00+00:00",
    "author": "architect",
    "rows": [{"kind": "turn", "key": "1"}],
}
SWAP = {
    "sequence": 8,
    "at": "2026-11-30T10:01:00+00:00",
    "author": "architect",
    "rows": [{"kind": "proto", "key": "ROBIN"}],
}


def timeline(backend: Backend) -> Driven:
    return Driven(backend, "timeline", Society(sequence=backend.store.generation))


def test_a_swap_is_larger_than_a_question_and_the_chosen_one_is_marked() -> None:
    question, swap = marks([QUESTION, SWAP], 8).marks
    assert (question.large, swap.large) == (False, True)
    assert (question.chosen, swap.chosen) == (False, True)
    assert (question.place, swap.place) == (0.0, 1.0)
    assert question.tone != swap.tone
    assert headline(SWAP) == "ROBIN changed"


def test_a_tool_is_no_swap_of_a_mind_and_opens_on_its_bench() -> None:
    made = {**SWAP, "sequence": 9, "rows": [{"kind": "proto", "key": "tool:slugify"}]}
    swap, tool = marks([SWAP, made]).marks
    assert not tool.large
    assert tool.tone != swap.tone
    assert headline(made) == "tool slugify"
    seen = Seen({"change": 9}, {"events": Answer({"events": [made]}, asking=False)}, Society(sequence=9))
    (row,) = [act for said, act in pressables(PANE.blocks(seen)) if said == "show it"]
    assert PANE.acted(row, seen) == [Open("tool_bench", {"subject": "slugify"})]


def test_a_place_on_the_line_is_the_nearest_commit() -> None:
    assert [at_place([QUESTION, SWAP], place) for place in (-1.0, 0.2, 0.8, 2.0)] == [7, 7, 8, 8]
    assert at_place([], 0.5) == 0


def test_new_commits_do_not_each_ask_for_another_line() -> None:
    assert events_request(401) == events_request(440)
    request = events_request(440)
    assert request.after < 401 - SHOWN // 2
    assert request.after + request.limit >= 440


async def test_a_change_is_looked_at_and_reverted(backend: Backend) -> None:
    async with backend.protos.transaction(author="architect", reason="brighter") as change:
        change.edit("NOTE").state["count"] = 9
    window = timeline(backend)
    line = next(block for block in await window.look() if isinstance(block, Marks))
    await window.do(line.scrub.with_value(1.0))
    assert window.state["change"] == backend.store.generation
    blocks = await window.look()
    assert any(isinstance(block, SideBySide) for block in blocks)
    assert any("brighter" in text for text in await window.texts())
    await window.press("revert this one")
    assert backend.protos.get_proto("NOTE").state["count"] == 3
    assert any(isinstance(each, Notice) and "Reverted by change" in each.text for each in window.effects)


async def test_what_a_commit_made_opens_from_its_line(backend: Backend) -> None:
    window = timeline(backend)
    await window.press("show it")
    assert window.effects == [Open("inspector", {"subject": "NOTE", "tab": "History"})]


async def test_a_number_that_is_not_on_the_line_is_not_chosen(backend: Backend) -> None:
    window = timeline(backend)
    await window.look()
    await window.do(Act("choose", {"change": 99_999}))
    assert "change" not in window.state
