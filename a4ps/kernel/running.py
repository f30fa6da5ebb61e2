"""One run of the backend, from the lock to the last file closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack

from a4ps.kernel.backend import Backend
from a4ps.kernel.crash_reports import reported
from a4ps.kernel.server import BackendLock, Server
from a4ps.kernel.wiring import Environment
from a4ps.settings import mark_of

#: How long turns may go on after a signal to end.
_WAIT_S = 10.0


async def run_backend(env: Environment, *, log: str, idle_exit_s: float | None, ready: Callable[[], None]) -> None:
    """Serve until it is told to end, or, with `idle_exit_s`, until nobody has needed it for so long.

    `ready` is called once it listens. Raises `BackendBusy` where another one runs, and as `Store.open` does.
    """
    async with AsyncExitStack() as undo:
        lock = BackendLock(env.places)
        undo.callback(lock.release)
        backend = await Backend.open(env, fleeting=idle_exit_s is not None)
        undo.push_async_callback(backend.aclose)
        server = Server(backend, settings=mark_of(env.settings), log=log, idle_exit_s=idle_exit_s or 0.0)
        undo.push_async_callback(server.aclose)
        server.bind()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, backend.life.end, _WAIT_S)
        undo.enter_context(reported(backend.reports, asyncio.get_running_loop()))
        ready()
        await server.run()
