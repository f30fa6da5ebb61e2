"""Where a text of code may run. Trust belongs to the text itself, named by its SHA-256 (I5, I10).

    sandboxed    in a sandbox, at every call: what everybody's text begins with but the Architect's and the package's
    granted      still in a sandbox, which sees the folders named beside it
    in-process   in this process, which is no sandbox: it may do whatever the user may

A promotion covers one text to the letter, wherever that stands and under whatever name: a text that differs by a byte is
another. Only the Architect promotes, and withdraws by promoting to sandboxed. Not decided here: what a sandbox does with
the folders, and how promotions are kept.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath

from a4ps.errors import PromotionRefused

ARCHITECT = "architect"
TRUSTED_AUTHORS = frozenset({ARCHITECT, "package"})
"""Whose texts run in this process without a promotion."""

_DIGEST = re.compile(r"[0-9a-f]{64}")

#: Letters that are drawn as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


class Level(StrEnum):
    """How far a text is trusted; equal to its name, so "granted" does in its place."""

    SANDBOXED = "sandboxed"
    GRANTED = "granted"
    IN_PROCESS = "in-process"


@dataclass(frozen=True, slots=True)
class Trust:
    """One recorded promotion. Raises PromotionRefused where it cannot be.

    `digest` is that of the text and `text_author` who wrote it; `by`, `reason` and `at` (aware) are of the promotion.
    `folders` are absolute paths, at least one where the level is granted and none elsewhere; those of them that are
    `writable` may be written to, the others only be read. They are names: a sandbox has to see to what a link in them
    leads to.
    """

    digest: str
    level: Level
    folders: tuple[str, ...]
    by: str
    reason: str
    at: datetime
    text_author: str
    writable: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.by != ARCHITECT:
            raise PromotionRefused(
                f"{self.by or 'nobody'} cannot promote a text", next_step="only the architect can: show it to them"
            )
        if not _DIGEST.fullmatch(self.digest):
            raise PromotionRefused(
                f"{ascii(self.digest)[:70]} is no text's digest", next_step="give the method, or its digest"
            )
        if bool(self.folders) != (self.level is Level.GRANTED):
            raise PromotionRefused(
                f"a text that is {self.level} {'takes no folders' if self.folders else 'needs a folder'}",
                next_step='name folders with the level "granted", and only there',
            )
        for folder in self.folders:
            _check_folder(folder)
        if not set(self.writable) <= set(self.folders):
            raise PromotionRefused("a folder is writable that is not granted", next_step="grant it as well")
        if self.at.tzinfo is None:
            raise PromotionRefused("a promotion's time has no time zone", next_step="give an aware time")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a text runs, and which folders it is given there."""

    level: Level
    folders: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()

    @property
    def in_process(self) -> bool:
        return self.level is Level.IN_PROCESS

    def __str__(self) -> str:
        return " ".join((self.level, *(f"{each} (rw)" if each in self.writable else each for each in self.folders)))


def digest_of(text: str) -> str:
    """SHA-256 of the text, hex. Works on broken Unicode as well, which no two texts share."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def hidden_character(text: str) -> str:
    """The first character that makes a text read as something it is not (CVE-2021-42574), "" where there is none.

    Controls (to Python a lone carriage return begins a line), formats, separators of lines, letters without a shape.
    """
    for character in text:
        if character in "\n\t" or " " <= character <= "~":
            continue
        if unicodedata.category(character) in ("Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp") or character in _BLANK:
            return character
    return ""


def need_readable(text: str, level: Level) -> None:
    """Raises PromotionRefused where a text is to run in this process that is not what a reader sees."""
    hidden = hidden_character(text) if level is Level.IN_PROCESS else ""
    if hidden:
        raise PromotionRefused(
            f"the text has characters that a reader does not see, the first of them {hidden!a}",
            next_step="have it written with escapes in their place, then read it again",
        )


def level_named(name: str) -> Level:
    """Raises PromotionRefused where there is no such level."""
    try:
        return Level(name)
    except ValueError:
        raise PromotionRefused(
            f"there is no level {ascii(name)[:40]}", next_step=f"take one of: {', '.join(Level)}"
        ) from None


def needs_promotion(author: str) -> bool:
    """Whether a text by `author` runs in this process only if it was promoted.

    One without an author is its holder's, who is at work in this process.
    """
    return bool(author) and author not in TRUSTED_AUTHORS


def place_of(author: str, text: str, trusts: Mapping[str, Trust]) -> Place:
    """Where a text by `author` runs; `trusts` are the promotions in force, by digest."""
    if not needs_promotion(author):
        return Place(Level.IN_PROCESS)
    return place_of_text(text, trusts)


def place_of_text(text: str, trusts: Mapping[str, Trust]) -> Place:
    """Where a text runs whose author is nothing to go by: in the sandbox unless it was promoted."""
    trust = trusts.get(digest_of(text)) if trusts else None
    return Place(Level.SANDBOXED) if trust is None else Place(trust.level, trust.folders, trust.writable)


def _check_folder(folder: str) -> None:
    path = PurePosixPath(folder)
    printable = all(character >= " " and character != "\x7f" for character in folder)
    if path.parts[:1] != ("/",) or len(path.parts) < 2 or ".." in path.parts or str(path) != folder or not printable:
        raise PromotionRefused(
            f"{ascii(folder)[:70]} cannot be granted",
            next_step="name an absolute folder without .. and other than /",
        )
