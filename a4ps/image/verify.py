"""Checks of the commit chain: every row's MAC, every commit's MAC, and that none is missing, extra or out of place.

Reading only, but for a witness that a restore left. Damage is reported as sentences, not raised, so that one pass names
all that is wrong.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from a4ps.errors import IntegrityError
from a4ps.image import search_index
from a4ps.image.connections import is_damage, is_worlds
from a4ps.image.keys import Mark, Witness
from a4ps.image.rows import MAX_GENERATION, Commit, StoredRow, from_us, generation_of, ordinal_of, place_of, unpack
from a4ps.image.seal import Seal, same
from a4ps.image.tombstones import Orders, Tombstone

TAIL_COMMITS = 64
_MAX_FAULTS = 50
_TOLD_EVERY = 200

#: Is told how far a longer check or copy is: what is being done, and how much of how much, 0 where that is not known. What
#: it raises ends the work.
Tell: TypeAlias = Callable[[str, int, int], None]


def tell_nobody(label: str, done: int, of: int) -> None:
    """A `Tell` where nobody listens."""


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """What a check found. `faults` are damage; `warnings` are not (a witness that cannot be read, an index rebuilt)."""

    deep: bool
    generation: int
    commits: int
    rows: int
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return not self.faults


@dataclass(slots=True)
class ChainCheck:
    """The result of following the chain: its end, what was counted, what was wrong."""

    tip: Mark
    commits: int = 0
    rows: int = 0
    faults: list[str] = field(default_factory=list)
    texts_missing: bool = False
    orders: Orders = field(default_factory=Orders)


@dataclass(frozen=True, slots=True)
class FoundCommit:
    """A commit as it lies in the image, with the types that it must have; `tombstone` where its words were forgotten."""

    generation: int
    id: bytes
    at_us: int
    author: str
    reason: str
    previous_mac: bytes
    mac: bytes
    tombstone: Tombstone | None

    def is_stored(self, seal: Seal, row_macs: Sequence[bytes]) -> bool:
        """Whether it is what was stored, or what was left of that."""
        parts = (self.previous_mac, self.generation, self.id, self.at_us, self.author, self.reason, row_macs)
        if self.tombstone is None:
            return same(self.mac, seal.commit(*parts))
        return same(self.tombstone.mac, seal.forgotten_words(self.tombstone.forgotten, self.mac, *parts))


def verified_row(seal: Seal, found: tuple[object, ...]) -> tuple[StoredRow, str]:
    """A row and its text out of (place, kind, key, salt, mac, body, at). Raises IntegrityError, before unpacking."""
    place, kind, key, salt, mac, body, at_us = found
    # A flipped bit can turn any column into any type.
    if (
        isinstance(place, int)
        and isinstance(kind, str)
        and isinstance(key, str)
        and isinstance(salt, bytes)
        and isinstance(mac, bytes)
        and isinstance(body, bytes)
        and isinstance(at_us, int)
    ):
        generation, ordinal = generation_of(place), ordinal_of(place)
        stone = Tombstone.of(salt)
        if stone is None:
            stored = same(mac, seal.row(generation, ordinal, at_us, kind, key, salt, body))
        else:
            left = seal.forgotten_row(generation, ordinal, at_us, kind, key, mac, stone.forgotten, body)
            stored = same(stone.mac, left)
        if stored:
            payload, text = unpack(body)
            forgotten = 0 if stone is None else stone.forgotten
            return StoredRow(kind, key, payload, generation, from_us(at_us), ordinal, forgotten), text
    where = f"commit {generation_of(place)}" if isinstance(place, int) else "an unknown commit"
    raise IntegrityError(
        f"a row of {where} ({kind!s:.40} {key!s:.40}) is not what was stored",
        next_step="run: a4ps image verify --deep, then: a4ps image restore FILE",
    )


def check_chain(
    connection: sqlite3.Connection, seal: Seal, meta_mac: bytes, *, deep: bool, tell: Tell = tell_nobody
) -> ChainCheck:
    """Follow the chain from its start (`deep`) or over the last commits. Raises sqlite3.Error."""
    newest = connection.execute("SELECT max(generation) FROM commits").fetchone()[0] or 0
    if newest >= MAX_GENERATION:
        return ChainCheck(Mark(0, meta_mac), faults=[f"commit {newest} cannot be"])
    first = 1 if deep else max(1, newest - TAIL_COMMITS + 1)
    previous = meta_mac
    if first > 1:
        before = connection.execute("SELECT mac FROM commits WHERE generation = ?", (first - 1,)).fetchone()
        previous = before[0] if before and isinstance(before[0], bytes) else b""
    check = ChainCheck(Mark(first - 1, previous))
    for number, found in enumerate(commits_from(connection, first)):
        if number % _TOLD_EVERY == 0:
            tell("commits", number, newest - first + 1)
        _check_commit(connection, seal, check, found)
        if len(check.faults) >= _MAX_FAULTS:
            check.faults.append("there may be more: the check stopped here")
            return check
    _check_strays(connection, check, deep=deep)
    return check


def commits_from(connection: sqlite3.Connection, first: int) -> Iterator[FoundCommit | int]:
    """The commits from `first` on; of one with a column of a wrong type its number. Raises sqlite3.Error."""
    for found in connection.execute(
        "SELECT c.generation, id, at, author, reason, previous_mac, c.mac, t.forgotten, t.mac "
        "FROM commits AS c LEFT JOIN tombstones AS t USING (generation) WHERE c.generation >= ? ORDER BY c.generation",
        (first,),
    ):
        generation, commit_id, at_us, author, reason, previous_mac, mac, forgotten, stands = found
        if (
            isinstance(generation, int)
            and isinstance(commit_id, bytes)
            and isinstance(at_us, int)
            and isinstance(author, str)
            and isinstance(reason, str)
            and isinstance(previous_mac, bytes)
            and isinstance(mac, bytes)
            and ((forgotten is None and stands is None) or (isinstance(forgotten, int) and isinstance(stands, bytes)))
        ):
            stone = None if forgotten is None or stands is None else Tombstone(forgotten, stands)
            yield FoundCommit(generation, commit_id, at_us, author, reason, previous_mac, mac, stone)
        else:
            yield generation


def verified_commit(connection: sqlite3.Connection, seal: Seal, found: FoundCommit | int) -> Commit:
    """Raises IntegrityError where it is not what was stored."""
    if isinstance(found, int) or not found.is_stored(seal, row_macs(connection, found.generation)):
        number = found if isinstance(found, int) else found.generation
        raise IntegrityError(
            f"commit {number} is not what was stored",
            next_step="run: a4ps image verify --deep, then: a4ps image restore FILE",
        )
    return Commit(found.generation, found.id, from_us(found.at_us), found.author, found.reason)


def row_macs(connection: sqlite3.Connection, generation: int) -> list[bytes]:
    """The MACs that the rows of one commit were stored with, in its order. Raises sqlite3.Error."""
    return [row[4] if isinstance(row[4], bytes) else b"" for row in rows_of(connection, generation)]


def _check_commit(connection: sqlite3.Connection, seal: Seal, check: ChainCheck, found: FoundCommit | int) -> None:
    if isinstance(found, int):
        check.faults.append(f"commit {found} has a column of a wrong type")
        return
    generation = found.generation
    if generation != check.tip.generation + 1:
        check.faults.append(f"commits {check.tip.generation + 1} to {generation - 1} are missing")
    elif not same(found.previous_mac, check.tip.mac):
        check.faults.append(f"commit {generation} does not follow the commit before it")
    macs = []
    for ordinal, row in enumerate(rows_of(connection, generation)):
        check.rows += 1
        if row[0] != place_of(generation, ordinal):
            check.faults.append(f"commit {generation} lacks its row {ordinal}")
        try:
            stored, text = verified_row(seal, row)
        except IntegrityError as error:
            check.faults.append(error.message)
        else:
            check.orders.meet(stored)
            check.texts_missing |= bool(text) and not search_index.holds(connection, row[0])
        macs.append(row[4] if isinstance(row[4], bytes) else b"")
    if not found.is_stored(seal, macs):
        check.faults.append(f"commit {generation} is not what was stored")
    if found.tombstone is not None:
        check.orders.words_there[generation] = found.tombstone.forgotten
    check.commits += 1
    check.tip = Mark(generation, found.mac)


def _check_strays(connection: sqlite3.Connection, check: ChainCheck, *, deep: bool) -> None:
    beyond = place_of(check.tip.generation + 1, 0)
    if connection.execute("SELECT 1 FROM rows WHERE place >= ?", (beyond,)).fetchone():
        check.faults.append(f"there are rows of commits after {check.tip.generation}, which are missing")
    if deep:
        rows = connection.execute("SELECT count(*) FROM rows NOT INDEXED").fetchone()[0]
        commits = connection.execute("SELECT count(*) FROM commits").fetchone()[0]
        if (commits, rows) != (check.commits, check.rows):
            check.faults.append(
                f"{commits} commits and {rows} rows are stored, {check.commits} and {check.rows} belong to the chain"
            )
        stray = "SELECT count(*) FROM tombstones WHERE generation NOT IN (SELECT generation FROM commits)"
        if connection.execute(stray).fetchone()[0]:
            check.faults.append("there are tombstones of commits that are missing")
        check.faults += check.orders.faults()


def rows_of(
    connection: sqlite3.Connection, generation: int
) -> Iterator[tuple[int, str, str, bytes, bytes, bytes, int]]:
    """The rows of one commit in order, in the shape that `verified_row` takes."""
    yield from connection.execute(
        "SELECT place, kind, key, salt, mac, body, at FROM rows WHERE place >= ? AND place < ?",
        (place_of(generation, 0), place_of(generation + 1, 0)),
    )


def texts(connection: sqlite3.Connection, seal: Seal) -> Iterator[tuple[int, str]]:
    """Place and text of every row that has a text, verified. Raises IntegrityError, sqlite3.Error."""
    found = connection.execute("SELECT place, kind, key, salt, mac, body, at FROM rows ORDER BY place")
    for row in found:
        _, text = verified_row(seal, row)
        if text:
            yield row[0], text


def check_image(
    connection: sqlite3.Connection,
    seal: Seal,
    meta_mac: bytes,
    warnings: tuple[str, ...],
    *,
    deep: bool,
    tell: Tell = tell_nobody,
) -> tuple[bool, VerifyReport]:
    """Check on one snapshot of the image; also returns whether the full-text index is right (only looked at if `deep`).

    Raises sqlite3.Error only where a fault of the disk and not of the data stops the check.
    """
    connection.execute("BEGIN")
    try:
        index_ok = True
        check = ChainCheck(Mark(0, meta_mac))
        try:
            check = check_chain(connection, seal, meta_mac, deep=deep, tell=tell)
            if deep:
                tell("pages", 0, 0)
                check.faults += check_pages(connection)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            check.faults.append(f"SQLite cannot read on: {error}")
        if deep:
            tell("the full-text index", 0, 0)
            index_ok = _index_matches(connection, seal)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    faults = tuple(dict.fromkeys(check.faults))
    return index_ok, VerifyReport(deep, check.tip.generation, check.commits, check.rows, faults, warnings)


def _index_matches(connection: sqlite3.Connection, seal: Seal) -> bool:
    try:
        return search_index.matches(connection, texts(connection, seal))
    except IntegrityError:
        return True  # the rows are at fault, which the chain has told; there is nothing to compare the index with
    except sqlite3.Error as error:
        if is_worlds(error):
            raise
        return False


def check_pages(connection: sqlite3.Connection) -> list[str]:
    """SQLite's own check of the file: its pages, and that each index agrees with its table. Raises sqlite3.Error."""
    found = connection.execute(f"PRAGMA integrity_check({_MAX_FAULTS})").fetchall()
    return [f"SQLite: {line}" for (line,) in found if line != "ok"]


