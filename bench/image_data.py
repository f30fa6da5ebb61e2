"""What the Protos of bench/image.py hold, as plain data. Standard library only, for peers' sake."""

from __future__ import annotations

from typing import Any

from bench.texts import turn_text


def two_kb(number: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Codex and state of a Proto whose record has about 2 kB: prose, a dict, a list, and the slot that changes."""
    text = turn_text(number)
    codex = {"role": "logic, thesis", "model_name": "qwen3.5:9b", "system_prompt": text.plan}
    state = {
        "mood": 0,
        "plan": text.synthesis,
        "counts": {word: position for position, word in enumerate(text.question.split())},
        "notes": text.findings.split(". ")[:5],
    }
    return codex, state


def many_entries(number: int) -> dict[str, Any]:
    """A thousand state entries: a quarter each texts, numbers, lists and dicts."""
    entries: dict[str, Any] = {}
    for entry in range(0, 1000, 4):
        entries[f"text{entry}"] = f"entry {entry} of Proto {number}"
        entries[f"number{entry}"] = entry * 1.5
        entries[f"list{entry}"] = [entry, str(entry), None, [entry + 1]]
        entries[f"dict{entry}"] = {"at": entry, "seen": True, "words": ["a", "b", "c"]}
    return entries
