"""The model manager: every call of every persona goes through it, and gets its model within the memory that there is.

It is an engine itself: the society calls its `stream` and knows nothing of residency, which is `model_memory.py`'s. A reply
that repeats itself without end is ended here, and embeddings find their way past the schedule. One event loop owns all of
it; `invoke` may be called from any other thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar, cast

from a4ps import ports
from a4ps.errors import CallerError, EngineRefused, NotBound, PeerError
from a4ps.inference import lexical
from a4ps.inference.calls import Who
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    Held,
    Loading,
    Message,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
)
from a4ps.inference.loop_guard import LoopGuard
from a4ps.inference.loop_thread import LoopThread
from a4ps.inference.model_memory import Ledger, MemoryStatistics, ModelMemory, Occupancy, Parts
from a4ps.inference.tokens import estimate_prompt
from a4ps.inference.waits import Wait

__all__ = ["Busy", "Ledger", "ModelManager", "ModelStatistics", "Occupancy", "Parts"]

#: How the setting names a model of Ollama's that embeds.
BY_OLLAMA = "ollama:"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Busy:
    """Tokens in flight: of the prompts that are being answered (estimated, four characters each), and at its busiest of a
    whole reply besides; and calls that wait.
    """

    tokens: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """The memory of the models, the pieces of text that they have said since the process began (mostly a token each), and
    what is asked of them now.
    """

    memory: MemoryStatistics
    pieces: int
    busy: Busy


class ModelManager:
    """One engine and the memory that its models share. See `Engine` for `stream` and the other methods of that port.

    `ModelManager()` is made of what the wiring has bound, and serves callers that have no event loop (`invoke`).
    """

    def __init__(self, parts: Parts | None = None) -> None:
        """Opens nothing. Raises NotBound where there are no parts and nothing is wired."""
        parts = _wired() if parts is None else parts
        self.engine = parts.engine
        self.name = parts.engine.name
        self.cost = parts.engine.cost
        self._parts = parts
        self._memory = ModelMemory(parts)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None
        self._in_flight = 0
        self._pieces = 0
        self._busiest = Busy()

    # The engine port

    async def status(self) -> EngineStatus:
        return await self.engine.status()

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self.engine.models()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """`Engine.stream`, after a wait that may have other models loaded and unloaded. Tells why it waits (`Held`).

        Raises `ModelTooLarge` besides, before any chunk.
        """
        self._loop = asyncio.get_running_loop()
        seat = await self._memory.arrive(request)
        tokens = sum(len(message.content) for message in request.messages) // 4
        self._in_flight += tokens
        try:
            announced = False
            told = ""
            while not seat.started:
                if seat.error is not None:
                    raise seat.error
                if seat.loading and not announced:
                    announced = True
                    yield Loading(request.model)
                elif seat.why and seat.why != told:
                    told = seat.why
                    self._note_busy()
                    yield Held(request.model, told)
                await seat.changed.wait()
                seat.changed.clear()
            guard = LoopGuard()
            pieces = 0
            async with aclosing(self.engine.stream(self._asked(request))) as chunks:
                async for chunk in chunks:
                    if isinstance(chunk, Text):
                        yield chunk
                        pieces += 1
                        self._pieces += 1
                        if not (looping := guard.feed(chunk.text)):
                            continue
                        chunk = Finished("length", estimate_prompt(request.messages), pieces, notes=(looping,))
                    if isinstance(chunk, Finished):
                        # Noted before it is told: whoever has heard the end may not come back for more.
                        seat.finished = True
                        self._note_busy(chunk.completion_tokens)
                        yield replace(chunk, notes=(*self._memory.notes(request.model), *chunk.notes))
                        return
                    if not (announced and isinstance(chunk, Loading)):
                        yield chunk
        except PeerError:
            await self._memory.look()
            raise
        finally:
            self._in_flight -= tokens
            self._memory.leave(seat)

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """Have it loaded as a call would, without one; how long it stays is the plan's to say."""
        del keep_alive_s
        async with self._memory.seated(_errand(model, "load", num_ctx, "architect")):
            return

    async def loaded(self) -> tuple[Resident, ...]:
        return await self.engine.loaded()

    async def unload(self, model: str) -> None:
        await self.engine.unload(model)
        await self._memory.look()

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """One unit vector a text, by `model`, or by the one of the settings where that is "".

        "lexical" needs no model (`lexical.py`); a model file is run on the CPU in a process of its own. Both stay off the
        card's schedule. "ollama:MODEL" has Ollama do it, which is then a call like any other, in the background.
        """
        model = model or self._parts.embedder_model
        if model == lexical.NAME:
            return await asyncio.to_thread(lexical.embed_all, texts)  # many would hold up the loop
        if not model.startswith(BY_OLLAMA):
            return await (self._parts.embedder or self.engine).embed(model, texts)
        name = model.removeprefix(BY_OLLAMA)
        if self.name != "ollama":
            raise _no_ollama(name)
        async with self._memory.seated(_errand(name, "embed", self._parts.num_ctx, "background")):
            return await self.engine.embed(name, texts)

    async def embedder_identity(self) -> str:
        """Name and weights of what embeds by the settings: vectors of another identity cannot be compared with its own.

        Raises `ModelMissing`, and `EngineRefused` as `embed` does.
        """
        model = self._parts.embedder_model
        if model == lexical.NAME:
            return lexical.NAME
        name = model.removeprefix(BY_OLLAMA)
        if name != model and self.name != "ollama":
            raise _no_ollama(name)
        engine = self.engine if name != model else self._parts.embedder or self.engine
        digest = (await engine.inspect(name)).digest.removeprefix("sha256:")[:12]
        return f"{model}@{digest}" if digest else model

    async def inspect(self, model: str) -> ModelCard:
        return await self._memory.inspect(model)

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        self._memory.forget_card(model)
        return self.engine.pull(model)

    async def aclose(self) -> None:
        """Ends what is under way, then the engine. Idempotent."""
        await self._memory.aclose()
        await self.engine.aclose()
        if self._parts.embedder is not None:
            await self._parts.embedder.aclose()

    # For others

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Who waits now, for whom and why."""
        return self._memory.waits

    @property
    def busy(self) -> Busy:
        """What is asked of it now."""
        return Busy(self._in_flight, len(self._memory.waits))

    def take_busiest(self) -> Busy:
        """The most of each since this was last asked."""
        busiest, self._busiest = self._busiest, Busy()
        return busiest

    def statistics(self) -> ModelStatistics:
        """How it is now. Asks nobody, so what is in memory is what was last seen."""
        return ModelStatistics(self._memory.statistics(), self._pieces, self.busy)

    async def idle(self) -> None:
        """Return when no load or unload is under way."""
        await self._memory.idle()

    async def ps(self) -> Occupancy:
        """What is in memory now, verified."""
        return await self._memory.ps()

    def lease(self, need_bytes: int) -> AbstractAsyncContextManager[None]:
        """Memory out of the same budget for somebody else (training): see `ModelMemory.lease`."""
        return self._memory.lease(need_bytes)

    def invoke(self, model: str, prompt: str, system_prompt: str = "") -> str:
        """The model's whole reply. Blocks: for callers that have no event loop of their own.

        Raises `PeerError`, `ModelTooLarge`; CallerError on the manager's own event loop, which would wait for itself.
        """
        return self._run(self._reply(model, prompt, system_prompt))

    def close(self) -> None:
        """`aclose` for callers without an event loop. Idempotent."""
        if self._thread is not None:
            self._thread.run(self.aclose())
            self._thread.close()
            self._thread = None

    async def _reply(self, model: str, prompt: str, system_prompt: str) -> str:
        system = (Message("system", system_prompt),) if system_prompt else ()
        request = ChatRequest(
            model,
            (*system, Message("user", prompt)),
            persona="",
            step="invoke",
            num_ctx=self._parts.num_ctx,
            max_tokens=self._parts.reply_tokens,
        )
        text = ""
        async with aclosing(self.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Text):
                    text += chunk.text
        return text

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            if self._loop is None:
                self._thread = LoopThread("a4ps-models")
                self._loop = self._thread.loop
            return asyncio.run_coroutine_threadsafe(work, self._loop).result()
        work.close()
        raise CallerError("this blocks and was called on an event loop", next_step="await stream(...), or use a thread")

    # One call

    def _note_busy(self, said: int = 0) -> None:
        """Called where most is asked: as a call ends that has `said` so many tokens, and as one is told why it waits."""
        now, most = self.busy, self._busiest
        self._busiest = Busy(max(now.tokens + said, most.tokens), max(now.waiting, most.waiting))

    def _asked(self, request: ChatRequest) -> ChatRequest:
        keep_alive_s = 0.0 if self._parts.residency == "sequential" else request.keep_alive_s
        return replace(request, num_ctx=self._memory.context(request.model, request.num_ctx), keep_alive_s=keep_alive_s)


def _no_ollama(name: str) -> EngineRefused:
    return EngineRefused(f"{name} was to embed, and Ollama is not in use", next_step="a4ps config set embedder lexical")


def _errand(model: str, step: str, num_ctx: int, who: Who) -> ChatRequest:
    """What stands in line for work that is no chat."""
    return ChatRequest(model, (), persona="", step=step, num_ctx=num_ctx, who=who)


def _wired() -> Parts:
    bound = ports.current().models
    if bound is None:
        raise NotBound("this process has no models yet", next_step="ModelManager(Parts(engine)), or ask with a4ps")
    return cast(Callable[[], Parts], bound)()
