"""The supervisor: a service that crashes is told of and started again, and nobody else notices."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, StorageFailed
from a4ps.events import Event, Observer, ServiceFailed, Subject
from a4ps.kernel.crash_reports import CrashReports
from a4ps.kernel.supervision import FIRST_S, LONGEST_S, WELL_S, Supervisor, backoff_s

Run = Callable[[], Awaitable[None]]


class Waits:
    """Time that passes when the test says so: each wait is noted and lasts until `pass_by`."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.seconds: list[float] = []
        self._waiting: list[tuple[float, asyncio.Event]] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)
        over = asyncio.Event()
        self._waiting.append((seconds, over))
        await over.wait()

    async def pass_by(self) -> None:
        """Let all that waits wait no longer, and whoever it was for go on."""
        waiting, self._waiting = self._waiting, []
        self.clock.advance(max((seconds for seconds, _ in waiting), default=0.0))
        for _, over in waiting:
            over.set()
        await settled()


async def settled() -> None:
    """Every task has come as far as it can by itself."""
    for _ in range(20):
        await asyncio.sleep(0)


class Noting(Observer):
    def __init__(self) -> None:
        self.heard: list[ServiceFailed] = []

    def update(self, event: Event, data: object) -> None:
        assert isinstance(data, ServiceFailed)
        self.heard.append(data)


class House:
    """A supervisor with all that it tells."""

    def __init__(self, folder: Path, clock: ManualClock) -> None:
        self.clock = clock
        self.waits = Waits(clock)
        self.bus, self.noting = Subject(), Noting()
        self.bus.attach(self.noting, Event.SERVICE_FAILED)
        self.crashes = folder / "crashes"
        self.supervisor = Supervisor(self.bus, CrashReports(self.crashes, clock), clock=clock, wait=self.waits)

    def state(self, name: str) -> str:
        return self.supervisor.statistics()[name].state

    def told(self) -> list[ServiceFailed]:
        self.bus.drain()
        return self.noting.heard


@pytest.fixture
def house(tmp_path: Path, clock: ManualClock) -> House:
    return House(tmp_path, clock)


def failing(*errors: BaseException | None, then: Run | None = None) -> Run:
    """A service that raises these, one a start; None: it returns. After them it does `then`, or goes on for ever."""
    left = list(errors)

    async def run() -> None:
        if left:
            error = left.pop(0)
            if error is None:
                return
            raise error
        await (then() if then is not None else asyncio.Event().wait())

    return run


