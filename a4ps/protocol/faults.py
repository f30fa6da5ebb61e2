"""Errors across the wire: an `A4PSError` becomes a `Fault`, and on the other side the same error again."""

from __future__ import annotations

from typing import Any

from a4ps.errors import A4PSError
from a4ps.protocol.messages import Fault

#: Fields of errors that are plain data and so can travel.
_PLAIN = (str, int, float, bool)


class UnknownFault(A4PSError):
    """An error that has no class on this side: a bug in the backend ("internal"), or one of another version."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.message, next_step=fault.next)
        self._kind = fault.kind
        self.exit_code = fault.exit_code

    @property
    def kind(self) -> str:
        return self._kind


def fault_of(error: A4PSError, log: str = "") -> Fault:
    """What the other side is told; `log` is the file that has the traceback, "" where there is none."""
    details = {name: value for name, value in vars(error).items() if _is_plain(value) and not name.startswith("_")}
    for name in ("message", "next_step"):
        details.pop(name, None)
    return Fault(
        kind=error.kind,
        message=error.message,
        next=error.next_step,
        log=log,
        exit_code=error.exit_code,
        details={name: list(value) if isinstance(value, tuple) else value for name, value in details.items()},
    )


def internal(error: BaseException, log: str) -> Fault:
    """What the other side is told of a bug."""
    return Fault(
        kind="internal",
        message=f"something went wrong inside A4PS: {type(error).__name__}: {error}",
        next="please report it with the log; what was answered is safe",
        log=log,
    )


def error_of(fault: Fault) -> A4PSError:
    """The error that a fault tells of, with `log` as an attribute of its own."""
    kind = next((known for known in _all(A4PSError) if _kind_of(known) == fault.kind), None)
    error: A4PSError
    if kind is None:
        error = UnknownFault(fault)
    else:
        # As pickling does it: constructors differ, and everything they set is here.
        error = kind.__new__(kind, fault.message)
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fault.details.items()}
        error.__dict__.update({**fields, "message": fault.message, "next_step": fault.next})
        error.args = (fault.message,)
    error.log = fault.log
    return error


def _kind_of(kind: type[A4PSError]) -> str:
    return str(A4PSError.kind.fget(kind.__new__(kind)))  # type: ignore[attr-defined]  # a property is all that names it


def _all(kind: type[A4PSError]) -> list[type[A4PSError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _all(below))]


def _is_plain(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(isinstance(each, _PLAIN) for each in value)
    return isinstance(value, _PLAIN)
