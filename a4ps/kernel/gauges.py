"""Gauges: a backend's figures over the last hour in memory, and a point of each in the image now and then.

| series | one figure | in the image |
|---|---|---|
| `tokens_per_s` | a look: pieces of text that models said, a second (mostly a token each) | as a point a keeping |
| `loads` `spills` `swaps` `commits` `sandbox.calls` | a look: how many there were | likewise |
| `busy.tokens` `busy.waiting` | a look: tokens in flight, calls that wait for their model | no |
| `dissonance` `character.*` `drift-*` `load.*` `latency` | as the event bus tells them | with turns and probes |

A look finds out what the parts' own counters have come to since the one before, so that no part does more than count. A
look at which nothing happened leaves nothing, but for one zero after a figure, so that a drawing comes down. Hence an idle
machine writes nothing into the image; the commit that keeps the gauges does not count as one either.

The points that are kept (`SeriesLog.keep_gauges`) say the same as the figures they stand for: lowest, highest, mean and
number of looks at which there was any.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from a4ps.clock import Clock
from a4ps.errors import A4PSError
from a4ps.events import Event, Observer
from a4ps.inference.model_manager import ModelManager
from a4ps.kernel.kernel import Kernel
from a4ps.series import Point, Sample, both

#: Seconds between two looks; figures held in memory of each series: an hour's; and seconds between two commits.
LOOK_S, RING_MAX, KEEP_S = 10.0, 360, 600.0

#: Series held at most: names come with the events.
SERIES_MAX = 256

COMMITS = "commits"

Keep = Callable[[Mapping[str, Point]], Awaitable[int]]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that grows as a part works; it may begin anew at 0. `per_s`: shown by the second, not by the look."""

    read: Callable[[], int]
    per_s: bool = False


class Gauges(Observer):
    """Attach it for `Event.SERIES` and `Event.SWAP`, and have `run` run. Its figures may be read from any thread."""

    def __init__(
        self,
        counters: Mapping[str, Counter],
        levels: Mapping[str, Callable[[], float]],
        keep: Keep,
        clock: Clock,
        wait: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`levels` are figures that are what they are at a look. `keep` makes points durable and returns the number of its
        commits; `wait` is how it lets so many seconds pass.
        """
        self._swaps = 0
        self._counters = {**counters, "swaps": Counter(lambda: self._swaps)}
        self._levels = dict(levels)
        self._keep, self._clock, self._wait = keep, clock, wait
        self._gate = threading.Lock()
        self._rings: dict[str, deque[Sample]] = {}
        self._unkept: dict[str, Point] = {}
        self._before = {name: counter.read() for name, counter in self._counters.items()}
        self._looked_s = self._kept_s = clock.monotonic_s()
        self._ending = asyncio.Event()

    def update(self, event: Event, data: object) -> None:
        """A figure that somebody else measured, or a swap."""
        if isinstance(data, Sample):
            self._hold(data)
        elif event is Event.SWAP:
            self._swaps += 1

    def series(self) -> dict[str, tuple[Sample, ...]]:
        """The figures held in memory by series, the newest last; none of the last hour is missing, older ones may be."""
        with self._gate:
            return {name: tuple(ring) for name, ring in sorted(self._rings.items())}

    def look(self) -> None:
        """Take down what there is now."""
        now_s, at_s = self._clock.monotonic_s(), self._clock.now().timestamp()
        seconds = now_s - self._looked_s
        if seconds <= 0:
            return
        self._looked_s = now_s
        for name, counter in self._counters.items():
            count, before = counter.read(), self._before[name]
            self._before[name] = count
            grown = count - before if count >= before else count
            figure = Sample(name, at_s, grown / seconds if counter.per_s else grown)
            self._hold_change(figure)
            if grown:
                point = Point.of(figure)
                self._unkept[name] = both(self._unkept[name], point) if name in self._unkept else point
        for name, level in self._levels.items():
            self._hold_change(Sample(name, at_s, level()))

    async def keep(self) -> None:
        """Have what has come since the last time made durable; where the disk refuses, it is kept with what comes next."""
        self._kept_s = self._clock.monotonic_s()
        points, self._unkept = self._unkept, {}
        if not points:
            return
        try:
            commits = await self._keep(points)
        except A4PSError as error:
            _log.warning("the gauges were not kept: %s", error.message)
            later = self._unkept
            self._unkept = {
                **points,
                **later,
                **{name: both(points[name], later[name]) for name in points if name in later},
            }
            return
        if COMMITS in self._before:
            self._before[COMMITS] += commits

    async def run(self) -> None:
        """Look, and keep, until `stop`, which may come before it begins; then once more."""
        while not self._ending.is_set():
            await self._pass_by()
            self.look()
            if self._clock.monotonic_s() - self._kept_s >= KEEP_S:
                await self.keep()
        await self.keep()

    def stop(self) -> None:
        """Have `run` return, soon. On its event loop."""
        self._ending.set()

    async def _pass_by(self) -> None:
        """Until the next look, or `stop`."""

        async def pause() -> None:
            await self._wait(LOOK_S)

        waiting = [asyncio.create_task(pause()), asyncio.create_task(self._ending.wait())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in waiting:
                each.cancel()

    def _hold(self, sample: Sample) -> None:
        with self._gate:
            if sample.name not in self._rings and len(self._rings) >= SERIES_MAX:
                return
            self._rings.setdefault(sample.name, deque(maxlen=RING_MAX)).append(sample)

    def _hold_change(self, sample: Sample) -> None:
        ring = self._rings.get(sample.name)
        if sample.value or (ring and ring[-1].value):
            self._hold(sample)


def gauges_of(kernel: Kernel, wait: Callable[[float], Awaitable[object]] = asyncio.sleep) -> Gauges:
    """The gauges of an open kernel, attached to its bus. The caller runs them, and detaches them in the end."""
    counters = {COMMITS: Counter(lambda: kernel.store.statistics().commits)}
    levels: dict[str, Callable[[], float]] = {}
    if (executor := kernel.executor) is not None:
        counters["sandbox.calls"] = Counter(lambda: executor.statistics().calls)
    if isinstance(models := kernel.engine, ModelManager):
        counters["tokens_per_s"] = Counter(lambda: models.statistics().pieces, per_s=True)
        counters["loads"] = Counter(lambda: models.statistics().memory.loads)
        counters["spills"] = Counter(lambda: models.statistics().memory.spills)
        levels = {"busy.tokens": lambda: models.busy.tokens, "busy.waiting": lambda: models.busy.waiting}
    gauges = Gauges(counters, levels, kernel.series.keep_gauges, kernel.clock, wait)
    kernel.bus.attach(gauges, Event.SERIES, Event.SWAP)
    return gauges
