"""The program inside a sandbox. Never run it elsewhere: it ends every process that it can reach, and refuses to begin.

Two processes, made before any foreign code is there. The *worker* reads the job and runs the code. The *supervisor* is
process 1: it alone writes to the host, relays what the worker says and prints, watches memory and output, and ends
everything. It makes a nonce that the worker never had, tells it to the host when it is ready, and marks with it the one
frame that says how the call ended.

    host → worker             the job, then the answers of services
    worker → supervisor       D the exit code of a program that ended
    worker → … → host         S a service asked for     V a value or an error
    supervisor → host         R nonce: ready     O, E a piece of stdout, stderr     X nonce, how it ended

Before the worker runs the code it leaves the call's bounds in memory that both share, starts a clock, and lets go of both.
The supervisor sleeps until there is something to relay, or the clock tells it that the call is no short one and to be
watched: waking it at the beginning would cost a short call a third of its time.

Standard library only, besides `wire`. What the code in here says is its own word and nothing more: in gVisor it can open
the descriptors of process 1 and write to the host itself.
"""

from __future__ import annotations

import ast
import atexit
import gc
import io
import linecache
import mmap
import os
import resource
import select
import signal
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from a4ps.sandbox import wire

NONCE_BYTES = 16
#: Runs of a trivial job before the sandbox is called ready: the first ones pay for pages and imports.
DUMMY_RUNS = 5
DUMMY = """
import sys
def dummy(x, y, *, more):
    print("out")
    print("err", file=sys.stderr)
    return {"a": [x, (y, 10**40), {1, 2}], "b": more}
"""
WORK_DIR = "/tmp"  # noqa: S108 - the sandbox's own, and the only place that can be written to
CODE_FILE = "<code>"
REFUSED = 97
#: Output beyond what is kept that is read and dropped before the call is ended for it.
DROPPED_FACTOR = 64
TEXT_CHARS = 16_384
#: Small enough for the heap: a larger buffer would be mapped and unmapped each time, which gVisor makes slow.
_PIECE = 32_768
_WATCH_S = 0.05
#: Files and folders in /tmp, where its kernel counts them: an empty one costs it 1 kB that no other bound knows of.
TMP_FILES_MAX = 50_000
_NOT_DUMPABLE = (4, 0)  # prctl(PR_SET_DUMPABLE, 0)
_BOUNDS = struct.Struct("QQQ")  # bytes of output, of a frame, of memory
_CLOCK = (1, 0o2004000)  # timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC), the same on x86-64 and AArch64
DUMMY_JOB = wire.encode(
    {
        "mode": "call",
        "source": DUMMY,
        "name": "",
        "args": wire.encode((1, 1.5)),
        "kwargs": wire.encode({"more": [b"", None]}),
        "stdin": b"",
        "files": {},
        "services": ["dummy"],
        "rlimits": (
            ("RLIMIT_NOFILE", 1 << 20),
            ("RLIMIT_CPU", 1 << 20),
            ("RLIMIT_AS", 1 << 50),
            ("RLIMIT_NPROC", 1 << 20),
        ),
        "bounds": (1 << 16, 1 << 16, 1 << 40),
    }
)


def refusal() -> str:
    """Why this is not a sandbox, "" if it is one: process 1 of gVisor, or of a bubblewrap with our filter."""
    if os.getpid() != 1:
        return "not process 1"
    if os.path.exists("/proc/sentry-meminfo"):  # noqa: PTH110 - no pathlib in here: it costs 5 ms
        return ""
    status = dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line)
    if status.get("Seccomp", "").strip() != "2" or status.get("NoNewPrivs", "").strip() != "1":
        return "no filter of system calls"
    if any(int(status.get(name, "1"), 16) for name in ("CapEff", "CapPrm", "CapBnd")):
        return "capabilities"
    if [line for line in _read("/proc/net/dev").splitlines()[2:] if not line.strip().startswith("lo:")]:
        return "a network"
    if os.access("/", os.W_OK) or not os.path.isdir("/a4ps-guest"):  # noqa: PTH112
        return "not our root"
    return ""


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read()


