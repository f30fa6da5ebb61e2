"""The cast of a turn: who speaks, at the versions with which it began, and with which models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a4ps.image.codex import Codex
from a4ps.image.handle import Pin
from a4ps.personas.roster import BY_PROFILE, NAMES


@dataclass(frozen=True, slots=True)
class Cast:
    """Taken from one pin, so all four are of one moment (I3). `versions` are the numbers of the changes that made them."""

    codices: Mapping[str, Codex]
    versions: Mapping[str, int]

    @classmethod
    def of(cls, pin: Pin) -> Cast:
        """Raises `UnknownProto` where one of the four was removed."""
        four = {name: pin.get_proto(name) for name in NAMES}
        return cls(
            {name: proto.codex for name, proto in four.items()}, {name: proto.version for name, proto in four.items()}
        )

    @property
    def as_parts(self) -> dict[str, str]:
        """Name → version as text: as they take part in an action."""
        return {name: str(version) for name, version in self.versions.items()}

    def models(self, by_profile: Mapping[str, str]) -> dict[str, str]:
        """Persona → model: that of its codex, or the profile's where the codex leaves it open."""
        return {
            name: by_profile[name] if codex.model_name == BY_PROFILE else codex.model_name
            for name, codex in self.codices.items()
        }
