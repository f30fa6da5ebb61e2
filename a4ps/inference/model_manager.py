"""The model manager: every call of every persona goes through it, and gets its model within the memory that there is.

It makes what `schedule.plan` decides: asks the engine to load and unload, starts the calls, and tells those who wait
why. It is an engine itself: the society calls its `stream` and knows nothing of residency.

What is in memory is verified by the engine's own word after each load, unload and failure, not assumed. A load that
spilled (a part of it is not on the card) is repeated once with a smaller context, which is remembered. A reply that
repeats itself without end is ended. One event loop owns all of it; `invoke` may be called from any other thread.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

from a4ps import ports
from a4ps.clock import Clock, SystemClock
from a4ps.errors import A4PSError, CallerError, EngineRefused, ModelTooLarge, NotBound, PeerError
from a4ps.inference import footprint, lexical, schedule
from a4ps.inference.calls import Call, Hint, Model, Who
from a4ps.inference.catalog import canonical
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    Engine,
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
from a4ps.inference.memory_budget import UNBOUNDED, MemoryBudget
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload
from a4ps.inference.read_ahead import read_ahead
from a4ps.inference.residency import State
from a4ps.inference.tokens import estimate_prompt
from a4ps.inference.waits import Wait

#: How long what the engine said of its memory is believed while nothing happens.
BELIEVED_S = 5.0

#: How the setting names a model of Ollama's that embeds.
BY_OLLAMA = "ollama:"

#: How long a model that was loaded for a call stays if the call does not come; the call itself sets its own.
LOADED_S = 300.0

T = TypeVar("T")
_BEFORE_A_LOAD = frozenset({"switch", "room", "pause", "unload"})

_log = logging.getLogger(__name__)


class Ledger(Protocol):
    """Remembers what was learnt of models. Called once or twice a model and process, on the event loop; must be quick."""

    def check(self, model: str, digest: str) -> str:
        """Record the digest; returns a sentence for the user where it is not the one that was recorded, else ""."""
        ...

    def context(self, model: str) -> int:
        """The context that this model was reduced to, 0 where it never was."""
        ...

    def keep_context(self, model: str, num_ctx: int) -> None:
        """Remember that the model spilled with more than `num_ctx` tokens."""
        ...


@dataclass(frozen=True, slots=True)
class Occupancy:
    """What is in memory, what it may take, and who waits: for `models ps`."""

    budget_bytes: int
    residents: tuple[Resident, ...]
    waits: tuple[Wait, ...]

    @property
    def is_bounded(self) -> bool:
        """False where the engine runs on another machine, whose memory is not known here."""
        return self.budget_bytes < UNBOUNDED


@dataclass(slots=True)
class _Pending:
    """One call between its arrival and its end."""

    call: Call
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    coming: bool = False
    started: bool = False
    finished: bool = False
    loading: bool = False
    why: str = ""
    error: A4PSError | None = None

    def tell(self) -> None:
        self.changed.set()


@dataclass(frozen=True, slots=True)
class Parts:
    """What a manager is made of. `budget` gives the bytes for all models when told what ours hold.

    `embedder` runs model files that embed, where `engine` does not; `embedder_model` is the setting. `num_ctx` and
    `reply_tokens` are for `invoke`, `sizes_gb` are models that can be proposed in the place of one that does not fit.
    """

    engine: Engine
    embedder: Engine | None = None
    embedder_model: str = lexical.NAME
    budget: Callable[[int], int] = MemoryBudget().read
    residency: schedule.Residency = "swap-aware"
    num_ctx: int = 8192
    reply_tokens: int = 512
    sizes_gb: Mapping[str, float] = field(default_factory=dict)
    ledger: Ledger | None = None
    clock: Clock = field(default_factory=SystemClock)


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
        self._clock = parts.clock
        self._state = State(0, self.cost)
        self._waits: tuple[Wait, ...] = ()
        self._pending: dict[str, _Pending] = {}
        self._arrivals = itertools.count(1)
        self._cards: dict[str, ModelCard] = {}
        self._contexts: dict[str, int] = {}
        self._shrunk: dict[str, int] = {}
        self._notes: dict[str, list[str]] = {}
        self._measured: dict[tuple[str, int], int] = {}
        self._ahead: set[str] = set()
        self._seen: tuple[Resident, ...] = ()
        self._seen_s = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._freed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: LoopThread | None = None

    # The engine port

    async def status(self) -> EngineStatus:
        return await self.engine.status()

    async def models(self) -> tuple[ModelInfo, ...]:
        return await self.engine.models()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """`Engine.stream`, after a wait that may have other models loaded and unloaded. Tells why it waits (`Held`).

        Raises `ModelTooLarge` besides, before any chunk.
        """
        pending = await self._arrive(request)
        try:
            announced = False
            told = ""
            while not pending.started:
                if pending.error is not None:
                    raise pending.error
                if pending.loading and not announced:
                    announced = True
                    yield Loading(request.model)
                elif pending.why and pending.why != told:
                    told = pending.why
                    yield Held(request.model, told)
                await pending.changed.wait()
                pending.changed.clear()
            async with aclosing(self._said(self._asked(request), announced)) as chunks:
                async for chunk in chunks:
                    # Noted before it is told: whoever has heard the end may not come back for more.
                    pending.finished = isinstance(chunk, Finished)
                    yield chunk
        except PeerError:
            await self._look()
            raise
        finally:
            self._end(pending)

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """Have it loaded as a call would, without one; how long it stays is the plan's to say."""
        del keep_alive_s
        async with self._seated(_errand(model, "load", num_ctx, "architect")):
            return

    @asynccontextmanager
    async def _seated(self, request: ChatRequest) -> AsyncIterator[None]:
        """The block has the model in memory; raises as `stream` does before it."""
        pending = await self._arrive(request)
        try:
            while not pending.started:
                if pending.error is not None:
                    raise pending.error
                await pending.changed.wait()
                pending.changed.clear()
            yield
        finally:
            self._end(pending)

    async def loaded(self) -> tuple[Resident, ...]:
        return await self.engine.loaded()

    async def unload(self, model: str) -> None:
        await self.engine.unload(model)
        await self._look()

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """One unit vector a text, by `model`, or by the one of the settings where that is "".

        "lexical" needs no model (`lexical.py`); a model file is run on the CPU in a process of its own. Both stay off the
        card's schedule. "ollama:MODEL" has Ollama do it, which is then a call like any other, in the background.
        """
        model = model or self._parts.embedder_model
        if model == lexical.NAME:
            return lexical.embed_all(texts)
        if not model.startswith(BY_OLLAMA):
            return await (self._parts.embedder or self.engine).embed(model, texts)
        name = model.removeprefix(BY_OLLAMA)
        if self.name != "ollama":
            raise EngineRefused(
                f"{name} was to embed, and Ollama is not in use", next_step="a4ps config set embedder lexical"
            )
        async with self._seated(_errand(name, "embed", self._parts.num_ctx, "background")):
            return await self.engine.embed(name, texts)

    async def inspect(self, model: str) -> ModelCard:
        card = self._cards.get(model)
        if card is None:
            card = self._cards[model] = await self.engine.inspect(model)
            ledger = self._parts.ledger
            changed = ledger.check(model, card.digest) if ledger is not None and card.digest else ""
            if changed:
                _log.warning("%s", changed)
                self._note(model, changed)
            if ledger is not None and (reduced := ledger.context(model)):
                self._shrunk[model] = reduced
        return card

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        self._cards.pop(model, None)
        return self.engine.pull(model)

    async def aclose(self) -> None:
        """Ends what is under way, then the engine. Idempotent."""
        if self._alarm is not None:
            self._alarm.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.engine.aclose()
        if self._parts.embedder is not None:
            await self._parts.embedder.aclose()

    # For others

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Who waits now, for whom and why."""
        return self._waits

    async def idle(self) -> None:
        """Return when no load or unload is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def ps(self) -> Occupancy:
        """What is in memory now, verified."""
        await self._look()
        return Occupancy(self._state.budget_bytes, self._seen, self._waits)

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

    def announce(self, turn: str, models: Sequence[Model]) -> None:
        """A turn says which models it will call next."""
        self._state = self._state.at(self._now()).announced(Hint(turn, tuple(models)))

    @asynccontextmanager
    async def lease(self, need_bytes: int) -> AsyncIterator[None]:
        """Memory out of the same budget for somebody else (training): models are unloaded until it is free.

        Raises `ModelTooLarge` where it is more than the budget. Cancelled while it waits, it has taken nothing.
        """
        await self._refresh_budget()
        if need_bytes > self._state.budget_bytes:
            raise ModelTooLarge(
                f"{need_bytes / 1e9:.1f} GB are asked for, and there are {self._state.budget_bytes / 1e9:.1f} GB for models",
                needed_bytes=need_bytes,
                budget_bytes=self._state.budget_bytes,
                num_ctx=0,
                next_step="train a smaller model, or with a shorter context",
            )
        self._state = replace(self._state, leased_bytes=self._state.leased_bytes + need_bytes)
        try:
            self._replan()
            while self._state.held_bytes > self._state.usable_bytes:
                self._freed.clear()
                await self._freed.wait()
            yield
        finally:
            self._state = replace(self._state, leased_bytes=self._state.leased_bytes - need_bytes)
            self._replan()

    # One call

    async def _arrive(self, request: ChatRequest) -> _Pending:
        """Put the call in line. Raises `ModelMissing` and `ModelTooLarge`."""
        self._loop = asyncio.get_running_loop()
        model = await self._weighed(request.model, request.num_ctx)
        coming = [await self._weighed(name, request.num_ctx) for name in request.coming]
        if self._state.serving(model) is None or self._now() - self._seen_s > BELIEVED_S:
            await self._look()
        self._check_fits(request, model)
        self._contexts[request.model] = self._ctx(request.model, request.num_ctx)
        arrival = next(self._arrivals)
        call = Call(f"call {arrival}", model, arrival, request.persona, request.turn or f"call {arrival}", request.who)
        pending = self._pending[call.id] = _Pending(call, coming=bool(coming))
        self._state = self._state.at(self._now()).arrived(call)
        if request.turn:
            self._state = self._state.announced(Hint(request.turn, tuple(coming), request.who))
        self._replan()
        return pending

    def _end(self, pending: _Pending) -> None:
        self._pending.pop(pending.call.id, None)
        self._state = self._state.at(self._now()).ended(pending.call.id)
        if not pending.finished or not pending.coming:
            # The turn has ended, or broke off: what it announced is not to be waited for.
            self._state = self._state.forgotten(pending.call.turn)
        self._replan()

    def _asked(self, request: ChatRequest) -> ChatRequest:
        keep_alive_s = 0.0 if self._parts.residency == "sequential" else request.keep_alive_s
        return replace(request, num_ctx=self._ctx(request.model, request.num_ctx), keep_alive_s=keep_alive_s)

    async def _said(self, request: ChatRequest, announced: bool) -> AsyncGenerator[Chunk, None]:
        """What the engine says, without a second announcement of the load, ended where it runs in circles."""
        guard = LoopGuard()
        pieces = 0
        async with aclosing(self.engine.stream(request)) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Loading) and announced:
                    continue
                if isinstance(chunk, Finished):
                    notes = (*self._notes.pop(request.model, ()), *chunk.notes)
                    yield replace(chunk, notes=notes)
                    return
                yield chunk
                if isinstance(chunk, Text):
                    pieces += 1
                    if looping := guard.feed(chunk.text):
                        notes = (*self._notes.pop(request.model, ()), looping)
                        yield Finished("length", estimate_prompt(request.messages), pieces, notes=notes)
                        return

    def _ctx(self, model: str, num_ctx: int) -> int:
        """What the card can hold of a context, as far as is known."""
        return min(num_ctx, self._shrunk.get(model, num_ctx))

    # What a model takes

    async def _weighed(self, name: str, num_ctx: int) -> Model:
        card = await self.inspect(name)
        num_ctx = self._ctx(name, num_ctx)
        measured = self._measured.get((card.base, num_ctx))
        if self.cost.load_s == 0:
            need = 0
        elif measured is not None:
            need = measured
        elif card.layout is not None:
            need = footprint.footprint(card.layout, num_ctx).total_bytes
        else:
            need = card.weights_bytes + footprint.BESIDE_BYTES
        return Model(name, card.base, need, card.lora)

    def _check_fits(self, request: ChatRequest, model: Model) -> None:
        budget = self._state.budget_bytes
        if model.need_bytes <= budget:
            return
        layout = self._cards[request.model].layout
        if layout is not None:
            footprint.check_fits(
                request.model, layout, self._ctx(request.model, request.num_ctx), budget, self._parts.sizes_gb
            )
        raise _too_large(model.name, model.need_bytes, budget, footprint.fitting(self._parts.sizes_gb, budget))

    async def _refresh_budget(self) -> None:
        held = sum(resident.vram_bytes or resident.size_bytes for resident in self._seen)
        budget = await asyncio.to_thread(self._parts.budget, held)
        self._state = replace(self._state.at(self._now()), budget_bytes=budget)

    # Making the plan

    def _replan(self) -> None:
        """Plan, and begin what is to be begun. Never waits."""
        self._state = self._state.at(self._now())
        decided = schedule.plan(self._state, self._parts.residency)
        for move in decided.moves:
            self._state = self._state.did(move)
            self._begin(move)
        self._waits = decided.waits
        for wait in decided.waits:
            pending = self._pending.get(wait.call.id)
            if pending is not None and str(wait) != pending.why:
                pending.why, pending.loading = str(wait), wait.reason == "load"
                pending.tell()
        self._read_ahead(decided.waits)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if decided.ask_again_s is not None:
            delay_s = max(0.0, decided.ask_again_s - self._now())
            self._alarm = asyncio.get_running_loop().call_later(delay_s, self._replan)
        if self._state.held_bytes <= self._state.usable_bytes:
            self._freed.set()

    def _begin(self, move: Move) -> None:
        _log.debug("%s", move)
        match move:
            case Start(call):
                if (pending := self._pending.get(call.id)) is not None:
                    pending.started = True
                    pending.tell()
            case Load(model, evict):
                self._spawn(self._load(model, evict))
            case Unload(model):
                self._spawn(self._unload(model))
            case Refuse(call, budget, fits):
                if (pending := self._pending.get(call.id)) is not None:
                    sizes = {fit.name: fit.need_bytes / 1e9 for fit in fits}
                    pending.error = _too_large(call.model.name, call.model.need_bytes, budget, sizes)
                    pending.tell()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: Model, evict: tuple[Model, ...]) -> None:
        """Unload what has to go, see that it is gone, load, and see what that took."""
        try:
            for old in evict:
                await self.engine.unload(old.name)
                self._state = self._state.at(self._now()).left(old.base)
            # The same for all calls of one model, or it would be loaded again for each.
            num_ctx = self._contexts[model.name]
            await self.engine.load(model.name, num_ctx=num_ctx, keep_alive_s=LOADED_S)
            found = await self._found(model)
            if found is not None and (smaller := self._after_spill(model, num_ctx, found)):
                await self.engine.unload(model.name)
                await self.engine.load(model.name, num_ctx=smaller, keep_alive_s=LOADED_S)
                found = await self._found(model)
        except A4PSError as error:
            self._fail(model, error)
            await self._look()
        else:
            held = found.vram_bytes or found.size_bytes if found is not None else None
            if held is not None:
                self._measured[model.base, self._contexts[model.name]] = held
            self._ahead.discard(self._cards[model.name].file)
            self._state = self._state.at(self._now()).loaded(held)
        self._replan()

    def _fail(self, model: Model, error: A4PSError) -> None:
        """A load failed: whoever waited for it is told, and nothing is in that place."""
        key = self.cost.key(model)
        self._state = self._state.at(self._now()).died(model.base)
        for pending in list(self._pending.values()):
            if not pending.started and self.cost.key(pending.call.model) == key:
                pending.error = error
                self._state = self._state.ended(pending.call.id)
                pending.tell()

    async def _unload(self, model: Model) -> None:
        try:
            await self.engine.unload(model.name)
        except PeerError:
            _log.exception("%s could not be unloaded", model)
            await self._look()
        self._state = self._state.at(self._now()).left(model.base)
        self._replan()

    # What is in memory

    async def _look(self) -> None:
        """Ask the engine what is in memory, and the machine what there is; forget what is gone, adopt what is there.

        An engine that does not answer leaves all as it was believed.
        """
        try:
            self._seen = await self.engine.loaded()
        except PeerError as error:
            _log.info("what is in memory could not be asked: %s", error.message)
            return
        self._seen_s = self._now()
        state = self._state.at(self._now())
        for resident in state.residents:
            if self._seen_of(resident.model) is None:
                state = state.died(resident.base)
        for card in self._cards.values():
            model = Model(card.name, card.base, 0, card.lora)
            found = self._seen_of(model)
            if found is not None:
                state = state.found(replace(model, need_bytes=found.vram_bytes or found.size_bytes))
        self._state = state
        await self._refresh_budget()

    def _seen_of(self, model: Model) -> Resident | None:
        names = {canonical(model.name), canonical(model.base)}
        return next((seen for seen in self._seen if canonical(seen.name) in names), None)

    async def _found(self, model: Model) -> Resident | None:
        self._seen = await self.engine.loaded()
        self._seen_s = self._now()
        return self._seen_of(model)

    def _after_spill(self, model: Model, num_ctx: int, found: Resident) -> int | None:
        """The context to load it with instead, once, where a part of it is not on the card."""
        layout = self._cards[model.name].layout
        smaller = footprint.ctx_after_spill(layout, num_ctx, found.size_bytes, found.vram_bytes)
        spilled = found.size_bytes - found.vram_bytes if 0 < found.vram_bytes < found.size_bytes else 0
        if not spilled:
            return None
        what = f"{model} does not fit the card: {spilled / 1e9:.1f} GB of it spilled into RAM"
        if smaller is None or model.name in self._shrunk:
            self._note(model.name, f"{what}, which makes it slow; a smaller model would fit")
            return None
        self._shrunk[model.name] = smaller
        if self._parts.ledger is not None:
            self._parts.ledger.keep_context(model.name, smaller)
        self._note(model.name, f"{what}; its context is {smaller:,} tokens instead of {num_ctx:,} from now on")
        return smaller

    def _note(self, model: str, note: str) -> None:
        """Have it told with the model's next reply."""
        self._notes.setdefault(model, []).append(note)

    def _read_ahead(self, waits: tuple[Wait, ...]) -> None:
        """Have the file of the model that is loaded next read into the page cache meanwhile."""
        for wait in waits:
            card = self._cards.get(wait.call.model.name)
            if wait.reason in _BEFORE_A_LOAD and card is not None and card.file and card.file not in self._ahead:
                self._ahead.add(card.file)
                self._spawn(_in_thread(read_ahead, Path(card.file)))
                return

    def _now(self) -> float:
        return self._clock.monotonic_s()


def _errand(model: str, step: str, num_ctx: int, who: Who) -> ChatRequest:
    """What stands in line for work that is no chat."""
    return ChatRequest(model, (), persona="", step=step, num_ctx=num_ctx, who=who)


def _wired() -> Parts:
    bound = ports.current().models
    if bound is None:
        raise NotBound("this process has no models yet", next_step="ModelManager(Parts(engine)), or ask with a4ps")
    return cast(Callable[[], Parts], bound)()


def _too_large(model: str, need_bytes: int, budget: int, fits: Mapping[str, float]) -> ModelTooLarge:
    named = ", ".join(f"{name} ({size:.1f} GB)" for name, size in fits.items())
    return ModelTooLarge(
        f"{model} needs {need_bytes / 1e9:.1f} GB and there are {budget / 1e9:.1f} GB for models",
        needed_bytes=need_bytes,
        budget_bytes=budget,
        num_ctx=0,
        next_step=f"these would fit: {named}" if named else "take a smaller model",
    )


async def _in_thread(work: Callable[[Path], object], path: Path) -> None:
    await asyncio.to_thread(work, path)
