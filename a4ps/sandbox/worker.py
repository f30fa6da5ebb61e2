"""The process inside a sandbox that runs the code. See `guest`."""

from __future__ import annotations

import ast
import atexit
import io
import linecache
import mmap
import os
import resource
import signal
import sys
import threading
import traceback
import types
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from a4ps.sandbox import wire
from a4ps.sandbox.guest_pipes import BOUNDS, DUMMY_RUNS, WATCH_S, WORK_DIR, Clock, read_frame, write_all

CODE_FILE = "<code>"
TEXT_CHARS = 16_384
DUMMY = """
import sys
def dummy(x, y, *, more):
    print("out")
    print("err", file=sys.stderr)
    return {"a": [x, (y, 10**40), {1, 2}], "b": more}
"""
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


class ServiceError(Exception):
    """A function of the host failed or refused; the text is its own."""


class Worker:
    """Dummy jobs first, then the one call."""

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
            job = self._begun(read_frame(self.jobs), WATCH_S)
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
        BOUNDS.pack_into(self.bounds, 0, *job["bounds"])
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
