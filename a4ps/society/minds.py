"""Who changed whose mind, read from two rounds of one argument. Pure.

A point of the later thesis is that of the earlier one where the two share most of their content words. On such a point
ROBIN's mind was changed, by BRICK, if her stance on it is another now. A point to which she objected and which the later
thesis does not make any more was given up: BRICK's mind was changed, by her. What is new is no change of anybody's mind.

A measure of words: a point that is put in quite other words counts as given up. Rounds whose dissonance was estimated
have no stances and show no change.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from a4ps.image.turns import Mind
from a4ps.society.dissonance import Stance

#: Two points are one where they share this part of the content words that either has (Jaccard).
SAME_POINT = 0.4

#: How much of a point is kept with a change of mind, in characters.
POINT_CHARS = 90

GIVEN_UP = "given up"

_WORD = re.compile(r"\w{3,}")
_COMMON = frozenset(
    "the and for that this with are was not you your its has have but one can will would from than".split()
)


def changed(
    before: tuple[Sequence[str], Sequence[Stance]], after: tuple[Sequence[str], Sequence[Stance]], round_: int
) -> tuple[Mind, ...]:
    """The minds that were changed between two rounds, each given as the points of its thesis and the stances on them.

    `round_` is the number of the later one.
    """
    (old, old_stances), (new, new_stances) = before, after
    was = {stance.point: stance.stance for stance in reversed(old_stances)}
    now = {stance.point: stance.stance for stance in reversed(new_stances)}
    if not was or not now:
        return ()
    same = _matched(old, new)
    minds = []
    for number, point in enumerate(old, 1):
        stood, stands = was.get(number), now.get(same.get(number, 0))
        if stood is None:
            continue
        if number not in same and stood != "agree":
            minds.append(Mind("BRICK", "ROBIN", round_, _short(point), "held", GIVEN_UP))
        elif stands is not None and stands != stood:
            minds.append(Mind("ROBIN", "BRICK", round_, _short(point), stood, stands))
    return tuple(minds)


def _matched(old: Sequence[str], new: Sequence[str]) -> dict[int, int]:
    """Number of an old point → number of the new one that it is; each at most once, the most alike first."""
    pairs = sorted(
        (
            (-_alike(one, other), first, second)
            for first, one in enumerate(old, 1)
            for second, other in enumerate(new, 1)
        ),
    )
    same: dict[int, int] = {}
    for score, first, second in pairs:
        if -score >= SAME_POINT and first not in same and second not in same.values():
            same[first] = second
    return same


def _alike(one: str, other: str) -> float:
    mine, theirs = _content(one), _content(other)
    either = mine | theirs
    return len(mine & theirs) / len(either) if either else float(one.strip() == other.strip())


def _content(point: str) -> frozenset[str]:
    """The content words, cut to six letters, so that most endings of a word make no difference."""
    return frozenset(word[:6] for word in _WORD.findall(point.lower()) if word not in _COMMON)


def _short(point: str) -> str:
    flat = " ".join(point.split())
    return flat if len(flat) <= POINT_CHARS else flat[: POINT_CHARS - 1].rstrip() + "…"
