"""Which models are in memory, who uses them and who waits: the scheduler's state as frozen values.

Each thing that happens is a method that gives the next state; nothing here decides (`schedule.py` does), reads a clock or
does anything. Times are seconds on the caller's clock, sizes are bytes.

A memory place is named by a base: at most one resident has it. Which calls a resident serves is the engine's matter
(`SwitchCost.key`): Ollama keeps a base together with one LoRA, so another LoRA on it is another load; the embedded engine
serves every LoRA of a resident base.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from a4ps.inference.calls import Call, Hint, Key, Model, SwitchCost
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload


@dataclass(frozen=True, slots=True)
class Waiting:
    """A call that has not started.

    `switches` is how many loads of other models began while its own was not in memory; `overtaken` how many later calls
    of its own model started before it.
    """

    call: Call
    switches: int = 0
    overtaken: int = 0


@dataclass(frozen=True, slots=True)
class Resident:
    """A model in memory. `boarded` is the last arrival before it was there; `started` counts the calls begun on it."""

    model: Model
    held_bytes: int
    last_used_s: float
    boarded: int = 0
    started: int = 0

    @property
    def base(self) -> str:
        return self.model.base


@dataclass(frozen=True, slots=True)
class Loading:
    """A load under way: it takes memory from the moment that none of `evict` (bases) is left there."""

    model: Model
    evict: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """Everything that a decision depends on.

    `leased_bytes` are held out of the budget for a while by somebody else (training). `known` are the models that a
    refused caller might take instead. `overtakes` counts the calls since the last load that started before an older
    one which waits for a load. `leaving` are residents that are being unloaded and still take memory.
    """

    budget_bytes: int
    cost: SwitchCost
    now_s: float = 0.0
    leased_bytes: int = 0
    residents: tuple[Resident, ...] = ()
    leaving: tuple[Resident, ...] = ()
    loading: Loading | None = None
    waiting: tuple[Waiting, ...] = ()
    running: tuple[Call, ...] = ()
    hints: tuple[Hint, ...] = ()
    known: tuple[Model, ...] = ()
    arrivals: int = 0
    overtakes: int = 0

    # What can be read from it.

    def resident(self, base: str) -> Resident | None:
        return next((each for each in self.residents if each.base == base), None)

    def serving(self, model: Model) -> Resident | None:
        """The resident that can serve `model`, if there is one."""
        held = self.resident(model.base)
        return held if held and self.cost.key(held.model) == self.cost.key(model) else None

    def in_use(self, base: str) -> int:
        """How many running calls hold this resident; it cannot be evicted before there are none."""
        return sum(call.model.base == base for call in self.running)

    def calls(self) -> tuple[Call, ...]:
        """All calls, running and waiting."""
        return (*self.running, *(each.call for each in self.waiting))

    def waiting_on(self, resident: Resident) -> list[Waiting]:
        """The waiting calls that this resident can serve."""
        return [each for each in self.waiting if self.serving(each.call.model) == resident]

    def needs_load(self, model: Model) -> bool:
        """Whether a call of `model` needs a load that has not begun."""
        if self.loading and self.cost.key(self.loading.model) == self.cost.key(model):
            return False
        return self.serving(model) is None

    def in_line(self) -> dict[Key, list[Waiting]]:
        """The calls that wait for a load, by what must be loaded, the oldest first. Not those that no eviction helps,
        because memory is leased.
        """
        line: dict[Key, list[Waiting]] = {}
        for each in sorted(self.waiting, key=lambda each: each.call.arrival):
            model = each.call.model
            if model.need_bytes <= self.usable_bytes and self.needs_load(model):
                line.setdefault(self.cost.key(model), []).append(each)
        return line

    @property
    def usable_bytes(self) -> int:
        """What models may take now."""
        return self.budget_bytes - self.leased_bytes

    @property
    def promised_bytes(self) -> int:
        """What residents and the load under way will take when what leaves is gone."""
        loading = self.loading.model.need_bytes if self.loading else 0
        return loading + sum(each.held_bytes for each in self.residents)

    @property
    def held_bytes(self) -> int:
        """What is taken now (I7: never more than the budget)."""
        leaving = {each.base for each in self.leaving}
        begun = self.loading is not None and not leaving.intersection(self.loading.evict)
        loading = self.loading.model.need_bytes if self.loading and begun else 0
        return loading + sum(each.held_bytes for each in (*self.residents, *self.leaving))

    # What can happen to it: the world's side.

    def at(self, now_s: float) -> State:
        """The same at a later time."""
        return replace(self, now_s=now_s)

    def arrived(self, call: Call) -> State:
        """A call waits from now on. Its turn's hint goes on with what comes after this model."""
        return replace(
            self,
            waiting=(*self.waiting, Waiting(call)),
            arrivals=max(self.arrivals, call.arrival),
            hints=tuple(self._after(hint, call.model) if hint.turn == call.turn else hint for hint in self.hints),
        )

    def announced(self, hint: Hint) -> State:
        """A turn says which models it will call next; an earlier hint of it is replaced."""
        others = (each for each in self.hints if each.turn != hint.turn)
        return replace(self, hints=(*others, replace(hint, since_s=self.now_s)))

    def forgotten(self, turn: str) -> State:
        """A turn has ended, or what it announced no longer holds."""
        return replace(self, hints=tuple(hint for hint in self.hints if hint.turn != turn))

    def ended(self, call_id: str) -> State:
        """A call finished, failed or was cancelled, running or waiting. An unknown id changes nothing."""
        call = next((each for each in self.running if each.id == call_id), None)
        if call is None:
            return replace(self, waiting=tuple(each for each in self.waiting if each.call.id != call_id))
        return replace(
            self,
            running=tuple(each for each in self.running if each.id != call_id),
            residents=tuple(
                replace(each, last_used_s=self.now_s) if each.base == call.model.base else each
                for each in self.residents
            ),
            hints=tuple(replace(hint, since_s=self.now_s) if hint.turn == call.turn else hint for hint in self.hints),
        )

    def left(self, base: str) -> State:
        """An unload has been verified: its memory is free."""
        return replace(self, leaving=tuple(each for each in self.leaving if each.base != base))

    def loaded(self, held_bytes: int | None = None) -> State:
        """The load under way is done. `held_bytes` is what it was found to take, where that is known; what waits for the
        same model is then reckoned with it.
        """
        if self.loading is None:
            return self
        model = self.loading.model
        if held_bytes is not None:
            model = replace(model, need_bytes=held_bytes)
        resident = Resident(model, model.need_bytes, self.now_s, boarded=self.arrivals)
        return replace(
            self,
            loading=None,
            residents=(*self.residents, resident),
            waiting=tuple(replace(each, call=self._reckoned(each.call, model)) for each in self.waiting),
        )

    def found(self, model: Model) -> State:
        """A model is in memory that nobody here has loaded, taking `need_bytes`; what is known of its base stays."""
        places = [each.base for each in (*self.residents, *self.leaving)]
        if model.base in places or (self.loading and self.loading.model.base == model.base):
            return self
        resident = Resident(model, model.need_bytes, self.now_s, boarded=self.arrivals)
        return replace(self, residents=(*self.residents, resident))

    def died(self, base: str) -> State:
        """A resident or a load is gone, with all that ran on it. What waited for it waits for a new load."""
        loading = self.loading
        return replace(
            self,
            residents=tuple(each for each in self.residents if each.base != base),
            leaving=tuple(each for each in self.leaving if each.base != base),
            loading=None if loading and loading.model.base == base else loading,
            running=tuple(call for call in self.running if call.model.base != base),
        )

    # What can happen to it: our side.

    def did(self, move: Move) -> State:
        """The state once a move of the plan has been begun; how it ends is told by the methods above."""
        match move:
            case Start(call):
                return self._started(call)
            case Load(model, evict):
                return self._load_began(model, evict)
            case Unload(model):
                return self._unloading((model.base,))
            case Refuse(call):
                return self.ended(call.id)

    def _started(self, call: Call) -> State:
        resident = self.resident(call.model.base)
        fresh = resident is not None and call.arrival > resident.boarded
        older = (line[0].call.arrival < call.arrival for line in self.in_line().values())
        key = self.cost.key(call.model)
        return replace(
            self,
            waiting=tuple(
                replace(each, overtaken=each.overtaken + 1)
                if each.call.arrival < call.arrival and self.cost.key(each.call.model) == key
                else each
                for each in self.waiting
                if each.call.id != call.id
            ),
            running=(*self.running, call),
            residents=tuple(
                replace(each, last_used_s=self.now_s, started=each.started + 1)
                if each.base == call.model.base
                else each
                for each in self.residents
            ),
            overtakes=self.overtakes + (fresh and any(older)),
        )

    def _load_began(self, model: Model, evict: tuple[Model, ...]) -> State:
        bases = tuple(each.base for each in evict)
        after = replace(self._unloading(bases), loading=Loading(model, bases), overtakes=0)
        return replace(
            after,
            waiting=tuple(
                replace(each, switches=each.switches + 1) if after.needs_load(each.call.model) else each
                for each in after.waiting
            ),
        )

    def _unloading(self, bases: Iterable[str]) -> State:
        leaving = set(bases)
        return replace(
            self,
            residents=tuple(each for each in self.residents if each.base not in leaving),
            leaving=(*self.leaving, *(each for each in self.residents if each.base in leaving)),
        )

    def _after(self, hint: Hint, model: Model) -> Hint:
        """What is left of a hint once `model` has been called. A model that it did not name leaves it as it is."""
        keys = [self.cost.key(each) for each in hint.models]
        key = self.cost.key(model)
        return replace(hint, models=hint.models[keys.index(key) + 1 :]) if key in keys else hint

    def _reckoned(self, call: Call, found: Model) -> Call:
        if self.cost.key(call.model) != self.cost.key(found):
            return call
        return replace(call, model=replace(call.model, need_bytes=found.need_bytes))
