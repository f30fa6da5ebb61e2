"""How a Proto describes itself in plain text: made of its codex, slots and methods, not by a model. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from a4ps.image.codex import Codex
from a4ps.image.methods import Method


def describe(
    name: str,
    codex: Codex,
    parents: Iterable[str],
    slots: Iterable[str],
    methods: Iterable[Method],
    version: int,
    mark: Callable[[Method], str],
) -> str:
    """Some lines that a person or a model can read. `mark` says of a method where it runs, or nothing."""
    lines = [f"{name} is {codex.role}." if codex.role else f"{name}."]
    if codex.voice:
        lines.append(f"Voice: {codex.voice}")
    if codex.pillars:
        lines.append(f"Pillars: {'; '.join(codex.pillars)}")
    lines.append(f"Model: {codex.model_name or 'none'} at temperature {codex.temperature:g}")
    inherited = ", ".join(parents)
    if inherited:
        lines.append(f"Inherits from: {inherited}")
    lines.append(f"State: {', '.join(slots) or 'empty'}")
    for method in methods:
        marked = mark(method)
        lines.append(
            f"Method {method.name}{method.signature}"
            + (f" ({marked})" if marked else "")
            + (f": {method.summary}" if method.summary else "")
        )
    lines.append(f"Version: {version}" if version else "Not registered.")
    return "\n".join(lines)
