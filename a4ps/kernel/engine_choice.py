"""Which engine speaks: one pure decision, for those who open a kernel and for `doctor` alike.

A machine that never had Ollama rehearses. One that has it, or is told where it is, or whose last turn was answered by
it, does not rehearse in its place: that would look like a loss of mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Choice = Literal["ollama", "rehearsal", "unreachable"]


@dataclass(frozen=True, slots=True)
class Signs:
    """What the choice rests on: the setting `engine`, and what speaks for an Ollama that ought to answer."""

    setting: str
    reachable: bool
    host_given: bool
    on_path: bool
    last_engine: str


def choose(signs: Signs) -> Choice:
    """The engine, or "unreachable" where Ollama is expected and does not answer."""
    if signs.setting == "rehearsal":
        return "rehearsal"
    if signs.reachable:
        return "ollama"
    expected = signs.setting == "ollama" or signs.host_given or signs.on_path or signs.last_engine == "ollama"
    return "unreachable" if expected else "rehearsal"
