"""Why a turn was answered as it was: all that its answer rests on, read from the image.

What spoke is told as it was then: the version of each persona and tool with the change that made it, and a model's weights
by the hash that was on record when the reply was committed. What the image does not know is None or "", never guessed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from a4ps.errors import UnknownProto
from a4ps.image.changes import Change
from a4ps.image.model_ledger import MODEL
from a4ps.image.past import Past
from a4ps.image.proposal import KIND
from a4ps.image.store import Store
from a4ps.image.turns import Contribution, Reply, Turn
from a4ps.kernel.answered import MemoryShown, answered_turn, argued_as_json
from a4ps.memory.records import Records
from a4ps.personas.roster import NAMES
from a4ps.tools.registry import PREFIX

#: The role of what a tool gave, among the contributions.
TOOL = "tool"

#: A call is told after a line in brackets on the files that it wanted written, if any.
_TOOL_NAME = re.compile(r"(?:\(.*\)\n)?([A-Za-z_]\w*)\(")


@dataclass(frozen=True, slots=True)
class Voice:
    """A persona as it spoke in a turn: its version, the change that made it (None where that is not on record), the models
    that it spoke with, each with the hash of its weights, "" where the engine had none, and in which steps.
    """

    persona: str
    version: int | None
    change: Change | None
    models: Mapping[str, str]
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool as a turn used it: the call with its result as the personas read it, its version, and what that rests on."""

    tool: str
    text: str
    ms: float
    version: int | None
    change: Change | None


@dataclass(frozen=True, slots=True)
class Why:
    """All that a turn's answer rests on."""

    turn: Turn
    reply: Reply
    memories: tuple[MemoryShown, ...]
    voices: tuple[Voice, ...]
    tools: tuple[ToolCall, ...]

    def as_json(self) -> dict[str, Any]:
        """The object that `why --json` prints; its schema is in docs/cli.md."""
        turn, reply = self.turn, self.reply
        return {
            "turn_id": turn.id,
            "question": turn.question,
            "asked_at": turn.asked_at.isoformat(),
            "again": turn.again,
            "answer": reply.answer,
            "engine": turn.engine,
            "memories": [asdict(memory) for memory in self.memories],
            "personas": [
                {
                    "persona": voice.persona,
                    "version": voice.version,
                    "change": _change_as_json(voice.change),
                    "models": dict(voice.models),
                    "steps": list(voice.steps),
                    "colour": (reply.colours or {}).get(voice.persona),
                }
                for voice in self.voices
            ],
            "tool_calls": [
                {
                    "tool": call.tool,
                    "text": call.text,
                    "ms": call.ms,
                    "version": call.version,
                    "change": _change_as_json(call.change),
                }
                for call in self.tools
            ],
            "argued": [argued_as_json(argued) for argued in reply.argued],
            "rounds_ended": reply.ended,
            "minds_changed": [asdict(mind) for mind in reply.minds],
            "prompts": [
                {
                    "persona": said.persona,
                    "step": said.role,
                    "prompt_tokens": said.prompt_tokens,
                    "shares": dict(said.shares) if said.shares else None,
                    "character": said.character,
                }
                for said in reply.contributions
                if said.role != TOOL
            ],
            "load": None if reply.load is None else asdict(reply.load),
            "dropped": list(reply.dropped),
            "notes": list(reply.notes),
            "taint": list(reply.taint),
        }


def why(records: Records, turn_id: str) -> Why:
    """Raises `NoSuchTurn` where there is no such turn or it has no answer yet."""
    answered = answered_turn(records, turn_id)
    store = records.store
    row = store.head("reply", turn_id)
    assert row is not None
    upto = row.generation
    turn, reply = answered.turn, answered.reply
    past = Past(store)
    pins = turn.pins if reply.pins is None else reply.pins
    voices = tuple(
        _voice(store, past, name, pins.get(name), [said for said in reply.contributions if said.persona == name], upto)
        for name in NAMES
        if any(said.persona == name for said in reply.contributions)
    )
    tools = tuple(_call(store, past, said, upto) for said in reply.contributions if said.role == TOOL)
    return Why(turn, reply, answered.memories, voices, tools)


def _voice(store: Store, past: Past, name: str, version: int | None, said: list[Contribution], upto: int) -> Voice:
    models = dict.fromkeys(each.model for each in said if each.model)
    return Voice(
        name,
        version,
        _change(past, name, version),
        {model: _digest(store, model, upto) for model in models},
        tuple(each.role for each in said),
    )


def _call(store: Store, past: Past, said: Contribution, upto: int) -> ToolCall:
    named = _TOOL_NAME.match(said.text)
    name = named[1] if named else ""
    rows = store.past(KIND, PREFIX + name, upto=upto, limit=1)
    version = rows[0].generation if rows else None
    return ToolCall(name, said.text, said.ms, version, _change(past, PREFIX + name, version))


def _change(past: Past, name: str, version: int | None) -> Change | None:
    if version is None:
        return None
    try:
        return next((change for change in past.changes(version) if change.name == name), None)
    except UnknownProto:
        return None


def _digest(store: Store, model: str, upto: int) -> str:
    rows = store.past(MODEL, model, upto=upto, limit=1)
    return str(json.loads(rows[0].payload)["digest"]) if rows else ""


def _change_as_json(change: Change | None) -> dict[str, Any] | None:
    if change is None:
        return None
    return {
        "change": change.generation,
        "act": change.act,
        "author": change.author,
        "reason": change.reason,
        "at": change.at.isoformat(),
        "evidence": change.evidence,
    }
