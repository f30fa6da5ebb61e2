"""The backend's own: one open image, and beside it what is opened when it is first needed.

The image is open as long as the backend is, and so are its sandboxes, once anything has run in one. The society with its
engine, and memory without one, come and go: where no model is there, everything that needs none still works, and a model
that appears later is found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from a4ps.errors import A4PSError, BackendBusy
from a4ps.events import Event, event_bus
from a4ps.image.commands import under_no_command
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.turns import TurnLog
from a4ps.inference import lexical
from a4ps.kernel.crash_reports import CrashReports
from a4ps.kernel.life import Life
from a4ps.kernel.supervision import Supervisor
from a4ps.kernel.wiring import (
    Environment,
    choose_engine,
    embedder_of,
    executor_of,
    kernel_over,
    open_image,
    scrapbook_over,
)
from a4ps.memory.records import Records
from a4ps.memory.scrapbook import Scrapbook
from a4ps.tools.method_runner import MethodRunner
from a4ps.tools.registry import ToolRegistry

if TYPE_CHECKING:  # LangGraph takes a second to import
    from a4ps.inference.engine import Engine
    from a4ps.kernel.console import Console
    from a4ps.kernel.gauges import Gauges
    from a4ps.kernel.kernel import Kernel

_log = logging.getLogger(__name__)


class Backend:
    """One event loop's. Made by `open`; close with `aclose`."""

    def __init__(self, env: Environment, protos: ProtoManager, life: Life) -> None:
        """Use `open`."""
        self.env = env
        self.life = life
        self.protos = protos
        self.store = protos.store
        self.log = TurnLog(self.store)
        self.records = Records(self.store, self.log)
        self.executor = executor_of(env)
        protos.bind_code_runner(MethodRunner(lambda: self.executor))
        self.tools = ToolRegistry(protos, self.executor)
        self.reports = CrashReports(env.places.crashes, self.store.clock)
        self.supervisor = Supervisor(event_bus, self.reports, clock=self.store.clock)
        self.console: Console | None = None
        self.gauges: Gauges | None = None
        self._gauging: asyncio.Task[None] | None = None
        self._kernel: Kernel | None = None
        self._memory: Scrapbook | None = None
        self._memory_held: AbstractAsyncContextManager[Scrapbook] | None = None
        self._readers = 0
        self._works = 0
        self._changed = asyncio.Condition()
        self.has_finished_forgetting = False
        """Whether opening the image went on with a forgetting that was cut off, and nobody has been told so yet."""
        self.reading = asyncio.Lock()
        """Held while files are remembered: two commands that read one file at once would remember it twice."""

    @classmethod
    async def open(cls, env: Environment, *, fleeting: bool = False) -> Backend:
        """Raises as `Store.open` does."""
        protos, has_finished = await asyncio.to_thread(open_image, env)
        backend = cls(env, protos, Life(protos.store.clock, fleeting))
        backend.has_finished_forgetting = has_finished
        event_bus.attach(backend.supervisor, Event.SERVICE_FAILED)
        return backend

    @property
    def opened(self) -> Kernel | None:
        """The society, where it is open."""
        return self._kernel

    @property
    def remembers(self) -> bool:
        """Whether memory is open, the society's or its own."""
        return self._kernel is not None or self._memory is not None

    @property
    def at_work(self) -> bool:
        """Whether something goes on that nobody waits for: a turn whose client has gone, memories that are embedded."""
        kernel = self._kernel
        return self._is_busy or (kernel is not None and kernel.society.scrapbook.following.left > 0)

    async def kernel(self) -> Kernel:
        """The society, opened where it is not; anew where another engine would speak now, once no turn is under way and
        nobody holds its memory.

        Raises every kind of `A4PSError`; the next call tries again.
        """
        async with self._changed:
            is_held = self._is_busy or self._readers > 0
            if self._kernel is not None and not is_held and await self._is_outdated(self._kernel):
                await self._close_kernel()
            if self._kernel is None:
                await self._changed.wait_for(lambda: self._readers == 0)
                await self._close_memory()
                with under_no_command():  # whichever command comes first
                    self._kernel = await kernel_over(
                        self.env, self.protos, self.executor, self.tools, self.records, self.supervisor.watch
                    )
                    self._gauge(self._kernel)
            return self._kernel

    async def kernel_if_any(self) -> Kernel | None:
        """The society where it can be had: for what can do without, but had better not keep it waiting later."""
        try:
            return await self.kernel()
        except A4PSError as error:
            _log.info("without a society: %s", error.message)
            return None

    @asynccontextmanager
    async def working(self) -> AsyncIterator[Kernel]:
        """The society for work of it that is no turn: it stays open meanwhile. Raises what `kernel` raises."""
        kernel = await self.kernel()
        self._works += 1
        try:
            yield kernel
        finally:
            self._works -= 1

    @asynccontextmanager
    async def memory(self) -> AsyncIterator[Scrapbook]:
        """Memory, the society's where that is open. While it is held, a society that is not open has to wait."""
        async with self._changed:
            if self._memory is not None and not self._readers and await self._can_embed_now(self._memory):
                await self._close_memory()
            if self._kernel is None and self._memory is None:
                held = scrapbook_over(self.env, self.records, self.supervisor.watch)
                with under_no_command():
                    self._memory = await held.__aenter__()
                self._memory_held = held
            memory = self._memory if self._kernel is None else self._kernel.society.scrapbook
            assert memory is not None
            self._readers += 1
        try:
            yield memory
        finally:
            async with self._changed:
                self._readers -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Nothing but the image is open meanwhile: for what rewrites files that the others hold.

        Raises `BackendBusy` while a turn, or other work of the society, is under way.
        """
        async with self._changed:
            if self._is_busy:
                what = "the society is at work" if self._works else "a turn is under way"
                raise BackendBusy(what, next_step="wait until it is done, or stop it")
            await self._changed.wait_for(lambda: self._readers == 0)
            await self._close_kernel()
            await self._close_memory()
            yield

    async def aclose(self) -> None:
        """Close everything. A turn that is under way must have ended. Idempotent."""
        if self.console is not None:
            await asyncio.to_thread(self.console.close)
        async with self._changed:
            await self._close_kernel()
            await self._close_memory()
        await asyncio.to_thread(self.executor.close)
        event_bus.detach(self.supervisor)
        await asyncio.to_thread(self.protos.close)

    @property
    def _is_busy(self) -> bool:
        return self._works > 0 or (self._kernel is not None and self._kernel.busy)

    async def _is_outdated(self, kernel: Kernel) -> bool:
        """Raises `EngineUnreachable`."""
        if self.env.settings.engine == "auto":
            last = self.log.latest(1)
            if await choose_engine(self.env, last[0][0].engine if last else "") != kernel.engine.name:
                return True
        return await self._can_embed_now(kernel.society.scrapbook, kernel.engine)

    async def _can_embed_now(self, scrapbook: Scrapbook, engine: Engine | None = None) -> bool:
        """Whether a model that embeds has come since memory was opened without one."""
        return not scrapbook.embeds and await embedder_of(self.env, engine) != lexical.NAME

    def _gauge(self, kernel: Kernel) -> None:
        from a4ps.kernel.gauges import gauges_of

        self.gauges = gauges_of(kernel)
        self._gauging = asyncio.create_task(self.supervisor.watch("gauges", self.gauges.run), name="gauges")

    async def _close_kernel(self) -> None:
        kernel, self._kernel = self._kernel, None
        gauges, gauging, self.gauges, self._gauging = self.gauges, self._gauging, None, None
        if gauges is not None and gauging is not None:
            event_bus.detach(gauges)
            if self.life.fleeting:  # its turns' figures are in the image, and the rest is not worth a commit
                gauging.cancel()
            else:
                gauges.stop()
            await asyncio.wait([gauging])
        if kernel is not None:
            await kernel.aclose()

    async def _close_memory(self) -> None:
        held, self._memory_held, self._memory = self._memory_held, None, None
        if held is not None:
            await held.__aexit__(None, None, None)
