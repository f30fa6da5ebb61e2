"""Which models are in memory: Ollama's scheduler, as its recordings show it.

A runner is one process with one file of weights. Names that share weights, adapter and options share it; a call with
others of these makes it load anew, and two adapters of one base never stand side by side. Calls for a loaded model are
served at once; the others wait in one queue, whose head makes room: it ends the idle runner with the shortest
keep_alive, by the name of its file among equals, or waits until one is idle. A runner answers `parallel` calls at a time.

Runners can die and freeze (`kill`, `freeze`): a reply under way then fails or stands still, and the next call finds out.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from tests.doubles.ollama.library import Model

#: What "for ever" is on a Go clock.
FOR_EVER = timedelta(seconds=2**63 / 1e9)


def rounded(num_ctx: int, train_ctx: int) -> int:
    """The context that llama-server makes of it: rounded up to the next 256, within what the model was trained with."""
    return min(train_ctx, 256 * math.ceil(num_ctx / 256))


class LoadError(Exception):
    """The runner ended before it was loaded. The text is Ollama's."""


class QueueFullError(Exception):
    """More calls wait for a load than may."""


class RunnerDiedError(Exception):
    """The runner ended in mid-reply."""


@dataclass(frozen=True)
class Options:
    """What of a call makes a runner: change one and the model loads anew."""

    num_ctx: int
    num_thread: int = 0
    num_batch: int = 0
    shift: bool = True

    @classmethod
    def of(cls, body: Mapping[str, Any], num_ctx: int) -> Options:
        told = body.get("options") or {}
        return cls(
            num_ctx, int(told.get("num_thread") or 0), int(told.get("num_batch") or 0), body.get("shift") is not False
        )


@dataclass(eq=False)
class Runner:
    """One loaded model. `model` is the one whose name loaded it; `calls` those that use it or wait for its slot."""

    model: Model
    options: Options
    slots: asyncio.Semaphore
    keep_s: float
    expires: datetime
    loading: bool = True
    calls: int = 0
    dead: asyncio.Event = field(default_factory=asyncio.Event)
    frozen: bool = False

    def serves(self, model: Model, options: Options) -> bool:
        same = (self.model.weights, self.model.adapter) == (model.weights, model.adapter)
        return same and self.options == options and not self.dead.is_set() and not self.frozen


class Process(Protocol):
    """What a runner is in truth, where it is more than a note."""

    async def come_up(self, runner: Runner) -> None:
        """Load the runner's model. Raises `LoadError`; cancelled, `gone` follows."""
        ...

    def gone(self, runner: Runner) -> None:
        """The runner is no more; one that never came up may be told of too."""
        ...


@dataclass
class Lease:
    """A call's hold on a runner. `release` is idempotent. `cold`: it had to be loaded for this call."""

    runner: Runner
    cold: bool
    waited_ns: int
    _back: Callable[[Runner], None]
    _held: bool = True
    _slot: bool = False

    async def slot(self) -> None:
        """Wait for one of the runner's slots."""
        await self.runner.slots.acquire()
        self._slot = True

    def release(self) -> None:
        if self._held:
            self._held = False
            if self._slot:
                self.runner.slots.release()
            self._back(self.runner)


