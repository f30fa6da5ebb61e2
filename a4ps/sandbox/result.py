"""What a sandboxed run gives back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExecutionResult:
    """A program that ran to its end, or was ended. Unpacks as `stdout, stderr`.

    `exit_code` is the program's own, or minus the signal that ended it. `killed_by` names the limit that did: "wall"
    (`timed_out` too), "cpu", "memory", "files" (too many), "output", "frame", "protocol", or "signal" where none of ours
    is known to have done it; else "". `truncated`: stdout or stderr was longer than what is here. `tier` names the sandbox.
    """

    stdout: str
    stderr: str
    exit_code: int
    timed_out: bool
    killed_by: str
    truncated: bool
    ms: float
    tier: str

    def __iter__(self) -> Iterator[str]:
        return iter((self.stdout, self.stderr))


@dataclass(frozen=True, slots=True)
class CallResult:
    """A function's value, plain typed data, and what it printed on the way."""

    value: object
    stdout: str
    stderr: str
    ms: float
    tier: str
