"""Forgetting rows and words of an image for good, in one transaction: see tombstones.py for what is left there."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Protocol

from a4ps.image import verify
from a4ps.image.keys import Mark
from a4ps.image.rows import PackedRow, Row, StoredRow, generation_of, ordinal_of, pack, to_us
from a4ps.image.seal import Seal
from a4ps.image.signed import SignedCommit, insert, sign
from a4ps.image.tombstones import FORGOT, Tombstone


class Redaction(Protocol):
    """Says what is to be left of each thing. Called by the writer's thread, in the order of the log; must not block."""

    def row(self, row: StoredRow, text: str) -> PackedRow | None:
        """What is to be left of a row whose searchable text is `text`; None where it stays as it is."""
        ...

    def words(self, author: str, reason: str) -> tuple[str, str]:
        """What is to be left of a commit's author and reason."""
        ...


def forget(
    connection: sqlite3.Connection,
    seal: Seal,
    tip: Mark,
    redaction: Redaction,
    *,
    at: datetime,
    author: str,
    reason: str,
) -> SignedCommit:
    """Put tombstones in place, and the commit that orders them after `tip`, in the caller's transaction.

    The full-text index is the caller's to make anew. Raises IntegrityError where a row or a commit is not what was
    stored, sqlite3.Error.
    """
    generation = tip.generation + 1
    rows = _left_of_rows(connection, seal, redaction)
    words = _left_of_words(connection, seal, redaction)
    order = {"rows": list(rows), "commits": list(words)}
    told = pack(Row(FORGOT, str(generation), json.dumps(order, separators=(",", ":")).encode()))
    done = sign(seal, tip, (told,), at=at, author=author, reason=reason)
    insert(connection, [done])
    for place, (mac, left) in rows.items():
        assert left.at_us is not None
        which = (generation_of(place), ordinal_of(place), left.at_us, left.kind, left.key, mac)
        tombstone = Tombstone(generation, seal.forgotten_row(*which, generation, left.body))
        connection.execute(
            "UPDATE rows SET kind = ?, key = ?, salt = ?, body = ? WHERE place = ?",
            (left.kind, left.key, tombstone.packed(), left.body, place),
        )
    for number, (found, author_left, reason_left) in words.items():
        stands = seal.forgotten_words(
            generation,
            found.mac,
            found.previous_mac,
            number,
            found.id,
            found.at_us,
            author_left,
            reason_left,
            verify.row_macs(connection, number),
        )
        connection.execute(
            "UPDATE commits SET author = ?, reason = ? WHERE generation = ?", (author_left, reason_left, number)
        )
        connection.execute("INSERT OR REPLACE INTO tombstones VALUES (?, ?, ?)", (number, generation, stands))
    return done


def _left_of_rows(
    connection: sqlite3.Connection, seal: Seal, redaction: Redaction
) -> dict[int, tuple[bytes, PackedRow]]:
    """By place: the MAC of each row that is to be forgotten, and what is to be left of it, with its time."""
    left: dict[int, tuple[bytes, PackedRow]] = {}
    for found in connection.execute("SELECT place, kind, key, salt, mac, body, at FROM rows ORDER BY place"):
        row, text = verify.verified_row(seal, found)
        rest = redaction.row(row, text)
        if rest is not None:
            timed = PackedRow(rest.kind, rest.key, rest.body, rest.text, to_us(row.at))
            left[row.place] = found[4], timed
    return left


def _left_of_words(
    connection: sqlite3.Connection, seal: Seal, redaction: Redaction
) -> dict[int, tuple[verify.FoundCommit, str, str]]:
    left: dict[int, tuple[verify.FoundCommit, str, str]] = {}
    for commit in verify.commits_from(connection, 1):
        words = verify.verified_commit(connection, seal, commit)
        author, reason = redaction.words(words.author, words.reason)
        if (author, reason) != (words.author, words.reason):
            assert isinstance(commit, verify.FoundCommit)
            left[commit.generation] = commit, author, reason
    return left
