"""A codex: a Proto's identity as an immutable value. Not what it knows (its state) nor what it does (its methods)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from a4ps.errors import CallerError
from a4ps.image.json_data import canonical, frozen, thawed

_TEXTS = ("role", "model_name", "system_prompt")
_KNOWN = (*_TEXTS, "voice", "pillars", "temperature")


@dataclass(frozen=True, slots=True)
class Codex:
    """Who a Proto is. `temperature` is for sampling; `extra` holds whatever else, as JSON values, unchangeable.

    Two are equal where they would be written alike: 1 and True in `extra` are not the same.
    Made by hand or by `from_mapping`; either raises CallerError where a field has the wrong type.
    """

    role: str
    model_name: str
    system_prompt: str
    voice: str = ""
    pillars: tuple[str, ...] = ()
    temperature: float = 0.7
    extra: Mapping[str, object] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name in (*_TEXTS, "voice"):
            _need(isinstance(getattr(self, name), str), name, "a text")
        pillars = self.pillars
        _need(isinstance(pillars, list | tuple) and all(isinstance(each, str) for each in pillars), "pillars", "texts")
        number = self.temperature
        _need(isinstance(number, int | float) and not isinstance(number, bool), "temperature", "a number")
        _need(math.isfinite(number) and number >= 0, "temperature", "0 or more")
        _need(isinstance(self.extra, Mapping), "extra", "a mapping")
        object.__setattr__(self, "pillars", tuple(pillars))
        object.__setattr__(self, "temperature", float(number))
        object.__setattr__(self, "extra", frozen(self.extra, "extra"))

    @classmethod
    def from_mapping(cls, fields: Mapping[str, object]) -> Codex:
        """Needs `role`, `model_name` and `system_prompt`; names that are not fields go into `extra`."""
        if not isinstance(fields, Mapping):
            raise CallerError(f"a codex is a Codex or a mapping, not {type(fields).__name__}", next_step="pass a dict")
        missing = [name for name in _TEXTS if name not in fields]
        if missing:
            raise CallerError(f"the codex lacks {', '.join(missing)}", next_step=f"a codex needs {', '.join(_TEXTS)}")
        known = {name: fields[name] for name in _KNOWN if name in fields}
        further = fields.get("extra", {})
        _need(isinstance(further, Mapping), "extra", "a mapping")
        assert isinstance(further, Mapping)
        unnamed = {name: value for name, value in fields.items() if name not in _KNOWN and name != "extra"}
        return cls(**known, extra={**further, **unnamed})  # type: ignore[arg-type]  # __post_init__ checks each

    def to_mapping(self) -> dict[str, object]:
        """All fields as plain data that may be changed; `from_mapping` takes it back."""
        return {
            "role": self.role,
            "model_name": self.model_name,
            "system_prompt": self.system_prompt,
            "voice": self.voice,
            "pillars": list(self.pillars),
            "temperature": self.temperature,
            "extra": thawed(self.extra),
        }

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole codex in one canonical spelling, hex, first 16 digits."""
        return hashlib.sha256(canonical(self.to_mapping()).encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def __eq__(self, other: object) -> bool:
        # A change is what differs by this: by Python's own equality, True in the place of 1 would never be written.
        if not isinstance(other, Codex):
            return NotImplemented
        return self is other or canonical(self.to_mapping()) == canonical(other.to_mapping())

    def __reduce__(self) -> tuple[object, ...]:
        # A mapping proxy does not pickle.
        return Codex.from_mapping, (self.to_mapping(),)


def as_codex(given: Codex | Mapping[str, object]) -> Codex:
    """`given` itself if it is a codex, else `Codex.from_mapping`. Raises CallerError."""
    return given if isinstance(given, Codex) else Codex.from_mapping(given)


def _need(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise CallerError(f"the codex's {name} is not {what}", next_step=f"give {what} for {name}")