def main() -> None:
    """Supervise one call and end. Exits with REFUSED outside a sandbox."""
    why = refusal()
    if why:
        sys.stderr.write(f"a guest program runs in a sandbox only; this is none: {why}\n")
        sys.exit(REFUSED)
    _be_opaque()
    up_in, up_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    results, out, err, go = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    bounds, clock = mmap.mmap(-1, mmap.PAGESIZE), Clock()
    gc.collect()
    gc.freeze()
    child = os.fork()
    if child == 0:
        for held in (up_out, results[0], out[0], err[0], go[1]):
            os.close(held)
        Worker(up_in, results[1], bounds, clock).run(out[1], err[1], go[0])
    for held in (results[1], out[1], err[1], go[0]):
        os.close(held)
    supervisor = Supervisor(child, up_in, up_out, results[0], bounds, clock, {out[0]: b"O", err[0]: b"E"})
    supervisor.warm_up(go[1])
    os.dup2(null, 2)
    supervisor.run()


def _be_opaque() -> None:
    """Keep processes of our own user from tracing this one and from opening its descriptors, where the kernel can."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(*_NOT_DUMPABLE, 0, 0, 0)


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
            self.output_bytes, self.frame_bytes, self.memory_bytes = _BOUNDS.unpack_from(self.bounds)
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
            signal.setitimer(signal.ITIMER_REAL, _WATCH_S, _WATCH_S)

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


class ServiceError(Exception):
    """A function of the host failed or refused; the text is its own."""


class Worker:
    """The process that runs the code."""

    def __init__(self, jobs: int, results: int, bounds: mmap.mmap, clock: Clock) -> None:
        self.jobs, self.results, self.bounds, self.clock = jobs, results, bounds, clock
        self.pid = os.getpid()
        self.frame_bytes = 1 << 20

    def run(self, out: int, err: int, go: int) -> None:
        """Dummy jobs, one at each byte of `go`, then the one call. Never returns."""
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.chdir(WORK_DIR)
        reading, writing = os.pipe()
        for _ in range(DUMMY_RUNS):
            write_all(writing, wire.frame(DUMMY_JOB))
            os.read(go, 1)
            self._serve(self._begun(read_frame(reading), 0))
        for held in (reading, writing, go):
            os.close(held)
        with suppress(EOFError):
            job = self._begun(read_frame(self.jobs), _WATCH_S)
            self.bounds.close()
            os.close(self.clock.fileno)
            self._serve(job)
            # To end is slow, and nothing waits for it: the host kills the sandbox once it has the answer.
            while True:
                signal.pause()
        os._exit(0)

    def _begun(self, body: bytes, watched_s: float) -> dict[str, Any]:
        """A job's content; the supervisor can know of its bounds, and will once it has lasted `watched_s`."""
        job: dict[str, Any] = wire.decode(body)
        _BOUNDS.pack_into(self.bounds, 0, *job["bounds"])
        self.clock.set(watched_s)
        self.frame_bytes = job["bounds"][1]
        return job

    def _serve(self, job: dict[str, Any]) -> None:
        _give_stdin(job["stdin"])
        _put_files(job["files"])
        _set_limits(job["rlimits"])
        last = self._execute(job) if job["mode"] == "execute" else self._call(job)
        _flush()
        if os.getpid() != self.pid:  # a child that the code forked has no say
            os._exit(wire.decode(last[1:]) if last[:1] == b"D" else 0)
        write_all(self.results, wire.frame(last))

    def _execute(self, job: dict[str, Any]) -> bytes:
        """A program as `python FILE` would run it, to its exit code as a frame."""
        scope = _module("__main__")
        code = 0
        try:
            exec(_compiled(job["source"]), scope)  # noqa: S102 - this is the sandbox
        except SystemExit as asked:
            code = _exit_code(asked)
        except BaseException as error:  # noqa: BLE001 - whatever the code raises is its result
            sys.stderr.write(_described(error, job["source"])[2])
            code = 1
        _finish_threads()
        return b"D" + wire.encode(code)

    def _call(self, job: dict[str, Any]) -> bytes:
        """One function, its value or its error as a frame."""
        scope = _module("sandboxed")
        for name in job["services"]:
            scope[name] = self._service(name)
        try:
            exec(_compiled(job["source"]), scope)  # noqa: S102 - this is the sandbox
            args, kwargs = wire.decode(job["args"]), wire.decode(job["kwargs"])
            value = _function(scope, job)(*args, **kwargs)
            return self._body(b"V", ("value", value), "the result")
        except BaseException as error:  # noqa: BLE001 - whatever the code raises is its result
            return self._body(b"V", ("error", *_described(error, job["source"])), "the error")

    def _service(self, name: str) -> Callable[..., Any]:
        lock = threading.Lock()

        def service(*args: Any, **kwargs: Any) -> Any:
            with lock:
                self._send(b"S", (name, args, kwargs), f"the arguments of {name}")
                good, answer = wire.decode(read_frame(self.jobs))
            if not good:
                raise ServiceError(answer)
            return answer

        service.__name__ = service.__qualname__ = name
        return service

    def _send(self, tag: bytes, value: object, what: str = "the value") -> None:
        write_all(self.results, wire.frame(self._body(tag, value, what)))

    def _body(self, tag: bytes, value: object, what: str) -> bytes:
        body = tag + wire.encode(value, what=what)
        if len(body) > self.frame_bytes:
            raise wire.WireError(f"{what} takes {len(body)} bytes, and {self.frame_bytes} is the limit")
        return body


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _module(name: str) -> dict[str, Any]:
    made = types.ModuleType(name)
    sys.modules[name] = made
    return made.__dict__


