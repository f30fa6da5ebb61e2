"""I9: following events, each durable one is applied once and in order, over drops, doubles, restarts and restored images."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.protocol.feed import Apply, Feed, Fetch, Show, Told, Void
from a4ps.protocol.messages import Beat, Durable, Provisional, Published


def durable(sequence: int, epoch: str = "a") -> Durable:
    return Durable(epoch=epoch, sequence=sequence, at=0.0, author="t", rows=[("k", str(sequence))])


def beat(sequence: int, epoch: str = "a") -> Beat:
    return Beat(epoch=epoch, sequence=sequence)


def applied(told: Iterable[Told]) -> list[int]:
    return [each.event.sequence for each in told if isinstance(each, Apply)]


def test_in_order_they_are_applied_as_they_come() -> None:
    feed = Feed("a", 3)
    assert applied(feed.received(durable(4))) == [4]
    assert feed.received(durable(4)) == []
    assert feed.received(beat(4)) == []
    assert applied(feed.received(durable(5))) == [5]


@pytest.mark.parametrize("sign", [durable(6), beat(6)])
def test_a_gap_is_asked_for_once_and_closed(sign: Published) -> None:
    feed = Feed("a", 3)
    assert feed.received(sign) == [Fetch(3)]
    assert feed.received(durable(7)) == []  # it is being fetched
    told = feed.caught_up("a", [durable(n) for n in range(4, 8)], 7)
    assert applied(told) == [4, 5, 6, 7]
    assert applied(feed.received(durable(8))) == [8]


def test_a_long_gap_is_asked_for_in_parts_without_waiting() -> None:
    feed = Feed("a", 0)
    assert feed.received(beat(5)) == [Fetch(0)]
    told = feed.caught_up("a", [durable(1), durable(2)], 5)
    assert told[-1] == Fetch(2)
    assert feed.caught_up("a", [], 5) == []  # nothing came, so the next sign of a gap asks
    assert feed.received(beat(5)) == [Fetch(2)]


def test_what_could_not_be_had_is_asked_for_again() -> None:
    feed = Feed("a", 0)
    feed.received(beat(2))
    feed.not_fetched()
    assert feed.received(beat(2)) == [Fetch(0)]


def test_another_epoch_makes_the_provisional_void_and_goes_on_with_the_durable() -> None:
    feed = Feed("a", 3)
    assert feed.received(Provisional(epoch="a", number=1, events=[{}, {}])) == [Show([{}, {}], 0)]
    assert feed.received(Provisional(epoch="a", number=5, events=[{}])) == [Show([{}], 2)]
    assert feed.received(durable(4, "b")) == [Void("b", 3, False), Apply(durable(4, "b"))]
    assert feed.received(Provisional(epoch="b", number=9, events=[{}])) == [Show([{}], 0)]


def test_late_words_of_a_life_that_is_over_count_for_nothing() -> None:
    feed = Feed("a", 3)
    feed.received(beat(3, "b"))
    assert feed.received(durable(4, "a")) == []
    assert feed.received(Provisional(epoch="a", number=1, events=[{}])) == []
    assert feed.epoch == "b"


def test_an_answer_of_a_life_that_is_over_is_not_applied() -> None:
    feed = Feed("a", 3)
    feed.received(beat(5, "a"))
    feed.received(beat(3, "b"))
    assert feed.caught_up("a", [durable(4, "a")], 5) == []


def test_a_restored_older_image_is_told_and_followed_from_there() -> None:
    feed = Feed("a", 30)
    assert feed.received(beat(12, "b")) == [Void("b", 12, True)]
    assert applied(feed.received(durable(13, "b"))) == [13]
    feed = Feed("a", 30)
    assert feed.received(durable(13, "b")) == [Void("b", 12, True), Apply(durable(13, "b"))]


@given(st.data())
def test_whatever_is_lost_doubled_or_restarted_each_is_applied_once_in_order(data: st.DataObject) -> None:
    feed, newest, epoch, applied_so_far = Feed("0", 0), 0, 0, list[int]()
    wanted: list[int] = []

    def act(told: list[Told]) -> None:
        for each in told:
            if isinstance(each, Apply):
                applied_so_far.append(each.event.sequence)
            elif isinstance(each, Fetch):
                wanted.append(each.after)

    def answer() -> None:
        after = wanted.pop(0)
        upto = min(newest, after + 3)
        act(feed.caught_up(str(epoch), [durable(n, str(epoch)) for n in range(after + 1, upto + 1)], newest))

    def fail() -> None:
        wanted.clear()
        feed.not_fetched()

    waiting: list[Published] = []
    for _ in range(data.draw(st.integers(0, 60))):
        match data.draw(st.sampled_from(["commit", "beat", "arrive", "lose", "double", "restart", "answer", "fail"])):
            case "commit":
                newest += 1
                waiting.append(durable(newest, str(epoch)))
            case "beat":
                waiting.append(beat(newest, str(epoch)))
            case "arrive" if waiting:
                act(feed.received(waiting.pop(0)))
            case "lose" if waiting:
                waiting.pop(data.draw(st.integers(0, len(waiting) - 1)))
            case "double" if waiting:
                # Within a life, in any order; of two lives, the later one is heard later.
                first = next(n for n, each in enumerate(waiting) if each.epoch == waiting[-1].epoch)
                waiting.insert(data.draw(st.integers(first, len(waiting))), waiting[-1])
            case "restart":
                epoch += 1
                fail()
            case "answer" if wanted:
                answer()
            case "fail":
                fail()
    for message in [*waiting, beat(newest, str(epoch))]:
        act(feed.received(message))
    fail()
    act(feed.received(beat(newest, str(epoch))))
    while wanted:
        answer()
    assert applied_so_far == list(range(1, newest + 1))
