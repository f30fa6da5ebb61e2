"""Dissonance: how far ROBIN's antithesis stands from BRICK's thesis, as one number in [0, 1].

Measured: ROBIN takes a stance on each numbered point of the thesis and says how much the point matters. The figure is the
weighted mean of the stances, agree 0, partly 0.5, disagree 1: a weighted proportion of disagreement, as in content
analysis (cf. Cohen's weighted kappa, 1968, with linear weights and no chance correction, since there is one rater).

Estimated: where no schema could be had, the antithesis is read for words of assent and dissent. That tells a yes from a
no, not a subtle quarrel; results are marked `estimated`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

StanceName = Literal["agree", "partly", "disagree"]
_DISTANCE: Mapping[StanceName, float] = {"agree": 0.0, "partly": 0.5, "disagree": 1.0}

#: More points than this are not asked about: small models lose count, and prompts grow.
POINTS_MAX = 6

_NUMBERED = re.compile(r"^\s*(?:\*\*)?\(?(\d{1,2})[.):]\s*(?:\*\*)?\s*(.+)$", re.MULTILINE)
_SENTENCE = re.compile(r"[^.!?\n]+[.!?]?")

# Ordered: the first pattern that matches a stretch of text decides, so "do not agree" is not read as "agree".
_CUES: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\b(partly|partially|in part|to a degree|up to a point|half[- ]right|yes,? but|true,? but)\b"), 0.5),
    (
        re.compile(
            r"\b(do(?:es)? not agree|don't agree|can(?:not|'t) agree|disagree\w*|not true|wrong|mistaken|reject\w*|"
            r"false|fails?|breaks?|"
            r"miss(?:es|ed)|ignores?|overlooks?|contrary|on the contrary|instead|never|nonsense|oppose\w*|refuse\w*|"
            r"worse|harmful|flawed|collapses?)\b"
        ),
        1.0,
    ),
    (re.compile(r"\b(however|although|though|but|yet|still|except|unless|leaves out|forgets?)\b"), 0.6),
    (
        re.compile(
            r"\b(agree\w*|right|true|correct|yes|exactly|holds|strong|sound|well said|support\w*|convinc\w+|same|indeed|"
            r"share your|good point)\b"
        ),
        0.0,
    ),
)


@dataclass(frozen=True, slots=True)
class Stance:
    """ROBIN's answer to one point: its number (from 1), the stance, and its weight (any number ≥ 0)."""

    point: int
    stance: StanceName
    weight: float


def points_of(thesis: str) -> tuple[str, ...]:
    """The points that a thesis makes: its numbered lines, else its first sentences."""
    numbered = [text.strip() for _, text in _NUMBERED.findall(thesis)]
    if numbered:
        return tuple(numbered[:POINTS_MAX])
    sentences = (sentence.strip() for sentence in _SENTENCE.findall(thesis))
    return tuple(sentence for sentence in sentences if len(sentence.split()) >= 3)[:4]


def measured(stances: Sequence[Stance], points: int) -> float | None:
    """The weighted mean over the first stance given on each of `points` points; None where no stance is usable.

    Weights are cut to [0, 1]; if all are 0 they count equally.
    """
    usable: dict[int, Stance] = {}
    for stance in stances:
        if 1 <= stance.point <= points:
            usable.setdefault(stance.point, stance)
    if not usable:
        return None
    weights = {number: min(1.0, max(0.0, stance.weight)) for number, stance in usable.items()}
    if not any(weights.values()):
        weights = dict.fromkeys(weights, 1.0)
    total = sum(weights.values())
    return round(sum(weights[number] * _DISTANCE[stance.stance] for number, stance in usable.items()) / total, 2)


def estimated(antithesis: str) -> float:
    """A text estimate in [0, 1]: the mean over the sentences that carry a cue of assent or dissent, 0.5 without any."""
    found = []
    for sentence in re.split(r"(?<=[.!?;])\s+|\n+", antithesis.lower()):
        cue = next((value for pattern, value in _CUES if pattern.search(sentence)), None)
        if cue is not None:
            found.append(cue)
    return round(sum(found) / len(found), 2) if found else 0.5