@dataclass
class Runners:
    """The scheduler. `loads` grows by the name of each model that was loaded; `now` is the clock of expiries.

    `gate`: while it is unset, loads do not end. `process` may stand behind each runner. `hang_s`: how long a frozen runner
    is waited for before it is replaced.
    """

    now: Callable[[], datetime]
    most: int = 3
    queue: int = 512
    parallel: int = 1
    default_keep_s: float = 300.0
    load_s: float = 0.0
    hang_s: float = 0.0
    gate: asyncio.Event | None = None
    process: Process | None = None
    loads: list[str] = field(default_factory=list)
    _held: dict[str, Runner] = field(default_factory=dict)
    _head: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0
    _change: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def held(self) -> list[Runner]:
        """Every runner, loading ones too."""
        return list(self._held.values())

    @property
    def waiting(self) -> int:
        """How many calls wait for a load, the one at the head included."""
        return self._waiting + self._head.locked()

    def listed(self) -> list[Runner]:
        """What /api/ps lists: not what is loading; what expires last comes first, by whole seconds."""
        self._expire()
        ready = [runner for runner in self._held.values() if not runner.loading]
        return sorted(ready, key=lambda runner: int(runner.expires.timestamp()), reverse=True)

    def put(self, model: Model, options: Options, keep_s: float | None = None) -> Runner:
        """Have `model` loaded without a call."""
        keep = self.default_keep_s if keep_s is None else keep_s
        self._forget(model.weights)
        runner = Runner(model, options, asyncio.Semaphore(self.parallel), keep, self._until(keep), loading=False)
        self._held[model.weights] = runner
        return runner

    def drop(self, name: str) -> None:
        """Forget the runner that a model of this full name loaded, whatever uses it."""
        for key in [key for key, runner in self._held.items() if runner.model.name == name]:
            self._forget(key)

    def _forget(self, key: str) -> None:
        runner = self._held.pop(key, None)
        if runner is not None and self.process is not None:
            self.process.gone(runner)

    def expire(self, model: Model) -> None:
        """An unload: at once where nothing uses the model, else when its last call is over."""
        runner = self._held.get(model.weights)
        if runner is not None:
            runner.keep_s, runner.expires = 0.0, self.now()
            self._expire()

    def kill(self) -> None:
        """Every runner's process dies, loading ones too."""
        for runner in self._held.values():
            runner.dead.set()

    def freeze(self) -> None:
        """Every loaded runner stops answering."""
        for runner in self._held.values():
            runner.frozen = True

    async def lease(self, model: Model, options: Options, keep_s: float | None) -> Lease:
        """A hold on a runner for `model`. Raises `QueueFullError` or `LoadError`; cancelled, it leaves no runner loading."""
        clock = asyncio.get_running_loop().time
        began = clock()
        self._expire()
        runner, cold = self._held.get(model.weights), False
        if runner is None or runner.loading or not runner.serves(model, options):
            if self._head.locked() and self._waiting >= self.queue:
                raise QueueFullError
            self._waiting += 1
            try:
                await self._head.acquire()
            finally:
                self._waiting -= 1
            try:
                runner, cold = await self._admit(model, options)
            finally:
                self._head.release()
        runner.calls += 1
        if keep_s is not None:
            runner.keep_s = keep_s
        return Lease(runner, cold, int((clock() - began) * 1e9), self._give_back)

    async def _admit(self, model: Model, options: Options) -> tuple[Runner, bool]:
        while True:
            self._expire()
            runner = self._held.get(model.weights)
            if runner is not None and runner.frozen and not runner.dead.is_set():
                await asyncio.sleep(self.hang_s)
                runner.dead.set()
            if runner is not None and runner.serves(model, options):
                return runner, False
            if runner is None and len(self._held) < self.most:
                return await self._load(model, options), True
            victim = runner or self._victim()
            victim.keep_s, victim.expires = 0.0, self.now()
            if victim.calls == 0 or victim.dead.is_set():
                self._forget(victim.model.weights)
            else:
                await self._change.wait()

    def _victim(self) -> Runner:
        idle = [runner for runner in self._held.values() if runner.calls == 0]
        return min(idle or self._held.values(), key=lambda runner: (runner.keep_s, runner.model.weights))

    async def _load(self, model: Model, options: Options) -> Runner:
        runner = self.put(model, options)
        runner.loading = True
        self.loads.append(model.name)
        try:
            dying = asyncio.create_task(runner.dead.wait())
            coming = asyncio.create_task(self._come_up(runner))
            try:
                await asyncio.wait({dying, coming}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (dying, coming):
                    task.cancel()
                await asyncio.gather(dying, coming, return_exceptions=True)
            failed = coming.done() and not coming.cancelled() and coming.exception() is not None
            runner.loading = runner.dead.is_set() or not model.loadable or failed
        finally:
            # Also where the client went: what was not loaded by then is given up.
            if runner.loading:
                self._forget(model.weights)
        if runner.loading:
            cause = "signal: killed" if runner.dead.is_set() else "exit status 1"
            raise LoadError(f"llama-server process has terminated: {cause}")
        return runner

    async def _come_up(self, runner: Runner) -> None:
        await asyncio.sleep(self.load_s)
        if self.gate is not None:
            await self.gate.wait()
        if self.process is not None:
            await self.process.come_up(runner)

    def _give_back(self, runner: Runner) -> None:
        runner.calls -= 1
        if runner.calls == 0:
            runner.expires = self._until(runner.keep_s)
        self._expire()
        self._change.set()
        self._change = asyncio.Event()

    def _until(self, keep_s: float) -> datetime:
        return self.now() + (FOR_EVER if math.isinf(keep_s) else timedelta(seconds=keep_s))

    def _expire(self) -> None:
        for key, runner in list(self._held.items()):
            if not runner.loading and runner.calls == 0 and runner.expires <= self.now():
                self._forget(key)
