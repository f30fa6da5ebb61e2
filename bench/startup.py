"""How long a person waits: from a fresh clone to the first answer, and for the small things of every day.

Run as `python -m bench.startup [--fresh] [--json]`. Wall time, best of several, since the question is what the program
needs and not what else the machine does; `--fresh` clones and installs once, over the network, into an empty home. The
peer of each small thing is the bare interpreter doing nothing, in the same run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.machine import machine

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"


@dataclass(frozen=True, slots=True)
class Wait:
    """One thing waited for, in seconds, and the most it may take, None where that is only told."""

    what: str
    seconds: float
    bar_s: float | None

    def __str__(self) -> str:
        told = f"{self.what:<44} {self.seconds:>7.3f} s"
        if self.bar_s is None:
            return told
        return f"{told}   bar {self.bar_s:g} s   {'meets' if self.seconds <= self.bar_s else 'MISSES'}"


def waits(fresh: bool) -> list[Wait]:
    """Measure. The virtual environment beside the project must exist."""
    command = str(ROOT / ".venv" / "bin" / "a4ps")
    python = sys.executable
    with tempfile.TemporaryDirectory() as home:
        nothing = _best([python, "-c", "pass"], home)
        direct = _best([command, "--version"], home)
        started = _best([str(ROOT / "start"), "--version"], home)
        found = [
            Wait("python -c pass (the floor)", nothing, None),
            Wait("import a4ps, over the floor", _best([python, "-c", "import a4ps"], home) - nothing, 0.1),
            Wait("a4ps --help", _best([command, "--help"], home), 0.3),
            Wait("./start, over a4ps itself", started - direct, 0.5),
            Wait("a4ps ask, a rehearsed answer", _best([command, "ask", "-q", QUESTION], home, times=3), None),
        ]
    if fresh:
        found.append(Wait("fresh clone to first answer", _fresh(), 120.0))
    return found


def _best(command: Sequence[str], home: str, times: int = 7) -> float:
    env = {"PATH": os.environ["PATH"], "HOME": home, "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT)}
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        subprocess.run(command, env=env, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return min(taken)


def _fresh() -> float:
    kept = {key: value for key, value in os.environ.items() if key == "PATH" or key.startswith("PIP_")}
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), f"{folder}/a4ps"], check=True)
        subprocess.run(
            [f"{folder}/a4ps/start", "ask", "-q", QUESTION],
            env={**kept, "HOME": folder},
            check=True,
            capture_output=True,
        )
        return time.perf_counter() - began


def main() -> None:
    """Print the machine and each wait."""
    parser = argparse.ArgumentParser(prog="bench.startup", description="How long a person waits.")
    parser.add_argument("--fresh", action="store_true", help="also clone and install afresh (half a minute, network)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    found = waits(chosen.fresh)
    if chosen.json:
        print(json.dumps({"machine": machine(), "waits": [asdict(wait) for wait in found]}))
        return
    print("  ".join(f"{name}: {value}" for name, value in machine().items()))
    for wait in found:
        print(wait)


if __name__ == "__main__":
    main()
