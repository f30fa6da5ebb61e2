"""Gauges: figures in memory, bounded; points in the image now and then, none while nothing happens."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import StorageFailed
from a4ps.events import Event
from a4ps.image.series_log import FOLD_EVERY, FOLDED, GAUGE, SERIES, SeriesLog
from a4ps.image.store import Row, Store
from a4ps.image.turns import TurnLog
from a4ps.kernel.gauges import COMMITS, KEEP_S, LOOK_S, RING_MAX, SERIES_MAX, Counter, Gauges, gauges_of
from a4ps.series import Point, Sample
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine
from tests.kernel.test_figures import QUESTION, ignore, speaks


class Machine:
    """Parts that work when the test says so."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.counts = {"loads": 5, "tokens_per_s": 1000, COMMITS: 7}
        self.level = 0.0
        self.kept: list[Mapping[str, Point]] = []
        self.refuses = False
        self.has_kept = asyncio.Event()
        self.looks = 0
        counters = {
            name: Counter(lambda name=name: self.counts[name], per_s=name == "tokens_per_s")  # type: ignore[misc]
            for name in self.counts
        }
        self.gauges = Gauges(counters, {"busy.waiting": lambda: self.level}, self.keep, clock, self.wait)

    async def keep(self, points: Mapping[str, Point]) -> int:
        if self.refuses:
            raise StorageFailed("the disk is full")
        self.kept.append(points)
        self.has_kept.set()
        self.counts[COMMITS] += 1
        return 1

    async def wait(self, seconds: float) -> None:
        if self.looks == 0:
            await asyncio.Event().wait()
        self.looks -= 1
        self.clock.advance(seconds)

    def look(self, **counts: int) -> None:
        """After so much more of each."""
        for name, count in counts.items():
            self.counts[name] += count
        self.clock.advance(LOOK_S)
        self.gauges.look()

    def values(self, name: str) -> list[float]:
        return [sample.value for sample in self.gauges.series().get(name, ())]


@pytest.fixture
def machine(clock: ManualClock) -> Machine:
    return Machine(clock)


def test_a_look_takes_down_what_was_done_since_the_one_before(machine: Machine) -> None:
    machine.look(loads=2, tokens_per_s=300)
    machine.look()
    machine.look()
    machine.look(loads=1)
    assert machine.values("loads") == [2, 0, 1]  # one zero, so that a drawing comes down
    assert machine.values("tokens_per_s") == [300 / LOOK_S, 0]
    assert COMMITS not in machine.gauges.series()


def test_a_part_that_began_anew_counts_from_nothing(machine: Machine) -> None:
    machine.counts["loads"] = 2
    machine.look()
    assert machine.values("loads") == [2]


def test_levels_are_what_they_are(machine: Machine) -> None:
    for machine.level in (0.0, 3.0, 3.0, 0.0, 0.0):
        machine.look()
    assert machine.values("busy.waiting") == [3, 3, 0]


def test_what_is_held_is_bounded(machine: Machine) -> None:
    for _ in range(RING_MAX + 10):
        machine.look(loads=1)
    for number in range(SERIES_MAX + 10):
        machine.gauges.update(Event.SERIES, Sample(f"s{number}", 0.0, 1.0))
    assert len(machine.values("loads")) == RING_MAX
    assert len(machine.gauges.series()) == SERIES_MAX


async def test_what_was_done_is_kept_as_one_point_a_series(machine: Machine) -> None:
    machine.look(loads=2)
    machine.look()
    machine.look(loads=4)
    await machine.gauges.keep()
    at_s = machine.clock.now().timestamp()
    assert machine.kept == [{"loads": Point(at_s, 3, 2, 4, 2)}]


async def test_an_idle_machine_writes_nothing(machine: Machine) -> None:
    """Its own commit is no event: else each would call for the next."""
    machine.look(commits=1)
    for _ in range(10):
        await machine.gauges.keep()
        machine.look()
    assert len(machine.kept) == 1
    assert machine.values(COMMITS) == [1, 0]


async def test_what_the_disk_refuses_is_kept_with_what_comes_next(machine: Machine) -> None:
    machine.look(loads=2)
    machine.refuses = True
    await machine.gauges.keep()
    machine.refuses = False
    machine.look(loads=4)
    await machine.gauges.keep()
    assert [(point.mean, point.count) for kept in machine.kept for point in kept.values()] == [(3, 2)]


