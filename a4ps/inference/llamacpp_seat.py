"""The seat of one base: its turn, its worker if it has one, and every way in which that worker is started and ended.

Whoever holds `turn` may load and speak; nobody else does. A deadline, a death or a message that is none kills the worker
before the error is raised, so that the next holder finds an empty seat and loads anew.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from a4ps.errors import EngineBroke, EngineGarbled, EngineRefused, EngineTimeout, EngineUnreachable
from a4ps.events import Event, ServiceFailed, event_bus
from a4ps.inference import llamacpp_wire as wire
from a4ps.inference.llamacpp_files import Version, version
from a4ps.inference.llamacpp_process import WorkerDied, WorkerProcess

_RESUME = "resume the turn; the model is loaded anew"
_BACKGROUND_NICE = 5
_GONE_S = 10.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long a worker is waited for, in seconds; each runs out as `EngineTimeout`, and the worker is killed.

    `load_s`: process and model ("load"). `first_byte_s`: the reading of a prompt, or of a batch to embed ("load").
    `between_tokens_s` ("token"). `total_s`: one reply, the caller's own pauses included ("total"). `cancel_s`: how long
    a worker may take to stop when asked to, before it is killed for it; nobody waits for that.
    """

    load_s: float = 180.0
    first_byte_s: float = 180.0
    between_tokens_s: float = 60.0
    total_s: float = 600.0
    cancel_s: float = 5.0


@dataclass(frozen=True, slots=True)
class Means:
    """What a worker is given: processor threads, layers on the card, bytes that it may write to in RAM (0: any number)."""

    threads: int
    gpu_layers: int
    memory_bytes: int


