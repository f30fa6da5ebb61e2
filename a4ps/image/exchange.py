"""Putting another file in the place of an image, so that a kill at any instant leaves the old one or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from a4ps.image.keys import fsync_folder

_LOGS = ("-wal", "-shm")


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def put_in_place(image: Path, draft: Path, aside: Path | None) -> None:
    """Rename `draft`, one durable file without a log, to `image`, which nobody has open.

    The old image keeps the name `aside` besides, which it may have already, with its log; up to the last rename it is in
    its place as well. Raises OSError.
    """
    if aside is not None:
        log = beside(image, "-wal")
        if log.exists():
            os.link(log, beside(aside, "-wal"))
        if not (aside.exists() and aside.samefile(image)):
            os.link(image, aside)
        fsync_folder(image.parent)
    # SQLite would replay the old image's log into the new one.
    for suffix in _LOGS:
        beside(image, suffix).unlink(missing_ok=True)
    fsync_folder(image.parent)
    draft.rename(image)
    fsync_folder(image.parent)


def remove_draft(draft: Path) -> None:
    """Take away a draft and what SQLite and its opening have put beside it; what cannot be removed stays."""
    for ending in ("", *_LOGS, "-journal", ".lock"):
        with suppress(OSError):
            beside(draft, ending).unlink(missing_ok=True)
