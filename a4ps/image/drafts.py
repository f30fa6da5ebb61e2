"""Where a file is written until it is complete: a folder of its own beside it, which no killed writer leaves for ever.

The folder has the file's disk, so that a finished file can be renamed or linked to its place, and holds all that SQLite
puts beside a database. Its writer has a `flock` on it, which the kernel drops when the writer dies, however it dies; the
next writer in the same place removes every such folder that nobody holds, and never a living one's. Beginning a draft
raises OSError; nothing is left then.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = ".a4ps-draft."
"""What the names of these folders begin with."""


@contextmanager
def draft_of(path: Path) -> Iterator[Path]:
    """A path to write to (an absent file of the name of `path`, in a 0700 folder) for the length of the block.

    What is there at its end is removed; a finished file is renamed or linked to `path` before. The parent of `path` must
    be there.
    """
    sweep(path.parent)
    folder, lock = _begin(path.parent)
    try:
        yield folder / path.name
    finally:
        _remove(folder)
        os.close(lock)


def _begin(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            lock = _hold(folder)
        except OSError:
            _remove(folder)
            raise
        # None: another writer swept it away before it was held.
        if lock is not None:
            return folder, lock


def _hold(folder: Path) -> int | None:
    """The descriptor that holds `folder`, or None where somebody has it or has removed it. Raises OSError."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(held), folder.stat()):
            return held
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError:
        os.close(held)
        raise
    os.close(held)
    return None


def sweep(parent: Path) -> None:
    """Remove what killed writers have left in `parent`. What cannot be removed stays: it is in nobody's way."""
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):
            lock = _hold(left)
            if lock is not None:
                _remove(left)
                os.close(lock)


def _remove(folder: Path) -> None:
    with suppress(OSError):
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
