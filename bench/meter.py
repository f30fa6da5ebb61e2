"""One contender measured in a process of its own: `python -m bench.meter MODULE:OPEN --turns N` prints one JSON object.

Measured for each turn, one after another in one event loop: CPU time of the whole process with all its threads
(`time.process_time`, so a writer's thread and aiosqlite's count) and wall time. Afterwards, with everything closed, the
bytes of all files the contender left in its folder. Work that a turn leaves to a thread falls into the next turn's
figure; medians absorb it. Not measured: importing, opening, closing, memory.

Runs in peers' environments too: standard library only. Name look-ups are refused, so that no peer can phone home.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from bench.texts import TurnText, turn_text

TakeTurn = Callable[[TurnText], Awaitable[None]]
#: Opens a contender in an empty folder; what it yields takes a turn and returns when that is kept as the peer keeps it.
Open = Callable[[Path], AbstractAsyncContextManager[TakeTurn]]


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU and wall time of each turn in ms, and bytes."""

    cpu_ms: list[float]
    wall_ms: list[float]
    text_bytes: int
    left_bytes: int
    versions: dict[str, str]


def around_ten(figures: list[float]) -> float:
    """The median of turns 5 to 15."""
    return statistics.median(figures[4:15])


def at_the_end(figures: list[float]) -> float:
    """The median of the last ten turns."""
    return statistics.median(figures[-10:])


async def measure(open_: Open, turns: int, packages: list[str]) -> Measured:
    """Take `turns` turns in a temporary folder that is removed afterwards."""
    texts = [turn_text(number) for number in range(1, turns + 1)]
    cpu_ms: list[float] = []
    wall_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder:
        home = Path(folder)
        async with open_(home) as take:
            for text in texts:
                cpu, wall = time.process_time(), time.perf_counter()
                await take(text)
                cpu_ms.append((time.process_time() - cpu) * 1000)
                wall_ms.append((time.perf_counter() - wall) * 1000)
        left_bytes = _bytes_in(home)
    return Measured(
        cpu_ms=cpu_ms,
        wall_ms=wall_ms,
        text_bytes=sum(text.text_bytes for text in texts),
        left_bytes=left_bytes,
        versions={package: metadata.version(package) for package in packages},
    )


def _bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def resolve(name: str) -> Any:
    """The object that `MODULE:NAME` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def stay_at_home() -> None:
    """Refuse to look up any host name from now on."""

    def refuse(*_: object, **__: object) -> NoReturn:
        raise OSError("a bench looks up no host names")

    socket.getaddrinfo = refuse


def main() -> None:
    """Print the contender's figures as JSON on the last line of stdout; whatever peers print goes to stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("open", metavar="MODULE:OPEN")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--package", action="append", default=[])
    chosen = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr
    stay_at_home()
    measured = asyncio.run(measure(resolve(chosen.open), chosen.turns, chosen.package))
    print(json.dumps(asdict(measured)), file=out)


if __name__ == "__main__":
    main()
