"""The society where what it is given, or the machine, is not as one would wish."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.governance.taint import FILES
from a4ps.inference.engine import ChatRequest
from a4ps.kernel.answered import answered_turn
from a4ps.kernel.why import why
from a4ps.memory.documents import take_in
from a4ps.personas.prompting import NOT_VOUCHED
from a4ps.society.progress import Progress
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import LINES, ScriptedEngine

QUESTION = "Which lanterns should the ferry crew buy before the winter?"


def ignore(progress: Progress) -> None:
    del progress


def steps(engine: ScriptedEngine) -> list[str]:
    return [request.step for request in engine.requests]


async def disagrees(request: ChatRequest) -> Mapping[str, Any] | None:
    if request.step == "antithesis":
        return {"stances": [{"point": 1, "stance": "disagree", "weight": 1}], "say": "No."}
    return None


async def test_what_was_said_and_its_contrary_are_both_shown_with_number_and_day(tmp_path: Path) -> None:
    """Nobody chooses silently between two memories: who plans, searches and judges sees both, and the user which."""
    answers = iter(("The ferry crew should buy oil lanterns.", "The ferry crew should never buy oil lanterns."))

    async def script(request: ChatRequest) -> str | None:
        return next(answers, None) if request.step == "synthesis" else None

    engine = ScriptedEngine(script)
    clock = ManualClock()
    async with open_kernel(tmp_path, engine, clock) as kernel:
        for _ in range(2):
            await kernel.ask("Which lanterns should the ferry crew buy?", ignore)
            clock.advance(86_400)
        engine.requests.clear()
        answered = await kernel.ask("Lanterns for the ferry crew: which should they buy?", ignore)
        found = why(kernel.records, answered.turn.id)
    assert {memory.id for memory in answered.memories} == {"1", "2"}
    assert found.memories == answered.memories
    for request in engine.requests:
        if request.step in ("plan", "findings", "synthesis"):
            prompt = request.messages[-1].content
            assert "> [1] 2026-11-2" in prompt
            assert "> [2] 2026-11-2" in prompt
            assert "should buy oil lanterns" in prompt
            assert "should never buy oil lanterns" in prompt


async def test_documents_that_contradict_each_other_are_both_shown_and_neither_is_an_order(tmp_path: Path) -> None:
    """What the Architect vouches for is no longer marked; the other one still is."""
    for name, rent in (("new", "1200"), ("old", "900")):
        (tmp_path / f"{name}.md").write_text(f"The rent of the flat in Porto is {rent} euros a month.")
    engine = ScriptedEngine()
    marks: list[tuple[bool, bool]] = []
    async with open_kernel(tmp_path / "home", engine) as kernel:
        for name in ("new", "old"):
            list(take_in(kernel.records, tmp_path / f"{name}.md", kernel.records.documents()))
        for vouched in ((), ("d2",)):
            kernel.records.vouch(vouched)
            engine.requests.clear()
            answered = await kernel.ask("What is the rent of the flat in Porto, each month?", ignore)
            assert {"d1.1", "d2.1"} <= {memory.id for memory in answered.memories}
            assert set(answered.reply.taint) == FILES
            for request in engine.requests:
                if request.step in ("plan", "findings", "synthesis"):
                    lines = request.messages[-1].content.splitlines()
                    new, old = (next(line for line in lines if rent in line) for rent in ("1200", "900"))
                    marks.append((NOT_VOUCHED in new, NOT_VOUCHED in old))
    assert marks == [(True, True)] * 3 + [(True, False)] * 3


async def test_an_empty_memory_is_no_hindrance_and_is_not_made_up(tmp_path: Path) -> None:
    engine = ScriptedEngine()
    async with open_kernel(tmp_path, engine) as kernel:
        assert kernel.series.read() == {}
        answered = await kernel.ask(QUESTION, ignore)
        found = why(kernel.records, "1")
    assert answered.memories == found.memories == ()
    assert not any("From the record" in request.messages[-1].content for request in engine.requests)


async def test_a_clock_that_is_set_back_costs_no_turn_and_no_order(tmp_path: Path) -> None:
    """In mid-turn, and by a year: the budget goes by another clock, turns by their numbers, and series never run back."""
    clock = ManualClock()

    async def sets_back(request: ChatRequest) -> Mapping[str, Any] | None:
        if request.step == "thesis":
            clock.at -= timedelta(days=365)
        return await disagrees(request)

    engine = ScriptedEngine(sets_back)
    async with open_kernel(tmp_path, engine, clock) as kernel:
        for number in (1, 2, 3):
            answered = await kernel.ask(f"{QUESTION} Ask {number}.", ignore)
            assert answered.turn.id == str(number)
            assert not answered.reply.dropped
        latest = [turn.id for turn, _ in kernel.log.latest(3)]
        series = kernel.series.read()
        found = why(kernel.records, "3")
    assert latest == ["3", "2", "1"]
    assert {memory.id for memory in found.memories} <= {"1", "2"}
    for points in series.values():
        assert [point.at_s for point in points] == sorted(point.at_s for point in points)
    assert sum(point.count for point in series["dissonance"]) == 6


async def test_of_two_questions_at_once_one_may_be_stopped_and_the_other_is_answered(tmp_path: Path) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def waits(request: ChatRequest) -> None:
        if request.step == "thesis" and len(engine.requests) == 2:
            reached.set()
            await go.wait()

    engine = ScriptedEngine(waits)
    async with open_kernel(tmp_path, engine) as kernel:
        first = asyncio.ensure_future(kernel.ask(QUESTION, ignore))
        await reached.wait()
        second = asyncio.ensure_future(kernel.ask("Why tea?", ignore))
        third = asyncio.ensure_future(kernel.ask("Why coffee?", ignore))
        await asyncio.sleep(0)
        third.cancel()  # it waits for the first, and was never accepted
        first.cancel()
        answered = await second
        for each in (first, third):
            with pytest.raises(asyncio.CancelledError):
                await each
        assert [turn.question for turn in kernel.log.open_turns()] == [QUESTION]
        assert kernel.log.count() == 2
        resumed = await kernel.resume("1", ignore)
    assert answered.turn.question == "Why tea?"
    assert len(answered.reply.contributions) == len(resumed.reply.contributions) == 5


@pytest.mark.parametrize("step", ["thesis", "antithesis", "word"])
async def test_a_turn_cancelled_in_mid_round_goes_on_in_that_round(tmp_path: Path, step: str) -> None:
    """What was argued before is kept once, and what was begun is done again."""
    stopped_at = {"thesis": 5, "antithesis": 6, "word": 4}[
        step
    ]  # of the calls of two rounds with ALFRED's word between
    reached = asyncio.Event()
    hangs = True

    async def script(request: ChatRequest) -> Mapping[str, Any] | None:
        if hangs and len(engine.requests) == stopped_at:
            assert request.step == step
            reached.set()
            await asyncio.Event().wait()
        return await disagrees(request)

    engine = ScriptedEngine(script)
    async with open_kernel(tmp_path, engine) as kernel:
        task = asyncio.ensure_future(kernel.ask(QUESTION, ignore))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hangs = False
    async with open_kernel(tmp_path, engine) as kernel:
        answered = await kernel.resume(None, ignore)
        assert answered_turn(kernel.records, "1").reply == answered.reply
        series = kernel.series.read()
    whole = ["plan", "thesis", "antithesis", "word", "thesis", "antithesis", "findings", "synthesis"]
    assert steps(engine) == [*whole[:stopped_at], *whole[stopped_at - 1 :]]
    assert [said.role for said in answered.reply.contributions] == whole
    assert [each.dissonance for each in answered.reply.argued] == [1.0, 1.0]
    assert answered.reply.ended == "bound"
    assert sum(point.count for point in series["dissonance"]) == 2
    assert answered.reply.answer == LINES["synthesis"]