def _compiled(source: str) -> types.CodeType:
    linecache.cache[CODE_FILE] = (len(source), None, source.splitlines(keepends=True), CODE_FILE)
    return compile(source, CODE_FILE, "exec", dont_inherit=True)


def _function(scope: dict[str, Any], job: dict[str, Any]) -> Callable[..., Any]:
    """What the job names, else the last function at the top level of its source. Raises NameError."""
    name: str = job["name"]
    if not name:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in ast.parse(job["source"]).body if isinstance(node, kinds)]
        if not found or isinstance(found[-1], ast.AsyncFunctionDef):
            raise NameError(f"the source defines no function{' but one that is async' if found else ''}")
        name = found[-1].name
    if name not in scope:
        raise NameError(f"the source defines no {name}")
    function: Callable[..., Any] = scope[name]
    return function


def _described(error: BaseException, source: str) -> tuple[str, str, str]:
    """Type, message and traceback text, which begins where our own frames end."""
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - a hostile __str__
        message = "(no message)"
    step = error.__traceback__
    while step is not None and step.tb_frame.f_code.co_filename == __file__:
        step = step.tb_next
    try:
        linecache.cache[CODE_FILE] = (len(source), None, source.splitlines(keepends=True), CODE_FILE)
        lines = traceback.format_exception(type(error), error, step)
        text = "".join(lines)
    except BaseException:  # noqa: BLE001 - a hostile exception
        text = f"{type(error).__name__}: {message}\n"
    if len(text) > TEXT_CHARS:
        text = f"{text[: TEXT_CHARS // 2]}\n...\n{text[-TEXT_CHARS // 2 :]}"
    return str(type(error).__name__)[:200], message[:TEXT_CHARS], text


def _exit_code(asked: SystemExit) -> int:
    if asked.code is None or isinstance(asked.code, int):
        return (asked.code or 0) & 0xFF
    print(asked.code, file=sys.stderr)
    return 1


def _finish_threads() -> None:
    """What the interpreter does at its end, without tearing itself down."""
    with suppress(BaseException):
        threading._shutdown()  # type: ignore[attr-defined]
    with suppress(BaseException):
        atexit._run_exitfuncs()


def _put_files(files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        folder = os.path.dirname(name)  # noqa: PTH120
        if folder:
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        with open(name, "wb") as file:  # noqa: PTH123
            file.write(content)


def _give_stdin(content: bytes) -> None:
    if not content:
        return  # /dev/null already
    name = f"{WORK_DIR}/.stdin"
    held = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    os.unlink(name)  # noqa: PTH108
    write_all(held, content)
    os.lseek(held, 0, os.SEEK_SET)
    os.dup2(held, 0)
    os.close(held)
    sys.stdin = io.TextIOWrapper(io.BufferedReader(io.FileIO(0, closefd=False)), encoding="utf-8")


def _set_limits(rlimits: Sequence[tuple[str, int]]) -> None:
    """Hard, so that nothing in here can lift them. Processor time ends with a signal that can be told, then with SIGKILL."""
    for name, value in rlimits:
        soft = value
        hard = value + 1 if name == "RLIMIT_CPU" else value
        which = getattr(resource, name)
        try:
            resource.setrlimit(which, (soft, hard))
        except ValueError:  # above the ceiling that the sandbox was started with
            ceiling = resource.getrlimit(which)[1]
            resource.setrlimit(which, (min(soft, ceiling), min(hard, ceiling)))
