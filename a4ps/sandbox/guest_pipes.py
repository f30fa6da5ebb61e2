"""What the two processes inside a sandbox speak through: pipes, a clock, and bounds in shared memory. See `guest`."""

from __future__ import annotations

import os
import struct

from a4ps.sandbox import wire

NONCE_BYTES = 16
#: Runs of a trivial job before the sandbox is called ready: the first ones pay for pages and imports.
DUMMY_RUNS = 5
#: A call that lasts as long is watched, and each time again after as long.
WATCH_S = 0.05
#: The one place that can be written to.
WORK_DIR = "/tmp"  # noqa: S108 - the sandbox's own
BOUNDS = struct.Struct("QQQ")  # bytes of output, of a frame, of memory
_CLOCK = (1, 0o2004000)  # timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), the same on x86-64 and AArch64


def read_exactly(source: int, size: int) -> bytes:
    """Raises EOFError at the end of the stream."""
    parts = []
    while size:
        piece = os.read(source, min(size, 1 << 20))
        if not piece:
            raise EOFError
        parts.append(piece)
        size -= len(piece)
    return b"".join(parts)


def read_frame(source: int) -> bytes:
    return read_exactly(source, wire.frame_length(read_exactly(source, wire.LENGTH_BYTES)))


def write_all(target: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(target, view) :]


class Clock:
    """A descriptor that becomes readable at its time, for the process that polls it, whichever has set it."""

    def __init__(self) -> None:
        """Raises OSError."""
        import ctypes

        self._libc = ctypes.CDLL(None, use_errno=True)
        self._times = ctypes.c_long * 4  # struct itimerspec: the interval, then the first time, each s and ns
        self.fileno = self._libc.timerfd_create(*_CLOCK)
        if self.fileno < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")

    def set(self, seconds: float) -> None:
        """Once, so many seconds from now; never for 0."""
        self._libc.timerfd_settime(self.fileno, 0, self._times(0, 0, 0, int(seconds * 1e9)), None)
