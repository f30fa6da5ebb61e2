"""Errors across the wire: an `A4PSError` becomes a `Fault`, and on the other side the same error again."""

from __future__ import annotations

from typing import Any

from a4ps.errors import A4PSError
from a4ps.protocol.codec import readable
from a4ps.protocol.messages import Fault

#: Fields of errors that are plain data and so can travel; others arrive as None.
_PLAIN = (str, int, float, bool)
#: Of longer texts, the rest stays here.
_TEXT_CHARS = 1_000_000


#: Fields that a fault has a place of its own for.
_OWN = ("message", "next_step", "exit_code", "log")


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
    fields = {name: value for name, value in vars(error).items() if not name.startswith("_") and name not in _OWN}
    return Fault(
        kind=error.kind[:100],
        message=_text(error.message),
        next=_text(error.next_step),
        log=_text(log),
        exit_code=error.exit_code,
        details={name: _plain(value) for name, value in fields.items()},
    )


def internal(error: BaseException, log: str) -> Fault:
    """What the other side is told of a bug."""
    return Fault(
        kind="internal",
        message=_text(f"something went wrong inside A4PS: {type(error).__name__}: {error}"),
        next="please report it with the log; what was answered is safe",
        log=log,
    )


def error_of(fault: Fault) -> A4PSError:
    """The error that a fault tells of, with `log` as an attribute of its own."""
    kind = next(
        (known for known in _all(A4PSError) if _kind_of(known) == fault.kind and known is not UnknownFault), None
    )
    error: A4PSError
    if kind is None:
        error = UnknownFault(fault)
    else:
        # As pickling does it: constructors differ, and everything they set is here.
        error = kind.__new__(kind, fault.message)
        fields = {name: tuple(value) if isinstance(value, list) else value for name, value in fault.details.items()}
        error.__dict__.update({**fields, "message": fault.message, "next_step": fault.next})
        error.args = (fault.message,)
        if error.exit_code != fault.exit_code:
            error.exit_code = fault.exit_code
    error.log = fault.log
    return error


def _kind_of(kind: type[A4PSError]) -> str:
    return str(A4PSError.kind.fget(kind.__new__(kind)))  # type: ignore[attr-defined]  # a property is all that names it


def _all(kind: type[A4PSError]) -> list[type[A4PSError]]:
    return [kind, *(each for below in kind.__subclasses__() for each in _all(below))]


def _plain(value: Any) -> Any:
    """`value` as it can travel, None where it cannot."""
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value] if all(isinstance(each, _PLAIN) for each in value) else None
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return None
    return value if isinstance(value, _PLAIN) else None


def _text(text: str) -> str:
    return readable(text[:_TEXT_CHARS])
