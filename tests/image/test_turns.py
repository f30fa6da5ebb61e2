"""Turns: accepted before they run, answered once, found again as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    rule,
    run_state_machine_as_test,
)
from hypothesis.strategies import SearchStrategy

from a4ps.clock import ManualClock
from a4ps.errors import A4PSError, CallerError, DiskFull, NoSuchTurn
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.image.turns import Contribution, MemoryUsed, Reply, Turn, TurnLog, TurnStatistics

CLOCK = ManualClock()


def asked(question: str) -> Turn:
    return Turn("", question, CLOCK.now(), "ollama", {"ALFRED": "m"}, {"ALFRED": 7}, everyone=True)


def replied(answer: str) -> Reply:
    return Reply(
        contributions=(
            Contribution("BRICK", "thesis", "1. Because.", "m", 10, 3, 1.5),
            Contribution("ALFRED", "synthesis", answer, "m", 20, 4, 2.5),
        ),
        dissonance=0.25,
        estimated=True,
        rounds=1,
        model_ms=4.0,
        overhead_ms=0.5,
        memories_used=(MemoryUsed("1", 0.5, "full text"),),
        dropped=("research",),
        notes=("Left out.",),
    )


class TestAWholeTurn:
    async def test_a_turn_comes_back_as_it_was(self, turn_log: TurnLog, store: Store) -> None:
        turn = await turn_log.accept(asked("Rust or Go?"))
        await turn_log.answer(turn, replied("Go."))
        for log in (turn_log, TurnLog(store)):
            assert log.turn("1") == turn == replace(asked("Rust or Go?"), id="1")
            reply = log.reply("1")
            assert reply == replied("Go.")
            assert reply is not None
            assert (reply.answer, reply.alone) == ("Go.", False)

    async def test_turns_are_numbered_from_one_without_gaps(self, turn_log: TurnLog, store: Store) -> None:
        assert [(await turn_log.accept(asked("?"))).id for _ in range(3)] == ["1", "2", "3"]
        assert turn_log.count() == 3
        again = TurnLog(store)
        assert (await again.accept(asked("?"))).id == "4"
        assert again.count() == 4

    async def test_a_turn_is_durable_before_it_runs(self, turn_log: TurnLog, store: Store) -> None:
        """Accepted is committed: another reader of the image sees it, open and without a reply."""
        await turn_log.accept(asked("Rust or Go?"))
        again = TurnLog(store)
        assert [turn.question for turn in again.open_turns()] == ["Rust or Go?"]
        assert again.reply("1") is None
        assert again.latest(9) == []

    async def test_turns_at_once_get_numbers_of_their_own(self, turn_log: TurnLog) -> None:
        turns = await asyncio.gather(*(turn_log.accept(asked(f"{number}?")) for number in range(8)))
        assert sorted(int(turn.id) for turn in turns) == list(range(1, 9))
        assert [turn_log.turn(turn.id).question for turn in turns] == [turn.question for turn in turns]

    @pytest.mark.parametrize("name", ["1", "0", "-1", "01", "", "abc", "1 ", "\udcff", "\x00", "1e3"])
    def test_a_turn_that_is_not_there_is_said_so(self, turn_log: TurnLog, name: str) -> None:
        with pytest.raises(NoSuchTurn) as caught:
            turn_log.turn(name)
        caught.value.message.encode()
        assert caught.value.next_step

    async def test_the_numbers_that_are_there_are_named(self, turn_log: TurnLog) -> None:
        await turn_log.accept(asked("?"))
        with pytest.raises(NoSuchTurn) as caught:
            turn_log.turn("2")
        assert "1 to 1" in caught.value.next_step


class TestOpenTurns:
    async def test_answered_turns_are_closed(self, turn_log: TurnLog) -> None:
        first = await turn_log.accept(asked("a"))
        second = await turn_log.accept(asked("b"))
        await turn_log.answer(first, replied("x"))
        assert turn_log.open_turns() == [second]
        await turn_log.answer(second, replied("y"))
        assert turn_log.open_turns() == []

    async def test_a_stopped_turn_is_open_but_was_not_cut_off(self, turn_log: TurnLog, store: Store) -> None:
        turn = await turn_log.accept(asked("a"))
        assert turn_log.cut_off() == [turn]
        await turn_log.stop(turn, "stopped by the Architect")
        for log in (turn_log, TurnLog(store)):
            assert log.open_turns() == [turn]
            assert log.cut_off() == []
        await turn_log.answer(turn, replied("after all"))
        assert turn_log.open_turns() == []

    async def test_a_new_question_sets_aside_what_was_cut_off(self, turn_log: TurnLog) -> None:
        """It is offered once; asked something else, the user does not hear of it again, but may resume it."""
        cut = await turn_log.accept(asked("a"))
        generation = turn_log.generation
        new = await turn_log.accept(asked("b"))
        assert turn_log.cut_off() == [new]
        assert turn_log.open_turns() == [cut, new]
        assert turn_log.generation == generation + 1  # in the same commit

    async def test_a_crash_leaves_the_turn_to_resume(self, tmp_path: Path, clock: ManualClock) -> None:
        """Opened again after its process died, the image names the accepted turn."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        with Store.open(image, keys, clock) as store:
            turn = await TurnLog(store).accept(asked("Rust or Go?"))
        with Store.open(image, keys, clock) as store:
            log = TurnLog(store)
            assert log.cut_off() == [turn]
            await log.answer(turn, replied("Go."))
        with Store.open(image, keys, clock) as store:
            assert TurnLog(store).cut_off() == []


