"""A commit as it lies in the image: signed, and in the shape of its tables. For whoever writes one, in a transaction."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from a4ps.image.keys import Mark
from a4ps.image.rows import Commit, PackedRow, from_us, place_of, to_us
from a4ps.image.seal import Seal

_ID_BYTES = _SALT_BYTES = 16


@dataclass(frozen=True, slots=True)
class SignedCommit:
    """`in_commits` and `in_rows` are what goes into the tables of these names; `tip` is the chain's end with it."""

    commit: Commit
    in_commits: tuple[object, ...]
    in_rows: list[tuple[object, ...]]
    tip: Mark


def sign(
    seal: Seal, tip: Mark, packed: tuple[PackedRow, ...], *, at: datetime, author: str, reason: str
) -> SignedCommit:
    """The commit of `packed` that follows `tip`."""
    generation = tip.generation + 1
    at_us = to_us(at)
    random = os.urandom(_ID_BYTES + _SALT_BYTES * len(packed))
    commit_id = random[:_ID_BYTES]
    rows: list[tuple[object, ...]] = []
    macs = []
    for ordinal, row in enumerate(packed):
        salt = random[_ID_BYTES + ordinal * _SALT_BYTES :][:_SALT_BYTES]
        row_us = at_us if row.at_us is None else row.at_us
        mac = seal.row(generation, ordinal, row_us, row.kind, row.key, salt, row.body)
        rows.append((place_of(generation, ordinal), row.kind, row.key, row_us, salt, mac, row.body))
        macs.append(mac)
    mac = seal.commit(tip.mac, generation, commit_id, at_us, author, reason, macs)
    return SignedCommit(
        Commit(generation, commit_id, from_us(at_us), author, reason),
        (generation, commit_id, at_us, author, reason, tip.mac, mac),
        rows,
        Mark(generation, mac),
    )


def insert(connection: sqlite3.Connection, commits: Iterable[SignedCommit]) -> None:
    """Into the caller's transaction. Raises sqlite3.Error, and then some of them may be in it."""
    commits = tuple(commits)
    connection.executemany("INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)", (each.in_commits for each in commits))
    rows = (row for each in commits for row in each.in_rows)
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
