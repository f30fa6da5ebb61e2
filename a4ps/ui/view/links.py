"""Who answers whom, as lines between personas. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a4ps.ui.model.society import Society

#: He plans the turn and judges it: the others answer him. These two argue.
STEWARD, ARGUING = "ALFRED", ("BRICK", "ROBIN")


@dataclass(frozen=True, slots=True)
class Link:
    """A line. `dissonance` colours it and is written on it; None: a quiet dashed one. `active`: words flow along it."""

    one: str
    other: str
    active: bool = False
    dissonance: float | None = None


def links(society: Society) -> Sequence[Link]:
    """The lines of the turn that runs, or was last."""
    turn = society.turn
    spoke = {each.persona for each in turn.contributions}
    speaking = {each.persona for each in turn.contributions if not each.done}
    arguing = {each.persona for each in turn.contributions if each.step in ("thesis", "antithesis")}
    argued = bool(turn.dissonance) or arguing.issuperset(ARGUING)
    found = []
    if turn.running or argued:
        for name in society.personas:
            if name in spoke and name != STEWARD:
                answers_steward = name in speaking and not (argued and name in ARGUING)
                found.append(Link(STEWARD, name, answers_steward or (STEWARD in speaking and turn.running)))
    if argued:
        latest = turn.dissonance[-1] if turn.dissonance else None
        found.append(Link(*ARGUING, bool(speaking.intersection(ARGUING)), latest if latest is not None else 0.0))
    return found
