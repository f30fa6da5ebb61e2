"""The exchanges that were recorded from a real Ollama server (0.33.0-rc2, on a CPU, with tiny models).

Stored copies are shortened: a long prompt is its head with "… (9000 characters)", a long stream its first and last lines.
Names of hosts and folders were replaced. `tests/data/ollama/README.md` lists them all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "data" / "ollama"


def names() -> list[str]:
    """What names each recording, in order: its number, or its whole name where several share one."""
    stems = sorted(path.stem for path in FOLDER.glob("*.json"))
    count = Counter(stem.partition("_")[0] for stem in stems)
    return [stem.partition("_")[0] if count[stem.partition("_")[0]] == 1 else stem for stem in stems]


def recording(name: str) -> dict[str, Any]:
    """A whole recording, by its number or name."""
    (path,) = [path for path in FOLDER.glob("*.json") if path.stem == name or path.stem.startswith(f"{name}_")]
    recorded: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return recorded


def steps(name: str) -> list[dict[str, Any]]:
    """The exchanges of one recording, in order; some are events without a response. Two recordings are raw bytes."""
    recorded: list[dict[str, Any]] = recording(name).get("steps", [])
    return recorded


def restored(text: str) -> str:
    """A shortened prompt at its former length, its head repeated."""
    match = re.fullmatch(r"(.*)… \((\d+) characters\)", text, re.DOTALL)
    if match is None:
        return text
    head, length = match[1], int(match[2])
    return (head * (length // len(head) + 1))[:length]
