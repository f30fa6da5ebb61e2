"""A person's machine in a folder: an empty home, and `a4ps` as they would type it."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from a4ps.cli.main import run

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Household:
    """`folder` is the user's home; nothing outside it is touched."""

    folder: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a fresh account: PATH and a home, and what pip was told about its index."""
        kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.startswith("PIP_")}
        return {**kept, "HOME": str(self.folder), "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), **self.environ}

    @property
    def home(self) -> Path:
        """Where the image is."""
        return self.folder / ".local" / "share" / "a4ps"

    def run(self, *arguments: str, stdin: str | bytes = b"") -> subprocess.CompletedProcess[str]:
        """`a4ps ARGUMENTS` to its end, in this process: the same entry point, without starting Python anew."""
        data = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        before = dict(os.environ), sys.stdin, sys.stdout, sys.stderr
        logger = logging.getLogger("a4ps")
        sys.stdin, sys.stdout, sys.stderr = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"), out, err
        os.environ.clear()
        os.environ.update(self.env)
        try:
            code = run(list(arguments))
        finally:
            os.environ.clear()
            os.environ.update(before[0])
            sys.stdin, sys.stdout, sys.stderr = before[1:]
            for handler in [handler for handler in logger.handlers if isinstance(handler, logging.FileHandler)]:
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

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The object that `a4ps ARGUMENTS --json` prints; fails if anything else is on its stdout."""
        done = self.run(*arguments, "--json", stdin=stdin)
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

    @staticmethod
    def command(arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "a4ps", *arguments]


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
