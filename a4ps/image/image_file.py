"""The file itself: how an image comes into being, and how one is recognised before anything in it is used."""

from __future__ import annotations

import functools
import os
import secrets
import sqlite3
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from a4ps.clock import Clock
from a4ps.errors import DiskFull, ImageTooNew, IntegrityError, StorageFailed
from a4ps.image import search_index
from a4ps.image.connections import connect_writer, translate
from a4ps.image.exchange import beside, remove_draft
from a4ps.image.keys import KeyFolder, fsync_folder, tighten
from a4ps.image.rows import to_us
from a4ps.image.seal import Seal, same

FORMAT = 3
APPLICATION_ID = 0x41345053
"""ASCII "A4PS", in SQLite's header."""

_RESTORE = "restore a backup: a4ps image restore FILE"


@dataclass(frozen=True, slots=True)
class Attached:
    """A recognised image: the writer's connection, which the receiver closes, its seal, and the MAC of its meta row."""

    connection: sqlite3.Connection
    seal: Seal
    image_id: bytes
    meta_mac: bytes


class OlderFormat(IntegrityError):
    """The image was written by an earlier A4PS; `migrations.py` makes it one of this."""


def create(path: Path, keys: KeyFolder, clock: Clock) -> None:
    """Make an empty image at `path`, which does not exist; its lock is held.

    It is built under another name and renamed when complete and durable, its key before it: a kill at any instant leaves
    either no image or one that opens. Raises DiskFull, StorageFailed, or IntegrityError where a log without its image
    lies there, which SQLite would otherwise replay into the new one.
    """
    if beside(path, "-wal").exists():
        raise IntegrityError(f"the image {path} is gone, but its write-ahead log is still there", next_step=_RESTORE)
    draft = beside(path, ".new")
    image_id = secrets.token_bytes(16)
    created_us = to_us(clock.now())
    seal = Seal(keys.create(image_id), image_id)
    try:
        remove_draft(draft)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        connection = connect_writer(draft)
        try:
            connection.execute("PRAGMA synchronous = OFF")  # the finished draft is synced as a whole
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.executescript("BEGIN;" + schema_sql())
            search_index.create(connection)
            connection.execute(
                "INSERT INTO meta VALUES (1, ?, ?, ?, ?)", (FORMAT, image_id, created_us, seal.meta(FORMAT, created_us))
            )
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.rename(path)
        fsync_folder(path.parent)
    except sqlite3.Error as error:
        remove_draft(draft)
        raise translate(error, path, "creating the image") from error
    except OSError as error:
        remove_draft(draft)
        kind = DiskFull if not os.statvfs(path.parent).f_bavail else StorageFailed
        raise kind(f"the image {path} cannot be created: {error.strerror}", next_step="check the folder") from error


def attach(path: Path, keys: KeyFolder) -> Attached:
    """Open the image's connection for writing and make sure that it is one of ours, of a format that we know.

    Raises OlderFormat, IntegrityError (no image, or its frame was changed), KeyLost, ImageTooNew, DiskFull, StorageFailed.
    Nothing in the file is written before it is recognised, apart from SQLite's own recovery.
    """
    if path.exists() and not path.is_file():
        raise IntegrityError(f"{path} is not a file", next_step="name another, or move it away")
    connection = None
    try:
        tighten(path, 0o600)
        connection = connect_writer(path)
        return _recognised(connection, path, keys)
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise translate(error, path, "opening the image") from error
    except OSError as error:
        raise StorageFailed(f"the image {path} cannot be read: {error.strerror}", next_step="check the path") from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise


def recognise_format(connection: sqlite3.Connection, path: Path) -> int:
    """The format that the image says it is in. Raises IntegrityError where it is none, ImageTooNew."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise IntegrityError(f"{path} is not an A4PS image", next_step="name another file, or restore a backup")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > FORMAT:
        raise ImageTooNew(
            f"the image {path} has format {version}; this A4PS knows up to {FORMAT}", next_step="update A4PS"
        )
    return version


def recognise_tables(connection: sqlite3.Connection, path: Path, schema: str) -> None:
    """Raises IntegrityError unless the tables are those of `schema`: a foreign trigger would run inside our statements."""
    if _shape(connection) != _shape_of(schema):
        raise IntegrityError(f"the tables of the image {path} are not those of A4PS", next_step=_RESTORE)


def _recognised(connection: sqlite3.Connection, path: Path, keys: KeyFolder) -> Attached:
    version = recognise_format(connection, path)
    if 0 < version < FORMAT:
        raise OlderFormat(f"the image {path} has format {version}", next_step="open it by its own name")
    recognise_tables(connection, path, schema_sql())
    found = connection.execute("SELECT format, image_id, created_at, mac FROM meta").fetchall()
    if len(found) != 1:
        raise IntegrityError(f"the image {path} does not say which one it is", next_step=_RESTORE)
    made_in, image_id, created_us, mac = found[0]
    if not (
        isinstance(made_in, int)
        and isinstance(image_id, bytes)
        and isinstance(mac, bytes)
        and isinstance(created_us, int)
    ):
        raise IntegrityError(f"the image {path} does not say which one it is", next_step=_RESTORE)
    seal = Seal(keys.load(image_id), image_id)
    if made_in > FORMAT or version != FORMAT or not same(mac, seal.meta(made_in, created_us)):
        raise IntegrityError(f"the head of the image {path} was changed", next_step=_RESTORE)
    if connection.execute("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StorageFailed(f"the disk of {path} cannot hold a write-ahead log", next_step="use a local disk")
    return Attached(connection, seal, image_id, mac)


def _shape(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    """All objects of the schema.

    The full-text index's own tables are compared by name only, since their SQL is SQLite's and changes with it.
    """
    objects = connection.execute("SELECT type, name, sql FROM sqlite_schema").fetchall()
    return frozenset(
        (str(kind), str(name), "" if str(name).startswith(search_index.SHADOW_PREFIX) else str(sql))
        for kind, name, sql in objects
    )


@functools.cache
def _shape_of(schema: str) -> frozenset[tuple[str, str, str]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.executescript(schema)
        search_index.create(connection)
        return _shape(connection)
    finally:
        connection.close()


@functools.cache
def schema_sql() -> str:
    return resources.files("a4ps.image").joinpath("schema.sql").read_text("utf-8")
