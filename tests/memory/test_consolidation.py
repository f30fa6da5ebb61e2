"""Consolidation: duplicates are merged, facts keep their sources, and a night can be undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from a4ps.clock import ManualClock
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.memory.consolidation import Consolidation, Night
from a4ps.memory.recall import recall
from a4ps.memory.records import Records
from tests.memory.books import book_of, heard


@pytest.fixture
def records(store: Store) -> Records:
    return book_of(store)


def notes(records: Records, *texts: str) -> list[str]:
    added = [records.note(text) for text in texts]
    records.add(added)
    return [memory.id for memory in added]


def night(records: Records) -> Night:
    consolidation = Consolidation(records)
    kept = consolidation.keep(consolidation.duplicates(), [], [])
    assert kept is not None
    return kept


def found(records: Records, question: str) -> set[str]:
    now = datetime(2100, 1, 1, tzinfo=UTC)
    return {memory.id for memory in recall(records, question, now, limit=9, floor=0.34, rehearsed=False)}


class TestDuplicates:
    def test_what_says_the_same_word_for_word_is_merged_into_the_oldest(self, records: Records) -> None:
        first, again, third = notes(records, "The key is under the mat.", "the key is under THE MAT", "Tea at five.")
        assert Consolidation(records).duplicates() == {again: first}
        night(records)
        assert found(records, "key under the mat") == {first}
        assert found(records, "tea at five") == {third}

    @pytest.mark.parametrize(
        "other", ["The key is not under the mat", "The key is under the red mat", "The mat is under the key"]
    )
    def test_what_says_something_else_is_not(self, other: str, records: Records) -> None:
        notes(records, "The key is under the mat", other)
        assert Consolidation(records).duplicates() == {}

    def test_the_more_important_stands_and_a_pin_is_never_merged_away(self, records: Records) -> None:
        first, second, third = notes(records, *["The key is under the mat"] * 3)
        records.pin(second)
        assert Consolidation(records).duplicates() == {first: second, third: second}
        records.pin(first)
        assert Consolidation(records).duplicates() == {third: first}

    def test_a_strangers_words_never_stand_for_the_architects(self, records: Records) -> None:
        """I13: the taint of what stands is that of what it stands for."""
        notes(records, "The key is under the mat")
        document = records.begin_document("/x.txt", "x", 1)
        records.add_parts(document, ["The key is under the mat"], 1, last=True)
        tainted = replace(records.note("The key is under the mat"), taint=frozenset({"untrusted"}))
        records.add([tainted])
        assert Consolidation(records).duplicates() == {}

    async def test_turns_that_repeat_are_merged_and_still_told_by_time(
        self, records: Records, clock: ManualClock
    ) -> None:
        for _ in range(2):
            await heard(records.log, clock, "Which pump fits a barrel?", "The small pump.")
            clock.advance(60)
        night(records)
        assert found(records, "pump for the barrel") == {"1"}
        assert found(records, "What did I ask before?") == {"1", "2"}

    def test_where_what_stands_is_gone_the_other_is_back(self, records: Records, store: Store) -> None:
        first, again = notes(records, "The key is under the mat", "The key is under the mat")
        night(records)
        store.commit([Row("memory-gone", first, b"")], author="architect", reason="forgotten")
        assert found(records, "key under the mat") == {again}


class TestNights:
    async def test_a_turn_is_looked_at_once(self, records: Records, clock: ManualClock) -> None:
        first = await heard(records.log, clock, "Tea?", "At five.")
        await heard(records.log, clock, "Tea?", "At six.", engine="rehearsal")
        consolidation = Consolidation(records)
        assert [episode.id for episode in consolidation.episodes(9)] == [first]
        consolidation.keep({}, [], [first])
        assert consolidation.episodes(9) == []

    async def test_an_undone_night_leaves_all_as_it_was_and_is_not_repeated(
        self, records: Records, clock: ManualClock
    ) -> None:
        turn = await heard(records.log, clock, "When is tea?", "At five.")
        first, again = notes(records, "The key is under the mat", "The key is under the mat")
        consolidation = Consolidation(records)
        fact = replace(records.note("Tea is at five.", kind="fact"), links=(turn,))
        kept = consolidation.keep(consolidation.duplicates(), [fact], [turn])
        assert kept is not None
        assert found(records, "tea at five") == {turn, fact.id}
        undone = consolidation.undo()
        assert undone == replace(kept, undone=True)
        assert found(records, "key under the mat") == {first, again}
        assert found(records, "tea at five") == {turn}
        assert consolidation.duplicates() == {}
        assert consolidation.undo() is None

    def test_a_night_with_nothing_to_do_leaves_nothing(self, records: Records) -> None:
        generation = records.store.generation
        assert Consolidation(records).keep({}, [], []) is None
        assert records.store.generation == generation
