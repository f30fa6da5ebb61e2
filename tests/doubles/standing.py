"""A backend in the foreground of a process of its own, and what other processes are to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.doubles.household import Household


@contextmanager
def standing(person: Household, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], dict[str, Any]]]:
    """`a4ps up --headless --json OPTIONS`, ready; yields the process and what it said. Ended in order with the block."""
    process = person.start("up", "--headless", "--json", *options)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, process.communicate(timeout=30)[1].decode()
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def backend_of(person: Household) -> dict[str, Any]:
    """The status of the backend that runs, which has to."""
    found = person.json("status")["backend"]
    assert isinstance(found, dict)
    return found


def kill(pid: int) -> None:
    """As a power cut: without a word. Gone when this returns."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):  # unless a command in this process started it
        os.waitpid(pid, 0)
    wait_until(lambda: not is_alive(pid))


def is_alive(pid: int) -> bool:
    """A zombie, whose parent has not asked for it yet, is not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"


def wait_until(holds: Callable[[], object]) -> None:
    """For what another process does in its own time; ended by the test's time limit."""
    while not holds():
        time.sleep(0.02)


class Following:
    """`a4ps events --follow`, as a process of its own whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.seen: list[Mapping[str, Any]] = []

    def until(self, holds: Callable[[Mapping[str, Any]], bool]) -> Mapping[str, Any]:
        """The next line for which it holds; the ones before it are in `seen` as well."""
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            told: Mapping[str, Any] = json.loads(line)
            self.seen.append(told)
            if holds(told):
                return told
        raise AssertionError(f"it ended, after: {self.seen[-3:]}")

    def numbers(self) -> list[int]:
        """Of the durable events so far, in the order in which they were told."""
        return [told["sequence"] for told in self.seen if "sequence" in told]


@contextmanager
def following(person: Household, last: int = 10_000) -> Iterator[Following]:
    """Somebody who follows: `last` events from before, and what happens."""
    process = person.start("events", "--follow", "--json", "--last", str(last))
    try:
        yield Following(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
