"""A person's machine in a folder: an empty home, and `a4ps` as they would type it."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import logging
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from a4ps.cli.main import run
from a4ps.log_file import LogFile

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Household:
    """`folder` is the user's home; nothing outside it is touched, but for the run-time folders of its backends.

    The backends that its commands start are ended after each test (`end_backends`, in conftest).
    """

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)
    lived_in: ClassVar[list[Household]] = []

    def __post_init__(self) -> None:
        self.lived_in.append(self)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a fresh account: PATH and a home, what pip was told about its index, and no hub."""
        kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.startswith("PIP_")}
        home = {"HOME": str(self.folder), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        home["XDG_RUNTIME_DIR"] = str(self.run_base.parent)
        # Nothing listens there: no test asks the real hub.
        return {**kept, **home, "A4PS_HUB": "http://127.0.0.1:9", **self.environ}

    @property
    def home(self) -> Path:
        """Where the image is."""
        return self.folder / ".local" / "share" / "a4ps"

    def run(self, *arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        """`a4ps ARGUMENTS` to its end, in this process: the same entry point, without starting Python anew."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        before = dict(os.environ), os.umask(0o022), sys.stdin, sys.stdout, sys.stderr
        logger = logging.getLogger()
        with tempfile.TemporaryFile() as file, open(file.fileno(), encoding="utf-8", closefd=False) as given:
            file.write(data)
            file.seek(0)
            sys.stdin, sys.stdout, sys.stderr = given, out, err
            os.environ.clear()
            os.environ.update(self.env)
            try:
                code = run(list(arguments))
            finally:
                os.environ.clear()
                os.environ.update(before[0])
                os.umask(before[1])
                sys.stdin, sys.stdout, sys.stderr = before[2:]
                for handler in [handler for handler in logger.handlers if isinstance(handler, LogFile)]:
                    handler.close()
                    logger.removeHandler(handler)
        texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
        return subprocess.CompletedProcess(arguments, code, *texts)

    def run_apart(
        self, *arguments: str, stdin: str | bytes = b"", timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """`a4ps ARGUMENTS` to its end, in a process of its own."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(self.command(arguments), input=data, capture_output=True, env=self.env, timeout=timeout_s)
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    def json(self, *arguments: str, stdin: str | bytes = "", expect: int = 0) -> Any:
        """The object that `a4ps ARGUMENTS --json` prints; fails for another exit code or anything else on stdout."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.returncode == expect, done.stdout + done.stderr
        return json.loads(done.stdout)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """`a4ps ARGUMENTS`, left running."""
        return subprocess.Popen(
            self.command(arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            env=self.env,
        )

    def end_backends(self) -> None:
        """End whatever backend its commands have left running, by its process id, and wait until it has ended."""
        for lock in sorted(self.run_base.glob("*/lock")):
            end_backend(lock)
        shutil.rmtree(self.run_base.parent, ignore_errors=True)

    def power_cut(self, *asking: subprocess.Popen[bytes]) -> bytes:
        """Kill commands that run, and the backends, as they stand. Returns what the commands had said, of all together."""
        for command in asking:
            command.kill()
        said = [command.communicate(timeout=30)[0] or b"" for command in asking]
        for lock in sorted(self.run_base.glob("*/lock")):
            end_backend(lock, signal.SIGKILL)
        return b"".join(said)

    @property
    def run_base(self) -> Path:
        """Where its backends have their sockets: short, as a socket's path has to be."""
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"a4ps-test-{name}" / "a4ps"

    @staticmethod
    def command(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "a4ps", *arguments]


def end_backend(lock: Path, how: signal.Signals = signal.SIGTERM) -> None:
    """End the backend that holds `lock`, if one does, and wait until it has let go of it."""
    with lock.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = int(file.read())
            os.kill(pid, how)
            fcntl.flock(file, fcntl.LOCK_EX)
            with suppress(ChildProcessError):  # unless a command in this process started it
                os.waitpid(pid, 0)


class Terminal:
    """The person's side of a pseudo-terminal. A read that finds nothing for ever is ended by the test's time limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until `text` appears in what has not been waited for yet; returns all up to it."""
        while text not in self.seen:
            self.seen += os.read(self._descriptor, 4096).decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before

    def rest(self) -> str:
        """All up to the end of the program."""
        with suppress(OSError):  # EIO: nobody holds the other side any more
            while data := os.read(self._descriptor, 4096):
                self.seen += data.decode("utf-8", "replace")
        return self.seen


def _take_terminal() -> None:
    """Make standard input the terminal that Ctrl-C comes from: the first one that a session's leader opens."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))


@contextmanager
def at_terminal(person: Household, *arguments: str) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    """`a4ps ARGUMENTS` with somebody there; ended at the latest with the block."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        person.command(arguments), stdin=theirs, stdout=theirs, stderr=theirs,
        env={**person.env, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
        start_new_session=True, preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def read_until(process: subprocess.Popen[bytes], text: str) -> str:
    """What a started process prints up to the line that contains `text`, which is left out. Fails at its end."""
    assert process.stdout is not None
    before = ""
    while text not in (line := process.stdout.readline().decode()):
        assert line, f"it ended without saying {text!r}, after: {before}"
        before += line
    return before


@contextmanager
def ollama_server(*options: str) -> Iterator[str]:
    """The Ollama test server as a process of its own; yields its address. Ended by its process id."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.doubles.ollama_server", "--port", "0", *options], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert server.stdout is not None
    try:
        yield server.stdout.readline().decode().strip()
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)
        server.stdout.close()
