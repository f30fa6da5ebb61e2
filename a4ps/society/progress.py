"""What a turn reports while it runs. Provisional: only the committed reply counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from a4ps.image.turns import Contribution, Mind, Turn
from a4ps.memory.recall import Recalled
from a4ps.tools.report import ForgeProgress


@dataclass(frozen=True, slots=True)
class Accepted:
    """The turn is durable and begins; `resumed` if it goes on from an earlier start."""

    turn: Turn
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class InLine:
    """The question waits for so many others, which are answered before it: one turn is taken at a time."""

    ahead: int


@dataclass(frozen=True, slots=True)
class Recollected:
    """These earlier turns enter the prompts."""

    memories: tuple[Recalled, ...]


@dataclass(frozen=True, slots=True)
class Began:
    """A persona begins to speak in a step ("thesis"), in a round counted from 1."""

    persona: str
    step: str
    model: str
    round: int = 1


@dataclass(frozen=True, slots=True)
class WaitingForModel:
    """A persona's model is in use or has to be loaded after others: for whom it waits, and why."""

    persona: str
    why: str


@dataclass(frozen=True, slots=True)
class LoadingModel:
    """The engine loads `model`; no text can come until it has."""

    persona: str
    model: str


@dataclass(frozen=True, slots=True)
class Thought:
    """A piece of hidden reasoning."""

    persona: str
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of what is being said."""

    persona: str
    text: str


@dataclass(frozen=True, slots=True)
class Restarted:
    """What this persona streamed since `Began` is void: it begins again."""

    persona: str


@dataclass(frozen=True, slots=True)
class Spoke:
    """A contribution is complete."""

    contribution: Contribution


@dataclass(frozen=True, slots=True)
class Measured:
    """The dissonance of a round."""

    dissonance: float
    estimated: bool
    round: int


@dataclass(frozen=True, slots=True)
class Changed:
    """A mind was changed in the argument."""

    mind: Mind


@dataclass(frozen=True, slots=True)
class Ended:
    """The argument is over: "converged", "bound", "time" or "word" (ALFRED's)."""

    why: str


@dataclass(frozen=True, slots=True)
class Forging:
    """A step of making a tool that the turn wants."""

    step: ForgeProgress


@dataclass(frozen=True, slots=True)
class Noted:
    """A sentence the user should see."""

    text: str


Progress: TypeAlias = (
    Accepted
    | InLine
    | Recollected
    | Began
    | WaitingForModel
    | LoadingModel
    | Thought
    | Token
    | Restarted
    | Spoke
    | Measured
    | Changed
    | Ended
    | Forging
    | Noted
)
Listener: TypeAlias = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Told:
    """A turn's progress as the event bus has it: with the number of the turn."""

    turn: str
    progress: Progress
