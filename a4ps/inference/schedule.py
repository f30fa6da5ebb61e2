"""The residency scheduler: which call starts, which model is loaded in place of which, and who waits. A pure plan.

`plan(state)` gives the moves to begin now and the reason of every wait. Whoever makes them tells the state what happened
(`residency.py`) and asks again: after every event, and at `Plan.ask_again_s`. The plan reads no clock and does nothing.
Planning again from the state in which its moves have begun gives no further move.

The rules of "swap-aware", the stronger first:

1. Models in memory, with the load under way, never take more than the budget (I7), and nothing in use is evicted. One
   load is under way at a time. A call larger than the whole budget is refused with the models that would fit.
2. No waiting call is passed over by more than `switches_max` switches (I8): loads of other models that begin while its own
   is not in memory. A model may be loaded only if all others that are waited for can still be in time, each with a
   load of its own, the most passed over first. This holds while at most `switches_max` + 1 models are waited for at
   once (more cannot all be in time; then the most passed over is next); a load that fails or dies costs those who wait one.
3. Between two switches at most `overtakes_max` calls start before an older one that waits for a load. Those that waited
   when their model came into memory are not counted: a switch serves all that wait for it.
4. The Architect's calls go before background ones: background calls neither choose the next model nor keep one in memory
   while an Architect's call waits for a load, and on the same model they start later, until `overtakes_max` later calls
   of it have started before them. Rule 2 holds for them too.
5. Whatever fits stays. What is in memory serves its waiting calls before it is evicted. Of the models that could be
   loaded now, the one is taken with which least loading is ahead (`lookahead.py`), or the one waited for longest; evicted
   is what is used again latest by the calls known and announced, or was used longest ago.
6. A turn that has just ended a call, and has announced that its next one is of a model in memory, is given `pause_s` to
   make it before that model is evicted; likewise where a load of what it calls next is the one that saves most (Iyer and
   Druschel, "Anticipatory scheduling", SOSP 2001).

"sequential" is a model for one call: loaded, used once, unloaded, whoever is next. Calls go in the order of arrival, the
Architect's first; a background call that `switches_max` loads have passed over takes its place among them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.inference.calls import Key
from a4ps.inference.lookahead import Chain, Weight, loading_ahead_s, make_room, next_use
from a4ps.inference.moves import Load, Move, Refuse, Start, Unload
from a4ps.inference.residency import Resident, State, Waiting
from a4ps.inference.waits import Wait, explain

#: How models share memory: the setting `residency`.
Residency: TypeAlias = Literal["swap-aware", "sequential"]

#: With 7 none of 1,500 random traces of up to 16 calls loaded more than the best order does (`bench/residency.py`); with 6
#: two of them did, with 5 eight.
SWITCHES_MAX = 7
#: Twice the calls of three turns that use one model for all; on a small card that is minutes.
OVERTAKES_MAX = 30
#: A call of the same turn follows the one before within milliseconds; the least load of a real server takes 0.26 s.
PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no waiting call is kept from for longer: see the rules 2, 3, 4 and 6."""

    switches_max: int = SWITCHES_MAX
    overtakes_max: int = OVERTAKES_MAX
    pause_s: float = PAUSE_S


@dataclass(frozen=True, slots=True)
class Plan:
    """What to begin now, in this order, and why everybody else waits.

    `ask_again_s` is the time at which to plan again even if nothing has happened, or None.
    """

    moves: tuple[Move, ...]
    waits: tuple[Wait, ...]
    ask_again_s: float | None = None

    def __str__(self) -> str:
        return "\n".join(map(str, (*self.moves, *self.waits)))


