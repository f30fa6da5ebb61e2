"""The four personas as they ship: one codex each, read from `codices/*.toml`.

A codex is a persona's identity: role, voice, pillars, system prompt. Which model it speaks with is decided apart, by
profile and settings, so that a codex can be compared across models.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources

#: The order in which the four are named to the user.
NAMES = ("ALFRED", "BRICK", "ROBIN", "BABS")


@dataclass(frozen=True, slots=True)
class Codex:
    """A persona's identity. `temperature` is its sampling temperature."""

    name: str
    role: str
    voice: str
    pillars: tuple[str, ...]
    temperature: float
    system_prompt: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole codex, hex, first 16 digits: which identity spoke, as recorded with a turn."""
        return _fingerprint(self)


@cache
def _fingerprint(codex: Codex) -> str:
    canonical = json.dumps(asdict(codex), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@cache
def load_codices() -> Mapping[str, Codex]:
    """Name → codex, in the order of `NAMES`."""
    folder = resources.files(__package__).joinpath("codices")
    codices = {}
    for name in NAMES:
        entry = tomllib.loads(folder.joinpath(f"{name.lower()}.toml").read_text(encoding="utf-8"))
        codices[name] = Codex(
            name=entry["name"],
            role=entry["role"],
            voice=entry["voice"],
            pillars=tuple(entry["pillars"]),
            temperature=float(entry["temperature"]),
            system_prompt=entry["system_prompt"].strip(),
        )
    return codices
