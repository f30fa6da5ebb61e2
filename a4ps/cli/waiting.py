"""What is shown while something takes its time: its name at once, and on after a second for how long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Show `what` on stderr during the block, if that is a terminal; the line is empty again afterwards."""
    if not sys.stderr.isatty():
        yield
        return
    done = threading.Event()
    ticker = threading.Thread(target=_tick, args=(what, done), daemon=True)
    ticker.start()
    try:
        yield
    finally:
        done.set()
        ticker.join()


def _tick(what: str, done: threading.Event) -> None:
    began = time.monotonic()
    line = f"{what} …"
    while True:
        sys.stderr.write(f"\r{line}")
        sys.stderr.flush()
        if done.wait(1):
            break
        line = f"{what} … {time.monotonic() - began:.0f} s"
    sys.stderr.write(f"\r{' ' * len(line)}\r")
    sys.stderr.flush()
