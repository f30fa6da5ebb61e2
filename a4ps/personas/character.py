"""Character: how far what a persona said is from its codex, as one number in [0, 1].

Measured on the text, by the rubric of the codex (`rubric`, a list of items in its further fields; the shipped one where an
image's codex has none): each item names something countable and between which bounds it lies where the persona speaks as
itself. An item within its bounds counts 0; beyond them, the part by which it misses them, at most 1. The figure is the
mean. It tells a voice that has slipped from one that holds, not a fine shade, and knows nothing of what was meant.

Judged (`judged`): where a model said of each pillar and of the voice whether a text keeps it, the mean of yes 0, partly 0.5,
no 1. That costs a call, so it is done on probes (`a4ps.society.drift`), never in a turn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from a4ps.image.codex import Codex
from a4ps.personas.roster import shipped_codices

#: A text of fewer words tells nothing.
WORDS_MIN = 12

Kept = Literal["yes", "partly", "no"]
_MISSED: Mapping[Kept, float] = {"yes": 0.0, "partly": 0.5, "no": 1.0}

_WORD = re.compile(r"\w[\w'’]*")
_NUMBER = re.compile(r"(?<!\w)\d")
_SENTENCE = re.compile(r"\w[.!?:;'\")\]]*(?=\n|$)|\w[.!?]+['\")\]]*(?=\s)")


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that can be counted: the words of `words`, numbers, or signs of `marks`, each per 100 words, or else the
    words of a mean sentence; and the least and the most of it.
    """

    about: str
    words: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ()
    numbers: bool = False
    least: float = 0.0
    most: float = float("inf")

    def missed(self, text: str, words: Sequence[str]) -> float:
        """By how much `text` misses the bounds, in [0, 1]; `words` are its words in lower case."""
        found = self._count(text, words)
        if found < self.least:
            return (self.least - found) / self.least
        return min(1.0, (found - self.most) / max(1.0, self.most)) if found > self.most else 0.0

    def _count(self, text: str, words: Sequence[str]) -> float:
        if not (self.words or self.marks or self.numbers):
            return len(words) / max(1, len(_SENTENCE.findall(text)))
        count = sum(map(self.words.__contains__, words)) if self.words else 0
        count += sum(text.count(mark) for mark in self.marks)
        count += len(_NUMBER.findall(text)) if self.numbers else 0
        return 100 * count / len(words)


def distance(name: str, codex: Codex, text: str) -> float | None:
    """How far `text` is from `codex`, the identity of the persona `name`. None where nothing can be told: the text is too
    short, or there is no rubric that can be read.
    """
    words = _WORD.findall(text.lower())
    if len(words) < WORDS_MIN:
        return None
    items = _rubric_of(name, codex)
    if not items:
        return None
    return round(sum(item.missed(text, words) for item in items) / len(items), 3)


def judged(kept: Mapping[int, Kept], items: int) -> float | None:
    """The mean over those of `items` items, numbered from 1, that were judged; None where none was."""
    missed = [_MISSED[verdict] for number, verdict in kept.items() if 1 <= number <= items]
    return round(sum(missed) / len(missed), 3) if missed else None


def to_be_judged(codex: Codex) -> tuple[str, ...]:
    """What a judge is asked about a text of this codex: its pillars and its voice."""
    return (*codex.pillars, *((f"voice: {codex.voice}",) if codex.voice else ()))


def rubric(given: object) -> tuple[Item, ...]:
    """The items of a rubric as it stands in a codex; none at all where one cannot be read."""
    if not isinstance(given, list | tuple):
        return ()
    try:
        return tuple(_item(each) for each in given)
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


@lru_cache(maxsize=16)
def _rubric_of(name: str, codex: Codex) -> tuple[Item, ...]:
    if "rubric" in codex.extra:
        return rubric(codex.extra["rubric"])
    shipped = shipped_codices().get(name)
    return () if shipped is None else rubric(shipped.extra.get("rubric"))


def _item(given: Mapping[str, object]) -> Item:
    unknown = set(given) - {"about", "words", "marks", "numbers", "least", "most"}
    if unknown:
        raise ValueError(f"unknown: {unknown}")
    words, marks = str(given.get("words", "")).lower().split(), str(given.get("marks", "")).split()
    least, most = float(str(given.get("least", 0.0))), float(str(given.get("most", "inf")))
    if not 0 <= least <= most:
        raise ValueError("the bounds are none")
    return Item(str(given["about"]), frozenset(words), tuple(marks), bool(given.get("numbers", False)), least, most)
