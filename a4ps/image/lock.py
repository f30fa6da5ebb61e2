"""Who owns an image: an exclusive `flock` on a separate file beside it, which holds its owner's pid for the message.

A separate file, because SQLite's own locks on the image vanish as soon as anything in this process closes another handle
of it. The kernel drops the lock when its owner dies, however it dies, so there is no stale lock and no unlock command.
The file itself is never removed: a second process could otherwise lock a name that is already gone. `flock` belongs to
the open file, so a child made by `fork` without `exec` shares it and keeps it alive: forking with an open image is not
supported.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from a4ps.errors import ImageHeld, StorageFailed

_NEXT = "end that process (a backend: a4ps down), or wait until it is done"


class OwnerLock:
    """Held from construction to `release`."""

    def __init__(self, image: Path) -> None:
        """Take `<image>.lock` without waiting.

        Raises ImageHeld when another process, or another Store of this one, has it; StorageFailed when the file cannot
        be made. Nothing is left behind by either but the lock file.
        """
        path = image.with_name(image.name + ".lock")
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise StorageFailed(
                f"the lock file {path} cannot be opened: {error.strerror}", next_step="check the folder's permissions"
            ) from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = self._written_pid()
            os.close(self._fd)
            raise _held(image, pid) from None
        except OSError as error:
            os.close(self._fd)
            raise StorageFailed(
                f"the image cannot be locked: {error.strerror}",
                next_step="keep the image on a local disk; some network folders have no locks",
            ) from error
        self._write_pid(f"{os.getpid()}\n")

    def release(self) -> None:
        """Give the image up; idempotent."""
        if self._fd < 0:
            return
        self._write_pid("")
        held, self._fd = self._fd, -1
        os.close(held)

    def _written_pid(self) -> int:
        try:
            return int(os.pread(self._fd, 20, 0) or b"0")
        except ValueError:
            return 0

    def _write_pid(self, text: str) -> None:
        # The pid is for a message only: a full disk must not keep anybody from opening or closing an image.
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text.encode(), 0)
        except OSError:
            return


def _held(image: Path, pid: int) -> ImageHeld:
    if pid == os.getpid():
        return ImageHeld(
            f"the image {image} is already open in this process ({pid})",
            pid=pid,
            next_step="use or close the open store",
        )
    if pid == 0:
        return ImageHeld(f"the image {image} is open in another process", pid=0, next_step=_NEXT)
    return ImageHeld(f"the image {image} is open in process {pid}", pid=pid, next_step=_NEXT)
