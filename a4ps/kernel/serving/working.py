"""Blocking work of a command, in a thread, whose end is always awaited."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from a4ps.errors import Stopped
from a4ps.kernel.serving.call import Call

Done = TypeVar("Done")

#: How far the work is: what is being done, and how much of how much, 0 where that is not known.
Tell: TypeAlias = Callable[[str, int, int], None]


async def working(call: Call[Any], work: Callable[[Tell], Done]) -> Done:
    """What `work` returns or raises, in the context of the command. What it tells are steps of the command.

    Cancelled, the work ends where it tells something next, and it has ended when this raises. Work that came to its end all
    the same is done, and so its result is returned: what was committed is not called stopped.
    """
    stopped = threading.Event()

    def tell(label: str, done: int, of: int) -> None:
        if stopped.is_set():
            raise Stopped("stopped")
        call.tell_work(label, done, of)

    task = asyncio.create_task(asyncio.to_thread(work, tell))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        stopped.set()
        await _ended(task)
        if task.cancelled() or task.exception() is not None:
            raise
        return task.result()


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait for it, however often whoever waits is cancelled: a thread cannot be."""
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            continue
