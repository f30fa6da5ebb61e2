"""Calls of live methods that failed: the last of each method, in memory, as texts.

Kept are short texts and the bytes of the arguments, never the objects themselves: a frame would hold on to all that its
method knew. Nothing is written to a disk; `clear` forgets them all.
"""

from __future__ import annotations

import linecache
import re
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from a4ps.errors import A4PSError, MethodOverran, SandboxedError, Unstorable
from a4ps.events import Event, MethodFailed, event_bus, said_by
from a4ps.image.brief import brief, brief_locals
from a4ps.image.content import Slot
from a4ps.image.methods import Method
from a4ps.log_file import without_secrets

KEPT: Final = 64
"""Methods whose last failed call is kept; the oldest go first."""

FRAMES_MAX: Final = 20
ARGUMENTS_MAX: Final = 1_000_000
"""Bytes of arguments that are kept for calling again."""

_OWN: Final = f"{Path(__file__).parents[1]}/"
_LIVE: Final = re.compile(r"<(?P<proto>.+)\.(?P<method>\w+) [0-9a-f]{12}>")
_FRAME: Final = re.compile(r'^\s*File "(?P<file>[^"\n]*)", line (?P<line>\d+), in (?P<function>.*)$')


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a call stood: `source` is that line. `names` are its locals as short texts, none where it ran elsewhere.

    `proto` and `method` say whose text it is, where it is a live method's; "" of any other code.
    """

    file: str
    line: int
    function: str
    source: str
    names: Mapping[str, str] = field(default_factory=dict)
    proto: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class FailedCall:
    """One call that raised; the innermost frame is last. `given` are the arguments' bytes, None where they are not kept.

    `is_last`: no later call of the method ended well. `output` is what it had printed, where that is known.
    """

    proto: str
    method: str
    version: int
    digest: str
    author: str
    where: str
    arguments: str
    kind: str
    message: str
    next_step: str
    frames: tuple[Frame, ...]
    at: datetime
    given: Slot | None = None
    is_last: bool = True
    output: str = ""

    def fresh_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        """The arguments once more, the caller's own; as they were when it failed. None where they are not kept."""
        return None if self.given is None else self.given.fresh("arguments")


class Failures:
    """For any number of threads."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._kept: OrderedDict[tuple[str, str], FailedCall] = OrderedDict()

    def note(self, call: FailedCall) -> None:
        """Keep it in place of an earlier one of its method, and tell whoever listens."""
        with self._gate:
            self._kept.pop((call.proto, call.method), None)
            self._kept[call.proto, call.method] = call
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        event_bus.notify(Event.METHOD_FAILED, MethodFailed(call.proto, call.method, call.kind, call.message))

    def passed(self, proto: str, method: str) -> None:
        """A call of it ended well."""
        if (proto, method) not in self._kept:
            return
        with self._gate:
            call = self._kept.get((proto, method))
            if call is not None and call.is_last:
                self._kept[proto, method] = replace(call, is_last=False)

    def of(self, proto: str, method: str) -> FailedCall | None:
        return self._kept.get((proto, method))

    def all(self) -> list[FailedCall]:
        """The newest first."""
        with self._gate:
            return list(reversed(self._kept.values()))

    def clear(self) -> None:
        with self._gate:
            self._kept.clear()


def failed_call(
    error: Exception,
    proto: str,
    version: int,
    method: Method,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    where: str,
    at: datetime,
) -> FailedCall:
    """What there is to say of a call that raised `error`."""
    is_theirs = isinstance(error, SandboxedError)
    return FailedCall(
        proto,
        method.name,
        version,
        method.digest,
        method.author,
        where,
        without_secrets(_arguments(args, kwargs)),
        error.type_name if isinstance(error, SandboxedError) else type(error).__name__,
        without_secrets(error.text if isinstance(error, SandboxedError) else said_by(error)),
        error.next_step if isinstance(error, A4PSError) and not is_theirs else "",
        _frames(error, proto, method),
        at,
        _kept_arguments(args, kwargs),
        output=error.stdout if isinstance(error, SandboxedError) else "",
    )


def text_of(frame: Frame) -> str:
    """The whole text that a frame of a live method ran, "" where it is not known any more."""
    return "".join(linecache.getlines(frame.file)) if frame.method else ""


def _arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    return ", ".join((*(brief(each) for each in args), *(f"{name}={brief(each)}" for name, each in kwargs.items())))


def _kept_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Slot | None:
    try:
        slot = Slot.of((tuple(args), dict(kwargs)), "arguments")
    except Unstorable:
        return None
    return slot if len(slot.data) <= ARGUMENTS_MAX else None


def _frames(error: Exception, proto: str, method: Method) -> tuple[Frame, ...]:
    if isinstance(error, SandboxedError):
        lines = method.source.count("\n") + 1
        # What lies below the method's text is the harness that called it.
        inside = [each for each in _told(error.traceback) if not each.file.startswith("<") or each.line <= lines]
        return tuple(replace(each, proto=proto, method=method.name) for each in inside)[-FRAMES_MAX:]
    if isinstance(error, MethodOverran):
        return tuple(each for each in _told(error.stack) if not each.file.startswith(_OWN))[-FRAMES_MAX:]
    return tuple(_walked(error.__traceback__))[-FRAMES_MAX:]


def _walked(trace: TracebackType | None) -> Iterator[Frame]:
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_OWN):
            live = _LIVE.fullmatch(code.co_filename)
            yield Frame(
                code.co_filename,
                trace.tb_lineno,
                code.co_qualname,
                linecache.getline(code.co_filename, trace.tb_lineno).strip(),
                brief_locals(trace.tb_frame.f_locals) if live else {},
                live["proto"] if live else "",
                live["method"] if live else "",
            )
        trace = trace.tb_next


def _told(text: str) -> Iterator[Frame]:
    """The frames in a traceback's text."""
    lines = text.splitlines()
    for at, line in enumerate(lines):
        match = _FRAME.match(line)
        if match is None:
            continue
        after = lines[at + 1] if at + 1 < len(lines) else ""
        source = "" if _FRAME.match(after) else after.strip()
        live = _LIVE.fullmatch(match["file"])
        yield Frame(
            match["file"],
            int(match["line"]),
            match["function"],
            source,
            {},
            live["proto"] if live else "",
            live["method"] if live else "",
        )
