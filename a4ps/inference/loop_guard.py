"""Notices a reply that goes round in circles, while it is being streamed.

A small model can fall into a loop from which only the limit of tokens frees it. Two signs are taken for one:

- more than `EQUAL_PIECES` equal pieces in a row (Ollama ends such a stream by itself, without saying so);
- the text's end repeats itself: the same stretch of words, marks and line breaks at least `REPEATS` times after its
  first, over at least `REPEATED_CHARS` characters. A stretch is one word as well as several lines.

What a person repeats on purpose is shorter or less often in a row: a refrain, a table with equal cells, closing
brackets, the indices of a list. Not noticed: a loop that counts ("1. again", "2. again"). A long run of equal numbers
in data is taken for a loop.

Pure and incremental: a piece costs time in proportion to its own length, whatever came before; memory grows by the words
of the reply. Pieces are put together and looked at many at once: the first time when the reply is long enough for a
stretch to have been repeated, then after each `LOOKED_AT_CHARS`. For any engine, and for any caller of one.
"""

from __future__ import annotations

import re

#: As in Ollama's own guard, so that ours speaks first.
EQUAL_PIECES = 30
#: A chorus is sung three or four times in a row, not six.
REPEATS = 5
#: About 150 tokens of English.
REPEATED_CHARS = 600
#: A loop is noticed at most so many characters late; looking at each word by itself takes three times as long.
LOOKED_AT_CHARS = 64

#: How the note of an ended reply begins.
ENDED = "the reply was ended"
#: No repetition counts more than twice the characters that it has: a unit of one counts two.
_SHORTEST_LOOP = REPEATED_CHARS // 2
_LONGEST_WORD = 32
_UNIT = re.compile(rf"\w{{1,{_LONGEST_WORD}}}|\n|[^\w\s]")
_WORD = re.compile(r"\w")
#: So many units together make a place in the text recognisable.
_GRAM = 4


class LoopGuard:
    """One per reply. `feed` it each piece; what it says is final: once a loop, always one."""

    def __init__(self) -> None:
        self._last_piece = ""
        self._equal = 0
        self._tail = ""
        self._held: list[str] = []
        self._held_chars = 0
        self._look_at = _SHORTEST_LOOP
        self._units: list[str] = []
        self._ends: dict[tuple[str, ...], int] = {}
        self._period = 0
        self._run = 0
        self._run_chars = 0
        self._note = ""

    def feed(self, piece: str) -> str:
        """A sentence for the user once the reply repeats itself, "" before."""
        if self._note or not piece:
            return self._note
        self._equal = self._equal + 1 if piece == self._last_piece else 1
        self._last_piece = piece
        if self._equal > EQUAL_PIECES:
            self._note = f"{ENDED}: it said {_shown(piece)} more than {EQUAL_PIECES} times in a row"
            return self._note
        self._held.append(piece)
        self._held_chars += len(piece)
        if self._held_chars < self._look_at:
            return ""
        text = self._tail + "".join(self._held)
        self._tail = ""
        self._held.clear()
        self._held_chars = 0
        self._look_at = LOOKED_AT_CHARS
        units = _UNIT.findall(text)
        if units and text.endswith(units[-1]) and _WORD.match(units[-1]) and len(units[-1]) < _LONGEST_WORD:
            self._tail = units.pop()  # the word may go on in the next piece
        for unit in units:
            if self._looped(unit):
                again = " ".join(self._units[-self._period :]).strip()
                self._note = f"{ENDED}: it went on repeating {_shown(again)}"
                break
        return self._note

    def _looped(self, unit: str) -> bool:
        """Take one more unit. Whether the text's end is now a loop."""
        units = self._units
        units.append(unit)
        last = len(units) - 1
        if self._period and units[last - self._period] == unit:
            self._run += 1
            self._run_chars += len(unit) + 1
        else:
            self._period = self._run = self._run_chars = 0
        if last + 1 >= _GRAM:
            gram = tuple(units[-_GRAM:])
            if not self._period and gram in self._ends:
                self._period = last - self._ends[gram]
                self._run = _GRAM
                self._run_chars = sum(len(each) + 1 for each in gram)
            self._ends[gram] = last
        return bool(self._period) and self._run >= REPEATS * self._period and self._run_chars >= REPEATED_CHARS


def _shown(text: str) -> str:
    folded = re.sub(r" (?=[^\w\s])", "", " ".join(text.split()))
    return f"“{folded if len(folded) <= 60 else folded[:59] + '…'}”"
