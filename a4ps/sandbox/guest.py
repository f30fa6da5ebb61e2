"""The program inside a sandbox. Never run it elsewhere: it ends every process that it can reach, and refuses to begin.

Two processes, made before any foreign code is there. The *supervisor* is process 1: it alone has the pipes to the host,
hands a job on, relays what comes back, watches memory and output, and ends everything. The *worker* runs the code. It
never held the host's pipes, nor the call's nonce, which marks the one frame that says how the call ended.

    host → supervisor   J nonce, bounds     then frames for the worker, passed on as they are
    worker → host       S a service asked for     V a value or an error
    supervisor → host   R ready     O, E a piece of stdout, stderr     X nonce, how it ended

Standard library only, besides `wire`. What the code in here says is its own word and nothing more.
"""

from __future__ import annotations

import ast
import atexit
import gc
import io
import linecache
import os
import resource
import select
import signal
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
_PIECE = 65_536
_WATCH_S = 0.05
#: Files and folders in /tmp, where its kernel counts them: an empty one costs it 1 kB that no other bound knows of.
TMP_FILES_MAX = 50_000
_NOT_DUMPABLE = (4, 0)  # prctl(PR_SET_DUMPABLE, 0)
DUMMY_JOB = wire.encode(
    {
        "mode": "call",
        "source": DUMMY,
        "name": "",
        "args": (1, 1.5),
        "kwargs": {"more": [b"", None]},
        "stdin": b"",
        "files": {},
        "services": ["dummy"],
        "rlimits": (
            ("RLIMIT_NOFILE", 1 << 20),
            ("RLIMIT_CPU", 1 << 20),
            ("RLIMIT_AS", 1 << 50),
            ("RLIMIT_NPROC", 1 << 20),
        ),
        "frame_bytes": 1 << 16,
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
    jobs, results, out, err = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    gc.collect()
    gc.freeze()
    child = os.fork()
    if child == 0:
        for held in (up_in, up_out, jobs[1], results[0], out[0], err[0]):
            os.close(held)
        Worker(jobs[0], results[1]).run(out[1], err[1])
    for held in (jobs[0], results[1], out[1], err[1]):
        os.close(held)
    supervisor = Supervisor(child, up_in, up_out, jobs[1], results[0], {out[0]: b"O", err[0]: b"E"})
    supervisor.warm_up()
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


class Supervisor:
    """Process 1. `outputs` are the reading ends of the worker's stdout and stderr, with their tags."""

    def __init__(self, child: int, up_in: int, up_out: int, jobs: int, results: int, outputs: dict[int, bytes]) -> None:
        self.child, self.up_in, self.up_out, self.jobs, self.results = child, up_in, up_out, jobs, results
        self.outputs = outputs
        self.nonce = b""
        self.kept = dict.fromkeys(outputs.values(), 0)
        self.output_bytes = self.frame_bytes = self.memory_bytes = 0
        self.truncated = False
        self.answered = False
        self.died = -1
        self.pending = bytearray()
        self.overdrawn = ""

    def warm_up(self) -> None:
        """Dummy jobs along the whole path. The worker has run nothing but this file yet, so its word is good."""
        self.died, woken = os.pipe()
        os.set_blocking(woken, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        for source in (*self.outputs, self.results):
            os.set_blocking(source, False)
        up_out, self.up_out = self.up_out, os.open(os.devnull, os.O_WRONLY)
        for _ in range(DUMMY_RUNS):
            self._begin(b"J" + bytes(NONCE_BYTES) + wire.encode((1 << 16, 1 << 16, 1 << 40)), DUMMY_JOB)
        os.close(self.up_out)
        self.up_out = up_out
        signal.signal(signal.SIGALRM, lambda *_: self._watch())
        write_all(self.up_out, wire.frame(b"R"))

    def run(self) -> None:
        """The one call."""
        try:
            head, job = read_frame(self.up_in), read_frame(self.up_in)
            signal.setitimer(signal.ITIMER_REAL, _WATCH_S, _WATCH_S)
            self._begin(head, job)
        except (EOFError, OSError):
            self._kill_all()  # the host is gone, or has no more to say to us
        os._exit(0)

    def _begin(self, head: bytes, job: bytes) -> None:
        self.nonce = head[1 : 1 + NONCE_BYTES]
        self.output_bytes, self.frame_bytes, self.memory_bytes = wire.decode(head[1 + NONCE_BYTES :])
        self.kept = dict.fromkeys(self.kept, 0)
        self.answered = self.truncated = False
        write_all(self.jobs, wire.frame(job))
        self._relay(self.died)

    def _relay(self, died: int) -> None:
        poll = select.poll()
        for source in (self.up_in, died, self.results, *self.outputs):
            poll.register(source, select.POLLIN)
        while True:
            for source, _ in poll.poll():
                if source == self.up_in:
                    write_all(self.jobs, wire.frame(read_frame(self.up_in)))
                elif source == died:
                    os.read(died, 64)
                    status = self._reap()
                    if status is not None:
                        return self._end("", status)
                elif source == self.results:
                    fault = self._pass_results(poll)
                    if fault or self.answered:
                        return self._end(fault, None if fault else 0)
                elif not self._pass_output(source):
                    return self._end("output")
                elif self.outputs[source] == b"":
                    poll.unregister(source)

    def _pass_output(self, source: int) -> bool:
        """One piece to the host; False where it has become far too much."""
        try:
            piece = os.read(source, _PIECE)
        except BlockingIOError:
            return True
        tag = self.outputs[source]
        if not piece or not tag:
            self.outputs[source] = b""
            return True
        room = self.output_bytes - self.kept[tag]
        self.kept[tag] += len(piece)
        if room > 0:
            write_all(self.up_out, wire.frame(tag + piece[:room]))
        if len(piece) > room:
            self.truncated = True
        return self.kept[tag] <= self.output_bytes * DROPPED_FACTOR

    def _pass_results(self, poll: select.poll | None = None) -> str:
        """Whole frames of the worker to the host, until a value or error. Returns the limit that was broken, or ""."""
        try:
            piece = os.read(self.results, 1 << 20)
        except BlockingIOError:
            return ""
        if not piece:
            if poll is not None:
                poll.unregister(self.results)
            return ""
        self.pending += piece
        while len(self.pending) >= wire.LENGTH_BYTES:
            end = wire.LENGTH_BYTES + wire.frame_length(bytes(self.pending[: wire.LENGTH_BYTES]))
            if end > self.frame_bytes + wire.LENGTH_BYTES:
                return "frame"
            if len(self.pending) < end:
                break
            body = bytes(self.pending[wire.LENGTH_BYTES : end])
            del self.pending[:end]
            if body[:1] == b"V":
                self._drain()
                self.answered = True
            elif body[:1] != b"S":
                return "protocol"
            write_all(self.up_out, wire.frame(body))
            if self.answered:
                break
        return ""

    def _end(self, killed_by: str, status: int | None = None) -> None:
        """Say how it went, after what was still in the pipes. The host, once it knows, ends the sandbox with all in it."""
        killed_by = killed_by or self.overdrawn
        if killed_by:
            self._kill_all()
        while not self.answered and not killed_by:
            before = len(self.pending)
            killed_by = self._pass_results()
            if len(self.pending) == before:
                break
        self._drain()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        report = (
            -signal.SIGKILL if status is None else status,
            killed_by,
            self.truncated,
            used.ru_utime + used.ru_stime,
        )
        write_all(self.up_out, wire.frame(b"X" + self.nonce + wire.encode(report)))

    def _drain(self) -> None:
        """What is in the output pipes now."""
        for source in self.outputs:
            while self.outputs[source] and select.select([source], [], [], 0)[0] and self._pass_output(source):
                pass

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

    def __init__(self, jobs: int, results: int) -> None:
        self.jobs, self.results = jobs, results
        self.pid = os.getpid()
        self.frame_bytes = 1 << 20

    def run(self, out: int, err: int) -> None:
        """Never returns."""
        os.setsid()
        os.dup2(out, 1)
        os.dup2(err, 2)
        os.close(out)
        os.close(err)
        sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
        os.chdir(WORK_DIR)
        while True:
            try:
                job = wire.decode(read_frame(self.jobs))
            except EOFError:
                os._exit(0)
            self.frame_bytes = job["frame_bytes"]
            _give_stdin(job["stdin"])
            _put_files(job["files"])
            _set_limits(job["rlimits"])
            code = self._execute(job) if job["mode"] == "execute" else self._call(job)
            _flush()
            if job["source"] != DUMMY:
                os._exit(code)

    def _execute(self, job: dict[str, Any]) -> int:
        """A program as `python FILE` would run it, to its exit code."""
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
        return code

    def _call(self, job: dict[str, Any]) -> int:
        """One function, its value or its error as a frame."""
        scope = _module("sandboxed")
        for name in job["services"]:
            scope[name] = self._service(name)
        try:
            exec(_compiled(job["source"]), scope)  # noqa: S102 - this is the sandbox
            value = scope[job["name"] or _last_function(job["source"])](*job["args"], **job["kwargs"])
            body = self._body(b"V", ("value", value), "the result")
        except BaseException as error:  # noqa: BLE001 - whatever the code raises is its result
            body = self._body(b"V", ("error", *_described(error, job["source"])), "the error")
        _flush()
        if os.getpid() == self.pid:  # a child that the code forked has no say
            write_all(self.results, wire.frame(body))
        return 0

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


def _last_function(source: str) -> str:
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    if not names:
        raise NameError("the source defines no function")
    return names[-1]


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
        ceiling = resource.getrlimit(getattr(resource, name))[1]
        if ceiling != resource.RLIM_INFINITY:
            soft, hard = min(soft, ceiling), min(hard, ceiling)
        resource.setrlimit(getattr(resource, name), (soft, hard))
