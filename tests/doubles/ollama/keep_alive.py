"""What `keep_alive` means to Ollama: numbers are seconds, strings are Go durations, below zero is for ever."""

from __future__ import annotations

import math
import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([a-zµ]*)")
_GO_KINDS = {bool: "bool", list: "[]interface {}", dict: "map[string]interface {}"}
#: A duration counts nanoseconds in 63 bits; what is longer overflows to one that is over at once.
_MOST_S = 2**63 / 1e9


def seconds(value: object) -> float | None:
    """How long, `math.inf` for ever, None where nothing was said. Raises `ValueError` with Ollama's own text."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"Unsupported type: '{_GO_KINDS.get(type(value), type(value).__name__)}'")  # noqa: TRY004
    spoken = _duration(value) if isinstance(value, str) else float(value)
    if spoken < 0:
        return math.inf
    return spoken if spoken < _MOST_S else 0.0


def _duration(text: str) -> float:
    """Go's `time.ParseDuration`."""
    rest = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    if rest == "0":
        return 0.0
    total, matched = 0.0, False
    while rest and (part := _PART.match(rest)):
        if not part[2]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if part[2] not in _UNITS:
            raise ValueError(f'time: unknown unit "{part[2]}" in duration "{text}"')
        total += float(part[1]) * _UNITS[part[2]]
        rest, matched = rest[part.end() :], True
    if rest or not matched:
        raise ValueError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total