class Seat:
    """See the module. `loras` are what the worker has beside its base, in the order of their indices."""

    def __init__(self, base: Path, *, embedding: bool, deadlines: Deadlines, means: Means) -> None:
        self.base = base
        self.embedding = embedding
        self.turn = asyncio.Lock()
        self._starting = asyncio.Lock()
        self.loras: tuple[Path, ...] = ()
        self.num_ctx = 0
        self.vram_bytes = 0
        self._asked_ctx = 0
        self._versions: dict[Path, Version] = {}
        self._deadlines = deadlines
        self._means = means
        self._worker: WorkerProcess | None = None
        self._going: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None
        self._hushing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._failed_ever = 0

    @property
    def taken(self) -> bool:
        """Whether a worker with a loaded model sits here."""
        return self._worker is not None and self._worker.alive and self.num_ctx > 0

    @property
    def pid(self) -> int:
        """The worker's process id, 0 where nobody sits here."""
        return self._worker.pid if self._worker is not None else 0

    def serves(self, lora: Path | None, num_ctx: int) -> bool:
        """Whether a call can be made without loading: also, whether the files are still those that were loaded."""
        needed = (self.base,) if lora is None else (self.base, lora)
        fresh = all(self._versions.get(path) == version(path) for path in needed)
        return self.taken and num_ctx <= self._asked_ctx and fresh

    def memory_bytes(self) -> int:
        """RAM and card together, as they are now."""
        return self._worker.memory_bytes() + self.vram_bytes if self._worker is not None else 0

    async def load(self, model: str, loras: Sequence[Path], needed: Sequence[Path], num_ctx: int) -> float:
        """Replace the worker by one with base, `loras` and at least `num_ctx`; ms that llama.cpp took.

        What will not load so is tried once more with nothing but `needed` and `num_ctx`, for a LoRA that this call does
        not want. Raises `EngineRefused`, `EngineTimeout` ("load") or `EngineUnreachable`; the seat is empty then.
        """
        asked = max(num_ctx, self._asked_ctx)
        try:
            return await self._start(model, tuple(loras), asked)
        except EngineRefused:
            if tuple(loras) == tuple(needed) and asked == num_ctx:
                raise
        return await self._start(model, tuple(needed), num_ctx)

    async def _start(self, model: str, loras: tuple[Path, ...], num_ctx: int) -> float:
        if self._worker is not None and self._worker.crashed:
            self._failed(WorkerDied("it ended while nobody called it", by_us=False))
        await self.end()
        async with self._starting:
            if self._closed:
                raise EngineBroke("the engine was closed", next_step=_RESUME)
            try:
                self._worker = await WorkerProcess.start()
            except OSError as error:
                raise EngineUnreachable(
                    f"no process could be started: {error.strerror}",
                    next_step="close other programs, then resume the turn",
                ) from error
        versions = {path: version(path) for path in (self.base, *loras)}
        self.send(
            wire.Load(
                base=str(self.base.absolute()),
                loras=tuple(str(lora.absolute()) for lora in loras),
                embedding=self.embedding,
                num_ctx=num_ctx,
                threads=self._means.threads,
                gpu_layers=0 if self.embedding else self._means.gpu_layers,
                memory_bytes=self._means.memory_bytes,
                nice=_BACKGROUND_NICE if self.embedding else 0,
            )
        )
        worker = self._worker
        try:
            ready = await self.receive(self._deadlines.load_s, "load", model=model)
        except asyncio.CancelledError:
            self.drop()
            raise
        except EngineBroke as death:
            await self.end()
            raise self._unloadable(worker, model, death.message) from death
        if not isinstance(ready, wire.Ready):
            await self.end()
            raise self._unloadable(worker, model, "llama.cpp refuses it")
        worker.tidy()
        self.loras, self.num_ctx, self._asked_ctx = loras, ready.num_ctx, num_ctx
        self.vram_bytes, self._versions = ready.vram_bytes, versions
        return ready.load_ms

    def _unloadable(self, worker: WorkerProcess, model: str, how: str) -> EngineRefused:
        limit = f" within {self._means.memory_bytes / 1e6:.0f} MB" if self._means.memory_bytes else ""
        return EngineRefused(
            f"{model} cannot be loaded{limit}: {worker.said() or how}",
            next_step="take another file, or a smaller num_ctx",
        )

    def send(self, message: wire.Message) -> None:
        """Queue a message for the worker; one to a worker that is gone is lost, and `receive` says so."""
        if self._worker is not None:
            self._worker.send(message)

    async def receive(
        self, limit_s: float, stage: str, *, model: str, ends: float = math.inf, partial: Sequence[str] = ()
    ) -> wire.Message:
        """The worker's next message, within `limit_s` and before the loop's time `ends`.

        Raises `EngineTimeout` of that stage or "total", `EngineBroke` for a death, `EngineGarbled` for what is no message.
        Cancelled, the worker goes on with what it does.
        """
        if self._worker is None:
            raise EngineBroke("the engine was closed", partial="".join(partial), next_step=_RESUME)
        left_s = ends - asyncio.get_running_loop().time()
        if left_s < limit_s:
            limit_s, stage = left_s, "total"
        try:
            async with asyncio.timeout(limit_s):
                return await self._worker.receive()
        except TimeoutError as error:
            self._failed(error)
            raise self._silent(stage, model, "".join(partial)) from error
        except WorkerDied as death:
            self._failed(death)
            raise EngineBroke(
                f"the worker of {model} is gone: {death}", partial="".join(partial), next_step=_RESUME
            ) from death
        except wire.WireError as error:
            self._failed(error)
            raise EngineGarbled(f"the worker of {model}: {error}", next_step=_RESUME) from error

    def _failed(self, error: Exception) -> None:
        """It died, hangs or talks nonsense: it is ended and, unless we killed it, told of. The next call loads anew."""
        self.drop()
        if isinstance(error, WorkerDied) and error.by_us:
            return
        told = ServiceFailed.of(f"llama.cpp {self.base.stem}", error, self._failed_ever, 0.0)
        self._failed_ever += 1
        event_bus.notify(Event.SERVICE_FAILED, told)

    def _silent(self, stage: str, model: str, partial: str) -> EngineTimeout:
        what = {
            "load": f"{model} did not begin to answer in time",
            "token": f"the reply stood still for {self._deadlines.between_tokens_s:g} s",
            "total": f"the reply was not complete after {self._deadlines.total_s:g} s",
        }[stage]
        return EngineTimeout(f"{what}; its worker was ended", stage=stage, partial=partial, next_step=_RESUME)

    def leave(self, running: int, keep_alive_s: float) -> None:
        """Give the turn on without waiting; `running` is the call that the worker still has, 0 for none.

        A running call is stopped first, or the worker killed for not stopping; the turn is given on after that.
        """
        if running and self.taken:
            task = asyncio.create_task(self._hush(running, keep_alive_s))
            self._hushing.add(task)
            task.add_done_callback(self._hushing.discard)
        else:
            self.rest(keep_alive_s)
            self.turn.release()

    async def _hush(self, call: int, keep_alive_s: float) -> None:
        worker = self._worker
        assert worker is not None
        try:
            worker.send(wire.Cancel(call))
            async with asyncio.timeout(self._deadlines.cancel_s):
                while not isinstance(await worker.receive(), wire.Ended | wire.Failed):
                    pass
        except (TimeoutError, WorkerDied, wire.WireError) as error:
            self._failed(error)
        finally:
            self.rest(keep_alive_s)
            self.turn.release()

    def stay(self) -> None:
        """Somebody calls: the worker is not let go."""
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None

    def rest(self, keep_alive_s: float) -> None:
        """Let the worker go when nobody has called for that long: at once for 0, never for less or for infinity."""
        self.stay()
        if keep_alive_s == 0:
            self.drop()
        elif 0 < keep_alive_s < math.inf and self.taken:
            self._idle = asyncio.get_running_loop().call_later(keep_alive_s, self._expire)

    def _expire(self) -> None:
        if not self.turn.locked():
            self.drop()

    def drop(self) -> None:
        """Kill the worker without waiting."""
        if self._worker is not None:
            self._worker.kill()

    async def end(self) -> None:
        """Kill the worker and wait until it is gone, its memory with it, and so is one that somebody else ends.

        Cancelled, it goes on by itself. Raises `EngineTimeout` where one stays.
        """
        worker, self._worker, self.num_ctx = self._worker, None, 0
        if worker is not None:
            worker.kill()
            going = asyncio.create_task(worker.ended())
            self._going.add(going)
            going.add_done_callback(self._going.discard)
        if self._going:
            _, left = await asyncio.wait(set(self._going), timeout=_GONE_S)
            if left:
                raise EngineTimeout(
                    "a killed worker does not end", stage="load", next_step="see whether its disk answers"
                )

    async def close(self) -> None:
        """`end`, for good; calls that wait or run end as broken."""
        self._closed = True
        self.stay()
        async with self._starting:  # a worker that is being started ends with the others
            with suppress(EngineTimeout):
                await self.end()
        if self._hushing:
            await asyncio.wait(self._hushing)
