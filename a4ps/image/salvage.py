"""Bringing home what an image file still holds when its signature is worth nothing: key lost, file damaged or foreign.

A copy of the file is read by another process, in which time and memory are limited (unverified.py). What it found comes
back as a text export and is taken over as any other: methods arrive unpromoted, opaque values stay closed, and what a
stranger may not bring is refused.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from a4ps.clock import Clock
from a4ps.errors import A4PSError, CallerError, DiskFull, ImageTooNew, IntegrityError, StorageFailed
from a4ps.image.backup import dated
from a4ps.image.exchange import beside, put_in_place
from a4ps.image.keys import KeyFolder, make_folder
from a4ps.image.lock import OwnerLock
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.snapshot import PortableImage
from a4ps.image.store import Store
from a4ps.image.text_export import import_text
from a4ps.image.turns import TURN_KINDS
from a4ps.image.unverified import EXPORT, REPORT, Found

_log = logging.getLogger(__name__)

WORKPLACE: Final = ".salvage-"
"""What the names of the folders begin with that a file is read in."""

_MAGIC = b"SQLite format 3\x00"
_PORTABLE = b"A4PSport"
_ANOTHER = "name another file, or restore a backup: a4ps image restore FILE"
_MAX_REPORT_BYTES = 1 << 20
_KINDS: Final = {kind.__name__: kind for kind in (CallerError, DiskFull, ImageTooNew, IntegrityError, StorageFailed)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may take: address space, and time of the clock and of the processor."""

    memory_bytes: int
    deadline_s: float

    @classmethod
    def of(cls, file_bytes: int) -> Limits:
        """Many times what a file of that size has been seen to need."""
        return cls((2 << 30) + 8 * file_bytes, 120 + file_bytes / 250_000)


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What came home. `kept` is where the image that was there before is, None where there was none."""

    found: Found
    protos: tuple[str, ...]
    turns: int
    others: int
    kept: Path | None


def salvage(
    image: Path,
    source: Path,
    keys: KeyFolder,
    clock: Clock,
    *,
    author: str,
    limits: Limits | None = None,
    vouch: bool = False,
) -> Salvaged:
    """Make what can be read of the image file `source` the content of `image`, which may be that very file, or absent.

    An image that was there is kept beside it under a dated name: as a verified backup, or, where it is the source, as it
    was. What is read is untrusted unless the Architect vouches for it. Raises ImageHeld; CallerError where there is no such
    file, or where it is whole and its key is here, so that it can be restored with its trust; IntegrityError where nothing
    can be read; ImageTooNew, DiskFull, StorageFailed; and what opening `image` and `ProtoManager.become` raise. Nothing has
    changed then, except that a source which was the image itself may already have its dated name.
    """
    image, source = image.resolve(), source.resolve()
    need_file(source)
    reason = f"salvage {source}"
    try:
        make_folder(image.parent)
        with ExitStack() as undo:
            undo.callback(OwnerLock(image).release)
            place = undo.enter_context(_workplace(image.parent))
            copy = place / "image.a4ps"
            _copy(source, copy, locked=source == image)
            found = _read_apart(source, copy, place, limits or Limits.of(copy.stat().st_size))
            _need_lost(source, copy, place, found, keys, clock)
            content = replace(_imported(source, place), foreign=not vouch)
            kept = None
            if source == image:
                # It cannot be opened to become anything, so another one is made and put in its place.
                draft = place / "new.a4ps"
                _become(draft, content, keys, clock, author, reason)
                _need_finished(draft)
                kept = dated(image, clock.now())
                put_in_place(image, draft, kept)
        if source != image:
            kept = _become(image, content, keys, clock, author, reason)
    except OSError as error:
        kind = DiskFull if not os.statvfs(image.parent).f_bavail else StorageFailed
        raise kind(
            f"{source} cannot be salvaged: {error.strerror}: {error.filename}", next_step="check the disk, try again"
        ) from error
    asked = sum(record.kind == "turn" for record in content.records)
    others = sum(record.kind not in TURN_KINDS for record in content.records)
    return Salvaged(found, tuple(sorted(content.protos)), asked, others, kept)


def _become(
    image: Path, content: PortableImage, keys: KeyFolder, clock: Clock, author: str, reason: str
) -> Path | None:
    with ProtoManager.open(image, keys=keys, clock=clock) as manager:
        return manager.become(content, author=author, reason=reason)


def _need_finished(draft: Path) -> None:
    """Make a closed image durable as one file. Raises StorageFailed, OSError."""
    if beside(draft, "-wal").exists():
        raise StorageFailed(f"the new image {draft} could not be finished", next_step="free some space, try again")
    with draft.open("rb") as file:
        os.fsync(file.fileno())


def need_file(source: Path) -> None:
    """Raises CallerError, IntegrityError, StorageFailed where `source` is no file that could be an image."""
    if not source.is_file():
        what = "is a folder" if source.is_dir() else "is not there"
        raise CallerError(f"{source} {what}", next_step="name the file of an image")
    try:
        with source.open("rb") as file:
            head = file.read(len(_MAGIC))
    except OSError as error:
        raise StorageFailed(f"{source} cannot be read: {error.strerror}", next_step="check its permissions") from error
    if head.startswith(_PORTABLE):
        raise IntegrityError(
            f"{source} was made by `image save` and can be read with its key only",
            next_step="where it was made: a4ps image export FOLDER; and here: a4ps image import FOLDER",
        )
    if head != _MAGIC:
        what = "is not an image" if head else "is empty"
        raise IntegrityError(f"{source} {what}", next_step=_ANOTHER)


@contextmanager
def _workplace(home: Path) -> Iterator[Path]:
    """A folder beside the image, whose lock is held: what a salvage that was killed left there is nobody's."""
    for left in home.glob(f"{WORKPLACE}*"):
        shutil.rmtree(left, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=WORKPLACE, dir=home))
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _copy(source: Path, copy: Path, *, locked: bool) -> None:
    """With its log, where it has one. Raises ImageHeld where somebody has it open, OSError."""
    with ExitStack() as undo:
        if not locked and beside(source, ".lock").exists():
            # On a disk that cannot be written, nobody has it open.
            with suppress(StorageFailed):
                undo.callback(OwnerLock(source).release)
        for suffix in ("", "-wal"):
            if beside(source, suffix).exists():
                shutil.copyfile(beside(source, suffix), beside(copy, suffix))
                beside(copy, suffix).chmod(0o600)


