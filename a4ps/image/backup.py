"""A copy of an open image by SQLite's own means, checked before it gets its name."""

from __future__ import annotations

import itertools
import os
import sqlite3
from datetime import datetime
from pathlib import Path

from a4ps.errors import CallerError, IntegrityError, StorageFailed
from a4ps.image.connections import connect_writer, translate
from a4ps.image.drafts import draft_of
from a4ps.image.keys import fsync_folder
from a4ps.image.seal import Seal
from a4ps.image.verify import Tell, VerifyReport, check_image, tell_nobody


def copy_image(
    source: sqlite3.Connection, path: Path, seal: Seal, meta_mac: bytes, tell: Tell = tell_nobody
) -> VerifyReport:
    """Copy what `source` sees to `path` and verify it deeply; see `Store.backup`. Raises sqlite3.Error of the source.

    What a killed one left beside `path` is removed.
    """
    path = path.resolve()
    taken = CallerError(f"{path} exists already", next_step="name a file that does not exist")
    if path.exists():
        raise taken
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with draft_of(path) as draft:
            os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            report = _filled(source, draft, seal, meta_mac, tell)
            if report.faults:
                raise IntegrityError(
                    f"the copy of the image is damaged: {report.faults[0]}", next_step="run: a4ps image verify --deep"
                )
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            # A link, unlike a rename, never takes the place of a file that appeared meanwhile.
            try:
                os.link(draft, path)
            except FileExistsError:
                raise taken from None
            draft.unlink()
        fsync_folder(path.parent)
    except OSError as error:
        raise StorageFailed(f"the backup {path} failed: {error.strerror}", next_step="check the disk") from error
    return report


def dated(path: Path, at: datetime) -> Path:
    """A name beside the image `path` that is free, for what it was at the time `at`."""
    return free_name(path.with_name(f"{path.stem}-{at:%Y%m%d-%H%M%S}{path.suffix}"))


def free_name(path: Path) -> Path:
    """`path`, or the first of its numbered names that is free."""
    names = (path.with_name(f"{path.stem}{f'-{n}' if n else ''}{path.suffix}") for n in itertools.count())
    return next(name for name in names if not os.path.lexists(name))


def _filled(source: sqlite3.Connection, draft: Path, seal: Seal, meta_mac: bytes, tell: Tell) -> VerifyReport:
    copy = None
    try:
        copy = connect_writer(draft)
        tell("copying", 0, 0)
        source.backup(copy)
        copy.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        _, report = check_image(copy, seal, meta_mac, (), deep=True, tell=tell)
    except sqlite3.Error as error:
        raise translate(error, draft, "copying the image") from error
    finally:
        if copy is not None:
            copy.close()
    return report
