"""Scripts that put no spaces between words, as full text takes them: a run of one is a row of overlapping pairs. Pure.

FTS5 takes a whole run (東京タワー) for one word, so a word inside it would not be found. What is given to the index has
the run's pairs in its place (東京 京タ タワ ワー) and its last letter alone (ー), so a word of one letter is the beginning
of some token. A word that is looked for is the phrase of its pairs. Of Thai and its like the pairs are of letters; the
marks upon them, which FTS5 takes for spaces, are left out.

Korean has spaces, but its particles stick to the words, so it belongs here. Not meant: where a word of such a script ends;
京都 is found in 東京都.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise
from typing import Final

#: For a character class: Thai, Lao, Myanmar, Khmer and their like; kana, bopomofo, Han, Yi; Hangul.
UNSPACED: Final = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0ebd\u0ec0-\u0ece\u0edc-\u0edf\u1000-\u103f\u1050-\u108f\u109a-\u109d\u1780-\u17d3"
    "\u17dd\u1950-\u1974\u1980-\u19c9\u1a20-\u1a7c\ua980-\ua9c0\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"
    "\u3005-\u3007\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\ua000-\ua48c\uf900-\ufaff\uff66-\uff9f\U00020000-\U0002fa1f\U00030000-\U000323af"
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97c\uac00-\ud7fb"
)

_RUN = re.compile(f"[{UNSPACED}]+")


def letters(run: str) -> list[str]:
    """The letters of a run, each with the marks upon it, in one of the ways in which Unicode can spell them (NFKC)."""
    found: list[str] = []
    for character in unicodedata.normalize("NFKC", run):
        if found and unicodedata.category(character).startswith("M"):
            found[-1] += character
        else:
            found.append(character)
    return found


def pairs(run: str) -> list[str]:
    """The overlapping pairs of a run's letters; the letter of a run that has only one."""
    each = letters(run)
    return [left + right for left, right in pairwise(each)] if len(each) > 1 else each


def for_index(text: str) -> str:
    """What the index is given of a text."""
    return text if text.isascii() else _RUN.sub(lambda run: f" {' '.join(_tokens(run[0]))} ", text)


def phrase(text: str) -> str:
    """The FTS5 phrase that finds `text`, a word or several one after the other, wherever it stands."""
    *before, last = (text,) if text.isascii() else _pieces(text)
    tokens = _tokens(last) if _RUN.fullmatch(last) else []
    # Of a run at the end more may follow where it is found; one before that is there to its end.
    end = " ".join(tokens[:-1] or tokens) or last
    quoted = f"{for_index(''.join(before))} {end}".strip().replace('"', '""')
    return f'"{quoted}"' + ("*" if len(tokens) == 1 else "")


def for_match(expression: str) -> str:
    """An FTS5 expression, with the phrase of each run in the run's place."""
    between_quotes = expression.split('"')
    return '"'.join(
        _RUN.sub(lambda run: " ".join(_tokens(run[0])[:-1]) or run[0], part) if number % 2
        else _RUN.sub(lambda run: f" {phrase(run[0])} ", part)
        for number, part in enumerate(between_quotes)
    )  # fmt: skip


def _pieces(text: str) -> list[str]:
    """A text as runs and what is between them; at least one, perhaps empty."""
    cut = [place for run in _RUN.finditer(text) for place in run.span()]
    return [text[left:right] for left, right in pairwise([0, *cut, len(text)]) if left < right] or [text]


def _tokens(run: str) -> list[str]:
    """The pairs of a run's letters without their marks, and its last letter."""
    bare = [each[0] for each in letters(run) if not unicodedata.category(each[0]).startswith("M")]
    return [*(left + right for left, right in pairwise(bare)), *bare[-1:]]