def plan(state: State, residency: Residency = "swap-aware", bounds: Bounds | None = None) -> Plan:
    """The moves to begin in `state`. Never raises; the same state gives the same plan."""
    bounds = bounds or Bounds()
    decide = _swap_aware if residency == "swap-aware" else _sequential
    moves: list[Move] = []
    while step := _refusals(state) or decide(state, bounds):
        moves += step
        for move in step:
            state = state.did(move)
    if residency == "sequential":
        places = {each.call.id: place for place, each in enumerate(_queue(state, bounds))}
        return Plan(tuple(moves), explain(state, places))
    if not state.waiting:
        return Plan(tuple(moves), ())
    outlook = _Outlook.of(state, bounds)
    coming = outlook.coming if outlook.line and not state.loading else {}
    waits = explain(state, _places(outlook), [base for base, _ in coming])
    return Plan(tuple(moves), waits, min(coming.values(), default=None))


def _refusals(state: State) -> list[Move]:
    fits = tuple(model for model in state.known if model.need_bytes <= state.budget_bytes)
    return [
        Refuse(waiting.call, state.budget_bytes, fits)
        for waiting in state.waiting
        if waiting.call.model.need_bytes > state.budget_bytes
    ]


# Swap-aware.


@dataclass(frozen=True, slots=True)
class _Outlook:
    """What follows from a state before anything is chosen.

    `line` are the calls that wait for a load, by what must be loaded. `yielding` are the ids of calls whose model is in
    memory, but which don't keep it there: others must be let through. `coming` are the
    next calls of turns that have just ended one: what they need in memory, and until when they are awaited.
    """

    state: State
    bounds: Bounds
    line: dict[Key, list[Waiting]]
    pressed: bool
    yielding: frozenset[str]
    coming: dict[Key, float]

    @classmethod
    def of(cls, state: State, bounds: Bounds) -> _Outlook:
        line = state.in_line()
        urgent = any(_has_architect(calls) for calls in line.values())
        pressed = bool(line) and state.overtakes >= bounds.overtakes_max
        yielding = _yielding(state, line, bounds, urgent=urgent, pressed=pressed)
        coming = {
            state.cost.key(hint.models[0]): hint.since_s + bounds.pause_s
            for hint in state.hints
            if hint.models
            and hint.models[0].need_bytes <= state.usable_bytes
            and state.now_s < hint.since_s + bounds.pause_s
            and (hint.who == "architect" or not urgent)
            and not any(call.turn == hint.turn for call in state.calls())
        }
        return cls(state, bounds, line, pressed, yielding, coming)


@dataclass(frozen=True, slots=True)
class _Switch:
    """The load that comes next. Its victims may still be in use, and first serve what waits for them and does not yield.

    `called` is whether its call is there: a turn between two calls may be worth waiting a moment for.
    """

    key: Key
    victims: tuple[Resident, ...]
    called: bool


def _swap_aware(state: State, bounds: Bounds) -> list[Move]:
    surplus = _surplus(state)
    idle = [resident for resident in surplus if not state.in_use(resident.base)]
    if idle:
        return [Unload(resident.model, "the memory for models has become smaller") for resident in idle]
    if not state.waiting:
        return []
    outlook = _Outlook.of(state, bounds)
    switch = _next_switch(outlook)
    going = {resident.base for resident in (*surplus, *(switch.victims if switch else ()))}
    for resident in state.residents:
        # One at a time: each start may be the one after which late calls must let others through.
        if (start := _start(outlook, resident, going=resident.base in going)) is not None:
            return [start]
    if switch and switch.called and not any(state.in_use(resident.base) for resident in switch.victims):
        model = outlook.line[switch.key][0].call.model
        return [Load(model, tuple(resident.model for resident in switch.victims))]
    return []


def _start(outlook: _Outlook, resident: Resident, *, going: bool) -> Start | None:
    """The next call on a resident. One that is `going` takes none of those that yield, and under pressure none does."""
    state, bounds = outlook.state, outlook.bounds
    if state.in_use(resident.base) >= state.cost.calls_at_once:
        return None
    held = outlook.yielding if going or outlook.pressed else frozenset[str]()
    ready = [each for each in state.waiting_on(resident) if each.call.id not in held]
    if not ready:
        return None

    def rank(each: Waiting) -> tuple[bool, int]:
        return _is_background(each) and each.overtaken < bounds.overtakes_max, each.call.arrival

    return Start(min(ready, key=rank).call)


