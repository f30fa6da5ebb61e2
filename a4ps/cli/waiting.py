"""What is shown while something takes its time: its name at once, and on after a second for how long and how far it is."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Waiting:
    """The line that is shown; `hear` may be given the steps of a command."""

    def __init__(self) -> None:
        self.far = ""

    def hear(self, step: Mapping[str, Any]) -> None:
        if step["step"] == "working":
            figures = f" {step['done']:,.0f} of {step['of']:,.0f}" if step["of"] else ""
            self.far = f": {step['label']}{figures}"


@contextmanager
def waiting(what: str) -> Iterator[Waiting]:
    """Show `what` on stderr during the block, if that is a terminal; the line is empty again afterwards."""
    line = Waiting()
    if not sys.stderr.isatty():
        yield line
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(what, line, done), daemon=True)
    ticker.start()
    try:
        yield line
    finally:
        done.set()
        ticker.join()


def _tick(what: str, waited: Waiting, done: threading.Event) -> None:
    began = time.monotonic()
    shown, line = "", f"{what} …"
    while True:
        sys.stderr.write(f"\r{line.ljust(len(shown))}")
        sys.stderr.flush()
        shown = line
        if done.wait(1):
            break
        line = f"{what}{waited.far} … {time.monotonic() - began:.0f} s"
    sys.stderr.write(f"\r{' ' * len(shown)}\r")
    sys.stderr.flush()
