"""Putting a backup in the place of an image, which may be damaged, older than its witness, or gone.

First the image is opened, where it opens, so that its log is written back into it, and what an earlier restore that was
killed has left is finished. Then all is prepared beside it: a copy of the backup is opened, every row of it verified, and
the act recorded in it as a commit; its witness waits beside the image's. Then the old image gets a second, dated name, its
log is taken out of the way, and the copy is renamed into its place, and last its witness. A kill between these steps
leaves the old image or the restored one, whole and open to all: where the restored one lacks its witness yet, opening
finds the one that waits (`Witness.adopt`). Only an old image that is damaged, and so did not open before either, may lie
there without its log, which its dated name has then.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from a4ps.clock import Clock
from a4ps.errors import A4PSError, CallerError, DiskFull, IntegrityError, StorageFailed
from a4ps.image.backup import dated
from a4ps.image.connections import translate
from a4ps.image.drafts import draft_of
from a4ps.image.exchange import beside, put_in_place
from a4ps.image.keys import WAITING_SUFFIX, KeyFolder, Witness, fsync_folder
from a4ps.image.lock import OwnerLock
from a4ps.image.migrations import upgrade
from a4ps.image.rows import Row
from a4ps.image.seal import Seal
from a4ps.image.store import Store
from a4ps.image.transfer import RESTORED
from a4ps.image.verify import VerifyReport
from a4ps.image.writer import Writer


@dataclass(frozen=True, slots=True)
class Restored:
    """What was verified, and where the image that was there before is kept (None where there was none)."""

    report: VerifyReport
    aside: Path | None


def restore(image: Path, backup: Path, keys: KeyFolder, clock: Clock, *, author: str, reason: str = "") -> Restored:
    """Make a verified copy of `backup` the image, and its newest commit the one that the witness attests.

    Raises ImageHeld while somebody has the image; CallerError where there is no such backup; IntegrityError where it is
    damaged or no image, KeyLost, ImageTooNew, DiskFull, StorageFailed. Nothing has changed then, unless StorageFailed
    names the step of the exchange that failed.
    """
    need_backup(image, backup)
    image, backup = image.resolve(), backup.resolve()
    with ExitStack() as undo:
        try:
            image.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            undo.callback(OwnerLock(image).release)
            _settle(image, keys, clock)
            draft = undo.enter_context(draft_of(image))
            _copy(backup, draft)
            fresh = _FreshWitness(keys.path)
            undo.callback(fresh.discard)
            report = _proved(draft, backup, fresh, clock, author, reason or f"restore {backup}")
            fresh.make_durable()
            aside = _aside(image, clock) if image.exists() else None
            put_in_place(image, draft, aside)
            fresh.put_in_place()
        except OSError as error:
            kind = DiskFull if not os.statvfs(image.parent).f_bavail else StorageFailed
            raise kind(
                f"{backup} cannot be restored: {error.strerror}: {error.filename}",
                next_step="check the disk, try again",
            ) from error
    return Restored(report, aside)


def need_backup(image: Path, backup: Path) -> None:
    """Raises CallerError where there is no such file, or it is the image itself."""
    image, backup = image.resolve(), backup.resolve()
    if not backup.is_file() or backup == image:
        what = "is the image itself" if backup == image else "is not there"
        raise CallerError(f"{backup} {what}", next_step="name a backup of the image")


class _FreshWitness(KeyFolder):
    """The same keys, with a witness that knows nothing yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._made: Path | None = None
        self._needed = False

    def witness(self, image_id: bytes, seal: Seal) -> Witness:
        self._made = (self.path / image_id.hex()).with_suffix(WAITING_SUFFIX)
        self._made.unlink(missing_ok=True)
        return Witness(self._made, seal)

    def make_durable(self) -> None:
        """From now on it may be needed by whoever opens the image. Raises OSError."""
        assert self._made is not None
        self._needed = True
        with self._made.open("rb") as file:
            os.fsync(file.fileno())
        fsync_folder(self.path)

    def put_in_place(self) -> None:
        """Raises OSError."""
        assert self._made is not None
        self._made.rename(self._made.with_suffix(".witness"))
        fsync_folder(self.path)

    def discard(self) -> None:
        """Call when no image can need it."""
        if self._made is not None and not self._needed:
            with suppress(OSError):
                self._made.unlink(missing_ok=True)


def _copy(backup: Path, draft: Path) -> None:
    """With its log, where it has one: an image that was kept aside after a crash."""
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    shutil.copyfile(backup, draft)
    log = beside(backup, "-wal")
    if log.exists():
        shutil.copyfile(log, beside(draft, "-wal"))


def _proved(draft: Path, backup: Path, keys: KeyFolder, clock: Clock, author: str, reason: str) -> VerifyReport:
    """Verify every row of the draft, record the act in it, and make it durable as one file."""
    try:
        upgrade(draft)
        with Store.open(draft, keys, clock) as store:
            report = store.verify(deep=True)
            _need_whole(report)
            note = json.dumps({"from": str(backup), "generation": report.generation}).encode()
            store.commit([Row(RESTORED, str(report.generation), note)], author=author, reason=reason)
    except sqlite3.Error as error:
        raise translate(error, backup, "copying the backup") from error
    except IntegrityError as error:
        message = error.message.replace(str(draft), str(backup))
        raise type(error)(
            f"{backup} cannot be restored: {message}", next_step="restore another backup; nothing was changed"
        ) from error
    if beside(draft, "-wal").exists():
        raise StorageFailed(f"the copy {draft} could not be finished", next_step="free some space, try again")
    with draft.open("rb") as file:
        os.fsync(file.fileno())
    return report


def _need_whole(report: VerifyReport) -> None:
    if report.faults:
        raise IntegrityError(f"it is damaged: {report.faults[0]}", next_step="take another backup")


def _settle(image: Path, keys: KeyFolder, clock: Clock) -> None:
    """Have an image that opens need no log, and no witness that waits, whose place is needed; another is left as it is."""
    if image.exists() and (beside(image, "-wal").exists() or any(keys.path.glob(f"*{WAITING_SUFFIX}"))):
        with suppress(A4PSError):
            Writer(image, keys, clock).checkpoint_and_close()


def _aside(image: Path, clock: Clock) -> Path:
    """A dated name for the image: the one that a restore which was cut off has given it already, or a new one."""
    for given in image.parent.glob(f"*{image.suffix}"):
        same_file = os.path.samestat(given.lstat(), image.stat())
        if given != image and same_file and not beside(given, "-wal").exists():
            return given
    return dated(image, clock.now())
