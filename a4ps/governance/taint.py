"""Taint (I13): what a text was made from, as labels that follow it into everything made from it.

    private      the Architect's words, memories and files
    untrusted    text of which nobody vouches that it gives no orders: documents, pages, what a tool read in a folder

A context has the union of the labels of all that is in it, and so has whatever comes out. Labels are only ever added
here; clearing one is the Architect's alone. A label that is not known is kept like the others. Stored as a sorted list
of strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

PRIVATE = "private"
UNTRUSTED = "untrusted"

Taint: TypeAlias = frozenset[str]

#: What the Architect says is private, and trusted.
ARCHITECTS_WORDS: Taint = frozenset({PRIVATE})

#: Of a file in a granted folder: it is the Architect's, and whoever wrote it may have written orders into it.
FILES: Taint = frozenset({PRIVATE, UNTRUSTED})


def union(*sources: Iterable[str]) -> Taint:
    """The labels of what is made from all of `sources`."""
    return frozenset(label for source in sources for label in source)


def is_tainted(taint: Iterable[str]) -> bool:
    """Whether something in it could have been written to lead a model astray."""
    return UNTRUSTED in frozenset(taint)


def could_leak(taint: Iterable[str]) -> bool:
    """Whether what must not leave and what may want it to leave have come together."""
    return {PRIVATE, UNTRUSTED} <= frozenset(taint)


def as_plain(taint: Iterable[str]) -> list[str]:
    """The labels as they are stored."""
    return sorted(frozenset(taint))
