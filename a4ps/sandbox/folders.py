"""The folder in which one executor keeps what its sandboxes are made of, and how those of dead ones are removed.

All lie in one folder of the user, 0700. An executor's own is locked with `flock` as long as it lives, which the kernel
drops however it dies; the next one to begin removes every folder that nobody holds. Granted folders of the user are
never in it, not even by a link, so removing one removes nothing else.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from a4ps.errors import SandboxUnavailable

_PREFIX = "s"


def base_path() -> Path:
    """Where the user's folder of sandboxes is, or would be."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    parent = Path(runtime) if runtime and os.access(runtime, os.W_OK) else Path(tempfile.gettempdir())
    return parent / f"a4ps-sandboxes-{os.getuid()}"


def base_folder() -> Path:
    """The user's folder of sandboxes, made when it is not there. Raises SandboxUnavailable where it is not ours alone."""
    base = base_path()
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except OSError as error:
        raise SandboxUnavailable(
            f"no folder for sandboxes can be made in {base.parent}: {error.strerror}",
            next_step="free space there, or set TMPDIR",
        ) from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SandboxUnavailable(
            f"{base} is not a folder of this user alone", next_step=f"look at it, then remove it: rm -r {base}"
        )
    return base


class SessionFolder:
    """One executor's folder. `close` removes it with all that is in it."""

    def __init__(self) -> None:
        """Raises SandboxUnavailable."""
        base = base_folder()
        sweep(base)
        try:
            while True:
                self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=base))
                held = _hold(self.path)
                if held is not None:  # None: another one that began swept it away before it was held
                    break
        except OSError as error:
            raise SandboxUnavailable(
                f"no folder for sandboxes can be made in {base}: {error.strerror}", next_step="free space there"
            ) from error
        self._held = held

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


def sweep(base: Path) -> None:
    """Remove the folders of executors that are dead. What cannot be removed stays: it is in nobody's way."""
    for left in base.glob(f"{_PREFIX}*"):
        with suppress(OSError):
            held = _hold(left)
            if held is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(held)


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
