"""The port of whatever keeps words of a person, and the list of all who do: so that forgetting reaches every one.

Who adds a place where words are kept (a table, a file, an index) writes a holder for it and adds it where the kernel's
`wiring` makes the list; tests/kernel/test_holders.py fails for a file, a table or a kind of rows that nobody answers for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from a4ps.sought import Sought


@dataclass(frozen=True, slots=True)
class TextPlace:
    """One place as a plan shows it.

    `relation`: it "holds" the words or is the thing, it "derives" from such a thing, or it is only "named": forgetting
    does not touch it, and `next_step` is what the person can do about it.
    """

    holder: str
    where: str
    relation: Literal["holds", "derives", "named"]
    next_step: str = ""


class HolderOfText(Protocol):
    """Called by whoever plans and carries out a forgetting, with the image open and nobody writing to what is held.

    Both raise WorldError where the disk refuses. After a kill both are called again.
    """

    @property
    def name(self) -> str:
        """What it keeps, in a word or two: "chat history"."""
        ...

    def holds_file(self, path: Path) -> bool:
        """Whether this holder answers for what is in the file `path`."""
        ...

    def find(self, sought: Sought) -> Sequence[TextPlace]:
        """Every place here that is to go or to be named. Changes nothing."""
        ...

    def remove(self, sought: Sought) -> None:
        """Take it away from all that `find` finds and does not only name; durable, and nothing where it was done before.

        What is left here holds none of the words in any byte, also in files that were there for a while only.
        """
        ...


class Holders:
    """Those of one home, in the order in which they are to forget; the image comes last, by itself."""

    def __init__(self) -> None:
        self._holders: list[HolderOfText] = []

    def add(self, holder: HolderOfText) -> None:
        self._holders.append(holder)

    def __iter__(self) -> Iterator[HolderOfText]:
        return iter(tuple(self._holders))
