"""The series of an image: its turns' figures over time, and those of probes.

A turn's figures are in its reply, so they are durable with it and cost no row of their own. Every FOLD_EVERY turns what has
come since is folded into one row, from which all later reading begins:

    series  key: "folded"; payload: JSON, {"upto": the newest commit in it, "series": {name: [[at, mean, low, high, count]]}}
    probe   key: a number; payload: JSON, {"at": seconds since 1970, "figures": {name: value}}

Names: `dissonance` (a round), `character.NAME` (a contribution, smoothed: the persona's colour), `drift-SET.NAME` and
`drift-SET.NAME.judged` (a probe), `load.tokens`, `load.fill`, `load.queue` (a turn). No row here holds a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

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


class SeriesLog:
    """The series of one open store. Reads may come from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self) -> dict[str, Series]:
        """All series by name, up to now."""
        upto, series = self._folded()
        return all_grown(series, self._since(upto))

    async def fold(self) -> None:
        """Put what has come since the last fold into one row. Raises what a commit raises."""
        upto = self._store.generation
        series = self.read()
        plain = {
            name: [[round(p.at_s, 1), round(p.mean, 4), round(p.low, 4), round(p.high, 4), p.count] for p in points]
            for name, points in series.items()
        }
        payload = json.dumps({"upto": upto, "series": plain}, separators=(",", ":")).encode()
        await self._store.commit_async([Row(SERIES, FOLDED, payload)], author="package", reason="fold the series")

    async def keep_probe(self, figures: Mapping[str, float], at_s: float) -> None:
        """Make the figures of one probe durable. Raises what a commit raises."""
        number = len(self._store.heads(PROBE)) + 1
        payload = json.dumps({"at": at_s, "figures": dict(figures)}, separators=(",", ":")).encode()
        await self._store.commit_async([Row(PROBE, str(number), payload)], author="package", reason="probe for drift")

    def _folded(self) -> tuple[int, dict[str, Series]]:
        row = self._store.head(SERIES, FOLDED)
        if row is None:
            return 0, {}
        payload = json.loads(row.payload)
        series = {name: tuple(Point(*point) for point in points) for name, points in payload["series"].items()}
        return int(payload["upto"]), series

    def _since(self, upto: int) -> Iterator[Sample]:
        """What was committed after commit `upto`, in that order."""
        colours: Mapping[str, float] = {}
        rows = sorted((*self._newer("reply", upto), *self._newer(PROBE, upto)), key=lambda row: row.place)
        for row in rows:
            if row.generation <= upto:  # the last one before: what its colours were
                colours = reply_of(row).colours or {}
            elif row.kind == PROBE:
                payload = json.loads(row.payload)
                yield from (Sample(name, payload["at"], value) for name, value in payload["figures"].items())
            else:
                reply = reply_of(row)
                yield from samples_of(reply, row.at.timestamp(), colours)
                colours = reply.colours or colours

    def _newer(self, kind: str, upto: int) -> list[StoredRow]:
        """The heads of `kind` after commit `upto`, and of replies the one before."""
        limit = FOLD_EVERY + 1
        rows = self._store.newest(kind, limit=limit)
        while len(rows) == limit and rows[-1].generation > upto:
            limit *= 4
            rows = self._store.newest(kind, limit=limit)
        older = [row for row in rows if row.generation <= upto][: 1 if kind == "reply" else 0]
        return [*older, *(row for row in rows if row.generation > upto)]