def _read_apart(source: Path, copy: Path, place: Path, limits: Limits) -> Found:
    """Have the copy read by a process of its own. Raises what that reports, IntegrityError where it does not end well."""
    root = str(Path(__file__).parents[2])
    start = "import sys; sys.path.append(sys.argv[1]); from a4ps.image.unverified import main; main(*sys.argv[2:])"
    figures = (str(limits.memory_bytes), str(max(1, int(limits.deadline_s))))
    with (place / "stderr").open("w+b") as told:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", start, root, str(copy), str(place), *figures],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
            cwd=place,
            # numpy's own threads would each ask for memory.
            env={"LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        )
        try:
            code = process.wait(limits.deadline_s)
        except subprocess.TimeoutExpired:
            raise IntegrityError(
                f"reading {source} took longer than {limits.deadline_s:.0f} s", next_step=_ANOTHER
            ) from None
        finally:
            process.kill()
            process.wait()
        if code != 0:
            told.seek(max(0, told.seek(0, os.SEEK_END) - 4000))
            _log.error("reading %s ended with %d: %s", source, code, told.read().decode("utf-8", "replace"))
            raise IntegrityError(f"{source} cannot be read: reading it broke off ({code})", next_step=_ANOTHER)
    with (place / REPORT).open("rb") as file:
        report: dict[str, Any] = json.loads(file.read(_MAX_REPORT_BYTES))
    if "error" in report:
        error = report["error"]
        message = str(error["message"]).replace(str(copy), str(source))
        raise _KINDS.get(error["kind"], IntegrityError)(message, next_step=str(error["next_step"] or _ANOTHER))
    found = report["found"]
    return Found(
        str(found["image_id"]), int(found["rows"]), int(found["skipped"]), tuple(str(note) for note in found["notes"])
    )


def _need_lost(source: Path, copy: Path, place: Path, found: Found, keys: KeyFolder, clock: Clock) -> None:
    """Raises CallerError where the copy is whole and its key is here: salvaging it would only lose trust."""
    key = keys.path / f"{found.image_id}.key"
    if not found.image_id or not key.is_file():
        return
    # A link, so that the key is in no second place; and no witness, since an old backup is whole as well.
    lent = place / "keys"
    lent.mkdir(0o700)
    (lent / key.name).symlink_to(key.resolve())
    try:
        with Store.open(copy, KeyFolder(lent), clock) as store:
            whole = not store.verify(deep=True).faults
    except A4PSError:
        whole = False
    if whole:
        raise CallerError(
            f"{source} is whole and its key is here, so there is nothing to salvage",
            next_step="a4ps image restore FILE, or, if it is the image itself: a4ps image verify --deep",
        )


def _imported(source: Path, place: Path) -> PortableImage:
    try:
        return import_text(place / EXPORT)
    except CallerError as error:
        message = error.message.replace(str(place / EXPORT), str(source))
        raise IntegrityError(f"what {source} holds cannot be taken over: {message}", next_step=_ANOTHER) from error
