"""A tool as a value: what it is to do, its text, the tests it passed, how it came about, and how it has done in use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from a4ps.errors import IntegrityError, ToolRefused
from a4ps.governance.taint import FILES, Taint, as_plain
from a4ps.governance.trust import Level, digest_of
from a4ps.tools.cases import Case, case_from_plain
from a4ps.tools.specification import Specification


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verification rests on: cases with known results that passed, how many of them the writer had not been
    shown, generated inputs, the tier of sandbox, and which model wrote the text and which the tests.
    """

    attempts: int = 0
    checks: int = 0
    unseen: int = 0
    generated: int = 0
    tier: str = ""
    writer: str = ""
    tester: str = ""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.checks} cases, {self.unseen} of them unseen by the writer, and {self.generated} generated inputs"

    def as_plain(self) -> dict[str, Any]:
        return {**{name: getattr(self, name) for name in self.__slots__}, "notes": list(self.notes)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Evidence:
        return cls(**{**plain, "notes": tuple(plain["notes"])})


@dataclass(frozen=True, slots=True)
class FailedCall:
    """A call in use that went wrong: its arguments in the order of the parameters, why, and when."""

    args: tuple[Any, ...]
    why: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Use:
    """How a tool has done in use, all versions together; `ms` is the time of all calls. `failed` are the last failures."""

    calls: int = 0
    failures: int = 0
    ms: float = 0.0
    failed: tuple[FailedCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """One version of a tool. `verified` ones alone are in the registry; `author` is the persona that wrote the text.

    `taint` is that of the context in which its task was thought of.
    """

    name: str
    source: str
    specification: Specification
    tests: tuple[Case, ...]
    evidence: Evidence
    version: int
    author: str
    task: str
    made_at: datetime
    verified: bool = True
    level: Level = Level.SANDBOXED
    folders: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    use: Use = Use()
    taint: Taint = frozenset()

    @property
    def digest(self) -> str:
        """What trust in this very text is recorded under."""
        return digest_of(self.source)

    def as_slots(self) -> dict[str, Any]:
        """What the image keeps of it; trust and use are kept elsewhere."""
        return {
            "source": self.source,
            "specification": self.specification.as_plain(),
            "tests": [case.as_plain() for case in self.tests],
            "evidence": self.evidence.as_plain(),
            "version": self.version,
            "author": self.author,
            "task": self.task,
            "made_at": self.made_at.isoformat(),
            "taint": as_plain(self.taint),
        }


def tool_from_slots(name: str, slots: Mapping[str, Any]) -> Tool:
    """The inverse of `Tool.as_slots`. Raises IntegrityError where the slots are not those of a tool of that name."""
    try:
        tool = Tool(
            name,
            str(slots["source"]),
            Specification.from_plain(slots["specification"]),
            tuple(case_from_plain(each) for each in slots["tests"]),
            Evidence.from_plain(slots["evidence"]),
            int(slots["version"]),
            str(slots["author"]),
            str(slots["task"]),
            datetime.fromisoformat(slots["made_at"]),
            taint=frozenset(map(str, slots.get("taint", FILES))),  # what nobody labelled may be anybody's
        )
    except (KeyError, TypeError, ValueError, AttributeError, ToolRefused) as error:
        raise _unreadable(name, str(error)) from error
    if tool.specification.name != name:
        raise _unreadable(name, f"it is one that is called {tool.specification.name}")
    return tool


def _unreadable(name: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"the tool {name} cannot be read: {why}", next_step=f"a4ps tools remove {name}, and forge it anew"
    )
