"""What is said in the benches: one question and five contributions a turn, about 600 bytes each, no two alike.

Seeded, so that every contender gets the same text on every machine. Not language: words drawn by a Zipf-Mandelbrot law,
stop words between them, so that full-text search, recall and compression meet word frequencies like those of prose
(zlib takes it to about half, as it does prose). Standard library only: peers import it from their own environment.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

SEED = 20261122
CONTRIBUTION_BYTES = 600
QUESTION_BYTES = 140

_STEMS = (
    "anchor answer archive balance barrel basket batter beacon border bottle branch bridge bronze bucket budget butter "
    "cabin camera candle canvas carbon cargo carpet castle cellar center chalk chamber channel charter circuit clinic "
    "coast column comfort compass concert contract copper corner cotton council course cradle credit crystal current "
    "custom damage danger debate defend deliver desert design detail device diagram dinner doctor donor drawer driver "
    "editor effort eleven engine entry error escape estate export fabric factor farmer fashion feather ferry figure "
    "filter finger flavor forest formal frame freight future garden gather gentle glass govern grain granite gravel "
    "guard guide hammer harbor harvest helmet hollow honest horizon humble hunter index injure insect invest island "
    "jacket journal journey kettle kitchen ladder lantern launch lecture legal letter linen liquid litter locker logic "
    "lumber magnet manage manner marble margin market master matter meadow measure member mentor merit metal method "
    "mirror model modern module monitor mortar motor museum narrow nation needle neutral novel number object office "
    "orbit orchard order organ output oxygen packet paint palace panel paper parcel parent patent patrol pattern "
    "pencil pepper permit picture pillar pilot planet plastic player pocket poison portal postal powder prefer present "
    "print prison problem profit project protect public pulley quarter rabbit radar rafter random ranger reason record "
    "refer reform region remark render repair report rescue resin result return reward ribbon river rocket rubber "
    "saddle sailor sample saucer scale scholar school season sector segment select senior sensor server shadow shelter "
    "shoulder signal silver simple sketch socket solar spirit spring stable station stone storm stream studio summer "
    "supply surface switch symbol system tablet target temple tender theater thread ticket timber tissue tower traffic "
    "transit travel treasure tunnel turbine valley vapor vector vendor vessel village violin vision volume voter wagon "
    "wander water weather weaver window winter wonder workshop yellow zipper"
).split()
_ENDINGS = ("", "s", "ed", "ing", "er", "ers", "al", "ness", "ful", "less", "ment", "able")
_LINKS = (
    "the of and to a in that it is was for on as with by at from are this but not have which or be an they there one "
    "so its about if when than more some can will what only would"
).split()


@dataclass(frozen=True, slots=True)
class TurnText:
    """The text of one turn, in the order in which it is said."""

    number: int
    question: str
    plan: str
    thesis: str
    antithesis: str
    findings: str
    synthesis: str

    @property
    def contributions(self) -> tuple[str, str, str, str, str]:
        return (self.plan, self.thesis, self.antithesis, self.findings, self.synthesis)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of the question and all contributions."""
        return sum(len(text.encode()) for text in (self.question, *self.contributions))


def turn_text(number: int, *, contribution_bytes: int = CONTRIBUTION_BYTES, topic: str = "") -> TurnText:
    """The text of turn `number`. `topic` begins its question, so that turns of one topic can recall one another."""
    words = _words(random.Random(f"{SEED}:{number}"))
    asked = " ".join(filter(None, (topic, _prose(words, QUESTION_BYTES))))
    return TurnText(
        number=number,
        question=asked.rstrip(".") + "?",
        plan=_prose(words, contribution_bytes),
        thesis=_thesis(words, contribution_bytes),
        antithesis=_prose(words, contribution_bytes),
        findings=_prose(words, contribution_bytes),
        synthesis=_prose(words, contribution_bytes),
    )


@cache
def _vocabulary() -> tuple[list[str], list[float]]:
    """Every stem with every ending, in a fixed mixed order, and the cumulated weights of that order."""
    words = [stem + ending for stem in _STEMS for ending in _ENDINGS]
    random.Random(SEED).shuffle(words)
    return words, list(accumulate(1 / (rank + 20) for rank in range(len(words))))


def _words(source: random.Random) -> Iterator[str]:
    words, weights = _vocabulary()
    while True:
        yield source.choice(_LINKS) if source.random() < 0.45 else source.choices(words, cum_weights=weights)[0]


def _prose(words: Iterator[str], size: int) -> str:
    """Sentences of nine to fourteen words, up to about `size` bytes."""
    sentences: list[str] = []
    length = 0
    while length < size - 30:
        sentence = " ".join(next(words) for _ in range(9 + len(sentences) % 6)).capitalize() + "."
        sentences.append(sentence)
        length += len(sentence) + 1
    return " ".join(sentences)


def _thesis(words: Iterator[str], size: int) -> str:
    """A position, three numbered points, and what would prove it wrong: a line each."""
    part = size // 5
    lines = [_prose(words, part), *(f"{number}. {_prose(words, part)}" for number in (1, 2, 3)), _prose(words, part)]
    return "\n".join(lines)
