"""The scrapbook: full text at once, vectors in the background, and nothing in a prompt that has nothing to do with it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.memory import scrapbook as module
from a4ps.memory.recall import Near, Recalled, recall
from a4ps.memory.records import VECTOR, Memory, Records
from a4ps.memory.scrapbook import Scrapbook
from tests.memory.books import Meanings, book_of, heard, means

DOGS = "dog puppy hound terrier"
MONEY = "bank money loan mortgage"


class Reader:
    """A scrapbook over an image, asked as a turn asks."""

    def __init__(self, records: Records, engine: Meanings, folder: Path, clock: ManualClock) -> None:
        self.records = records
        self.engine = engine
        self.clock = clock
        self.scrapbook = Scrapbook(records, means(engine, folder, clock))

    def notes(self, *texts: str, importance: float = 0.5) -> list[str]:
        added = [self.records.note(text, importance=importance) for text in texts]
        self.records.add(added)
        self.scrapbook.wake()
        return [memory.id for memory in added]

    async def found(self, question: str, limit: int = 3, *, rehearsed: bool = False) -> list[Recalled]:
        now = self.clock.now()
        return list(await self.scrapbook.recall(question, now, limit=limit, floor=0.34, rehearsed=rehearsed))

    async def ids(self, question: str) -> list[str]:
        return [memory.id for memory in await self.found(question)]


Opens = Callable[..., Reader]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, a question waits for its vector."""
    monkeypatch.setattr(module, "QUESTION_WAIT_S", 60)


@pytest.fixture
async def opens(store: Store, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Opens]:
    opened: list[Reader] = []

    def open_(engine: Meanings | None = None) -> Reader:
        reader = Reader(book_of(store), engine or Meanings(DOGS, MONEY), tmp_path / "index", clock)
        opened.append(reader)
        return reader

    yield open_
    for reader in opened:
        await reader.scrapbook.aclose()


