"""Process 1 inside a sandbox: it watches, relays, and ends everything. See `guest`."""

from __future__ import annotations

import mmap
import os
import resource
import select
import signal
from contextlib import suppress

from a4ps.sandbox import wire
from a4ps.sandbox.guest_pipes import BOUNDS, DUMMY_RUNS, NONCE_BYTES, WATCH_S, WORK_DIR, Clock, write_all

#: The exit code of what finds itself outside a sandbox.
REFUSED = 97
#: Output beyond what is kept that is read and dropped before the call is ended for it.
DROPPED_FACTOR = 64
#: Files and folders in /tmp, where its kernel counts them: an empty one costs it 1 kB that no other bound knows of.
TMP_FILES_MAX = 50_000
#: Small enough for the heap: a larger buffer would be mapped and unmapped each time, which gVisor makes slow.
_PIECE = 32_768


class Supervisor:
    """Process 1. `outputs` are the reading ends of the worker's stdout and stderr, with their tags."""

    def __init__(
        self,
        child: int,
        up_in: int,
        up_out: int,
        results: int,
        bounds: mmap.mmap,
        clock: Clock,
        outputs: dict[int, bytes],
    ) -> None:
        self.child, self.up_in, self.up_out, self.results, self.bounds = child, up_in, up_out, results, bounds
        self.clock, self.outputs = clock, outputs
        self.nonce = os.urandom(NONCE_BYTES)
        self.died = -1
        self.warm = self.watching = False
        self.overdrawn = ""
        self._reset()

    def _reset(self) -> None:
        self.kept = dict.fromkeys((b"O", b"E"), 0)
        self.output_bytes = self.frame_bytes = self.memory_bytes = 0
        self.over = self.truncated = False
        self.exit_code: int | None = None
        self.answer = b""
        self.pending = bytearray()

    def warm_up(self, go: int) -> None:
        """Dummy jobs along the whole path. The worker has run nothing but this file yet, so its word is good."""
        self.died, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for source in (*self.outputs, self.results):
            os.set_blocking(source, False)
        self.poll = select.poll()
        self.poll.register(self.up_in, 0)  # only to be told that the host has closed it
        for source in (self.died, self.clock.fileno, self.results, *self.outputs):
            self.poll.register(source, select.POLLIN)
        up_out, self.up_out = self.up_out, os.open(os.devnull, os.O_WRONLY)
        for _ in range(DUMMY_RUNS):
            self._reset()
            os.write(go, b"g")
            self._relay()
        os.close(go)
        os.close(self.up_out)
        self.up_out = up_out
        self._reset()
        signal.signal(signal.SIGALRM, lambda *_: self._watch())
        self.warm = True
        write_all(self.up_out, wire.frame(b"R" + self.nonce))

    def run(self) -> None:
        """The one call."""
        try:
            self._relay()
        except OSError:
            self._kill_all()  # the host is gone
        os._exit(0)

    def _relay(self) -> None:
        """Until the call is over, the host told."""
        while True:
            ready = self.poll.poll()
            # The worker alone could write them, and only before it ran the code.
            self.output_bytes, self.frame_bytes, self.memory_bytes = BOUNDS.unpack_from(self.bounds)
            for source, _ in ready:
                if source == self.results:
                    fault = self._pass_results()
                    if fault or self.over:
                        return self._end(fault)
                elif source == self.died:
                    os.read(self.died, 64)
                    self.exit_code = self._reap()
                    if self.exit_code is not None:
                        return self._end("")
                elif source == self.clock.fileno:
                    self.poll.unregister(source)
                    self._begin_to_watch()
                elif source == self.up_in:
                    return self._kill_all()
                elif not self._pass_output(source):
                    return self._end("output")

    def _pass_output(self, source: int) -> bool:
        """One piece to the host; False where it has become far too much."""
        try:
            piece = os.read(source, _PIECE)
        except BlockingIOError:
            return True
        if not piece:
            self.poll.unregister(source)
            del self.outputs[source]
            return True
        tag = self.outputs[source]
        self._begin_to_watch()  # before a host that does not read could hold this process up
        room = self.output_bytes - self.kept[tag]
        self.kept[tag] += len(piece)
        if room > 0:
            write_all(self.up_out, wire.frame(tag + piece[:room]))
        if len(piece) > room:
            self.truncated = True
        return self.kept[tag] <= self.output_bytes * DROPPED_FACTOR

    def _pass_results(self) -> str:
        """Whole frames of the worker, until one that ends the call. Returns the limit that was broken, or ""."""
        try:
            piece = os.read(self.results, _PIECE)
        except BlockingIOError:
            return ""
        if not piece:
            with suppress(KeyError):
                self.poll.unregister(self.results)
            return ""
        self.pending += piece
        while not self.over and len(self.pending) >= wire.LENGTH_BYTES:
            end = wire.LENGTH_BYTES + wire.frame_length(bytes(self.pending[: wire.LENGTH_BYTES]))
            if end > self.frame_bytes + wire.LENGTH_BYTES:
                return "frame"
            if len(self.pending) < end:
                break
            framed = bytes(self.pending[:end])
            del self.pending[:end]
            try:
                fault = self._heed(framed)
            except (ValueError, TypeError):
                fault = "protocol"
            if fault:
                return fault
        return ""

    def _heed(self, framed: bytes) -> str:
        """One frame of the worker; "protocol" for one that has no place here."""
        tag, body = framed[wire.LENGTH_BYTES : wire.LENGTH_BYTES + 1], framed[wire.LENGTH_BYTES + 1 :]
        if tag == b"S":
            self._begin_to_watch()
            write_all(self.up_out, framed)
        elif tag == b"V":
            self.over, self.answer = True, framed
        elif tag == b"D":
            self.over, self.exit_code = True, wire.decode(body) & 0xFF
        else:
            return "protocol"
        return ""

    def _end(self, killed_by: str) -> None:
        """Say how it went, after what was still in the pipes. The host, once it knows, ends the sandbox with all in it."""
        killed_by = killed_by or self.overdrawn
        if killed_by:
            self._kill_all()
        while not self.over and not killed_by:  # what a worker that has died had still to say
            before = len(self.pending)
            killed_by = self._pass_results()
            if len(self.pending) == before:
                break
        self._drain()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        code = (self.exit_code or 0) if self.over else self.exit_code
        report = (
            -signal.SIGKILL if killed_by or code is None else code,
            killed_by,
            self.truncated,
            used.ru_utime + used.ru_stime,
        )
        # In one piece, so that the host is woken once.
        write_all(self.up_out, self.answer + wire.frame(b"X" + self.nonce + wire.encode(report)))

    def _drain(self) -> None:
        """What is in the output pipes now."""
        while self.outputs and (ready := select.select([*self.outputs], [], [], 0)[0]):
            if not all(map(self._pass_output, ready)):
                return

    def _reap(self) -> int | None:
        """Collect the dead; the worker's exit status if it is among them."""
        found = None
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if pid == self.child:
                    found = os.waitstatus_to_exitcode(status)
        return found

    def _kill_all(self) -> None:
        if os.getpid() != 1:
            os._exit(REFUSED)
        with suppress(ProcessLookupError, PermissionError):
            os.kill(-1, signal.SIGKILL)
        with suppress(ChildProcessError):
            while True:
                os.waitpid(-1, 0)

    def _begin_to_watch(self) -> None:
        if self.warm and not self.watching:
            self.watching = True
            signal.setitimer(signal.ITIMER_REAL, WATCH_S, WATCH_S)

    def _watch(self) -> None:
        """End what takes too much. At a signal, which also comes while the code keeps this process busy, or waiting."""
        if self.overdrawn:
            return
        try:
            if self._memory() > self.memory_bytes:
                self.overdrawn = "memory"
            elif (found := os.statvfs(WORK_DIR)).f_files - found.f_ffree > TMP_FILES_MAX:
                self.overdrawn = "files"
            if self.overdrawn and os.getpid() == 1:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(-1, signal.SIGKILL)
        except BaseException:  # noqa: BLE001 - such as for want of descriptors: the code can take them from us
            os._exit(1)

    def _memory(self) -> int:
        """Resident bytes of all processes but this one."""
        pages = 0
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdigit() and name != "1":
                with suppress(OSError, IndexError, ValueError):
                    # Not `open`: at a signal no codec can be imported.
                    source = os.open(f"/proc/{name}/statm", os.O_RDONLY)
                    try:
                        pages += int(os.read(source, 256).split()[1])
                    finally:
                        os.close(source)
        return pages * resource.getpagesize()
