"""What the formats of the image were before this one, and how an image of an earlier format becomes one of this.

A migration of the file is dated and described, and changes its tables only: no row is signed anew, so every MAC of the
old image still proves the new one. The old image is copied, the copy is migrated and verified whole and told of it in a
commit of its own (kind `migrated`), the old one keeps a name beside it (`image-format-1.a4ps`), and only then the copy
takes its place; a kill at any instant leaves one of them there, and opening it again goes on.

A row's payload has a format of its own, which is read as it is and written anew by the next change: see content.py.
"""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from a4ps.clock import Clock
from a4ps.errors import DiskFull, IntegrityError, StorageFailed
from a4ps.image.backup import free_name
from a4ps.image.connections import connect_writer, translate
from a4ps.image.exchange import beside, put_in_place, remove_draft
from a4ps.image.image_file import FORMAT, Attached, attach, recognise_format, recognise_tables
from a4ps.image.keys import KeyFolder, Mark
from a4ps.image.rows import Row, pack
from a4ps.image.signed import insert, sign
from a4ps.image.verify import check_chain, check_pages, check_witness

MIGRATED = "migrated"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step: from format `to - 1`, whose tables `schema` made, to format `to`, in the caller's transaction."""

    to: int
    dated: str
    description: str
    schema: str
    apply: Callable[[sqlite3.Connection], None]


_FORMAT_1 = """
CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  format INTEGER NOT NULL,
  image_id BLOB NOT NULL,
  created_at INTEGER NOT NULL,  -- microseconds since 1970, UTC, as every time here
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE commits (
  generation INTEGER PRIMARY KEY,  -- contiguous from 1
  id BLOB NOT NULL,
  at INTEGER NOT NULL,
  author TEXT NOT NULL,
  reason TEXT NOT NULL,
  previous_mac BLOB NOT NULL,
  mac BLOB NOT NULL
) STRICT;

CREATE TABLE rows (
  place INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  salt BLOB NOT NULL,
  mac BLOB NOT NULL,
  body BLOB NOT NULL  -- payload and text, packed by rows.py; last, so that reading the MACs skips long bodies
) STRICT;

CREATE INDEX rows_by_key ON rows (kind, key);
CREATE INDEX rows_by_kind ON rows (kind);
"""


_FORMAT_2_ROWS = (
    """CREATE TABLE rows (
  place INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  at INTEGER NOT NULL,  -- of its commit, or an earlier one where it was taken over from another image
  salt BLOB NOT NULL,
  mac BLOB NOT NULL,
  body BLOB NOT NULL  -- payload and text, packed by rows.py; last, so that reading the MACs skips long bodies
) STRICT""",
    # A row's MAC has always covered the time of its commit, so that very time fills the new column.
    "INSERT INTO rows SELECT place, kind, key, at, salt, r.mac, body "
    "FROM rows_of_format_1 AS r JOIN commits ON generation = place >> 20 ORDER BY place",
    "CREATE INDEX rows_by_key ON rows (kind, key)",
    "CREATE INDEX rows_by_kind ON rows (kind)",
)


