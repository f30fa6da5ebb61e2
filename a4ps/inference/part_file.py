"""A download that is not whole yet: the bytes so far, what is known of the whole, and the lock that keeps others off.

`FILE.part` holds the bytes, `FILE.part.json` a `Whole` and how many bytes were surely on disk when the part was last
closed. The lock is a `flock` on the part itself, so it ends with its process and leaves no file behind.

After a crash, bytes beyond those are used only where the hash of the whole is known, which would betray them. Nothing
here knows of HTTP; every method blocks and is called from a thread.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from a4ps.errors import DiskFull, DownloadHeld, WorldError
from a4ps.inference.local_models import Record, record_path

_MODE = 0o600
_HASH_BYTES = 64 * 2**20


class Whole(BaseModel):
    """What a server said of the file: `validator` for If-Range, "" where it gave none that can be relied on.

    `total_bytes` is 0 and `sha256` "" where unknown.
    """

    model_config = ConfigDict(frozen=True, strict=True)

    url: str
    validator: str
    total_bytes: int
    sha256: str


class _Kept(BaseModel):
    model_config = ConfigDict(strict=True)

    whole: Whole
    synced_bytes: int


class PartFile:
    """The part of the file at `target`, locked until `close`. `whole` is None until a server has described the file."""

    def __init__(self, target: Path) -> None:
        """Open or make the part, quickly. Raises `DownloadHeld` where another download has it, `WorldError`, `DiskFull`.

        Until `hash_more` has returned False, nothing but it and `close` may be called.
        """
        self.target = target
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")
        with _told(self.path):
            target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.fdopen(_locked(self.path), "r+b", buffering=0)
            kept = self._read_note()
            self.whole = kept.whole if kept else None
            usable = 0
            if kept is not None:
                usable = os.fstat(self._file.fileno()).st_size
                usable = usable if kept.whole.sha256 else min(usable, kept.synced_bytes)
            self._file.truncate(usable)
        self._hasher = hashlib.sha256()
        self.size_bytes = usable
        self._open = True

    def hash_more(self) -> bool:
        """Read on in what an earlier download left, 64 MiB at most; whether there is more."""
        with _told(self.path):
            data = self._file.read(_HASH_BYTES)
        self._hasher.update(data)
        return bool(data)

    def restart(self, whole: Whole) -> None:
        """Forget the bytes so far and expect `whole`."""
        with _told(self.path):
            self._file.seek(0)
            self._file.truncate(0)
            self._hasher = hashlib.sha256()
            self.size_bytes = 0
            self.whole = whole
            self._write_note(0)

    def append(self, data: bytes) -> None:
        """Raises `DiskFull` with the part as long as `size_bytes` says, so that it can go on later."""
        with _told(self.path):
            written = 0
            while written < len(data):
                count = self._file.write(memoryview(data)[written:]) or 0
                self._hasher.update(data[written : written + count])
                written += count
                self.size_bytes += count

    def sha256(self) -> str:
        return self._hasher.hexdigest()

    def place(self, record: Record) -> None:
        """Make the part the file it was for, readable by its owner only; durable when this returns. Ends the part."""
        with _told(self.target):
            os.fchmod(self._file.fileno(), _MODE)
            os.fsync(self._file.fileno())
            if self.target.exists():
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            _write(record_path(self.target), record.model_dump_json(indent=1).encode())
            self.path.rename(self.target)
            self._note.unlink(missing_ok=True)
            _sync_folder(self.target.parent)
        self._end()

    def discard(self) -> None:
        """Remove the part: its bytes are of no use. Ends it."""
        with _told(self.path):
            self._note.unlink(missing_ok=True)
            self.path.unlink(missing_ok=True)
        self._end()

    def close(self) -> None:
        """Let others have the part; it stays if it has bytes to go on from. Idempotent."""
        if not self._open:
            return
        try:
            if self.size_bytes and self.whole is not None:
                with _told(self.path):
                    os.fsync(self._file.fileno())
                    self._write_note(self.size_bytes)
            else:
                self.discard()
        finally:
            self._end()

    def _end(self) -> None:
        self._open = False
        self._file.close()

    def _read_note(self) -> _Kept | None:
        try:
            return _Kept.model_validate_json(self._note.read_bytes())
        except (OSError, ValidationError):
            return None

    def _write_note(self, synced: int) -> None:
        assert self.whole is not None
        _write(self._note, _Kept(whole=self.whole, synced_bytes=synced).model_dump_json().encode())


def _locked(path: Path) -> int:
    """The part at `path`, opened and locked. A part that was placed or removed meanwhile is not this one any more."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), path.stat(follow_symlinks=False)):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise DownloadHeld(
                f"{path.name.removesuffix('.part')} is being fetched already, by another command",
                next_step="wait until it is there: a4ps models list",
            ) from None
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, _MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turns what the system refuses into an error that says so."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise disk_full(path.parent) from error
        raise WorldError(f"{path} cannot be written: {error.strerror}", next_step=f"ls -ld {path.parent}") from error


def disk_full(folder: Path, needed_bytes: int = 0, free_bytes: int = 0) -> DiskFull:
    """The error for a disk that cannot take a model; what was fetched of it is kept."""
    what = f": {needed_bytes / 1e9:.1f} GB are needed, {free_bytes / 1e9:.1f} GB are free" if needed_bytes else ""
    return DiskFull(
        f"there is no space for the model in {folder}{what}",
        next_step="free some space and run the same command again; it goes on where it stopped",
    )
