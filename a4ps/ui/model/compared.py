"""Two texts side by side, their lines matched. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from a4ps.ui.model.blocks import SideBySide

_LINES_MAX: Final = 500
"""Matching takes time that may grow with the square of the lines, and a frame has none to lose. Of texts that differ over
more lines than this, those are laid beside each other as they are."""


def side_by_side(left: str | None, right: str | None, titles: tuple[str, str]) -> SideBySide:
    """Two texts as a block; None has no lines."""
    return SideBySide(titles, _rows(left or "", right or ""))


@lru_cache(maxsize=64)
def _rows(left: str, right: str) -> tuple[tuple[str | None, str | None], ...]:
    old, new = left.splitlines(), right.splitlines()
    shortest = min(len(old), len(new))
    begun = next((at for at in range(shortest) if old[at] != new[at]), shortest)
    ended = next((at for at in range(shortest - begun) if old[-1 - at] != new[-1 - at]), shortest - begun)
    rows: list[tuple[str | None, str | None]] = [(line, line) for line in old[:begun]]
    rows += _matched(old[begun : len(old) - ended], new[begun : len(new) - ended])
    rows += [(line, line) for line in old[len(old) - ended :]]
    return tuple(rows)


def _matched(old: list[str], new: list[str]) -> Iterator[tuple[str | None, str | None]]:
    if max(len(old), len(new)) > _LINES_MAX:
        yield from zip_longest(old, new)
        return
    for _, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        yield from zip_longest(old[a:b], new[c:d])
