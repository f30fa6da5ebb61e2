"""One contender in a process of its own, driven turn by turn: `python -m bench.meter MODULE:OPEN --turns N`.

A line on stdin lets it take one turn, a line on stdout says that it has; the last line on stdout is one JSON object.
`bench.lockstep` drives several at once, so that whatever else the machine does meets all of them alike.

Measured for each turn: CPU time of the whole process with all its threads (`time.process_time`, so a writer's thread
and aiosqlite's count, and so does what the turn before left to them) and wall time. Afterwards, with everything closed,
the bytes of all files the contender left in its folder. Not measured: importing, opening, closing, memory.

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

#: What a contender says when it waits for its next turn.
READY = "ready"

TakeTurn = Callable[[TurnText], Awaitable[None]]
#: Opens a contender in an empty folder; what it yields takes a turn and returns when that is kept as the peer keeps it.
Open = Callable[[Path], AbstractAsyncContextManager[TakeTurn]]


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU and wall time of each measured turn in ms; bytes of the text of all turns, and of what they left."""

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


async def measure(open_: Open, turns: int, skip: int, packages: list[str], wait: Callable[[], None]) -> Measured:
    """Take `skip` turns unmeasured, then `turns` measured ones, each after `wait`, in a folder that is then removed."""
    texts = [turn_text(number) for number in range(1, skip + turns + 1)]
    cpu_ms: list[float] = []
    wall_ms: list[float] = []
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder:
        home = Path(folder)
        async with open_(home) as take:
            for text in texts[:skip]:
                await take(text)
            cpu = time.process_time()
            for text in texts[skip:]:
                wait()
                wall = time.perf_counter()
                await take(text)
                wall_ms.append((time.perf_counter() - wall) * 1000)
                cpu_ms.append((time.process_time() - cpu) * 1000)
                cpu += cpu_ms[-1] / 1000
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
    """Be driven; whatever a peer prints goes to stderr."""
    parser = argparse.ArgumentParser()
    parser.add_argument("open", metavar="MODULE:OPEN")
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--package", action="append", default=[])
    chosen = parser.parse_args()
    out, sys.stdout = sys.stdout, sys.stderr

    def wait() -> None:
        print(READY, file=out, flush=True)
        if not sys.stdin.readline():
            raise SystemExit("nobody drives this contender any more")

    stay_at_home()
    measured = asyncio.run(measure(resolve(chosen.open), chosen.turns, chosen.skip, chosen.package, wait))
    print(json.dumps(asdict(measured)), file=out)


if __name__ == "__main__":
    main()