async def test_it_says_how_far_it_is(opens: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting again only where there is something new."""
    reader = opens()
    reader.notes("The terrier needs a walk at six.", "The mortgage is due in May.")
    before = reader.scrapbook.statistics()
    assert (before.memories, before.vectors, before.embedder, before.fault) == (2, 0, "", "")
    await reader.scrapbook.even()
    after = reader.scrapbook.statistics()
    assert (after.memories, after.vectors, after.left) == (2, 2, 0)
    assert after.embedder == reader.scrapbook.embedder
    monkeypatch.setattr(reader.records, "count", pytest.fail)
    assert reader.scrapbook.statistics() == after


class TestFinding:
    async def test_by_meaning_where_no_word_is_shared(self, opens: Opens) -> None:
        reader = opens()
        dog, _ = reader.notes("The terrier needs a walk at six.", "The mortgage is due in May.")
        await reader.scrapbook.even()
        (found,) = await reader.found("How is my puppy?")
        assert (found.id, found.source) == (dog, "vectors")
        assert 0.25 <= found.score <= 1

    async def test_unrelated_questions_find_nothing(self, opens: Opens) -> None:
        reader = opens()
        reader.notes("The terrier needs a walk at six.", "The mortgage is due in May.", "Boil eggs for seven minutes.")
        await reader.scrapbook.even()
        for question in ("Why is the sky blue?", "Is it cold on the moon?"):
            assert await reader.found(question) == []

    async def test_what_both_routes_find_comes_first(self, opens: Opens) -> None:
        reader = opens()
        _, both = reader.notes("A hound sleeps.", "A puppy sleeps in the basket.")
        await reader.scrapbook.even()
        first, second = await reader.found("Where does the puppy sleep, in a basket?")
        assert (first.id, first.source) == (both, "full text + vectors")
        assert second.source == "vectors"
        assert first.score > second.score

    async def test_agreement_of_the_routes_decides_between_equals(self, opens: Opens) -> None:
        reader = opens()
        agreed, _ = reader.notes("The deposit is three rents.", "The deposit is three rents.")
        found = recall(
            reader.records,
            "Is the deposit three rents?",
            reader.clock.now(),
            limit=2,
            floor=0.34,
            rehearsed=False,
            near=lambda: [Near(agreed, 0.5)],
            near_floor=0.25,
        )
        assert [memory.id for memory in found] == [agreed, "m2"]

    async def test_a_turn_is_found_by_meaning_too(self, opens: Opens) -> None:
        reader = opens()
        turn = await heard(reader.records.log, reader.clock, "Which dog?", "A hound.")
        await reader.scrapbook.even()
        assert await reader.ids("Is a terrier right for me?") == [turn]

    async def test_rehearsed_turns_stay_out_whatever_they_mean(self, opens: Opens) -> None:
        reader = opens()
        await heard(reader.records.log, reader.clock, "Which dog?", "A hound.", engine="rehearsal")
        await reader.scrapbook.even()
        assert await reader.found("Is a terrier right for me?") == []
        assert len(await reader.found("Is a terrier right for me?", rehearsed=True)) == 1

    async def test_importance_and_age_weigh_among_equals(self, opens: Opens) -> None:
        reader = opens()
        old, pinned, plain = reader.notes("The dog barks.", "The dog barks.", "The dog barks.")
        reader.clock.advance(200 * 86_400)
        (new,) = reader.notes("The dog barks.")
        reader.records.pin(pinned)
        await reader.scrapbook.even()
        ids = [memory.id for memory in await reader.found("Does the dog bark?", limit=9)]
        assert ids[0] == pinned
        assert ids.index(new) < ids.index(old)
        assert {*ids} == {old, pinned, plain, new}

    async def test_a_pin_makes_nothing_relevant(self, opens: Opens) -> None:
        reader = opens()
        (pinned,) = reader.notes("The mortgage is due in May.")
        reader.records.pin(pinned)
        await reader.scrapbook.even()
        assert await reader.found("Does the dog bark?") == []

    async def test_a_passage_of_a_long_document_and_its_taint(self, opens: Opens) -> None:
        reader = opens()
        document = reader.records.begin_document("/tmp/lease.txt", "x", 1)
        text = "Preamble. " * 40 + "The deposit is three monthly rents. " + "Closing words. " * 40
        reader.records.add_parts(document, [text], 1, last=True)
        now = reader.clock.now()
        (found,) = await reader.scrapbook.recall(
            "How large is the deposit in rents?", now, limit=3, floor=0.34, rehearsed=False, passage_chars=240
        )
        assert "three monthly rents" in found.text
        assert len(found.text) <= 240
        assert found.taint == {"private", "untrusted"}
        assert found.source == "full text · /tmp/lease.txt, part 1 of 1"


class TestFollowing:
    async def test_full_text_serves_while_nothing_is_embedded(
        self, opens: Opens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "QUESTION_WAIT_S", 0)
        engine = Meanings(DOGS, MONEY)
        engine.gate = asyncio.Event()
        reader = opens(engine)
        (dog,) = reader.notes("The terrier needs a walk at six.")
        reader.scrapbook.start()
        (found,) = await reader.found("When does the terrier want its walk?")
        assert (found.id, found.source) == (dog, "full text")
        assert await reader.found("How is my puppy?") == []
        engine.gate.set()
        await reader.scrapbook.even()
        monkeypatch.setattr(module, "QUESTION_WAIT_S", 60)
        assert await reader.ids("How is my puppy?") == [dog]

    async def test_a_question_waits_for_an_index_that_is_being_opened(self, opens: Opens) -> None:
        first = opens()
        (dog,) = first.notes("The terrier needs a walk at six.")
        await first.scrapbook.even()
        await first.scrapbook.aclose()
        second = opens()
        second.scrapbook.start()
        assert await second.ids("How is my puppy?") == [dog]

    async def test_a_question_whose_vector_is_late_is_answered_from_full_text(
        self, opens: Opens, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "QUESTION_WAIT_S", 0)
        reader = opens()
        (dog,) = reader.notes("The terrier needs a walk at six.")
        await reader.scrapbook.even()
        reader.engine.gate = asyncio.Event()
        (found,) = await reader.found("When does the terrier want its walk?")
        assert (found.id, found.source) == (dog, "full text")
        reader.engine.gate.set()

    async def test_what_comes_later_is_embedded_too(self, opens: Opens) -> None:
        reader = opens()
        await reader.scrapbook.even()
        ids = reader.notes(*(f"Dog number {number}." for number in range(70)))
        await reader.scrapbook.even()
        assert reader.records.vector_count("meanings") == len(ids)
        assert reader.scrapbook.following.done == 70
        assert reader.scrapbook.following.per_s > 0

    async def test_it_goes_on_where_it_stopped(self, opens: Opens) -> None:
        """What has a vector in the image is not embedded again by the next process."""
        first = opens()
        first.notes("A dog.", "A bank.")
        await first.scrapbook.even()
        await first.scrapbook.aclose()
        second = opens()
        second.notes("A hound.")
        await second.scrapbook.even()
        assert [text for text in second.engine.asked if text in ("A dog.", "A bank.", "A hound.")] == ["A hound."]

    async def test_another_embedder_embeds_all_of_it_and_back_costs_nothing(self, opens: Opens) -> None:
        first = opens()
        (dog,) = first.notes("The terrier needs a walk at six.")
        await first.scrapbook.even()
        await first.scrapbook.aclose()
        second = opens(Meanings(DOGS, name="another", dimensions=24))
        await second.scrapbook.even()
        assert await second.ids("How is my puppy?") == [dog]
        assert second.records.vector_kinds(dog) == [f"{VECTOR}another", f"{VECTOR}meanings"]
        await second.scrapbook.aclose()
        third = opens()
        await third.scrapbook.even()
        assert third.engine.asked == []
        assert await third.ids("How is my puppy?") == [dog]

    async def test_a_memory_that_is_refused_is_passed_over(self, opens: Opens) -> None:
        reader = opens()
        reader.engine.refuses = {"poison"}
        dog, _, bank = reader.notes("A dog.", "poison", "A bank.")
        await reader.scrapbook.even()
        assert await reader.ids("Where is my puppy?") == [dog]
        assert await reader.ids("Has the loan come?") == [bank]

    async def test_an_embedder_that_fails_is_said_and_tried_again(self, opens: Opens) -> None:
        reader = opens()
        reader.engine.refuses = {""}
        (dog,) = reader.notes("The terrier needs a walk at six.")
        await reader.scrapbook.even()
        assert reader.scrapbook.fault
        assert not reader.scrapbook.has_vectors
        assert await reader.ids("When does the terrier want its walk?") == [dog]
        reader.engine.refuses = set()
        reader.scrapbook.wake()
        await reader.scrapbook.even()
        assert reader.scrapbook.fault == ""
        assert await reader.ids("How is my puppy?") == [dog]

    async def test_without_means_full_text_serves_alone(self, store: Store, clock: ManualClock) -> None:
        scrapbook = Scrapbook(book_of(store))
        scrapbook.records.add([scrapbook.records.note("The terrier needs a walk.")])
        await scrapbook.even()
        found = await scrapbook.recall("terrier walk", clock.now(), limit=3, floor=0.34, rehearsed=False)
        assert [memory.source for memory in found] == ["full text"]
        assert await scrapbook.rebuild() is None
        await scrapbook.aclose()


class TestForgetting:
    """The seams for whoever forgets."""

    async def test_every_row_that_holds_a_memory_is_named(self, opens: Opens) -> None:
        reader = opens()
        (dog,) = reader.notes("A dog.")
        reader.records.pin(dog)
        await reader.scrapbook.even()
        assert reader.records.held_by(dog) == [("memory", dog), ("pin", dog), (f"{VECTOR}meanings", dog)]

    async def test_a_document_goes_with_its_last_part(self, opens: Opens) -> None:
        records = opens().records
        document = records.begin_document("/x.txt", "x", 2)
        records.add_parts(document, ["one", "two"], 1, last=True)
        assert records.held_by("d1.1") == [("memory", "d1.1")]

    async def test_what_was_made_of_it_is_found(self, opens: Opens) -> None:
        reader = opens()
        (dog,) = reader.notes("A dog.")
        fact = reader.records.note("There is a dog.", kind="fact", links=(dog,))
        reader.records.add([fact])
        assert reader.records.derived_from(dog) == [fact.id]

    @pytest.mark.parametrize("started", [True, False])
    async def test_purged_it_is_not_found_by_its_vector(self, started: bool, opens: Opens, tmp_path: Path) -> None:
        reader = opens()
        dog, hound = reader.notes("A dog.", "A hound.")
        await reader.scrapbook.even()
        if not started:
            await reader.scrapbook.aclose()
            reader = opens()
        assert await reader.scrapbook.purge([dog]) == 0
        if started:
            assert [memory.id for memory in await reader.found("Where is my puppy?")] == [hound]
        else:
            assert not (tmp_path / "index").exists()


async def test_a_row_that_is_no_memory_is_none(opens: Opens, store: Store) -> None:
    reader = opens()
    for number, payload in enumerate([b"{}", b"[]", b"nonsense", b'{"text": 1}']):
        store.commit([Row("memory", f"m{number}", payload, "a dog that barks")], author="architect", reason="imported")
    (dog,) = reader.notes("A dog that barks.")
    assert await reader.ids("Has the dog barked, does it bark?") == [dog]
    assert [memory.id for memory in reader.records.walk()] == [dog]


async def test_a_memory_and_its_turn_number_never_meet(opens: Opens) -> None:
    """Ids of turns are numbers; those of memories never are, nor are they used twice."""
    reader = opens()
    turn = await heard(reader.records.log, reader.clock, "Dog?", "Yes.")
    (note,) = reader.notes("A dog.")
    assert (turn, note) == ("1", "m1")
    assert isinstance(reader.records.find(turn), Memory)
    assert reader.records.find("m2") is None
    assert reader.records.find("²") is None