class TestBrokenOff:
    """A commit that was cancelled or failed leaves the log in step with the image."""

    async def test_cancelled_at_any_moment_no_number_is_used_twice(self, turn_log: TurnLog, store: Store) -> None:
        for moments in range(6):
            task = asyncio.create_task(turn_log.accept(asked(f"cancelled {moments}")))
            for _ in range(moments):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            kept = await turn_log.accept(asked(f"kept {moments}"))
            assert turn_log.turn(kept.id).question == f"kept {moments}"
            assert turn_log.open_turns() == TurnLog(store).open_turns()
            assert turn_log.count() == TurnLog(store).count() == len(turn_log.open_turns())
        assert any(turn.question.startswith("cancelled") for turn in turn_log.open_turns())

    async def test_cancelled_while_answering_a_turn_is_open_or_answered(self, turn_log: TurnLog, store: Store) -> None:
        answered = 0
        for moments in range(6):
            turn = await turn_log.accept(asked("?"))
            task = asyncio.create_task(turn_log.answer(turn, replied("!")))
            for _ in range(moments):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            is_answered = turn_log.reply(turn.id) is not None
            answered += is_answered
            assert (turn in turn_log.open_turns()) is not is_answered
            assert turn_log.open_turns() == TurnLog(store).open_turns()
        assert answered

    async def test_a_full_disk_costs_no_number(
        self, turn_log: TurnLog, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def full(*_: object, **__: object) -> None:
            raise DiskFull("no space")

        with monkeypatch.context() as patched:
            patched.setattr(Store, "commit_async", full)
            with pytest.raises(DiskFull):
                await turn_log.accept(asked("a"))
        assert turn_log.open_turns() == []
        assert (await turn_log.accept(asked("b"))).id == "1"


class TestFinding:
    async def test_latest_is_newest_first_within_the_times(self, turn_log: TurnLog, clock: ManualClock) -> None:
        start = clock.now()
        for number in range(4):
            await turn_log.answer(await turn_log.accept(asked(str(number))), replied("x"))
            clock.advance(60)
        assert [turn.id for turn, _ in turn_log.latest(2)] == ["4", "3"]
        within = turn_log.latest(9, after=start + timedelta(seconds=60), before=start + timedelta(seconds=180))
        assert [turn.id for turn, _ in within] == ["3", "2"]

    async def test_search_finds_question_and_answer_but_no_contribution(self, turn_log: TurnLog, store: Store) -> None:
        await turn_log.answer(await turn_log.accept(asked("Rust or Go?")), replied("Take Zig."))
        assert [found.key for found in store.search('"rust"', kind="reply", limit=9)] == ["1"]
        assert [found.key for found in store.search('"zig"', kind="reply", limit=9)] == ["1"]
        assert store.search('"because"', kind="reply", limit=9) == []
        with pytest.raises(CallerError):
            store.search('"', kind="reply", limit=9)


@pytest.mark.parametrize(
    "text",
    ["👩‍👩‍👧 ok", "\ud83d", "a\udcffb", "\x00", "\u2028\x85", '"}{\\', "e\u0301 Å ﷽", "x" * 1_000_000],
    ids=["emoji", "half an emoji", "broken byte", "nul", "separators", "json", "marks", "a megabyte"],
)
async def test_any_text_is_kept_as_it_is(turn_log: TurnLog, store: Store, text: str) -> None:
    """What was asked and said is kept to the character, and the turn can be committed and found beside it."""
    turn = await turn_log.accept(asked(text))
    await turn_log.answer(turn, replied(f"{text} findable"))
    assert turn_log.turn("1").question == text
    reply = turn_log.reply("1")
    assert reply is not None
    assert reply.answer == f"{text} findable"
    assert [found.key for found in store.search('"findable"', kind="reply", limit=9)] == ["1"]


def texts() -> SearchStrategy[str]:
    return st.text(max_size=20)


class TurnsOverTime(RuleBasedStateMachine):
    """Whatever is accepted, stopped, answered and reopened, the log says what a plain list would say."""

    make: Callable[[], Path]
    turns: Bundle[Turn] = Bundle("turns")

    def __init__(self) -> None:
        super().__init__()
        self.folder = type(self).make()
        self.runner = asyncio.Runner()
        self.store = self._open()
        self.log = TurnLog(self.store)
        self.asked: list[Turn] = []
        self.stopped: set[str] = set()
        self.answers: dict[str, str] = {}

    def _open(self) -> Store:
        return Store.open(self.folder / "image.a4ps", KeyFolder(self.folder / "keys"), CLOCK)

    @rule(target=turns, question=texts())
    def accept(self, question: str) -> Turn:
        self.stopped |= {turn.id for turn in self.asked if turn.id not in self.answers}
        turn = self.runner.run(self.log.accept(asked(question)))
        self.asked.append(turn)
        return turn

    @rule(turn=turns, why=texts())
    def stop(self, turn: Turn, why: str) -> None:
        self.runner.run(self.log.stop(turn, why))
        self.stopped.add(turn.id)

    @rule(turn=consumes(turns), answer=texts())
    def answer(self, turn: Turn, answer: str) -> None:
        self.runner.run(self.log.answer(turn, replied(answer)))
        self.answers[turn.id] = answer

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.store = self._open()
        self.log = TurnLog(self.store)

    @invariant()
    def agrees(self) -> None:
        waiting = [turn for turn in self.asked if turn.id not in self.answers]
        assert [turn.id for turn in self.asked] == [str(number + 1) for number in range(len(self.asked))]
        assert self.log.count() == len(self.asked)
        assert self.log.open_turns() == waiting
        assert self.log.cut_off() == [turn for turn in waiting if turn.id not in self.stopped]
        assert [(turn.id, reply.answer) for turn, reply in self.log.latest(99)] == list(self.answers.items())[::-1]
        assert all(self.log.turn(turn.id) == turn for turn in self.asked)

    def teardown(self) -> None:
        self.store.close()
        self.runner.close()


def test_turns_over_time(tmp_path_factory: pytest.TempPathFactory) -> None:
    TurnsOverTime.make = lambda: tmp_path_factory.mktemp("turns")
    run_state_machine_as_test(TurnsOverTime, settings=settings(max_examples=12, stateful_step_count=25, deadline=None))


async def test_a_closed_image_takes_no_turn(turn_log: TurnLog, store: Store) -> None:
    store.close()
    with pytest.raises(A4PSError):
        await turn_log.accept(asked("a"))


async def test_it_counts_turns_that_are_open_answered_and_stopped(turn_log: TurnLog, store: Store) -> None:
    turns = [await turn_log.accept(asked(str(number))) for number in range(3)]
    await turn_log.answer(turns[0], replied("Yes."))
    await turn_log.stop(turns[1], "stopped")
    assert turn_log.statistics() == TurnStatistics(answered=1, stopped=1, open=2)
    assert TurnLog(store).statistics() == TurnStatistics(answered=0, stopped=0, open=2)
