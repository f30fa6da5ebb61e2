"""The society as the world shows it: folded from the backend's status, its steps and its durable events. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

#: What a Proto's codex has for a model where the profile gives it.
BY_PROFILE: Final = "by profile"

LinkState: TypeAlias = Literal["connecting", "live", "lost", "refused"]


@dataclass(frozen=True, slots=True)
class Persona:
    """One of the four, as seen. `load` is the cognitive load, 0 to 1; figures are None until there is one."""

    name: str
    role: str
    model: str = ""
    mood: str = ""
    activity: str = ""
    dissonance: float | None = None
    load: float = 0.0
    #: What is being said, as it streams; "" when nothing is.
    saying: str = ""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What a persona said in the turn. `step` is "plan", "thesis", "antithesis", "findings", "synthesis" or "word"."""

    persona: str
    step: str
    text: str
    round: int = 0
    model: str = ""
    done: bool = True


@dataclass(frozen=True, slots=True)
class TurnSeen:
    """The turn that is under way, or was last. `id` is "" before it is accepted."""

    id: str = ""
    question: str = ""
    contributions: tuple[Contribution, ...] = ()
    memories: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()
    dissonance: tuple[float, ...] = ()
    answer: str = ""
    fault: str = ""
    running: bool = False
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Society:
    """Everything that is known. `status` is the backend's StatusObject, None before the first."""

    link: LinkState = "connecting"
    link_detail: str = ""
    epoch: str = ""
    sequence: int = 0
    last_commit_at: float = 0.0
    personas: Mapping[str, Persona] = field(default_factory=dict)
    turn: TurnSeen = TurnSeen()
    approvals: Sequence[Mapping[str, Any]] = ()
    status: Mapping[str, Any] | None = None
    #: Series' name → (seconds since 1970, value), oldest first; at most 10 minutes.
    series: Mapping[str, tuple[tuple[float, float], ...]] = field(default_factory=dict)
