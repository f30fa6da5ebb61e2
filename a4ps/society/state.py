"""The graph's state: plain data, so that a checkpoint holds nothing that could run.

One state lives as long as one turn. What outlives the turn is the `Reply` made from it.
"""

from __future__ import annotations

import operator
from typing import Annotated, Any, Literal, TypedDict

from a4ps.governance.taint import as_plain, union

PlanKind = Literal["question", "memory", "trifle"]


class Said(TypedDict):
    """A contribution as plain data; the fields are those of `a4ps.image.turns.Contribution`."""

    persona: str
    role: str
    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    ms: float
    taint: list[str]


class Remembered(TypedDict):
    """A recalled turn as plain data; the fields are those of `a4ps.memory.recall.Recalled`, `at` in ISO 8601."""

    id: str
    at: str
    text: str
    score: float
    source: str
    taint: list[str]


def joined(before: list[str], more: list[str]) -> list[str]:
    """The labels of both: taint is never taken away."""
    return as_plain(union(before, more))


class TurnState(TypedDict, total=False):
    """`said`, `dropped`, `notes` and `taint` grow; every other key is replaced by the node that writes it.

    `taint` are the labels of all that is in the state, and so of all that is said from it.
    """

    question: str
    everyone: bool
    kind: PlanKind
    research: str
    tool: str
    arguments: dict[str, Any]
    memories: list[Remembered]
    said: Annotated[list[Said], operator.add]
    dropped: Annotated[list[str], operator.add]
    notes: Annotated[list[str], operator.add]
    taint: Annotated[list[str], joined]
    rounds: int
    dissonance: float | None
    estimated: bool
