"""The series of an image: its turns' figures over time, those of probes, and a backend's gauges.

A turn's figures are in its reply, so they are durable with it and cost no row of their own. Every FOLD_EVERY turns what has
come since is folded into one row, from which all later reading begins:

    series  key: "folded"; payload: JSON, {"turn": the newest turn then, "open": [those before it that had no answer yet],
            "probes": their number, "gauges": the last one's, "colours": {persona: colour}, "series": {name: [[at, mean, low,
            high, count]]}}
    probe   key: a number; payload: JSON, {"at": seconds since 1970, "figures": {name: value}}
    gauge   key: a number; payload: JSON, {name: [at, mean, low, high, count]}: one point a series (kernel/gauges.py)

What is folded is told by the numbers of turns, which another image keeps that takes this one's content over. Gauges come
without turns, so FOLD_EVERY of them are folded as well.

Names: `dissonance` (a round), `character.NAME` (a contribution, smoothed: the persona's colour), `drift-SET.NAME` and
`drift-SET.NAME.judged` (a probe), `load.tokens`, `load.fill`, `load.queue`, `latency` (a turn; seconds), and those of the
gauges. No row here holds a text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from a4ps.image.rows import Row, StoredRow
from a4ps.image.store import Store
from a4ps.image.turns import Reply, reply_of
from a4ps.series import Point, Sample, Series, all_grown, grown

SERIES = "series"
PROBE = "probe"
GAUGE = "gauge"
FOLDED = "folded"

#: Turns between two folds. Reading the series reads that many replies at most, but for the first time.
FOLD_EVERY = 64

#: How much of a contribution's figure enters its persona's colour: about the last six count.
SMOOTHING = 0.3


#: What is raised by a row that somebody else's image brought along.
_UNREADABLE = (KeyError, TypeError, ValueError, AttributeError)

_log = logging.getLogger(__name__)


def smoothed(before: float | None, figure: float) -> float:
    """The colour after one more figure: an exponential moving average, in [0, 1] where both are."""
    return round(figure if before is None else before + SMOOTHING * (figure - before), 3)


def samples_of(reply: Reply, at_s: float, colours: Mapping[str, float]) -> list[Sample]:
    """What a reply adds to the series; `colours` are those before it."""
    if reply.argued:
        samples = [Sample("dissonance", at_s, argued.dissonance) for argued in reply.argued]
    else:  # of a version that kept the last round's only, or nobody argued
        samples = [] if reply.dissonance is None else [Sample("dissonance", at_s, reply.dissonance)]
    now = dict(colours)
    for said in reply.contributions:
        if said.character is not None:
            now[said.persona] = smoothed(now.get(said.persona), said.character)
            samples.append(Sample(f"character.{said.persona}", at_s, now[said.persona]))
    if reply.load is not None:
        load = {"tokens": reply.load.tokens, "fill": reply.load.fill, "queue": reply.load.queue}
        samples += [Sample(f"load.{name}", at_s, value) for name, value in load.items()]
    return [*samples, latency_of(reply, at_s)]


def latency_of(reply: Reply, at_s: float) -> Sample:
    """How long the turn took, in seconds."""
    return Sample("latency", at_s, round((reply.model_ms + reply.overhead_ms) / 1000, 3))


@dataclass(frozen=True, slots=True)
class _Folded:
    """What the newest fold holds."""

    turn: int = 0
    open: tuple[str, ...] = ()
    probes: int = 0
    gauges: int = 0
    colours: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)


class SeriesLog:
    """The series of one open store. Reads may come from any thread, and anybody folds; one at a time keeps a probe, and one
    the gauges.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> dict[str, Series]:
        """All series by name, up to now."""
        return dict(self._now().series)

    async def fold(self) -> None:
        """Put what has come since the last fold into one row. Raises what a commit raises."""
        now = self._now()
        state = {
            "turn": now.turn,
            "open": now.open,
            "probes": now.probes,
            "gauges": now.gauges,
            "colours": now.colours,
            "series": {name: list(map(_plain, points)) for name, points in now.series.items()},
        }
        payload = json.dumps(state, separators=(",", ":")).encode()
        await self._store.commit_async([Row(SERIES, FOLDED, payload)], author="package", reason="fold the series")

    async def keep_probe(self, figures: Mapping[str, float], at_s: float) -> None:
        """Make the figures of one probe durable. Raises what a commit raises."""
        payload = json.dumps({"at": at_s, "figures": dict(figures)}, separators=(",", ":")).encode()
        key = str(len(self._numbers(PROBE)) + 1)
        await self._store.commit_async([Row(PROBE, key, payload)], author="package", reason="probe for drift")

    async def keep_gauges(self, points: Mapping[str, Point]) -> int:
        """Make one point more of each of these series durable, and fold where many have come. Returns the number of
        commits that it took. Raises what a commit raises.
        """
        payload = json.dumps({name: _plain(point) for name, point in points.items()}, separators=(",", ":")).encode()
        number = max(map(int, self._numbers(GAUGE)), default=0) + 1
        await self._store.commit_async([Row(GAUGE, str(number), payload)], author="package", reason="keep the gauges")
        if number - self._folded().gauges < FOLD_EVERY:
            return 1
        await self.fold()
        return 2

    def _folded(self) -> _Folded:
        row = self._store.head(SERIES, FOLDED)
        if row is None:
            return _Folded()
        try:
            state = json.loads(row.payload)
            series = {str(name): tuple(_point(*point) for point in pts) for name, pts in state["series"].items()}
            waiting = tuple(map(str, state["open"]))
            gauges = int(state.get("gauges", 0))  # those of before there were any have none
            return _Folded(int(state["turn"]), waiting, int(state["probes"]), gauges, dict(state["colours"]), series)
        except _UNREADABLE:
            _log.warning("the folded series cannot be read; they are made anew from all turns")
            return _Folded()

    def _now(self) -> _Folded:
        """The newest fold and what has come since, in the order of its commits, as the next fold will have it.

        What is answered or kept meanwhile is in it or left to the next one, never both.
        """
        folded = self._folded()
        newest = self._newest_turn()
        waiting = [key for key in self._store.keys_without("turn", "reply") if int(key) <= newest]
        probes = [key for key in self._numbers(PROBE) if int(key) > folded.probes]
        gauges = [key for key in self._numbers(GAUGE) if int(key) > folded.gauges]
        turns = [*folded.open, *map(str, range(folded.turn + 1, newest + 1))]
        found = [self._store.head("reply", key) for key in turns]
        found += [self._store.head(PROBE, key) for key in probes]
        rows = sorted((row for row in found if row is not None), key=lambda row: row.place)
        answered = {row.key for row in rows if row.kind != PROBE}
        samples: list[Sample] = []
        colours = folded.colours
        for row in rows:
            if row.kind == PROBE:
                samples += _samples_of_probe(row)
            else:
                reply = reply_of(row)
                samples += samples_of(reply, row.at.timestamp(), colours)
                colours = reply.colours or colours
        series = all_grown(folded.series, samples)
        for key in gauges:
            for name, point in _points_of_gauges(self._store.head(GAUGE, key)).items():
                series[name] = grown(series.get(name, ()), [point])
        still_open = tuple(key for key in waiting if key not in answered)
        last = int(gauges[-1]) if gauges else folded.gauges
        return _Folded(newest, still_open, folded.probes + len(probes), last, colours, series)

    def _newest_turn(self) -> int:
        newest = self._store.newest("turn", limit=1)
        return int(newest[0].key) if newest else 0

    def _numbers(self, kind: str) -> list[str]:
        return sorted((key for key in self._store.heads(kind) if key.isdecimal()), key=int)


def _point(at_s: float, mean: float, low: float, high: float, count: int) -> Point:
    return Point(float(at_s), float(mean), float(low), float(high), int(count))


def _plain(point: Point) -> list[float]:
    return [round(point.at_s, 1), round(point.mean, 4), round(point.low, 4), round(point.high, 4), point.count]


def _points_of_gauges(row: StoredRow | None) -> dict[str, Point]:
    try:
        return {} if row is None else {name: _point(*point) for name, point in json.loads(row.payload).items()}
    except _UNREADABLE:
        return {}


def _samples_of_probe(row: StoredRow) -> list[Sample]:
    try:
        probe = json.loads(row.payload)
        return [Sample(name, float(probe["at"]), float(value)) for name, value in probe["figures"].items()]
    except _UNREADABLE:
        return []
