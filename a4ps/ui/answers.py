"""What panes need of the backend, asked once for all windows that show it, and again when rows of its kinds are committed.

Of each need at most one asking is under way; what changes meanwhile has it asked once more. Nothing is asked while there is
no backend, as that would start one that somebody has ended.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from a4ps.errors import A4PSError
from a4ps.protocol.requests.base import Request
from a4ps.ui.calls import Calls
from a4ps.ui.model.pane import Answer, Need

_GONE = "-gone"


@dataclass(slots=True)
class _Asked:
    """One request, whoever shows its answer. `stale`: it is to be asked as soon as that can be."""

    request: Request
    answer: Answer = field(default_factory=Answer)
    users: dict[str, frozenset[str]] = field(default_factory=dict)
    asking: bool = False
    stale: bool = True

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset().union(*self.users.values())


class Answers:
    """The answers of all windows. `changed` is called with the ids of windows whose answers are others now."""

    def __init__(self, calls: Calls, changed: Callable[[Iterable[str]], None]) -> None:
        self._calls = calls
        self._changed = changed
        self._asked: dict[str, _Asked] = {}
        self._names: dict[str, dict[str, str]] = {}
        #: (window, name of a lasting need) → what is shown of it until there is an answer.
        self._lasting: dict[tuple[str, str], Answer] = {}
        self._live = False

    def want(self, window: str, needs: Sequence[Need]) -> None:
        """What a window needs now, in place of what it needed; nothing when it is closed."""
        names = {}
        before = self.of(window)
        self._lasting = {place: each for place, each in self._lasting.items() if place[0] != window}
        for need in needs:
            key = _key(need.request)
            names[need.name] = key
            asked = self._asked.setdefault(key, _Asked(need.request))
            if not asked.users:  # what happened while nobody wanted it was not heeded
                asked.stale = True
            asked.users[window] = need.kinds
            last = before.get(need.name)
            if need.lasting and last is not None and last.value is not None:
                self._lasting[window, need.name] = Answer(last.value)
        for key in set(self._names.get(window, {}).values()) - set(names.values()):
            del self._asked[key].users[window]
            self._forget_unused(key)
        self._names[window] = names
        if not names:
            del self._names[window]
        self._ask_stale()

    def of(self, window: str) -> Mapping[str, Answer]:
        """Name of need → answer."""
        names = self._names.get(window, {})
        return {name: self._shown(window, name, self._asked[key].answer) for name, key in names.items()}

    def _shown(self, window: str, name: str, answer: Answer) -> Answer:
        return self._lasting.get((window, name), answer) if answer == Answer() else answer

    def committed(self, kinds: frozenset[str]) -> None:
        """Rows of these kinds were committed."""
        meant = {kind.removesuffix(_GONE) for kind in kinds} | kinds
        for asked in self._asked.values():
            if not meant.isdisjoint(asked.kinds):
                asked.stale = True
        self._ask_stale()

    def refresh(self, window: str = "") -> None:
        """Ask anew what a window shows, or what all show."""
        keys = self._names.get(window, {}).values() if window else self._asked
        for key in keys:
            self._asked[key].stale = True
        self._ask_stale()

    def linked(self, live: bool) -> None:
        """Whether there is a backend; with each new one everything is asked anew."""
        self._live = live
        if live:
            self.refresh()

    def _ask_stale(self) -> None:
        if not self._live:
            return
        for key, asked in [*self._asked.items()]:
            if asked.stale and asked.users and not asked.asking:
                asked.stale, asked.asking = False, True
                self._calls.send(asked.request, _Ended(self, key))

    def ended(self, key: str, value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
        """An asking has ended."""
        asked = self._asked[key]
        asked.asking = False
        if error is None:
            answer = Answer(value, asking=False)
        else:  # what was known before is shown on, with what went wrong
            answer = replace(asked.answer, fault=error.message, next_step=error.next_step, asking=False)
        if answer != asked.answer:
            asked.answer = answer
            self._changed([*asked.users])
        self._forget_unused(key)
        self._ask_stale()

    def _forget_unused(self, key: str) -> None:
        """What nobody shows any more; while it is being asked it is kept, lest it be asked twice at once."""
        asked = self._asked[key]
        if not asked.users and not asked.asking:
            del self._asked[key]


@dataclass(frozen=True, slots=True)
class _Ended:
    answers: Answers
    key: str

    def __call__(self, value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
        self.answers.ended(self.key, value, error)


def _key(request: Request) -> str:
    return json.dumps(request.as_wire(), sort_keys=True, default=repr)
