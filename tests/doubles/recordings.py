"""The exchanges that were recorded from a real Ollama server (0.33.0-rc2, on a CPU, with tiny models).

Stored copies are shortened: a long prompt is its head with "… (9000 characters)", a long stream its first and last lines.
Names of hosts and folders were replaced.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent.parent / "data" / "ollama"


def numbers() -> list[str]:
    """The numbers that name the recordings, in order."""
    return sorted(path.name.partition("_")[0] for path in _FOLDER.glob("*.json"))


def steps(number: str) -> list[dict[str, Any]]:
    """The exchanges of one recording, in order; some are events without a response."""
    (path,) = _FOLDER.glob(f"{number}_*.json")
    recorded: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["steps"]
    return recorded


def restored(text: str) -> str:
    """A shortened prompt at its former length, its head repeated."""
    match = re.fullmatch(r"(.*)… \((\d+) characters\)", text, re.DOTALL)
    if match is None:
        return text
    head, length = match[1], int(match[2])
    return (head * (length // len(head) + 1))[:length]
