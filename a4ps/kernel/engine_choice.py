"""Which engine speaks: one pure decision, for those who open a kernel and for `doctor` alike.

Ollama where it runs; else the embedded llama.cpp where model files are; else the four rehearse. A machine that has
Ollama, or is told where it is, or whose last turn was answered by a model, does not rehearse in its place: that would look
like a loss of mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Choice = Literal["ollama", "llamacpp", "rehearsal", "unreachable"]


@dataclass(frozen=True, slots=True)
class Signs:
    """What the choice rests on: the setting `engine`, whether Ollama answers, whether the embedded engine has the models
    that the four speak with, and what speaks for an Ollama that ought to answer."""

    setting: str
    reachable: bool
    embedded: bool
    host_given: bool
    on_path: bool
    last_engine: str


def choose(signs: Signs) -> Choice:
    """The engine, or "unreachable" where Ollama is expected and does not answer."""
    if signs.setting in ("rehearsal", "llamacpp"):
        return "rehearsal" if signs.setting == "rehearsal" else "llamacpp"
    if signs.reachable:
        return "ollama"
    if signs.setting == "ollama" or signs.host_given:
        return "unreachable"
    if signs.embedded or signs.last_engine == "llamacpp":
        return "llamacpp"
    return "unreachable" if signs.on_path or signs.last_engine == "ollama" else "rehearsal"
