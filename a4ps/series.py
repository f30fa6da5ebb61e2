"""Figures over time: points, and how a series of them stays small. Pure.

A series holds at most POINTS_MAX points. One more than that, and each two neighbours become one that stands for both: the
older a stretch is, the fewer points tell of it, while lowest, highest, mean and number stay true of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

POINTS_MAX = 128


@dataclass(frozen=True, slots=True)
class Sample:
    """One figure as it is told to observers: the series' name, seconds since 1970, and the value."""

    name: str
    at_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Point:
    """One or more figures of a series: `count` of them, the last at `at_s` (seconds since 1970)."""

    at_s: float
    mean: float
    low: float
    high: float
    count: int = 1

    @classmethod
    def of(cls, sample: Sample) -> Point:
        return cls(sample.at_s, sample.value, sample.value, sample.value)


Series = tuple[Point, ...]


def grown(series: Series, points: Iterable[Point]) -> Series:
    """`series` with `points` after it. In the order given: one that is dated before its predecessor gets its date, as a
    clock that was set back would else put it into the past.
    """
    kept = list(series)
    for point in points:
        if kept and point.at_s < kept[-1].at_s:
            point = Point(kept[-1].at_s, point.mean, point.low, point.high, point.count)
        kept.append(point)
        if len(kept) > POINTS_MAX:
            kept = [both(*kept[i : i + 2]) if i + 1 < len(kept) else kept[i] for i in range(0, len(kept), 2)]
    return tuple(kept)


def all_grown(all_series: Mapping[str, Series], samples: Iterable[Sample]) -> dict[str, Series]:
    """Each of the named series with its samples after it; new names begin one."""
    new: dict[str, list[Point]] = {}
    for sample in samples:
        new.setdefault(sample.name, []).append(Point.of(sample))
    return {**all_series, **{name: grown(all_series.get(name, ()), points) for name, points in new.items()}}


def both(one: Point, other: Point) -> Point:
    """One point that stands for both, `other` being the later."""
    count = one.count + other.count
    mean = (one.mean * one.count + other.mean * other.count) / count
    return Point(other.at_s, mean, min(one.low, other.low), max(one.high, other.high), count)


def drawn(series: Sequence[Point], width: int) -> str:
    """The last `width` points as a line of bars, the lowest of them the smallest; one of a single value is flat."""
    means = [point.mean for point in series[-width:]]
    if not means:
        return ""
    low, high = min(means), max(means)
    steps = "▁▂▃▄▅▆▇█"
    return "".join(steps[round((mean - low) / (high - low) * 7) if high > low else 0] for mean in means)
