"""A llama.cpp worker as its parent sees it: started, spoken with, watched and killed. What is said is `llamacpp`'s affair.

The child gets an environment of its own, a session of its own (Ctrl-C at the terminal is not for it), and a private
folder that is gone as soon as it has loaded. It is always ended by SIGKILL, to the whole session: it has nothing to save.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from a4ps.inference.llamacpp_wire import LENGTH_BYTES, Message, decode, encode, frame_length

_log = logging.getLogger(__name__)

#: Isolated mode: neither the environment nor the current folder decides what the child imports.
CHILD = ("-I", "-m", "a4ps.inference.llamacpp_worker")
#: The one variable that the child keeps: which cards are for it.
KEPT = ("CUDA_VISIBLE_DEVICES",)
_SAID_LINES = 12
_SAID_CHARS = 300
_STDERR_BYTES = 2**16
_PATH = re.compile(r"(?:/[^\s/:\"'<>]+){2,}/?")
#: llama.cpp's time and level before a message.
_STAMP = re.compile(r"^[\d.]+ [A-Z] ")


class WorkerDied(Exception):
    """The process is gone. The text says how, as far as it is known, without paths; `by_us`: it had been killed here."""

    def __init__(self, how: str, *, by_us: bool) -> None:
        super().__init__(how)
        self.by_us = by_us


class Frames:
    """Messages out of a stream of bytes. Cancelled between a frame's length and its body, `next` goes on there."""

    def __init__(self, stream: asyncio.StreamReader) -> None:
        self._stream = stream
        self._length: int | None = None
        self._reading = asyncio.Lock()  # a stream has one reader at a time

    async def next(self) -> Message:
        """Raises `WireError`, or IncompleteReadError at the end of the stream."""
        async with self._reading:
            if self._length is None:
                self._length = frame_length(await self._stream.readexactly(LENGTH_BYTES))
            body = await self._stream.readexactly(self._length)
            self._length = None
        return decode(body)

    async def drop(self) -> None:
        """Read what is left to the end of the stream. Whoever waits for a message hears of the end first."""
        async with self._reading:
            await self._stream.read()


class WorkerProcess:
    """One child. Made by `start`; `kill` ends it at any moment, `ended` waits for that. Not for several tasks at once."""

    def __init__(self, process: Process, folder: tempfile.TemporaryDirectory[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._folder = folder
        self._to, self._frames = process.stdin, Frames(process.stdout)
        self._said: deque[str] = deque(maxlen=_SAID_LINES)
        self._listening = asyncio.create_task(self._listen())
        self._killed = False

    @classmethod
    async def start(cls, environ: Mapping[str, str] = os.environ) -> WorkerProcess:
        """A child that waits for its `Load`. Raises OSError where no process can be made."""
        folder = tempfile.TemporaryDirectory(prefix="a4ps-llama-", ignore_cleanup_errors=True)
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *CHILD,
                str(os.getpid()),
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env={"LC_ALL": "C.UTF-8", **{name: environ[name] for name in KEPT if name in environ}},
                cwd=folder.name,
                start_new_session=True,
                limit=_STDERR_BYTES,
            )
        except BaseException:
            folder.cleanup()
            raise
        return cls(process, folder)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        """By the kernel's word, which comes before the event loop hears of a death."""
        if self._killed or self._process.returncode is not None:
            return False
        try:
            return os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except ChildProcessError:
            return False

    @property
    def crashed(self) -> bool:
        """Whether it has ended by itself."""
        return not self._killed and not self.alive

    def send(self, message: Message) -> None:
        """Queue a message; one to a child that died is lost, and `receive` will say so."""
        with suppress(ConnectionError):
            self._to.write(encode(message))

    async def receive(self) -> Message:
        """The next message. Raises `WorkerDied`, or `WireError` for what is none. Cancelled, it can be called again."""
        try:
            return await self._frames.next()
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            by_us = self._killed
            self.kill()
            raise WorkerDied(await self._obituary(), by_us=by_us) from error

    def tidy(self) -> None:
        """The model is loaded: the child needs its folder no more."""
        self._folder.cleanup()

    def kill(self) -> None:
        """End the child and all that it started. Returns at once."""
        if not self._killed and self._process.returncode is None:
            # Not `self._process.kill()`: that would wait for a dead child behind the back of asyncio's own watcher.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._killed = True

    async def ended(self) -> None:
        """Wait until the killed child is gone, its memory with it."""
        await self._exit_code()
        self._folder.cleanup()
        await asyncio.wait([self._listening])
        self._to.close()

    def memory_bytes(self) -> int:
        """What of the child is in RAM now; 0 where it is gone."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def said(self) -> str:
        """The last lines of stderr as one, paths replaced."""
        lines = (" ".join(_PATH.sub("(a file)", _STAMP.sub("", line)).split()) for line in self._said)
        return "; ".join(line for line in dict.fromkeys(lines) if line)[-_SAID_CHARS:]

    async def _obituary(self) -> str:
        code = await self._exit_code()
        await asyncio.wait([self._listening])
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with {code}"
        said = self.said()
        return f"it ended {how}: {said}" if said else f"it ended {how}"

    async def _exit_code(self) -> int:
        """Of the dead child. asyncio tells it only once all that the child wrote has been read."""
        await self._frames.drop()
        return await self._process.wait()

    async def _listen(self) -> None:
        """Keep the last lines of stderr and log all; the child never waits for a reader."""
        assert self._process.stderr is not None
        while True:
            try:
                line = await self._process.stderr.readline()
            except ValueError:  # a line longer than the limit: its head was dropped
                continue
            if not line:
                return
            text = line.decode(errors="replace").rstrip()
            self._said.append(text)
            _log.info("llama.cpp %d: %s", self.pid, text)
