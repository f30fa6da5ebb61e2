"""A question that was asked again, beside the first time: what is another now, and how far the answers agree."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from a4ps.kernel.answered import Answered, answered_turn
from a4ps.memory.records import Records


@dataclass(frozen=True, slots=True)
class Compared:
    """The turn that was asked again, and the new one.

    `likeness` is the part of the words of both answers that stand in both in the same order (Ratcliff and Obershelp, as in
    difflib), in [0, 1]. `personas` and `models` are those that differ: name → before, now.
    """

    before: Answered
    now: Answered
    likeness: float
    personas: dict[str, tuple[int | None, int | None]]
    models: dict[str, tuple[str, str]]

    def as_json(self) -> dict[str, Any]:
        """What `ask --rerun --json` adds to the new turn's object."""
        one, two = self.before.reply, self.now.reply
        return {
            "turn_id": self.before.turn.id,
            "answer": one.answer,
            "likeness": self.likeness,
            "dissonance": [one.dissonance, two.dissonance],
            "rounds": [one.rounds, two.rounds],
            "personas_changed": {name: list(versions) for name, versions in self.personas.items()},
            "models_changed": {name: list(models) for name, models in self.models.items()},
        }


def compared(records: Records, now: Answered) -> Compared:
    """`now`, a rerun, beside the turn whose question it asked again. Raises `NoSuchTurn` where that is gone."""
    before = answered_turn(records, now.turn.again)
    one, two = (answered.reply.answer.split() for answered in (before, now))
    pins = [answered.turn.pins if answered.reply.pins is None else answered.reply.pins for answered in (before, now)]
    models = [answered.turn.models for answered in (before, now)]
    return Compared(
        before,
        now,
        round(difflib.SequenceMatcher(None, one, two, autojunk=False).ratio(), 2),
        {name: (pins[0].get(name), version) for name, version in pins[1].items() if pins[0].get(name) != version},
        {name: (models[0].get(name, ""), model) for name, model in models[1].items() if models[0].get(name) != model},
    )
