"""Ways to share a card's memory that ours is measured beside, as planners for `residency_sim.simulate`.

- first come, first served: the oldest call is next, whatever is loaded; longest unused goes first;
- sequential: each call loads its model and unloads it (`keep_alive: 0`): our own policy of that name;
- Ollama's own queue, as recorded from a real server: calls of a loaded model go on at once, even while an older call
  waits for its eviction; the oldest of the others is loaded next. Which of several residents it evicts is not by last use
  (recorded) and is taken here as the one loaded first; with one resident at a time that makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a4ps.inference.calls import Model
from a4ps.inference.moves import Load, Move, Start
from a4ps.inference.residency import Resident, State
from a4ps.inference.schedule import Bounds, plan
from bench.residency_sim import Planner


def ours(bounds: Bounds | None = None) -> Planner:
    """The scheduler under test."""

    def planner(state: State) -> tuple[Sequence[Move], float | None]:
        planned = plan(state, "swap-aware", bounds)
        return planned.moves, planned.ask_again_s

    return planner


def sequential(state: State) -> tuple[Sequence[Move], float | None]:
    """The blueprint's way."""
    return plan(state, "sequential").moves, None


def first_come(state: State) -> tuple[Sequence[Move], float | None]:
    """Strictly in order: nobody starts before the oldest waiting call has."""
    return _until_still(state, _first_come_move), None


def ollama_queue(state: State) -> tuple[Sequence[Move], float | None]:
    """What a server does that is simply sent everything."""
    return _until_still(state, _ollama_move), None


def _until_still(state: State, decide: Callable[[State], Move | None]) -> list[Move]:
    moves: list[Move] = []
    while move := decide(state):
        moves.append(move)
        state = state.did(move)
    return moves


def _first_come_move(state: State) -> Move | None:
    if not state.waiting:
        return None
    call = min((each.call for each in state.waiting), key=lambda call: call.arrival)
    if state.serving(call.model):
        return Start(call) if state.in_use(call.model.base) < state.cost.calls_at_once else None
    if state.loading or state.leaving:
        return None
    by_use = sorted(state.residents, key=lambda resident: resident.last_used_s)
    return _load(state, call.model, by_use)


def _ollama_move(state: State) -> Move | None:
    for each in sorted(state.waiting, key=lambda each: each.call.arrival):
        if state.serving(each.call.model) and state.in_use(each.call.model.base) < state.cost.calls_at_once:
            return Start(each.call)
    line = state.in_line()
    if not line or state.loading or state.leaving:
        return None
    call = min((calls[0].call for calls in line.values()), key=lambda call: call.arrival)
    unused = [resident for resident in state.residents if not state.waiting_on(resident)]
    return _load(state, call.model, unused)


def _load(state: State, model: Model, candidates: Sequence[Resident]) -> Move | None:
    """The load of `model` in place of the first candidates that make room; None while those are in use."""
    occupant = state.resident(model.base)
    victims = [occupant] if occupant else []
    room = state.usable_bytes - state.promised_bytes - model.need_bytes + sum(each.held_bytes for each in victims)
    for each in candidates:
        if room >= 0:
            break
        if each not in victims and not state.in_use(each.base):
            victims.append(each)
            room += each.held_bytes
    if room < 0 or any(state.in_use(each.base) or each not in candidates for each in victims):
        return None
    return Load(model, tuple(each.model for each in victims))
