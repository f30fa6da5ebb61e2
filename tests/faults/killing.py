"""The tests' side of dying.py and dying_protos.py: start one, ask it for a child that dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

LONG = bool(os.environ.get("A4PS_LONG"))
ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Killer:
    """`die` lets a child commit to `image` until it is killed; returns key → generation of what it acknowledged."""

    process: subprocess.Popen[str]

    def die(
        self, image: Path, keys: Path, *, seed: int, threads: int = 1, acks: int = 0, wait_s: float = 0.0
    ) -> dict[str, int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        request = {
            "image": str(image),
            "keys": str(keys),
            "seed": seed,
            "threads": threads,
            "acks": acks,
            "wait_s": wait_s,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert answer["killed"], "the child ended by itself"
        return dict(answer["acknowledged"])


@contextmanager
def killer(program: str = "dying") -> Iterator[Killer]:
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.faults.{program}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Killer(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0
