"""Who waits for whom and why, in words for the user. Values only."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.inference.calls import Call
from a4ps.inference.residency import State, Waiting

#: `turn`: its model is in memory and busy. `load`: its model is being loaded. `switch`: another is loaded first. `room`:
#: models in use must leave memory first. `unload`: one is leaving. `pause`: a turn is about to use what would have to
#: leave. `lease`: memory is lent to training. `priority`: calls that go first, though its model may be there.
Reason: TypeAlias = Literal["turn", "load", "switch", "room", "unload", "pause", "lease", "priority"]


@dataclass(frozen=True, slots=True)
class Wait:
    """One waiting call. `behind` names the personas or the model that it waits for, for people; `switches_before` is how
    many loads of other models are expected to begin before the one that serves it (0 where none is needed).
    """

    call: Call
    reason: Reason
    behind: str = ""
    switches_before: int = 0

    def __str__(self) -> str:
        who, model = self.call.persona, self.call.model
        match self.reason:
            case "turn":
                text = f"{who} waits for {self.behind} to finish: both use {model}"
            case "load":
                text = f"{who} waits while {model} loads"
            case "switch":
                text = f"{who} waits while {self.behind} loads"
            case "room":
                text = f"{who} waits for {self.behind} model to finish"
            case "unload":
                text = f"{who} waits until {self.behind or 'another model'} is unloaded"
            case "pause":
                text = f"{who} waits a moment: {self.behind} will be used again at once"
            case "lease":
                text = f"{who} waits for memory that training has taken"
            case "priority":
                text = f"{who} waits for calls that go first"
        if self.switches_before:
            plural = "" if self.switches_before == 1 else "es"
            text += f"; {self.switches_before} switch{plural} before it"
        return text


def explain(state: State, switches_before: Mapping[str, int], pauses: Collection[str] = ()) -> tuple[Wait, ...]:
    """Why each waiting call of a state waits, in which nothing more can be begun; the oldest first.

    `switches_before` says how many loads are expected before a call's own, by its id, as far as that can be told now;
    `pauses` are bases that are kept for a moment.
    """
    return tuple(
        _explain(state, each, switches_before.get(each.call.id, 0), pauses)
        for each in sorted(state.waiting, key=lambda each: each.call.arrival)
    )


def _explain(state: State, waiting: Waiting, place: int, pauses: Collection[str]) -> Wait:
    call = waiting.call
    if state.loading and state.cost.key(state.loading.model) == state.cost.key(call.model):
        return Wait(call, "load")
    if state.serving(call.model):
        users = tuple(each.persona for each in state.running if each.model.base == call.model.base)
        if len(users) < state.cost.calls_at_once:
            return Wait(call, "priority")
        return Wait(call, "turn", " and ".join(dict.fromkeys(users)))
    if call.model.need_bytes > state.usable_bytes:
        return Wait(call, "lease")
    if state.loading:
        return Wait(call, "switch", str(state.loading.model), place)
    if call.who == "background" and any(each.call.who == "architect" for each in state.waiting):
        return Wait(call, "priority", "", place)
    users = tuple(f"{each.persona}'s" for each in state.running)
    if users:
        return Wait(call, "room", " and ".join(dict.fromkeys(users)), place)
    kept = [str(each.model) for each in state.residents if each.base in pauses]
    if kept:
        return Wait(call, "pause", " and ".join(kept), place)
    return Wait(call, "unload", " and ".join(str(each.model) for each in state.leaving), place)
