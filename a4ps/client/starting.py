"""Finding the backend of an image, or starting one as a session of its own."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

from a4ps.errors import BackendLost
from a4ps.governance.roles import Role
from a4ps.places import Places
from a4ps.protocol.faults import error_of
from a4ps.protocol.messages import Fault

#: What of Python's arguments makes it this program.
PROGRAM = ("-P", "-m", "a4ps")
#: A backend that was started in passing ends after so long without anybody.
IDLE_EXIT_S = 60.0
#: It has so long to say that it is ready: a damaged image is checked first, an old one migrated.
_READY_S = 600.0


def is_running(places: Places) -> bool:
    """Whether a backend of the image runs; it may not listen yet, or not any more."""
    return is_held(places.backend_lock)


def is_held(lock: Path) -> bool:
    """Whether a backend has its `lock`; False where there is no such file."""
    try:
        fd = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False


async def has_ended(places: Places, pid: int, within_s: float) -> bool:
    """Whether the backend of that process, which was asked to end, has done so within so long. Another may follow."""
    until_s = time.monotonic() + within_s
    while await asyncio.to_thread(_is_running_in, places, pid):
        if time.monotonic() > until_s:
            return False
        await asyncio.sleep(0.02)
    return True


def _is_running_in(places: Places, pid: int) -> bool:
    if not is_running(places):
        return False
    try:
        return int(places.backend_lock.read_text(encoding="ascii")) == pid
    except (OSError, ValueError):  # whoever has just taken the lock is about to write
        return False


def read_token(places: Places, role: Role) -> str:
    """The token of a role, "" where it is not there or not ours to read."""
    try:
        return (places.tokens / f"{role.label}.token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


async def start_backend(places: Places, *, idle_exit_s: float | None = IDLE_EXIT_S) -> None:
    """Start a backend, and return when it, or one that somebody else started meanwhile, is ready.

    It ends by itself after `idle_exit_s` without anybody; with None it stays.

    Raises what kept it from starting, as it said, and `BackendLost` where it said nothing.
    """
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    arguments = [sys.executable, *PROGRAM, "up", "--headless", "--json", "--home", str(places.home)]
    arguments += [] if idle_exit_s is None else ["--idle-exit", f"{idle_exit_s:g}"]
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, theirs, 1),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ]
    try:
        # Not `subprocess`: it would wait for a child, or complain of it, that is meant to outlive us.
        pid = os.posix_spawn(  # noqa: ASYNC221 - it returns as soon as there is a child
            sys.executable, arguments, dict(os.environ), file_actions=actions, setsid=True
        )
    except OSError as error:
        os.close(ours)
        raise BackendLost(f"the backend cannot be started: {error.strerror}", next_step="a4ps up") from error
    finally:
        os.close(theirs)
    try:
        async with asyncio.timeout(_READY_S):
            line = await asyncio.shield(asyncio.to_thread(_first_line, ours))
    except TimeoutError:
        raise BackendLost(f"the backend (process {pid}) is not ready", next_step="a4ps doctor") from None
    _check(line, _reaped(pid, line), places)


def _first_line(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as out:
        return out.readline()


def _reaped(pid: int, line: bytes) -> int:
    """The exit code of a child that says that it has failed, 0 of another. None that has ended stays
    in the list of processes.
    """
    with suppress(ChildProcessError):
        _, status = os.waitpid(pid, 0 if b'"error"' in line or not line else os.WNOHANG)
        return os.waitstatus_to_exitcode(status)
    return 1 if b'"error"' in line else 0


def _check(line: bytes, code: int, places: Places) -> None:
    """Raises what a backend said that did not start."""
    try:
        said = json.loads(line)
    except ValueError:
        raise BackendLost("the backend ended before it was ready", next_step=f"see {places.log}") from None
    failed = said.get("error")
    if failed is None or failed["kind"] == "backend_busy":  # then somebody else's is there, or about to be
        return
    raise error_of(
        Fault(kind=failed["kind"], message=failed["message"], next=failed["next"], log=failed["log"], exit_code=code)
    )


def wait_path(path: Path) -> bool:
    """Whether a socket has its name yet."""
    return path.is_socket()