def _give_rows_a_time(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE rows RENAME TO rows_of_format_1")
    connection.execute("DROP INDEX rows_by_key")
    connection.execute("DROP INDEX rows_by_kind")
    for statement in _FORMAT_2_ROWS:
        connection.execute(statement)
    connection.execute("DROP TABLE rows_of_format_1")


_FORMAT_2 = _FORMAT_1[: _FORMAT_1.index("CREATE TABLE rows")] + ";\n".join((_FORMAT_2_ROWS[0], *_FORMAT_2_ROWS[2:]))

_FORMAT_3_TOMBSTONES = """CREATE TABLE tombstones (
  generation INTEGER PRIMARY KEY,
  forgotten INTEGER NOT NULL,  -- the commit that forgot them
  mac BLOB NOT NULL
) STRICT"""


def _give_commits_tombstones(connection: sqlite3.Connection) -> None:
    connection.execute(_FORMAT_3_TOMBSTONES)


MIGRATIONS = (
    Migration(
        2,
        "2026-11-30",
        "each row has a time of its own, so that what is taken over from another image keeps its time",
        _FORMAT_1,
        _give_rows_a_time,
    ),
    Migration(
        3,
        "2026-11-30",
        "rows and the words of commits can be forgotten, and what is left of them is signed",
        _FORMAT_2,
        _give_commits_tombstones,
    ),
)


def migrate(path: Path, keys: KeyFolder, clock: Clock) -> None:
    """Make the image at `path`, which is of an earlier format and whose lock is held, one of this format.

    Raises IntegrityError where it is damaged or older than its witness, KeyLost, ImageTooNew, DiskFull, StorageFailed;
    the image is as it was then.
    """
    draft = beside(path, ".migrating")
    remove_draft(draft)
    try:
        came_from = _copied(path, draft)
        steps = upgrade(draft)
        attached = attach(draft, keys)
        with closing(attached.connection):
            tip = _proved(attached, path, keys)
            kept = _name_for(path, came_from)
            _tell(attached, tip, clock, came_from, steps, kept)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        put_in_place(path, draft, kept)
    except sqlite3.Error as error:
        raise translate(error, path, f"bringing the image to format {FORMAT}") from error
    except OSError as error:
        kind = DiskFull if not os.statvfs(path.parent).f_bavail else StorageFailed
        raise kind(
            f"the image {path} cannot be brought to format {FORMAT}: {error.strerror}",
            next_step="free some space beside it, or check the folder's permissions; the image is as it was",
        ) from error
    finally:
        remove_draft(draft)
    _log.warning("%s was of format %d, which is kept in %s", path, came_from, kept)


def upgrade(draft: Path) -> tuple[Migration, ...]:
    """Bring a copy that is nobody's yet to this format, and leave it without a log; returns the steps taken.

    Raises sqlite3.Error, IntegrityError where it is no image, ImageTooNew.
    """
    with closing(connect_writer(draft)) as connection:
        version = recognise_format(connection, draft)
        steps = tuple(step for step in MIGRATIONS if step.to > version)
        for step in steps:
            recognise_tables(connection, draft, step.schema)
            connection.execute("BEGIN IMMEDIATE")
            step.apply(connection)
            connection.execute(f"PRAGMA user_version = {step.to}")
            connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        return steps


def _copied(path: Path, draft: Path) -> int:
    """Copy the image as SQLite sees it, with its log; returns its format."""
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    # Not read-only: such a connection would leave its log behind.
    with closing(connect_writer(path)) as source, closing(connect_writer(draft)) as copy:
        source.backup(copy)
        return recognise_format(copy, path)


def _proved(attached: Attached, path: Path, keys: KeyFolder) -> Mark:
    """Verify every row and that nothing acknowledged is missing; returns the chain's end.

    Raises IntegrityError, in the words of `path`.
    """
    connection = attached.connection
    witness = keys.witness(attached.image_id, attached.seal)
    try:
        check = check_chain(connection, attached.seal, attached.meta_mac, deep=True)
        faults = (*check.faults, *check_pages(connection))
        if faults:
            raise IntegrityError(
                f"the image {path} is damaged and was not brought to format {FORMAT}: {faults[0]}",
                next_step="restore a backup: a4ps image restore FILE",
            )
        check_witness(connection, check.tip, witness)
    finally:
        witness.close()
    return check.tip


def _tell(
    attached: Attached, tip: Mark, clock: Clock, came_from: int, steps: tuple[Migration, ...], kept: Path
) -> None:
    """Record it in the copy itself, so that no image is there without it; the witness hears of it at the opening."""
    told = {
        "from": came_from,
        "steps": [{"to": step.to, "dated": step.dated, "description": step.description} for step in steps],
        "kept": kept.name,
    }
    row = pack(Row(MIGRATED, str(FORMAT), json.dumps(told).encode()))
    reason = f"format {FORMAT}: {'; '.join(step.description for step in steps)}"
    connection = attached.connection
    connection.execute("BEGIN IMMEDIATE")
    insert(connection, [sign(attached.seal, tip, (row,), at=clock.now(), author="package", reason=reason)])
    connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _name_for(path: Path, came_from: int) -> Path:
    """Where the old image is kept: the name of an earlier attempt that was killed, or a free one."""
    wanted = path.with_name(f"{path.stem}-format-{came_from}{path.suffix}")
    if wanted.exists() and wanted.samefile(path):
        wanted.unlink()
        beside(wanted, "-wal").unlink(missing_ok=True)
    return free_name(wanted)
