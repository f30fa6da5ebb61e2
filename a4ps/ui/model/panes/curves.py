"""Points of curves over time: what the image has and what was heard since, cut to a range and thinned to what can be seen.

They are made once of the same figures, and are the same object then: by that a view knows that there is nothing to draw.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, TypeAlias

#: (seconds since 1970, value), oldest first.
Points: TypeAlias = Sequence[tuple[float, float]]

#: A curve has at most so many points: two for each of the pixels that a wide window has.
SHOWN_MAX: Final = 2_000
_HELD_MAX: Final = 256


class Curves:
    """Makes curves, and holds those that it made last."""

    def __init__(self) -> None:
        #: What a curve was made of → that, held so that it stays the only object of its identity, and the curve.
        self._made: OrderedDict[tuple[object, ...], tuple[object, Points]] = OrderedDict()

    def of(
        self,
        kept: Sequence[Mapping[str, Any]],
        live: Points,
        scale: float = 1.0,
        seconds: float | None = None,
        until_s: float = 0.0,
    ) -> Points:
        """The points of a SeriesObject's list, then those of `live` that are newer; see `within`. Neither may change."""
        key = (id(kept), id(live), scale, seconds, until_s)
        if key not in self._made:
            parsed = self._parsed(kept) if kept else ()
            newest_s = parsed[-1][0] if parsed else float("-inf")
            joined = [*parsed, *(point for point in live if point[0] > newest_s)]
            cut = thinned([*within(joined, seconds, until_s)])
            self._hold(key, (kept, live), cut if scale == 1.0 else [(at_s, value * scale) for at_s, value in cut])
        return self._held(key)

    def _parsed(self, kept: Sequence[Mapping[str, Any]]) -> Points:
        key = (id(kept),)
        if key not in self._made:
            self._hold(key, kept, [(datetime.fromisoformat(each["at"]).timestamp(), each["mean"]) for each in kept])
        return self._held(key)

    def _hold(self, key: tuple[object, ...], made_of: object, points: Points) -> None:
        self._made[key] = made_of, points
        if len(self._made) > _HELD_MAX:
            self._made.popitem(last=False)

    def _held(self, key: tuple[object, ...]) -> Points:
        self._made.move_to_end(key)
        return self._made[key][1]


def within(points: Points, seconds: float | None, until_s: float) -> Iterator[tuple[float, float]]:
    """Those of the last so many seconds before `until_s`, or before the newest where that is 0."""
    if not points:
        return
    end_s = until_s or points[-1][0]
    for at_s, value in points:
        if at_s <= end_s and (seconds is None or at_s >= end_s - seconds):
            yield at_s, value


def thinned(points: Points, most: int = SHOWN_MAX) -> Points:
    """At most so many of them: of each stretch the lowest and the highest, so that no peak is lost; always the newest."""
    if len(points) <= most:
        return points
    each = -(-len(points) // ((most - 1) // 2))
    kept: list[tuple[float, float]] = []
    for start in range(0, len(points), each):
        stretch = points[start : start + each]
        low, high = min(stretch, key=_value), max(stretch, key=_value)
        kept += sorted({low, high})
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]


def _value(point: tuple[float, float]) -> float:
    return point[1]
