"""How this process talks to SQLite: the writer's connection, a pool of readers, and what SQLite's errors mean here.

SQLite 3.40 can damage a WAL when two connections write or checkpoint at once (fixed in 3.51.3). So one connection
writes, and readers are opened read-only, which keeps them from checkpointing as well.
"""

from __future__ import annotations

import math
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a4ps.errors import A4PSError, CallerError, DiskFull, IntegrityError, StorageFailed

WAL_CHECKPOINT_PAGES = 1000
WAL_KEPT_BYTES = 4 * 1024 * 1024
_BUSY_S = 5.0
_RESTORE = "run: a4ps image verify --deep; if it finds faults: a4ps image restore FILE"

# Errors that concern one statement's data; after any other one the whole transaction and the connection are suspect.
_ONE_STATEMENT = frozenset({sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH})

# Errors that come from the machine and not from what is stored.
_WORLD = frozenset(
    {
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_PERM,
    }
)


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes, on an existing file. Raises sqlite3.Error."""
    connection = _connect(path, "rw")
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_CHECKPOINT_PAGES}")
        connection.execute(f"PRAGMA journal_size_limit = {WAL_KEPT_BYTES}")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that cannot change the image. Raises sqlite3.Error."""
    return _connect(path, "ro")


class _Connection(sqlite3.Connection):
    """Python's, but damage is always a sqlite3.Error.

    SQLite quotes a damaged schema in its message, and where that is not UTF-8, Python raises UnicodeDecodeError instead.
    """

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        try:
            return super().execute(sql, parameters)
        except UnicodeDecodeError as error:
            damage = sqlite3.DatabaseError("damaged text in the schema")
            damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
            raise damage from error


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_S,
        factory=_Connection,
    )
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.execute("PRAGMA mmap_size = 0")
        connection.execute("PRAGMA temp_store = MEMORY")
        # Here and not where it is used: whatever was prepared before is prepared again after it.
        connection.create_function("word_weight", 1, word_weight, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def word_weight(holders: int) -> float:
    """What a word weighs in a search that so many texts have: the rarer, the more."""
    return math.log(1 + 1e6 / (1 + holders))


def concerns_one_statement(error: sqlite3.Error) -> bool:
    return _code(error) in _ONE_STATEMENT


def is_worlds(error: sqlite3.Error) -> bool:
    return _code(error) in _WORLD


def is_damage(error: sqlite3.Error | MemoryError) -> bool:
    """Whether SQLite met bytes that cannot be: a malformed page, or text that is not UTF-8 (which has no code)."""
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) or "decode" in str(error)


def is_full(error: sqlite3.Error | MemoryError) -> bool:
    """Whether a write met the end of the disk, by SQLite's own word; an fsync that did is an error of input and output."""
    return _code(error) == sqlite3.SQLITE_FULL


def translate(error: sqlite3.Error | MemoryError, path: Path, doing: str) -> A4PSError:
    """What an error of SQLite means to A4PS; `doing` ends the sentence "SQLite failed while …"."""
    code = _code(error)
    if is_damage(error):
        return IntegrityError(f"the image {path} is damaged: {error} while {doing}", next_step=_RESTORE)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _no_space(path)):
        return DiskFull(
            f"no space is left for the image {path}", next_step=f"free some space on the disk of {path.parent}"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StorageFailed(
            f"another program holds the image {path}",
            next_step="close whatever else has the file open, for example sqlite3",
        )
    return StorageFailed(
        f"SQLite failed while {doing}: {error}", next_step=f"check the disk and the permissions of {path.parent}"
    )


def _code(error: sqlite3.Error | MemoryError) -> int:
    # Errors that Python's module raises by itself carry no code, nor does SQLITE_NOMEM, which it makes a MemoryError.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _no_space(path: Path) -> bool:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return False
    return disk.f_bavail == 0


class Readers:
    """Read-only connections, lent to one thread at a time.

    A pool and not one connection a thread: threads come and go, and a connection whose thread has ended could only be
    closed by guessing. The pool never holds more than were in use at once.
    """

    def __init__(self, path: Path) -> None:
        """Opens the first one, which also keeps SQLite's shared memory file in being while the writer reopens.

        Raises sqlite3.Error.
        """
        self._path = path
        self._changed = threading.Condition()
        self._idle: list[sqlite3.Connection] = [connect_reader(path)]
        self._lent = 0
        self._paused = False
        self._closed = False

    @contextmanager
    def lend(self, doing: str) -> Iterator[sqlite3.Connection]:
        """A connection for the length of the block; errors of SQLite leave it translated.

        Raises CallerError after `close`. A connection that failed is closed, not lent again.
        """
        with self._changed:
            self._changed.wait_for(lambda: not self._paused or self._closed)
            if self._closed:
                raise closed_error(self._path)
            connection = self._idle.pop() if self._idle else None
            self._lent += 1
        sound = False
        try:
            connection = connection or connect_reader(self._path)
            yield connection
            sound = True
        except sqlite3.Error as error:
            raise translate(error, self._path, doing) from error
        except A4PSError:
            sound = True
            raise
        finally:
            if connection is not None and (not sound or self._closed):
                connection.close()
                connection = None
            with self._changed:
                self._lent -= 1
                if connection is not None:
                    self._idle.append(connection)
                self._changed.notify_all()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """No reader has the image open during the block: lent ones are waited for, new ones wait."""
        with self._changed:
            self._paused = True
            self._changed.wait_for(lambda: self._lent == 0)
            self._close_idle()
        try:
            yield
        finally:
            with self._changed:
                self._paused = False
                self._changed.notify_all()

    def close(self) -> None:
        """Wait for lent connections, close all; idempotent."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._lent == 0)
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()


def closed_error(path: Path) -> CallerError:
    return CallerError(f"the store of {path} is closed", next_step="open the image again")