def _yielding(
    state: State, line: dict[Key, list[Waiting]], bounds: Bounds, *, urgent: bool, pressed: bool
) -> frozenset[str]:
    """The calls on residents that let others through: background ones where the Architect waits for a load, and late
    ones under pressure; but none that could then not be in time for its own load.
    """
    if not urgent and not pressed:
        return frozenset()
    oldest = min(calls[0].call.arrival for calls in line.values())
    found = [
        each
        for resident in state.residents
        for each in state.waiting_on(resident)
        if (urgent and _is_background(each)) or (pressed and each.call.arrival > max(oldest, resident.boarded))
    ]
    loads_ahead = len(line) - 1 + len({state.cost.key(each.call.model) for each in found})
    return frozenset(
        each.call.id for each in found if each.switches == 0 or each.switches + loads_ahead <= bounds.switches_max
    )


def _next_switch(outlook: _Outlook) -> _Switch | None:
    """Which load comes next and in place of what, or None where none can be told yet."""
    state, line = outlook.state, outlook.line
    if not line or state.loading or state.leaving:
        return None
    chains, weights = _chains(state), _weights(state)
    held = _by_last_use(state.residents)
    free = [resident for resident in held if state.cost.key(resident.model) not in outlook.coming]
    idle = [resident for resident in free if not state.in_use(resident.base)]
    for evictable in (idle, free):
        found = []
        for key in _eligible(outlook):
            evicted = make_room(key, _keys(state, held), _keys(state, evictable), chains, weights, state.usable_bytes)
            if evicted is not None:
                found.append((key, evicted))
        if any(key in line for key, _ in found):
            key, evicted = _least_loading(outlook, found, chains, weights)
            victims = tuple(resident for resident in held if state.cost.key(resident.model) in evicted)
            return _Switch(key, victims, key in line)
    return None


def _places(outlook: _Outlook) -> dict[str, int]:
    """How many loads come before its own, for each call that waits for one, by its id: as far as is known now."""
    switch = _next_switch(outlook)
    first = switch.key if switch else None
    order = sorted(
        outlook.line.items(),
        key=lambda item: (item[0] != first, not _has_architect(item[1]), item[1][0].call.arrival),
    )
    return {each.call.id: place for place, (_, calls) in enumerate(order) for each in calls}


def _eligible(outlook: _Outlook) -> list[Key]:
    """What may be loaded next: what keeps everybody else in time, of that what the Architect waits for if there is any.

    Where nothing keeps everybody in time, the most passed over is next.
    """
    line, bounds = outlook.line, outlook.bounds
    coming = [
        key for key in outlook.coming if key not in line and key not in _keys(outlook.state, outlook.state.residents)
    ]
    in_time = [key for key in line if _in_time(line, key, bounds)]
    if not in_time:
        return [min(line, key=lambda key: (-_passed_over(line[key]), line[key][0].call.arrival))]
    chosen = [key for key in in_time if _has_architect(line[key])] or in_time
    return chosen + [key for key in coming if _in_time(line, key, bounds)]


def _in_time(line: dict[Key, list[Waiting]], first: Key, bounds: Bounds) -> bool:
    """Whether all others keep the bound if `first` is loaded now and then they, the most passed over first."""
    others = sorted((_passed_over(calls) for key, calls in line.items() if key != first), reverse=True)
    return all(passed + ahead <= bounds.switches_max for ahead, passed in enumerate(others, start=1))


