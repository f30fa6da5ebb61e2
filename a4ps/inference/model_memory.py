"""What is in the memory that models share, and whoever waits for it: makes what `schedule.plan` decides.

Asks the engine to load and unload, seats the calls whose model is there, and tells the others why they wait. What is in
memory is verified by the engine's own word after each load, unload and failure, not assumed. A load that spilled (a part
of it is not on the card) is repeated once with a smaller context, which is remembered. One event loop owns all of it.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from a4ps.clock import Clock, SystemClock
from a4ps.errors import A4PSError, ModelTooLarge, PeerError
from a4ps.inference import footprint, lexical, schedule
from a4ps.inference.calls import Call, Hint, Model
from a4ps.inference.catalog import canonical
from a4ps.inference.engine import ChatRequest, Engine, ModelCard, Resident
from a4ps.inference.memory_budget import UNBOUNDED, MemoryBudget
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload
from a4ps.inference.read_ahead import read_ahead
from a4ps.inference.residency import State
from a4ps.inference.waits import Wait

#: How long what the engine said of its memory is believed while nothing happens.
BELIEVED_S = 5.0
#: How long a model that was loaded for a call stays if the call does not come; the call itself sets its own.
LOADED_S = 300.0

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


@dataclass(frozen=True, slots=True)
class MemoryStatistics:
    """What is in memory, as far as was last seen, and since the process began: loads, and those of them that spilled.

    `budget_bytes` is None where the engine runs on another machine, whose memory is not known here.
    """

    residents: tuple[Resident, ...]
    budget_bytes: int | None
    loads: int
    spills: int
    waiting: int


@dataclass(slots=True)
class Seat:
    """One call between its arrival and its end. `why` it waits is for the user; `changed` is set when any of it changes."""

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


class ModelMemory:
    """Made and used by the `ModelManager`, on one event loop."""

    def __init__(self, parts: Parts) -> None:
        """Opens nothing."""
        self._engine = parts.engine
        self._cost = parts.engine.cost
        self._parts = parts
        self._clock = parts.clock
        self._state = State(0, self._cost)
        self._waits: tuple[Wait, ...] = ()
        self._seats: dict[str, Seat] = {}
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
        self._loads = self._spills = 0

    def statistics(self) -> MemoryStatistics:
        """How it is now. Asks nobody."""
        occupied = Occupancy(self._state.budget_bytes, self._seen, self._waits)
        budget = occupied.budget_bytes if occupied.is_bounded else None
        return MemoryStatistics(occupied.residents, budget, self._loads, self._spills, len(occupied.waits))

    @property
    def waits(self) -> tuple[Wait, ...]:
        """Who waits now, for whom and why."""
        return self._waits

    def notes(self, model: str) -> tuple[str, ...]:
        """What the user should know of a model, each sentence once."""
        return tuple(self._notes.pop(model, ()))

    def forget_card(self, model: str) -> None:
        """The model is fetched anew: what it is must be looked at again."""
        self._cards.pop(model, None)

    def context(self, model: str, num_ctx: int) -> int:
        """What the card can hold of a context, in tokens, as far as is known."""
        return min(num_ctx, self._shrunk.get(model, num_ctx))

    async def inspect(self, model: str) -> ModelCard:
        """What a model is, looked at once a process. Raises `ModelMissing` and what the engine raises."""
        card = self._cards.get(model)
        if card is None:
            card = self._cards[model] = await self._engine.inspect(model)
            ledger = self._parts.ledger
            changed = ledger.check(model, card.digest) if ledger is not None and card.digest else ""
            if changed:
                _log.warning("%s", changed)
                self._note(model, changed)
            if ledger is not None and (reduced := ledger.context(model)):
                self._shrunk[model] = reduced
        return card

    async def ps(self) -> Occupancy:
        """What is in memory now, verified."""
        await self.look()
        return Occupancy(self._state.budget_bytes, self._seen, self._waits)

    async def idle(self) -> None:
        """Return when no load or unload is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def aclose(self) -> None:
        """End what is under way; the engine is the caller's. Idempotent."""
        if self._alarm is not None:
            self._alarm.cancel()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

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

    # A call's seat

    async def arrive(self, request: ChatRequest) -> Seat:
        """Put the call in line. Raises `ModelMissing` and `ModelTooLarge`."""
        model = await self._weighed(request.model, request.num_ctx)
        coming = [await self._weighed(name, request.num_ctx) for name in request.coming]
        if self._state.serving(model) is None or self._now() - self._seen_s > BELIEVED_S:
            await self.look()
        self._check_fits(request, model)
        self._contexts[request.model] = self.context(request.model, request.num_ctx)
        arrival = next(self._arrivals)
        call = Call(f"call {arrival}", model, arrival, request.persona, request.turn or f"call {arrival}", request.who)
        seat = self._seats[call.id] = Seat(call, coming=bool(coming))
        self._state = self._state.at(self._now()).arrived(call)
        if request.turn:
            self._state = self._state.announced(Hint(request.turn, tuple(coming), request.who))
        self._replan()
        return seat

    def leave(self, seat: Seat) -> None:
        """The call has ended, however: others may go on."""
        self._seats.pop(seat.call.id, None)
        self._state = self._state.at(self._now()).ended(seat.call.id)
        if not seat.finished or not seat.coming:
            # The turn has ended, or broke off: what it announced is not to be waited for.
            self._state = self._state.forgotten(seat.call.turn)
        self._replan()

    @asynccontextmanager
    async def seated(self, request: ChatRequest) -> AsyncIterator[None]:
        """The block has the model in memory, and keeps it there. Raises as `arrive` and the load do."""
        seat = await self.arrive(request)
        try:
            while not seat.started:
                if seat.error is not None:
                    raise seat.error
                await seat.changed.wait()
                seat.changed.clear()
            yield
        finally:
            self.leave(seat)

    # What a model takes

    async def _weighed(self, name: str, num_ctx: int) -> Model:
        card = await self.inspect(name)
        num_ctx = self.context(name, num_ctx)
        measured = self._measured.get((card.base, num_ctx))
        if self._cost.load_s == 0:
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
                request.model, layout, self.context(request.model, request.num_ctx), budget, self._parts.sizes_gb
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
            seat = self._seats.get(wait.call.id)
            if seat is not None and str(wait) != seat.why:
                seat.why, seat.loading = str(wait), wait.reason == "load"
                seat.tell()
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
                if (seat := self._seats.get(call.id)) is not None:
                    seat.started = True
                    seat.tell()
            case Load(model, evict):
                self._spawn(self._load(model, evict))
            case Unload(model):
                self._spawn(self._unload(model))
            case Refuse(call, budget, fits):
                if (seat := self._seats.get(call.id)) is not None:
                    sizes = {fit.name: fit.need_bytes / 1e9 for fit in fits}
                    seat.error = _too_large(call.model.name, call.model.need_bytes, budget, sizes)
                    seat.tell()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _load(self, model: Model, evict: tuple[Model, ...]) -> None:
        """Unload what has to go, see that it is gone, load, and see what that took."""
        try:
            for old in evict:
                await self._engine.unload(old.name)
                self._state = self._state.at(self._now()).left(old.base)
            # The same for all calls of one model, or it would be loaded again for each.
            num_ctx = self._contexts[model.name]
            await self._engine.load(model.name, num_ctx=num_ctx, keep_alive_s=LOADED_S)
            found = await self._found(model)
            if found is not None and (smaller := self._after_spill(model, num_ctx, found)):
                await self._engine.unload(model.name)
                await self._engine.load(model.name, num_ctx=smaller, keep_alive_s=LOADED_S)
                found = await self._found(model)
        except A4PSError as error:
            self._fail(model, error)
            await self.look()
        else:
            self._loads += 1
            held = found.vram_bytes or found.size_bytes if found is not None else None
            if held is not None:
                self._measured[model.base, self._contexts[model.name]] = held
            self._ahead.discard(self._cards[model.name].file)
            self._state = self._state.at(self._now()).loaded(held)
        self._replan()

    def _fail(self, model: Model, error: A4PSError) -> None:
        """A load failed: whoever waited for it is told, and nothing is in that place."""
        key = self._cost.key(model)
        self._state = self._state.at(self._now()).died(model.base)
        for seat in list(self._seats.values()):
            if not seat.started and self._cost.key(seat.call.model) == key:
                # Each of its callers needs one of its own to hang a traceback on.
                seat.error = copy.copy(error)
                self._state = self._state.ended(seat.call.id)
                seat.tell()

    async def _unload(self, model: Model) -> None:
        try:
            await self._engine.unload(model.name)
        except PeerError:
            _log.exception("%s could not be unloaded", model)
            await self.look()
        self._state = self._state.at(self._now()).left(model.base)
        self._replan()

    # What is in memory

    async def look(self) -> None:
        """Ask the engine what is in memory, and the machine what there is; forget what is gone, adopt what is there.

        An engine that does not answer leaves all as it was believed.
        """
        try:
            self._seen = await self._engine.loaded()
        except PeerError as error:
            _log.info("what is in memory could not be asked: %s", error.message)
            await self._refresh_budget()
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
        self._seen = await self._engine.loaded()
        self._seen_s = self._now()
        return self._seen_of(model)

    def _after_spill(self, model: Model, num_ctx: int, found: Resident) -> int | None:
        """The context to load it with instead, once, where a part of it is not on the card."""
        layout = self._cards[model.name].layout
        smaller = footprint.ctx_after_spill(layout, num_ctx, found.size_bytes, found.vram_bytes)
        spilled = found.size_bytes - found.vram_bytes if 0 < found.vram_bytes < found.size_bytes else 0
        if not spilled:
            return None
        self._spills += 1
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
