"""Texts broken into lines of a given width. Pure: how wide a word is, is asked for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

#: How wide a text is; the second is the number of the span that it is of.
Measure: TypeAlias = Callable[[str, int], float]

#: No more of a paragraph is laid out; what is cut is said.
CHARS_MAX = 60_000

_WORDS = re.compile(r"\n|[^\S\n]+|[^\s]+")


@dataclass(frozen=True, slots=True)
class Run:
    """A piece of a line: where it begins, its text, and the number of the span that it is of."""

    x: float
    text: str
    span: int
    width: float


def wrapped(texts: Sequence[str], width: float, measure: Measure) -> list[list[Run]]:
    """The lines of a paragraph made of several texts; at least one, which may be empty. Words too long are broken."""
    lines: list[list[Run]] = [[]]
    x, left = 0.0, CHARS_MAX
    # Hardly any character is narrower than 2 px: what is longer is broken without being measured as a whole.
    longest = int(width // 2) + 1
    for number, text in enumerate(texts):
        shown = text if len(text) <= left else f"{text[:left]} … {len(text) - left:,} more characters"
        left = max(0, left - len(text))
        for word in _WORDS.findall(shown):
            if word == "\n":
                lines.append([])
                x = 0.0
                continue
            wide = measure(word, number) if len(word) <= longest else float("inf")
            if x + wide <= width + 0.5:
                _put(lines[-1], x, word, number, wide)
                x += wide
            elif word.isspace():
                # A break takes the place of the space.
                lines.append([])
                x = 0.0
            else:
                if x > 0 and lines[-1]:
                    lines.append([])
                    x = 0.0
                while wide > width and len(word) > 1:
                    many = _fitting(word[:longest], width, number, measure)
                    _put(lines[-1], 0.0, word[:many], number, measure(word[:many], number))
                    lines.append([])
                    word = word[many:]
                    wide = measure(word, number) if len(word) <= longest else float("inf")
                if word:
                    _put(lines[-1], x, word, number, wide)
                    x += wide
    return lines


def is_rtl(text: str) -> bool:
    """Whether a text is written from right to left: its first letter says so."""
    if text.isascii():
        return False
    return next((way != "L" for each in text if (way := unicodedata.bidirectional(each)) in ("L", "R", "AL")), False)


def _put(line: list[Run], x: float, text: str, span: int, width: float) -> None:
    if line and line[-1].span == span and (text.isspace() or is_rtl(text) == is_rtl(line[-1].text)):
        last = line[-1]
        line[-1] = Run(last.x, last.text + text, span, x + width - last.x)
    else:
        line.append(Run(x, text, span, width))


def _fitting(word: str, width: float, span: int, measure: Measure) -> int:
    """How many of its characters fit, one at least."""
    low, high = 1, len(word)
    while low < high:
        middle = (low + high + 1) // 2
        if measure(word[:middle], span) <= width:
            low = middle
        else:
            high = middle - 1
    return low
