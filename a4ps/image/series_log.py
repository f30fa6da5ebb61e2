"""The series of an image: its turns' figures over time, and those of probes.

A turn's figures are in its reply, so they are durable with it and cost no row of their own. Every FOLD_EVERY turns what has
come since is folded into one row, from which all later reading begins:

    series  key: "folded"; payload: JSON, {"turn": the newest turn then, "open": [those before it that had no answer yet],
            "probes": their number, "colours": {persona: colour}, "series": {name: [[at, mean, low, high, count]]}}
    probe   key: a number; payload: JSON, {"at": seconds since 1970, "figures": {name: value}}

What is folded is told by the numbers of turns, which another image keeps that takes this one's content over.

Names: `dissonance` (a round), `character.NAME` (a contribution, smoothed: the persona's colour), `drift-SET.NAME` and
`drift-SET.NAME.judged` (a probe), `load.tokens`, `load.fill`, `load.queue` (a turn). No row here holds a text.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from a4ps.image.rows import Row, StoredRow
from a4ps.image.store import Store
from a4ps.image.turns import Reply, reply_of
from a4ps.series import Point, Sample, Series, all_grown

SERIES = "series"
PROBE = "probe"
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
    return samples


@dataclass(frozen=True, slots=True)
class _Folded:
    """What the newest fold holds."""

    turn: int = 0
    open: tuple[str, ...] = ()
    probes: int = 0
    colours: Mapping[str, float] = field(default_factory=dict)
    series: Mapping[str, Series] = field(default_factory=dict)


class SeriesLog:
    """The series of one open store. Reads may come from any thread; one at a time folds or keeps a probe."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> dict[str, Series]:
        """All series by name, up to now."""
        folded = self._folded()
        return all_grown(folded.series, self._since(folded)[0])

    async def fold(self) -> None:
        """Put what has come since the last fold into one row. Raises what a commit raises."""
        folded = self._folded()
        newest = self._newest_turn()
        waiting = [key for key in self._store.keys_without("turn", "reply") if int(key) <= newest]
        samples, colours = self._since(folded)
        plain = {
            name: [[round(p.at_s, 1), round(p.mean, 4), round(p.low, 4), round(p.high, 4), p.count] for p in points]
            for name, points in all_grown(folded.series, samples).items()
        }
        state = {"turn": newest, "open": waiting, "probes": len(self._probes()), "colours": colours, "series": plain}
        payload = json.dumps(state, separators=(",", ":")).encode()
        await self._store.commit_async([Row(SERIES, FOLDED, payload)], author="package", reason="fold the series")

    async def keep_probe(self, figures: Mapping[str, float], at_s: float) -> None:
        """Make the figures of one probe durable. Raises what a commit raises."""
        payload = json.dumps({"at": at_s, "figures": dict(figures)}, separators=(",", ":")).encode()
        key = str(len(self._probes()) + 1)
        await self._store.commit_async([Row(PROBE, key, payload)], author="package", reason="probe for drift")

    def _folded(self) -> _Folded:
        row = self._store.head(SERIES, FOLDED)
        if row is None:
            return _Folded()
        try:
            state = json.loads(row.payload)
            series = {str(name): tuple(_point(*point) for point in pts) for name, pts in state["series"].items()}
            waiting = tuple(map(str, state["open"]))
            return _Folded(int(state["turn"]), waiting, int(state["probes"]), dict(state["colours"]), series)
        except _UNREADABLE:
            _log.warning("the folded series cannot be read; they are made anew from all turns")
            return _Folded()

    def _since(self, folded: _Folded) -> tuple[list[Sample], Mapping[str, float]]:
        """What has come since, in the order of its commits, and the colours after it."""
        turns = [*folded.open, *map(str, range(folded.turn + 1, self._newest_turn() + 1))]
        found = [self._store.head("reply", key) for key in turns]
        found += [self._store.head(PROBE, key) for key in self._probes() if int(key) > folded.probes]
        samples: list[Sample] = []
        colours = folded.colours
        for row in sorted((row for row in found if row is not None), key=lambda row: row.place):
            if row.kind == PROBE:
                samples += _samples_of_probe(row)
            else:
                reply = reply_of(row)
                samples += samples_of(reply, row.at.timestamp(), colours)
                colours = reply.colours or colours
        return samples, colours

    def _newest_turn(self) -> int:
        newest = self._store.newest("turn", limit=1)
        return int(newest[0].key) if newest else 0

    def _probes(self) -> list[str]:
        return sorted((key for key in self._store.heads(PROBE) if key.isdecimal()), key=int)


def _point(at_s: float, mean: float, low: float, high: float, count: int) -> Point:
    return Point(float(at_s), float(mean), float(low), float(high), int(count))


def _samples_of_probe(row: StoredRow) -> list[Sample]:
    try:
        probe = json.loads(row.payload)
        return [Sample(name, float(probe["at"]), float(value)) for name, value in probe["figures"].items()]
    except _UNREADABLE:
        return []