def check_witness(connection: sqlite3.Connection, tip: Mark, witness: Witness) -> str:
    """Compare the image with its witness; returns a warning or "".

    An image that a restore put in place before it was killed gets the witness that was made for it. Raises
    IntegrityError when the image is older than what was acknowledged, or took another course.
    """
    try:
        mark = witness.read()
    except ValueError as error:
        return f"the witness {witness.path.name} cannot be read ({error}); whether the image is the newest is not known"
    if mark is None:
        if tip.generation == 0:
            return ""
        return f"the witness {witness.path.name} was not there; whether the image is the newest is not known"
    at_mark = connection.execute("SELECT mac FROM commits WHERE generation = ?", (mark.generation,)).fetchone()
    attested = at_mark is not None and isinstance(at_mark[0], bytes) and same(at_mark[0], mark.mac)
    if attested or witness.adopt(tip):
        return ""
    missing = mark.generation - tip.generation
    if missing > 0:
        word = "commit is" if missing == 1 else "commits are"
        raise IntegrityError(
            f"{missing} {word} missing: the image ends at {tip.generation}, {mark.generation} had been acknowledged",
            next_step="restore a backup: a4ps image restore FILE; to keep the older image knowingly, move the witness "
            f"{witness.path} away",
        )
    raise IntegrityError(
        f"commit {mark.generation} of the image is not the one that was acknowledged",
        next_step="restore a backup: a4ps image restore FILE",
    )
