"""Two texts side by side, their lines matched. Pure."""

from __future__ import annotations

import difflib
from functools import lru_cache
from itertools import zip_longest
from typing import Final

from a4ps.ui.model.blocks import SideBySide

_LINES_MAX: Final = 2_000
"""Matching takes time that grows with the square of the lines; longer texts are laid beside each other as they are."""


def side_by_side(left: str | None, right: str | None, titles: tuple[str, str]) -> SideBySide:
    """Two texts as a block; None has no lines."""
    return SideBySide(titles, _rows(left or "", right or ""))


@lru_cache(maxsize=64)
def _rows(left: str, right: str) -> tuple[tuple[str | None, str | None], ...]:
    old, new = left.splitlines(), right.splitlines()
    if max(len(old), len(new)) > _LINES_MAX:
        return tuple(zip_longest(old, new))
    rows: list[tuple[str | None, str | None]] = []
    for _, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        rows += zip_longest(old[a:b], new[c:d])
    return tuple(rows)
