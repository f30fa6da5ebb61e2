"""Ctrl-C inside the event loop: it is never missed, and it stops one thing.

By itself asyncio has Ctrl-C cancel the main task. Its handler runs between two steps of Python, so one that arrives just
before the loop goes to sleep would be noticed at the next event only; here it wakes the loop.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


def wake_on_interrupt() -> None:
    """Have Ctrl-C wake the running loop, and do besides what it did before."""
    before = signal.getsignal(signal.SIGINT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, _nothing)  # this sets the wake-up descriptor
    signal.signal(signal.SIGINT, before)


@contextmanager
def interrupts_are(act: Callable[[], None]) -> Iterator[None]:
    """Within, Ctrl-C has the loop call `act`, and does nothing else."""
    before = signal.getsignal(signal.SIGINT)
    loop = asyncio.get_running_loop()
    wake_on_interrupt()
    signal.signal(signal.SIGINT, lambda _, __: loop.call_soon_threadsafe(act) and None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def interrupt_cancels(task: asyncio.Task[Any]) -> Iterator[None]:
    """Within, Ctrl-C cancels `task` and nothing else while it runs; after, it does what it did before."""
    before = signal.getsignal(signal.SIGINT)

    def cancel(number: int, frame: FrameType | None) -> None:
        if not task.done():
            task.cancel()
        elif callable(before):
            before(number, frame)

    wake_on_interrupt()
    signal.signal(signal.SIGINT, cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _nothing() -> None:
    """What the loop itself does about Ctrl-C."""
