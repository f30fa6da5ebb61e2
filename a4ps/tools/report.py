"""What the forge tells: while it works, and at the end. Values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from a4ps.tools.specification import Specification
from a4ps.tools.tool import Tool


@dataclass(frozen=True, slots=True)
class Specified:
    """The task has become a specification."""

    specification: Specification


@dataclass(frozen=True, slots=True)
class TestsReady:
    """How many cases a candidate will meet, how many of them the writer is not shown, and how many ALFRED wrote."""

    cases: int
    held_out: int
    by_alfred: int

    __test__ = False  # no test of pytest's


@dataclass(frozen=True, slots=True)
class Writing:
    """BRICK begins an attempt, counted from 1."""

    attempt: int
    of: int


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt was tried: whether it passed, and in a line why not."""

    attempt: int
    passed: bool
    why: str


@dataclass(frozen=True, slots=True)
class ToolReport:
    """The end of it. `tool` is the verified tool, or the best attempt (not in the image), None where nobody wrote any.

    `attempts` is how many texts were written; `failures` say why each one, or the whole, failed.
    """

    name: str
    verified: bool
    attempts: int
    failures: tuple[str, ...]
    tool: Tool | None

    def __str__(self) -> str:
        tries = f"{self.attempts} attempt{'s' if self.attempts != 1 else ''}"
        if self.verified and self.tool is not None and not self.attempts:
            return f"{self.name}, version {self.tool.version}, fails at nothing that it is known to have failed at."
        if self.verified and self.tool is not None:
            return f"{self.name} is verified after {tries}, by {self.tool.evidence}; version {self.tool.version}."
        last = self.failures[-1] if self.failures else "nothing was tried"
        return f"{self.name or 'The tool'} is not verified after {tries}: {last}"


ForgeProgress: TypeAlias = Specified | TestsReady | Writing | Tried
ForgeListener: TypeAlias = Callable[[ForgeProgress], None]