async def test_it_looks_and_keeps_by_itself_until_it_is_stopped(machine: Machine) -> None:
    machine.counts["loads"] += 1
    machine.looks = round(KEEP_S / LOOK_S)
    running = asyncio.create_task(machine.gauges.run())
    await machine.has_kept.wait()
    assert machine.values("loads") == [1, 0]
    machine.counts["loads"] += 1
    machine.clock.advance(1.0)
    machine.gauges.stop()
    await running
    assert [kept["loads"].mean for kept in machine.kept] == [1, 1]


async def test_what_is_kept_is_in_the_series_of_the_image(store: Store) -> None:
    log = SeriesLog(store)
    assert await log.keep_gauges({"loads": Point(10.0, 2, 1, 3, 2)}) == 1
    assert await log.keep_gauges({"loads": Point(20.0, 5, 5, 5, 1), "swaps": Point(20.0, 1, 1, 1, 1)}) == 1
    before = log.read()
    assert before == {
        "loads": (Point(10.0, 2, 1, 3, 2), Point(20.0, 5, 5, 5, 1)),
        "swaps": (Point(20.0, 1, 1, 1, 1),),
    }
    await log.fold()
    assert log.read() == before
    await log.keep_gauges({"loads": Point(30.0, 1, 1, 1, 1)})
    assert [point.at_s for point in log.read()["loads"]] == [10, 20, 30]


async def test_many_are_folded_without_a_turn(store: Store) -> None:
    log = SeriesLog(store)
    commits = [await log.keep_gauges({"loads": Point(float(n), 1, 1, 1, 1)}) for n in range(2 * FOLD_EVERY)]
    assert commits == ([1] * (FOLD_EVERY - 1) + [2]) * 2
    assert store.head(SERIES, FOLDED) is not None
    assert sum(point.count for point in log.read()["loads"]) == 2 * FOLD_EVERY


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b'{"loads": 3}', b'{"loads": [1, 2]}', b'{"loads": ["x", 1, 1, 1, 1]}']
)
async def test_gauges_that_a_stranger_wrote_cost_their_figures_only(store: Store, payload: bytes) -> None:
    store.commit(
        [Row(GAUGE, "99999999999999999999", payload), Row(GAUGE, "x", payload)], author="stranger", reason="import"
    )
    log = SeriesLog(store)
    await log.keep_gauges({"loads": Point(1.0, 1, 1, 1, 1)})
    assert log.read() == {"loads": (Point(1.0, 1, 1, 1, 1),)}


async def test_a_fold_while_a_turn_is_answered_counts_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gauges fold whatever turn is under way."""
    async with open_kernel(tmp_path, ScriptedEngine(speaks)) as kernel:
        await kernel.ask(QUESTION, ignore)
        count = len(kernel.series.read()["dissonance"])
        held = Store.keys_without

        def as_before_its_answer(store: Store, kind: str, closing: str) -> list[str]:
            return ["1", *held(store, kind, closing)]

        monkeypatch.setattr(Store, "keys_without", as_before_its_answer)
        await kernel.series.fold()
        monkeypatch.undo()
        assert len(kernel.series.read()["dissonance"]) == count


async def test_a_kernels_gauges(tmp_path: Path, clock: ManualClock) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(speaks), clock) as kernel:
        gauges = gauges_of(kernel)
        await kernel.ask(QUESTION, ignore)
        kernel.society.manager.get_proto("BRICK").define("greet", "def greet(self):\n    return 1")
        kernel.bus.drain()
        clock.advance(LOOK_S)
        gauges.look()
        await gauges.keep()
        kernel.bus.detach(gauges)
        series = gauges.series()
        kept = kernel.series.read()
        assert isinstance(kernel.log, TurnLog)
        commits = kernel.store.statistics().commits
    assert series["swaps"][-1].value == 1
    assert series["tokens_per_s"][-1].value > 0
    assert series[COMMITS][-1].value >= 3
    assert commits >= series[COMMITS][-1].value + 1
    assert {"dissonance", "latency", "load.tokens", "load.fill", "load.queue", "character.BRICK"} <= series.keys()
    assert {COMMITS, "swaps", "tokens_per_s"} <= kept.keys()
    assert len(kept["latency"]) == 1  # its turn has it
