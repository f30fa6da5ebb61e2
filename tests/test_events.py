"""The event bus: observers hear what they asked for, in order, and harm nobody."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import a4ps
from a4ps import events
from a4ps.events import Event, Observer, Subject
from a4ps.image.changes import Change
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager


class Noting(Observer):
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.heard: list[tuple[Event, object]] = []

    def update(self, event: Event, data: object) -> None:
        self.heard.append((event, data))


class Waiting(Noting):
    """Stalls at its first event until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()

    def update(self, event: Event, data: object) -> None:
        self.reached.set()
        self.go.wait()
        super().update(event, data)


def test_the_names_are_public() -> None:
    assert a4ps.event_bus is events.event_bus
    assert (a4ps.Observer, a4ps.Subject) == (Observer, Subject)


def test_an_observer_hears_what_it_asked_for_in_order() -> None:
    subject, all_of_it, swaps = Subject(), Noting(), Noting()
    subject.attach(all_of_it)
    subject.attach(swaps, Event.SWAP)
    for n in range(100):
        subject.notify(Event.SWAP if n % 2 else Event.SERIES, n)
    subject.close()
    assert [data for _, data in all_of_it.heard] == list(range(100))
    assert swaps.heard == [(Event.SWAP, n) for n in range(1, 100, 2)]


def test_who_is_attached_again_hears_the_other_events_instead() -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer, Event.SWAP)
    subject.attach(observer, Event.SERIES)
    subject.notify(Event.SWAP)
    subject.notify(Event.SERIES)
    subject.close()
    assert observer.heard == [(Event.SERIES, None)]


def test_a_detached_observer_hears_nothing_more() -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer)
    subject.notify(Event.SWAP, 1)
    subject.drain()
    subject.detach(observer)
    subject.detach(observer)
    subject.notify(Event.SWAP, 2)
    subject.close()
    assert observer.heard == [(Event.SWAP, 1)]


@pytest.mark.parametrize("raised", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_observer_that_raises_harms_no_other_and_is_told_on(
    raised: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    told = []

    class Raising(Observer):
        def update(self, event: Event, data: object) -> None:
            told.append(data)
            raise raised("no")

    subject, other = Subject(), Noting()
    subject.attach(Raising())
    subject.attach(other)
    for n in range(3):
        subject.notify(Event.SWAP, n)
    subject.close()
    assert told == [0, 1, 2]
    assert [data for _, data in other.heard] == [0, 1, 2]
    assert caplog.text.count("Traceback") == 1


def test_an_observer_that_stalls_harms_no_other_and_learns_what_it_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "LINE_MAX", 3)
    subject, slow, other = Subject(), Waiting(), Noting()
    subject.attach(slow)
    subject.notify(Event.SERIES, 0)
    slow.reached.wait()
    subject.attach(other)
    for n in range(1, 6):
        subject.notify(Event.SERIES, n)
        subject.detach(Noting())  # nobody: a stall holds no lock
        other_line = subject._lines[1]
        other_line.wait_told()
    assert [data for _, data in other.heard] == [1, 2, 3, 4, 5]
    slow.go.set()
    subject.close()
    assert slow.heard == [(Event.SERIES, 0), (Event.LOST, 2), *((Event.SERIES, n) for n in (3, 4, 5))]


def test_closing_leaves_an_observer_behind_that_never_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(events, "STALLED_S", 0.01)
    subject, stalled = Subject(), Waiting()
    subject.attach(stalled)
    subject.notify(Event.SWAP)
    subject.close()
    assert "still busy" in caplog.text
    stalled.go.set()


def test_an_observer_may_notify_detach_itself_and_close() -> None:
    heard: list[object] = []
    ended = threading.Event()

    class Busy(Observer):
        def update(self, event: Event, data: object) -> None:
            heard.append(data)
            if data == 1:
                subject.notify(Event.SWAP, 2)
            else:
                subject.detach(self)
                subject.close()
                ended.set()

    subject = Subject()
    subject.attach(Busy())
    subject.notify(Event.SWAP, 1)
    assert ended.wait(30)
    assert heard == [1, 2]


def test_from_many_threads_nothing_is_missed_and_each_ones_order_is_kept() -> None:
    subject, observer = Subject(), Noting()
    subject.attach(observer)

    def tell(who: int) -> None:
        for n in range(200):
            subject.notify(Event.SWAP, (who, n))

    threads = [threading.Thread(target=tell, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    subject.close()
    assert len(observer.heard) == 1600
    for who in range(8):
        assert [data[1] for _, data in observer.heard if isinstance(data, tuple) and data[0] == who] == list(range(200))


@given(st.lists(st.sampled_from(["attach", "detach", "notify"])))
def test_whoever_is_attached_when_it_is_notified_is_told(acts: list[str]) -> None:
    subject, observer = Subject(), Noting()
    expected: list[object] = []
    attached = False
    for number, act in enumerate(acts):
        if act == "attach":
            subject.attach(observer)
            attached = True
        elif act == "detach":
            subject.drain()
            subject.detach(observer)
            attached = False
        else:
            subject.notify(Event.SWAP, number)
            expected += [number] if attached else []
    subject.close()
    assert [data for _, data in observer.heard] == expected


def test_a_swap_in_any_image_of_the_process_is_told(tmp_path: Path) -> None:
    heard = Noting()
    events.event_bus.attach(heard, Event.SWAP)
    try:
        with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
            manager.register_proto(Proto("BRICK", {"role": "r", "model_name": "m", "system_prompt": ""}))
            manager.get_proto("BRICK")
        events.event_bus.drain()
    finally:
        events.event_bus.detach(heard)
    assert [data.name for event, data in heard.heard if isinstance(data, Change)] == ["BRICK"]


def test_it_counts_who_is_told_and_what_was_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what those lost who are not told any more."""
    monkeypatch.setattr(events, "LINE_MAX", 2)
    subject, slow = Subject(), Waiting()
    subject.attach(slow)
    subject.attach(Noting(), Event.SWAP)
    subject.notify(Event.SERIES, 0)
    slow.reached.wait()
    for n in range(5):
        subject.notify(Event.SERIES, n)
    assert subject.statistics() == events.BusStatistics(observers=2, waiting=2, lost=3)
    subject.detach(slow)
    assert subject.statistics() == events.BusStatistics(observers=1, waiting=0, lost=3)
    slow.go.set()
    subject.close()
    assert subject.statistics() == events.BusStatistics(observers=0, waiting=0, lost=3)
