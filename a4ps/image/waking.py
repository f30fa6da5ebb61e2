"""What lives beside a Proto in this process only: `live`, and `on_wake`, which builds it.

`live` is a dict per open image and name for what cannot be kept: locks, sockets, tasks. It is no part of a state, a
version, a clone or a difference, and no change records what is done to it. It begins empty; the method `on_wake(self)`,
where the Proto has one, fills it when it is first reached, once for each text of it that is in force. After a swap
changed that text, the next reach begins again with an empty dict; a call that holds the former one ends with it.

What is called from several threads at once is run by one; the others wait, at most until its deadline, and those who
reach another name not at all. Nothing is kept of an `on_wake` that raised or overran: the next reach tries again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any

from a4ps.errors import CallerError, MethodOverran, MethodRefused

ON_WAKE = "on_wake"
LIVE = "live"

Space = dict[str, Any]

InForce = Callable[[], tuple[str | None, Callable[[], object] | None]]
"""Gives the text of the on_wake that is in force and what runs it, None and None where there is none.

Called several times for one reach. A run fills the space that `reach` gives meanwhile.
"""

_GRACE_S = 1.0
"""A run reports its end by itself, at its deadline at the latest; one that is silent for longer has lost its thread."""

_wakings: ContextVar[tuple[_Waking, ...]] = ContextVar("a4ps_waking", default=())
"""Those in whose on_wake the caller is, and (a task or thread that one began) was."""


class _Waking:
    """One run of an on_wake."""

    __slots__ = ("done", "ends_s", "failed", "lives", "name", "space")

    def __init__(self, lives: Lives, name: str, deadline_s: float) -> None:
        self.lives = lives
        self.name = name
        self.space: Space = {}
        self.ends_s = time.monotonic() + deadline_s + _GRACE_S
        self.done = threading.Event()
        self.failed = False


class _Place:
    """What there is of one name: the space and the text that built it, or the run that is building it."""

    __slots__ = ("space", "text", "waking")

    def __init__(self) -> None:
        self.space: Space | None = None
        self.text: str | None = None
        self.waking: _Waking | None = None


class Lives:
    """The live spaces of one open image. Used from any thread."""

    def __init__(self) -> None:
        self._gate = threading.Lock()  # held for a few assignments, never while anything runs
        self._places: dict[str, _Place] = {}
        self._closed = False

    def reach(self, name: str, in_force: InForce, deadline_s: float) -> Space:
        """The space of `name`, built first where it was not built by the text that is now in force.

        Inside an on_wake, that which is being built is given. Raises what `in_force` and the run raise, MethodOverran
        where the run took longer than `deadline_s`, and CallerError after `close`.
        """
        for waking in _wakings.get():
            if waking.lives is self and waking.name == name:
                if waking.failed:
                    raise MethodRefused(
                        f"this part of {name}.{ON_WAKE} outlived its failure", next_step="end what it began"
                    )
                if not waking.done.is_set():
                    return waking.space
        while True:
            text, _ = in_force()
            place = self._place(name)
            with self._gate:
                if place.space is not None and place.text == text:
                    return place.space
                running = place.waking
                if running is None or time.monotonic() >= running.ends_s:
                    running = None
                    waking = place.waking = _Waking(self, name, deadline_s)
            if running is None:
                return self._build(place, waking, in_force)
            running.done.wait(max(0.0, running.ends_s - time.monotonic()))

    def unfinished_here(self) -> bool:
        """Whether the caller is inside an on_wake of this image, or of what one that failed has left running."""
        return any(each.lives is self and (each.failed or not each.done.is_set()) for each in _wakings.get())

    def keep(self, names: Collection[str]) -> None:
        """Drop the spaces of all other names."""
        for name in tuple(self._places):
            if name not in names:
                self._places.pop(name, None)

    def close(self) -> None:
        """Drop every space; idempotent."""
        with self._gate:
            self._closed = True
            self._places = {}

    def _place(self, name: str) -> _Place:
        with self._gate:
            if self._closed:
                raise CallerError(f"the image of {name} is closed", next_step="open it again")
            return self._places.setdefault(name, _Place())

    def _build(self, place: _Place, waking: _Waking, in_force: InForce) -> Space:
        finished = False
        token = _wakings.set((*_wakings.get(), waking))
        try:
            # Asked again: somebody may have built it by a newer text before this run's turn came.
            text, build = in_force()
            if place.space is not None and place.text == text:
                waking.space = place.space
            elif build is not None:
                build()
            with self._gate:
                if place.waking is not waking:
                    raise MethodOverran(
                        f"{waking.name}.{ON_WAKE} ran past its deadline and was begun again meanwhile",
                        next_step="make it shorter, or give it a longer deadline",
                    )
                place.space, place.text = waking.space, text
            finished = True
        finally:
            _wakings.reset(token)
            waking.failed = not finished
            with self._gate:
                if place.waking is waking:
                    place.waking = None
            waking.done.set()
        return waking.space
