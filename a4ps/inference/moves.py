"""What the scheduler decides: moves that somebody else makes, and that print themselves. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from a4ps.inference.calls import Call, Model


@dataclass(frozen=True, slots=True)
class Start:
    """Begin this call now: its model is in memory, and stays there until the call has ended."""

    call: Call

    def __str__(self) -> str:
        return f"start {self.call.persona}'s call of {self.call.model}"


@dataclass(frozen=True, slots=True)
class Load:
    """Unload all of `evict`, none of which is in use, see that they are gone, and only then load `model`."""

    model: Model
    evict: tuple[Model, ...] = ()

    def __str__(self) -> str:
        instead = f" in place of {_listed(self.evict)}" if self.evict else ""
        return f"load {self.model} ({gigabytes(self.model.need_bytes)}){instead}"


@dataclass(frozen=True, slots=True)
class Unload:
    """Free this model's memory: it is not in use."""

    model: Model
    why: str

    def __str__(self) -> str:
        return f"unload {self.model}: {self.why}"


@dataclass(frozen=True, slots=True)
class Refuse:
    """End this call with an error: its model is larger than the whole budget. `fits` are known models that are not."""

    call: Call
    budget_bytes: int
    fits: tuple[Model, ...]

    def __str__(self) -> str:
        model = self.call.model
        what = (
            f"{model} needs {gigabytes(model.need_bytes)} and the budget for models is {gigabytes(self.budget_bytes)}"
        )
        return f"refuse {self.call.persona}'s call: {what}; {self.next_step}"

    @property
    def next_step(self) -> str:
        """What would fit, for the user."""
        if not self.fits:
            return "no model that is known here would fit"
        return "these would fit: " + ", ".join(f"{each} ({gigabytes(each.need_bytes)})" for each in self.fits)


Move: TypeAlias = Start | Load | Unload | Refuse


def gigabytes(size_bytes: int) -> str:
    """A size for people, in units of 10^9 bytes."""
    return f"{size_bytes / 1e9:.1f} GB"


def _listed(models: tuple[Model, ...]) -> str:
    return " and ".join(map(str, models))
