"""Calls of models as the scheduler sees them: what a call needs in memory, for whom, what comes after it. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: On whose behalf a call is made: the Architect's own turn, or work that can wait (goals, judging, embedding).
Who: TypeAlias = Literal["architect", "background"]

#: What must be in memory for a call: a base, and a LoRA where the engine keeps it with its base.
Key: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Model:
    """A model as it is asked for: its name, the base whose weights it has, its LoRA ("" for none), and the bytes that
    it takes in memory with context and overhead.
    """

    name: str
    base: str
    need_bytes: int
    lora: str = ""

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class SwitchCost:
    """What a change of model costs in one engine.

    A load takes `load_s` and `load_s_per_gb` for each 10^9 bytes. `calls_at_once` is how many calls one resident serves
    at a time.
    """

    engine: str
    lora_reloads: bool
    load_s: float = 3.0
    load_s_per_gb: float = 0.0
    calls_at_once: int = 1

    def key(self, model: Model) -> Key:
        """What must be resident for `model`."""
        return model.base, model.lora if self.lora_reloads else ""

    def seconds(self, model: Model) -> float:
        """How long loading it takes, about."""
        return self.load_s + self.load_s_per_gb * model.need_bytes / 1e9


#: Ollama keeps a base and its LoRA as one; a LoRA more is a load more (recorded from a real server: facts on traces 18, 23).
OLLAMA = SwitchCost("Ollama", lora_reloads=True)
#: Embedded llama.cpp loads all LoRAs with their base and chooses per call.
EMBEDDED = SwitchCost("llama.cpp", lora_reloads=False)
#: Engines that load nothing.
WEIGHTLESS = SwitchCost("no engine", lora_reloads=False, load_s=0.0, calls_at_once=1_000_000)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a model. `arrival` numbers calls in the order in which they came, from 1, each once."""

    id: str
    model: Model
    arrival: int
    persona: str
    turn: str
    who: Who = "architect"


@dataclass(frozen=True, slots=True)
class Hint:
    """The models that a turn will call next, in order. `since_s` is when its last call ended, or it was announced."""

    turn: str
    models: tuple[Model, ...]
    who: Who = "architect"
    since_s: float = 0.0
