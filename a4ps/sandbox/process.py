"""One started sandbox as its host sees it: frames in and out with a deadline, and its end.

Whoever starts one must be a thread that lives as long as the sandbox may: the kernel ends it with that thread, and so
with this process, however that dies. `kill` works at any moment, from any thread; `reap` waits and removes its folder.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from a4ps.sandbox import wire
from a4ps.sandbox.guest_pipes import NONCE_BYTES
from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import Layout

_PIECE = 1 << 18
#: A dying sandbox is given this long before it is left to the kernel.
_REAP_S = 10.0
_SAID_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Launch:
    """A command line, and the descriptors that it inherits and that the host closes once it is started.

    `undo` is a command that removes what killing it leaves, where there is such a thing.
    """

    argv: Sequence[str]
    inherits: tuple[int, ...] = ()
    undo: Sequence[str] = ()


class Tier(Protocol):
    """A kind of sandbox. `name` is in every result; `weaker` tells one that a hole in the kernel opens;
    `hazard` what is known to be wrong with this version, "" for nothing.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def weaker(self) -> bool: ...
    @property
    def hazard(self) -> str: ...

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        """How one sandbox is started, which may keep what it likes in `folder`. Called once for each. Raises OSError."""
        ...


class SandboxDied(Exception):
    """The sandbox ended without a word. The text is what it wrote, the middle left out where it is long."""


class TimeIsUp(Exception):
    """The deadline passed while waiting for a sandbox."""


class SandboxProcess:
    """One sandbox. For one thread at a time, but for `kill`."""

    def __init__(self, tier: Tier, limits: Limits, layout: Layout, folder: Path) -> None:
        """Start one in `folder`, which is made for it. Raises OSError; nothing is left then."""
        folder.mkdir(mode=0o700)
        try:
            launch = tier.launch(limits, layout, folder)
            try:
                self._process = subprocess.Popen(
                    launch.argv,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={},
                    cwd="/",
                    pass_fds=launch.inherits,
                    start_new_session=True,
                    bufsize=0,
                )
            finally:
                for held in launch.inherits:
                    os.close(held)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        self.tier, self.limits, self.folder = tier, limits, folder
        self._undo = launch.undo
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._to, self.fileno = self._process.stdin.fileno(), self._process.stdout.fileno()
        os.set_blocking(self._to, False)
        os.set_blocking(self.fileno, False)
        self._inbox = bytearray()
        self._ended = False
        #: Marks the guest's last word; told when it is ready, before it has run anything.
        self.nonce = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ready_nowait(self) -> bool:
        """Whether the guest is ready for its job. Raises SandboxDied, wire.WireError for another word than that."""
        word = self.frame_nowait()
        if word is not None:
            self._heed_ready(word)
        return word is not None

    def wait_ready(self, deadline: float) -> None:
        """Wait until the guest is ready for its job. Raises TimeIsUp, SandboxDied, wire.WireError."""
        self._heed_ready(self.frame(deadline))

    def _heed_ready(self, word: bytes) -> None:
        if word[:1] != b"R" or len(word) != 1 + NONCE_BYTES:
            raise wire.WireError("it said something else than that it is ready")
        self.nonce = word[1:]

    def frame_nowait(self) -> bytes | None:
        """A frame that has arrived whole, else None. Raises SandboxDied, wire.WireError for one that is too long."""
        found = self._taken()
        if found is None and self._fill():
            found = self._taken()
        if found is None and self._ended:
            raise SandboxDied(self._said())
        return found

    def frame(self, deadline: float) -> bytes:
        """The next frame; `deadline` is on time.monotonic. Raises TimeIsUp, SandboxDied, wire.WireError."""
        while True:
            found = self.frame_nowait()
            if found is not None:
                return found
            _wait(self.fileno, select.POLLIN, deadline)

    def send(self, body: bytes, deadline: float) -> None:
        """A frame to the guest, reading meanwhile so that neither waits for the other. Raises TimeIsUp, SandboxDied."""
        view = memoryview(wire.frame(body))
        poll = select.poll()
        poll.register(self._to, select.POLLOUT)
        poll.register(self.fileno, select.POLLIN)
        while view:
            try:
                view = view[os.write(self._to, view) :]
                continue
            except BlockingIOError:
                pass
            except OSError as error:
                raise SandboxDied(self._said()) from error
            left_ms = (deadline - time.monotonic()) * 1000
            if left_ms <= 0:
                raise TimeIsUp
            ready = {source for source, _ in poll.poll(left_ms)}
            if self.fileno in ready and (len(self._inbox) > 2 * self._frame_max or not self._fill()):
                poll.unregister(self.fileno)

    @property
    def _frame_max(self) -> int:
        return self.limits.frame_bytes + 1024

    def _taken(self) -> bytes | None:
        if len(self._inbox) < wire.LENGTH_BYTES:
            return None
        length = wire.frame_length(bytes(self._inbox[: wire.LENGTH_BYTES]))
        if length > max(self._frame_max, 1 << 17):
            raise wire.WireError(f"a frame claims {length} bytes")
        end = wire.LENGTH_BYTES + length
        if len(self._inbox) < end:
            return None
        body = bytes(self._inbox[wire.LENGTH_BYTES : end])
        del self._inbox[:end]
        return body

    def _fill(self) -> bool:
        """Take in what has arrived; False at the end of the stream or where nothing has."""
        try:
            piece = os.read(self.fileno, _PIECE)
        except BlockingIOError:
            return False
        self._ended = not piece
        self._inbox += piece
        return bool(piece)

    def _said(self) -> str:
        """What runsc or bubblewrap itself wrote: a crash of Go names its reason first, others last."""
        assert self._process.stderr is not None
        source = self._process.stderr.fileno()
        os.set_blocking(source, False)
        said = b""
        with suppress(BlockingIOError, OSError):
            while piece := os.read(source, _PIECE):
                said += piece
        if len(said) > 2 * _SAID_BYTES:
            said = said[:_SAID_BYTES] + b" ... " + said[-_SAID_BYTES:]
        return " ".join(said.decode("utf-8", "replace").split())

    def kill(self) -> None:
        """End the sandbox with all that is in it. Returns at once."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """Kill the sandbox and wait until all of it is gone. Any thread may, also while another reads from it."""
        self.kill()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_REAP_S)
        if self._undo:
            with suppress(OSError, subprocess.TimeoutExpired):
                subprocess.run(self._undo, capture_output=True, timeout=_REAP_S, check=False, env={})
        # The processes below it hold the other ends; when those are closed, all are gone. Whose thread this is not may close
        # ours meanwhile: hence a copy.
        with suppress(OSError, ValueError):
            assert self._process.stdout is not None
            copy = os.dup(self._process.stdout.fileno())
            try:
                poll = select.poll()
                poll.register(copy, 0)  # the hang-up is told always
                poll.poll(_REAP_S * 1000)
            finally:
                os.close(copy)

    def reap(self) -> None:
        """Wait until the killed sandbox is gone, and remove its folder. Can be called again."""
        self.end()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _wait(source: int, event: int, deadline: float) -> None:
    left_ms = (deadline - time.monotonic()) * 1000
    if left_ms <= 0:
        raise TimeIsUp
    poll = select.poll()
    poll.register(source, event)
    poll.poll(left_ms)
