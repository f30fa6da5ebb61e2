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

_NUMBERED = re.compile(
    r"^[ \t]*(?:#+[ \t]*|[-*•][ \t]+)?(?:\*\*|__)?(?:point[ \t]+)?\(?(\d{1,2})[.):](?!\d)[ \t]*(\S.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_BULLET = re.compile(r"^[ \t]*[-*•–][ \t]+(\S.*)$", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<=[.!?;])\s+|\n+")

_ASSENT = (
    r"(?:agree\w*|right|true|correct|yes|exactly|holds|strong|sound|well said|support\w*|convinc\w+|same|indeed|"
    r"share your|good point)"
)
_DISSENT = (
    r"(?:disagree\w*|wrong|mistaken|reject\w*|false|untrue|incorrect|unsound|unconvinc\w+|doubt\w*|objections?|fails?|"
    r"breaks?|miss(?:es|ed)|ignores?|overlooks?|contrary|nonsense|oppose\w*|refuse\w*|worse|harmful|flaw\w*|collapses?)"
)
_DENIED = r"(?:\b(?:not|cannot|never|nothing|no|hardly|neither)|n't)\b(?!\s+(?:only|just|merely))(?:\s+[\w']+){0,3}?\s+"

# Ordered: the first pattern that matches a sentence decides, so "do not agree" is not read as "agree", nor "not wrong"
# as "wrong".
_CUES: tuple[tuple[re.Pattern[str], float], ...] = (
    (re.compile(r"\b(?:can|could)(?:not|n't| not) agree more\b"), 0.0),
    (re.compile(r"\b(?:partly|partially|in part|to a degree|up to a point|half[- ]right|yes,? but|true,? but)\b"), 0.5),
    (re.compile(rf"\b{_ASSENT}\b.{{0,160}}\b(?:but|however|although|though|yet|except)\b"), 0.6),
    (re.compile(rf"{_DENIED}{_DISSENT}\b"), 0.0),
    (re.compile(rf"{_DENIED}{_ASSENT}\b|^(?:no|never)\b[,.!]"), 1.0),
    (re.compile(rf"\b{_DISSENT}\b"), 1.0),
    (
        re.compile(
            r"\b(?:however|although|though|but|yet|except|unless|instead|leaves out|forgets?)\b|^still\b|\bstill,"
        ),
        0.6,
    ),
    (re.compile(rf"\b{_ASSENT}\b"), 0.0),
)


@dataclass(frozen=True, slots=True)
class Stance:
    """ROBIN's answer to one point: its number (from 1), the stance, and its weight (any number ≥ 0)."""

    point: int
    stance: StanceName
    weight: float


def points_of(thesis: str) -> tuple[str, ...]:
    """The points that a thesis makes, without their marks: its numbered lines, else its bullets, else its sentences."""
    listed = [text for _, text in _NUMBERED.findall(thesis)] or _BULLET.findall(thesis)
    points = [point for point in (text.replace("**", "").strip(" \t\r*_") for text in listed) if point]
    if points:
        return tuple(points[:POINTS_MAX])
    sentences = (sentence.strip() for sentence in _SENTENCE_END.split(thesis))
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
    for sentence in _SENTENCE_END.split(antithesis.lower().replace("’", "'")):
        cue = next((value for pattern, value in _CUES if pattern.search(sentence)), None)
        if cue is not None:
            found.append(cue)
    return round(sum(found) / len(found), 2) if found else 0.5
