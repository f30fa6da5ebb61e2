"""An answered turn as the user gets it: the turn, its reply, and the text of the memories it used."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from a4ps.image.turns import Reply, Round, Turn
from a4ps.memory.records import Records


@dataclass(frozen=True, slots=True)
class MemoryShown:
    """A memory as shown: `text` is "" once it has been forgotten."""

    id: str
    text: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Answered:
    """A turn and its committed reply."""

    turn: Turn
    reply: Reply
    memories: tuple[MemoryShown, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `ask --json` prints; its schema is in docs/cli.md."""
        reply = self.reply
        return {
            "turn_id": self.turn.id,
            "question": self.turn.question,
            "asked_at": self.turn.asked_at.isoformat(),
            "answer": reply.answer,
            "alone": reply.alone,
            "contributions": [
                {**asdict(contribution), "taint": list(contribution.taint)} for contribution in reply.contributions
            ],
            "dissonance": reply.dissonance,
            "dissonance_estimated": reply.estimated,
            "rounds": reply.rounds,
            "rounds_ended": reply.ended,
            "argued": [argued_as_json(argued) for argued in reply.argued],
            "minds_changed": [asdict(mind) for mind in reply.minds],
            "engine": self.turn.engine,
            "model_ms": reply.model_ms,
            "overhead_ms": reply.overhead_ms,
            "memories_used": [asdict(memory) for memory in self.memories],
            "dropped": list(reply.dropped),
            "notes": list(reply.notes),
            "taint": list(reply.taint),
        }


def argued_as_json(argued: Round) -> dict[str, Any]:
    """A round as `--json` prints it."""
    stances = [{"point": point, "stance": stance, "weight": weight} for point, stance, weight in argued.stances]
    return {"dissonance": argued.dissonance, "estimated": argued.estimated, "stances": stances}


def answered_turn(records: Records, turn_id: str) -> Answered:
    """A turn of the log with its reply. Raises `NoSuchTurn` if there is none or it has no answer yet."""
    turn, reply = records.log.answered(turn_id)
    shown = []
    for used in reply.memories_used:
        memory = records.find(used.id) or records.out_of_sight(used.id)
        shown.append(MemoryShown(used.id, memory.text if memory is not None else "", used.score, used.source))
    return Answered(turn, reply, tuple(shown))
