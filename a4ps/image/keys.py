"""The key folder: the key that signs an image, and the witness that says how far that image had come.

Both live outside the image on purpose. The key must not travel with a copy of the file; the witness must not grow old
together with it. The folder is 0700, its files 0600; anything looser is tightened and logged.
"""

from __future__ import annotations

import errno
import logging
import os
import secrets
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from a4ps.errors import A4PSError, DiskFull, IntegrityError, KeyLost, StorageFailed
from a4ps.image.seal import MAC_BYTES, Seal, same

KEY_BYTES = 32
WAITING_SUFFIX = ".witness-new"
"""Of the witness of an image that a restore is about to put in place."""

_log = logging.getLogger(__name__)
_RECORD = struct.Struct(f">8sQ{MAC_BYTES}s{MAC_BYTES}s")
_MAGIC = b"A4PSwit1"


@dataclass(frozen=True, slots=True)
class Mark:
    """How far an image had come: its newest commit's generation and MAC."""

    generation: int
    mac: bytes


class KeyFolder:
    """One folder with the keys and witnesses of any number of images. Cheap to make; touches the disk when asked."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, image_id: bytes) -> bytes:
        """Make, keep and return a new key; it is on the disk when this returns.

        Raises DiskFull or StorageFailed, and then no key of that name is there.
        """
        key = secrets.token_bytes(KEY_BYTES)
        final = self._key_path(image_id)
        fresh = final.with_suffix(".key-new")
        try:
            self._secure_folder()
            with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
                file.write(key)
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(final)
            fsync_folder(self.path)
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise _world_error(error, f"the key {final} cannot be written") from error
        return key

    def load(self, image_id: bytes) -> bytes:
        """The key of an image. Raises KeyLost when it is not here, IntegrityError when the file is not a key."""
        path = self._key_path(image_id)
        try:
            self._secure_folder()
            key = path.read_bytes()
            tighten(path, 0o600)
        except FileNotFoundError:
            raise KeyLost(
                f"the key of this image, {path.name}, is not in {self.path}",
                next_step="restore the key folder from its backup, or, without one: a4ps image import --salvage FILE",
            ) from None
        except OSError as error:
            raise _world_error(error, f"the key {path} cannot be read") from error
        if len(key) != KEY_BYTES:
            raise IntegrityError(
                f"the key {path} has {len(key)} bytes instead of {KEY_BYTES}",
                next_step="restore the key folder from its backup",
            )
        return key

    def witness(self, image_id: bytes, seal: Seal) -> Witness:
        """The open witness of an image, made when it is absent; the caller closes it. Raises DiskFull, StorageFailed."""
        path = self.path / f"{image_id.hex()}.witness"
        try:
            return Witness(path, seal)
        except OSError as error:
            raise _world_error(error, f"the witness {path} cannot be opened") from error

    def _key_path(self, image_id: bytes) -> Path:
        return self.path / f"{image_id.hex()}.key"

    def _secure_folder(self) -> None:
        make_folder(self.path)
        tighten(self.path, 0o700)


class Witness:
    """A record of fixed size, overwritten in place after each commit and never synced.

    It survives any kill, because the page cache does; after a power cut it may be behind the image, which is harmless.
    One write of 80 bytes at offset 0 cannot be torn by a kill. A record that does not verify is unreadable: a warning.
    Written by the writer's thread only.
    """

    def __init__(self, path: Path, seal: Seal) -> None:
        self.path = path
        self._seal = seal
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        tighten(path, 0o600)

    def read(self) -> Mark | None:
        """The mark, or None when nothing was written yet. Raises ValueError when the record is unreadable."""
        try:
            record = os.pread(self._fd, _RECORD.size, 0)
        except OSError as error:
            raise ValueError(error.strerror) from error
        if not record:
            return None
        return self._mark(record)

    def adopt(self, tip: Mark) -> bool:
        """Whether a restore that was killed after its exchange left a witness of `tip`; this one says so too then."""
        left = self.path.with_suffix(WAITING_SUFFIX)
        try:
            if self._mark(left.read_bytes()) != tip:
                return False
        except (OSError, ValueError):
            return False
        self.write(tip)
        with suppress(OSError):
            left.unlink()
        return True

    def write(self, mark: Mark) -> None:
        """Record `mark`. A failure is logged and otherwise harmless: the commit that it would attest is durable."""
        own_mac = self._seal.witness(mark.generation, mark.mac)
        try:
            os.pwrite(self._fd, _RECORD.pack(_MAGIC, mark.generation, mark.mac, own_mac), 0)
        except OSError as error:
            _log.warning("the witness %s could not be written: %s", self.path, error.strerror)

    def close(self) -> None:
        """Call once."""
        os.close(self._fd)

    def _mark(self, record: bytes) -> Mark:
        """Raises ValueError."""
        if len(record) != _RECORD.size:
            raise ValueError(f"{len(record)} bytes instead of {_RECORD.size}")
        magic, generation, commit_mac, own_mac = _RECORD.unpack(record)
        if magic != _MAGIC or generation >= 1 << 63 or not same(own_mac, self._seal.witness(generation, commit_mac)):
            raise ValueError("its signature is wrong")
        return Mark(generation, commit_mac)


def fsync_folder(path: Path) -> None:
    """Make names that were created or renamed in `path` durable. Raises OSError."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def make_folder(path: Path) -> None:
    """Make a folder and its parents (0700), durably, where they are not there. Raises OSError."""
    for folder in reversed([folder for folder in (path, *path.parents) if not folder.exists()]):
        folder.mkdir(mode=0o700, exist_ok=True)
        fsync_folder(folder.parent)


def tighten(path: Path, mode: int) -> None:
    """Take away what `mode` does not allow, and log that it was needed. Raises OSError."""
    found = path.stat().st_mode & 0o777
    if found & ~mode:
        _log.warning("%s was open to others (%o); set to %o", path, found, mode)
        path.chmod(mode)


def _world_error(error: OSError, message: str) -> A4PSError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(message, next_step="free some space and try again")
    return StorageFailed(f"{message}: {error.strerror}", next_step="check the folder's permissions and its disk")