def _least_loading(
    outlook: _Outlook, found: Sequence[tuple[Key, tuple[Key, ...]]], chains: list[Chain], weights: dict[Key, Weight]
) -> tuple[Key, tuple[Key, ...]]:
    """The first move of `found` that leaves least loading ahead; of equals the one that is waited for longest."""
    if len(found) == 1:
        return found[0]
    held = set(_keys(outlook.state, outlook.state.residents))

    def rank(move: tuple[Key, tuple[Key, ...]]) -> tuple[float, float]:
        key, evicted = move
        after = held.difference(evicted) | {key}
        ahead = weights[key].load_s + loading_ahead_s(chains, after, weights, outlook.state.usable_bytes)
        return round(ahead, 6), outlook.line[key][0].call.arrival if key in outlook.line else math.inf

    return min(found, key=rank)


def _chains(state: State) -> list[Chain]:
    """What each turn still has to call, as far as it can ever be served: its waiting call and what it announced."""
    announced = {hint.turn: hint.models for hint in state.hints}
    newest = {call.turn: call.id for call in sorted(state.calls(), key=lambda call: call.arrival)}
    rows = [
        (each.call.model, *(announced.get(each.call.turn, ()) if newest[each.call.turn] == each.call.id else ()))
        for each in state.waiting
    ]
    waits = {each.call.id for each in state.waiting}
    rows += [models for turn, models in announced.items() if newest.get(turn) not in waits]
    fitting = ([model for model in row if model.need_bytes <= state.usable_bytes] for row in rows)
    return [tuple(state.cost.key(model) for model in row) for row in fitting if row]


def _weights(state: State) -> dict[Key, Weight]:
    models = [each.call.model for each in state.waiting] + [model for hint in state.hints for model in hint.models]
    weights = {state.cost.key(model): Weight(model.need_bytes, state.cost.seconds(model)) for model in models}
    for resident in state.residents:
        weights[state.cost.key(resident.model)] = Weight(resident.held_bytes, state.cost.seconds(resident.model))
    return weights


def _surplus(state: State) -> list[Resident]:
    """Residents that must go because they take more than they may by now: those not in use first, not waited for next."""
    over = state.promised_bytes - state.usable_bytes
    if over <= 0:
        return []
    chains = _chains(state)
    ordered = _by_last_use(state.residents)
    ordered.sort(key=lambda each: (state.in_use(each.base) > 0, -next_use(state.cost.key(each.model), chains)))
    going = []
    for resident in ordered:
        if over > 0:
            going.append(resident)
            over -= resident.held_bytes
    return going


# Sequential.


def _sequential(state: State, bounds: Bounds) -> list[Move]:
    for resident in state.residents:
        if state.in_use(resident.base):
            continue
        ready = [each for each in _queue(state, bounds) if state.serving(each.call.model) == resident]
        if ready and not resident.started and state.promised_bytes <= state.usable_bytes:
            return [Start(ready[0].call)]
        return [Unload(resident.model, "each model is unloaded after its call (residency = sequential)")]
    queue = [each for each in _queue(state, bounds) if each.call.model.need_bytes <= state.usable_bytes]
    if queue and not state.residents and not state.leaving and not state.loading:
        return [Load(queue[0].call.model)]
    return []


def _queue(state: State, bounds: Bounds) -> list[Waiting]:
    return sorted(
        state.waiting,
        key=lambda each: (_is_background(each) and each.switches < bounds.switches_max, each.call.arrival),
    )


# Small questions.


def _is_background(waiting: Waiting) -> bool:
    return waiting.call.who == "background"


def _has_architect(calls: Collection[Waiting]) -> bool:
    return not all(map(_is_background, calls))


def _passed_over(calls: Collection[Waiting]) -> int:
    return max(each.switches for each in calls)


def _by_last_use(residents: Sequence[Resident]) -> list[Resident]:
    return sorted(residents, key=lambda resident: resident.last_used_s)


def _keys(state: State, residents: Collection[Resident]) -> list[Key]:
    return [state.cost.key(resident.model) for resident in residents]