async def test_one_that_crashes_is_told_of_and_started_again(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.supervisor.add("memory", failing(ValueError("torn"), ValueError("again")), owner="scrapbook")
    house.supervisor.start()
    await settled()
    statistics = house.supervisor.statistics()["memory"]
    assert (statistics.owner, statistics.state, statistics.restarts) == ("scrapbook", "backing off", 0)
    assert statistics.last_error == "ValueError: torn"
    await house.waits.pass_by()
    await house.waits.pass_by()
    statistics = house.supervisor.statistics()["memory"]
    assert (statistics.state, statistics.restarts) == ("running", 2)
    assert statistics.since == house.clock.now()
    assert house.told() == [
        ServiceFailed("memory", "ValueError", "torn", 0, backoff_s(1)),
        ServiceFailed("memory", "ValueError", "again", 1, backoff_s(2)),
    ]
    assert [record.exc_info is not None for record in caplog.records if record.levelno == logging.ERROR] == [True, True]
    (report,) = house.crashes.iterdir()  # the second is of the same place, within a minute
    assert "service: memory" in report.read_text()
    assert "ValueError: torn" in report.read_text()
    await house.supervisor.stop(1.0)


def test_the_waits_double_up_to_a_bound() -> None:
    assert [backoff_s(failures) for failures in (1, 2, 3)] == [FIRST_S, 2 * FIRST_S, 4 * FIRST_S]
    assert backoff_s(1000) == LONGEST_S


async def test_one_that_ran_well_begins_with_the_first_wait_again(house: House) -> None:
    async def after_a_while() -> None:
        house.clock.advance(WELL_S)
        raise ValueError("late")

    house.supervisor.add("x", failing(ValueError("1"), ValueError("2"), then=after_a_while))
    house.supervisor.start()
    for _ in range(3):
        await settled()
        await house.waits.pass_by()
    assert house.waits.seconds == [backoff_s(1), backoff_s(2), backoff_s(1), backoff_s(1)]
    await house.supervisor.stop(1.0)


async def test_a_crash_harms_no_other(house: House) -> None:
    house.supervisor.add("bad", failing(*[RuntimeError("no")] * 5))
    house.supervisor.add("good", failing())
    house.supervisor.start()
    await settled()
    assert (house.state("bad"), house.state("good")) == ("backing off", "running")
    await house.supervisor.stop(1.0)


@pytest.mark.parametrize("error", [StorageFailed("full"), SystemExit(3), asyncio.CancelledError("of something else")])
async def test_an_exit_and_a_stray_cancellation_are_crashes(house: House, error: BaseException) -> None:
    house.supervisor.add("x", failing(error))
    house.supervisor.start()
    await settled()
    assert house.state("x") == "backing off"
    assert house.told()[0].error == type(error).__name__
    await house.waits.pass_by()
    assert house.state("x") == "running"
    await house.supervisor.stop(1.0)


async def test_one_that_returns_is_done(house: House) -> None:
    house.supervisor.add("once", failing(None))
    house.supervisor.start()
    await settled()
    assert house.state("once") == "done"
    assert house.told() == []


async def test_an_error_that_cannot_be_told_keeps_nobody_from_starting_again(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def fail(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(house.bus, "notify", fail)
    house.supervisor.add("x", failing(Mute()))
    house.supervisor.start()
    await settled()
    await house.waits.pass_by()
    assert house.state("x") == "running"
    await house.supervisor.stop(1.0)


async def test_they_begin_in_order_and_end_in_the_reverse_one(house: House) -> None:
    seen: list[str] = []

    def service(name: str) -> tuple[Run, Callable[[], None]]:
        asked = asyncio.Event()

        async def run() -> None:
            seen.append(f"{name} begins")
            await asked.wait()
            await settled()
            seen.append(f"{name} ends")

        return run, asked.set

    for name in ("first", "second", "third"):
        run, stop = service(name)
        house.supervisor.add(name, run, stop=stop)
    assert house.state("first") == "waiting"
    house.supervisor.start()
    house.supervisor.start()
    await settled()
    await house.supervisor.stop(10.0)
    begun, ended = seen[:3], seen[3:]
    assert begun == ["first begins", "second begins", "third begins"]
    assert ended == ["third ends", "second ends", "first ends"]
    assert {each.state for each in house.supervisor.statistics().values()} == {"stopped"}


async def test_what_has_not_ended_by_the_deadline_is_cancelled(house: House) -> None:
    ended: list[str] = []

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("deaf")

    house.supervisor.add("last to end", failing())
    house.supervisor.add("deaf", deaf, stop=lambda: None)
    house.supervisor.start()
    await settled()
    stopping = asyncio.create_task(house.supervisor.stop(10.0))
    await settled()
    assert house.waits.seconds == [10.0]
    assert house.state("last to end") == "running"
    await house.waits.pass_by()
    await stopping
    assert ended == ["deaf"]
    assert (house.state("deaf"), house.state("last to end")) == ("stopped", "stopped")
    assert house.told() == []


async def test_one_that_does_not_heed_its_cancellation_is_left_behind(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    go = asyncio.Event()

    async def stubborn() -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    house.supervisor.add("stubborn", stubborn)
    house.supervisor.start()
    await settled()
    stopping = asyncio.create_task(house.supervisor.stop(1.0))
    await settled()
    await house.waits.pass_by()
    await stopping
    assert "does not heed its cancellation" in caplog.text
    go.set()
    await settled()


async def test_one_that_fails_while_it_is_stopped_is_told_of_and_not_started_again(house: House) -> None:
    asked = asyncio.Event()

    async def run() -> None:
        await asked.wait()
        raise ValueError("at the end")

    def broken() -> None:
        raise RuntimeError("cannot ask")

    house.supervisor.add("x", run, stop=asked.set)
    house.supervisor.add("y", failing(), stop=broken)
    house.supervisor.start()
    await settled()
    await house.supervisor.stop(10.0)
    assert house.told() == [ServiceFailed("x", "ValueError", "at the end", 0, None)]
    assert (house.state("x"), house.state("y")) == ("stopped", "stopped")


async def test_one_that_waits_for_its_next_start_is_stopped_at_once(house: House) -> None:
    asked: list[str] = []
    house.supervisor.add("x", failing(ValueError("1")), stop=lambda: asked.append("x"))
    house.supervisor.start()
    await settled()
    await house.supervisor.stop(10.0)
    assert house.state("x") == "stopped"
    assert asked == []


async def test_a_name_is_given_once_and_nothing_is_added_at_the_end(house: House) -> None:
    house.supervisor.start()
    house.supervisor.add("x", failing())
    await settled()
    assert house.state("x") == "running"
    with pytest.raises(CallerError):
        house.supervisor.add("x", failing())
    await house.supervisor.stop(1.0)
    with pytest.raises(CallerError):
        house.supervisor.add("y", failing())


async def test_what_starts_itself_again_is_reported_and_counted_like_the_others(house: House) -> None:
    house.bus.attach(house.supervisor, Event.SERVICE_FAILED)
    house.bus.notify(Event.SERVICE_FAILED, ServiceFailed.of("pool", ValueError("torn"), 0, 2.0))
    house.bus.drain()
    statistics = house.supervisor.statistics()["pool"]
    assert (statistics.owner, statistics.state, statistics.restarts) == ("itself", "backing off", 0)
    house.clock.advance(2.0)
    statistics = house.supervisor.statistics()["pool"]
    assert (statistics.state, statistics.restarts, statistics.last_error) == ("running", 1, "ValueError: torn")
    assert statistics.since == house.clock.now()
    house.bus.notify(Event.SERVICE_FAILED, ServiceFailed.of("pool", OSError("gone"), 1, None))
    house.bus.drain()
    assert house.supervisor.statistics()["pool"].state == "stopped"
    torn, gone = sorted(path.read_text() for path in house.crashes.iterdir())
    assert {"ValueError: torn" in torn, "OSError: gone" in gone} == {True}
    assert "service: pool" in torn


async def test_its_own_services_are_reported_once(house: House) -> None:
    house.bus.attach(house.supervisor, Event.SERVICE_FAILED)
    house.supervisor.add("x", failing(ValueError("1")))
    house.supervisor.start()
    await settled()
    house.bus.drain()
    assert house.supervisor.statistics()["x"].owner == ""
    assert len(list(house.crashes.iterdir())) == 1
    await house.supervisor.stop(1.0)
