"""Several contenders side by side: each takes its turn 1, then each its turn 2, and so on, one at a time.

On a shared machine the same work takes twice the CPU time in one minute that it takes in the next; figures of turns
that were taken within a second of each other can be compared. The price is that every turn finds colder caches than it
would in a row, as a real turn does.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bench.meter import READY, Measured

REPOSITORY = Path(__file__).resolve().parent.parent
SLOWEST_S = 1800


@dataclass(frozen=True, slots=True)
class Runner:
    """A contender to be run: interpreter, `MODULE:OPEN`, packages whose versions count, turns taken unmeasured."""

    python: Path
    open: str
    packages: tuple[str, ...] = ()
    skip: int = 0


def drive(runners: Sequence[Runner], turns: int) -> list[Measured | str]:
    """Run all of them to their ends, in order; text in place of figures says why one failed."""
    driven = [_Driven(runner, turns) for runner in runners]
    try:
        for one in driven:
            one.await_ready()
        for _ in range(turns):
            for one in driven:
                one.take_turn()
        return [one.finish() for one in driven]
    finally:
        for one in driven:
            one.close()


class _Driven:
    """One process. Once it has failed, everything asked of it is ignored until `finish` says why."""

    def __init__(self, runner: Runner, turns: int) -> None:
        packages = [part for package in runner.packages for part in ("--package", package)]
        command = [str(runner.python), "-m", "bench.meter", runner.open, "--turns", str(turns)]
        self._said: IO[str] = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - closed by `close`
        self._line = ""
        self._process = subprocess.Popen(
            [*command, "--skip", str(runner.skip), *packages],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
            cwd=REPOSITORY,
        )
        self._deadline = threading.Timer(SLOWEST_S, self._process.kill)
        self._deadline.start()

    def await_ready(self) -> None:
        assert self._process.stdout is not None
        self._line = self._process.stdout.readline()

    def take_turn(self) -> None:
        if self._line.strip() != READY:
            return
        assert self._process.stdin is not None
        print(file=self._process.stdin, flush=True)
        self.await_ready()

    def finish(self) -> Measured | str:
        if self._process.wait() == 0:
            figures: dict[str, Any] = json.loads(self._line)
            return Measured(**figures)
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return lines[-1] if lines else f"it ended with {self._process.returncode} and said nothing"

    def close(self) -> None:
        self._deadline.cancel()
        self._process.kill()
        self._process.communicate()
        self._said.close()
