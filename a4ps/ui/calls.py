"""What the desk has the backend do: who is told of each command's outcome and steps, and what of it is shown as work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from a4ps.errors import A4PSError
from a4ps.protocol.requests.base import Request
from a4ps.ui.link import Answered, Failed, Linking, Stepped

#: Told once how a command ended: its object, or what went wrong.
Ended: TypeAlias = Callable[[Mapping[str, Any] | None, A4PSError | None], None]
#: Told each step of it.
StepHeard: TypeAlias = Callable[[Mapping[str, Any]], None]

#: Work is shown when it has lasted so long: what is done by then would only flicker.
SHOWN_AFTER_S = 0.3


@dataclass(frozen=True, slots=True)
class Work:
    """Something that takes its time: `fraction` from 0 to 1, None where that is not known; `tag` is for stopping it."""

    label: str
    fraction: float | None
    tag: str


@dataclass(slots=True)
class _Call:
    name: str
    ended: Ended
    stepped: StepHeard | None
    work: Work | None
    since_s: float


class Calls:
    """All commands under way. `now` is any monotonic clock, in seconds."""

    def __init__(self, link: Linking, now: Callable[[], float]) -> None:
        self._link = link
        self._now = now
        self._calls: dict[str, _Call] = {}
        self._number = 0

    def send(self, request: Request, ended: Ended, *, stepped: StepHeard | None = None, label: str = "") -> str:
        """Have it done, and return its tag. With a `label`, it is shown as work, with its progress."""
        self._number += 1
        tag = f"{request.name}-{self._number}"
        work = Work(label, None, tag) if label else None
        self._calls[tag] = _Call(request.name, ended, stepped, work, self._now())
        self._link.send(request, tag, follows=stepped is not None or work is not None)
        return tag

    def cancel(self, tag: str) -> None:
        """Have it stopped; its outcome comes all the same."""
        if tag in self._calls:
            self._link.cancel(tag)

    def received(self, told: Stepped | Answered | Failed) -> None:
        """Hand on what has come in."""
        call = self._calls.get(told.tag)
        if call is None:
            return
        match told:
            case Stepped(_, step):
                if call.work is not None and step.get("step") == "working":
                    call.work = _further(call.work, step)
                if call.stepped is not None:
                    call.stepped(step)
            case Answered(_, value):
                del self._calls[told.tag]
                call.ended(value, None)
            case Failed(_, error):
                del self._calls[told.tag]
                call.ended(None, error)

    def under_way(self, *names: str) -> Sequence[str]:
        """The tags of the commands that have no outcome yet, the oldest first; with `names`, of requests of these names."""
        return [tag for tag, each in self._calls.items() if not names or each.name in names]

    @property
    def work(self) -> Sequence[Work]:
        """What is shown as under way, the oldest first."""
        until_s = self._now() - SHOWN_AFTER_S
        return tuple(each.work for each in self._calls.values() if each.work is not None and each.since_s <= until_s)

    @property
    def due_s(self) -> float | None:
        """When the next piece of work is to be shown."""
        since = [each.since_s for each in self._calls.values() if each.work is not None]
        due = [each + SHOWN_AFTER_S for each in since if each + SHOWN_AFTER_S > self._now()]
        return min(due, default=None)


def _further(work: Work, step: Mapping[str, Any]) -> Work:
    of, done = float(step.get("of") or 0), float(step.get("done") or 0)
    return Work(str(step.get("label") or work.label), min(1.0, done / of) if of > 0 else None, work.tag)
