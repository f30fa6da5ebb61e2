"""A desk on a real link to a real backend, in a temporary home, driven as a window's thread would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As
from a4ps.places import Places
from a4ps.protocol.feed import Apply
from a4ps.ui.desk import Desk
from a4ps.ui.link import Happened, Incoming, Link, Linked
from tests.doubles.household import Household

#: Nothing that a test waits for takes longer, whatever else the machine does.
DEADLINE_S = 60.0


class RecordedLink(Link):
    """Notes which durable events, and which states of the link, came in."""

    def __init__(self, places: Places, who: As, *, starts: bool = True) -> None:
        super().__init__(places, who, starts=starts)
        self.sequences: list[int] = []
        self.states: list[str] = []

    def take(self) -> list[Incoming]:
        taken = super().take()
        for each in taken:
            if isinstance(each, Happened) and isinstance(each.told, Apply):
                self.sequences.append(each.told.event.sequence)
            elif isinstance(each, Linked):
                self.states.append(each.state)
        return taken


class LivingDesk:
    """The desk, its link, and waiting for what another process does."""

    def __init__(self, places: Places, *, starts: bool = True, **more: Any) -> None:
        self._woken = threading.Event()
        self.link = RecordedLink(places, As("ui"), starts=starts)
        self.desk = Desk(self.link, **more)
        self.link.start(self._woken.set)

    @property
    def asking(self) -> bool:
        """Whether anything that was sent has no outcome yet."""
        return bool(self.desk.calls.under_way())

    def until(self, holds: Callable[[], object]) -> None:
        """Pump whenever the link wakes us, until it holds."""
        until_s = time.monotonic() + DEADLINE_S
        self.desk.pump()
        while not holds():
            woken = self._woken.wait(max(0.0, until_s - time.monotonic()))
            assert woken, (self.desk.society.link, self.desk.society.turn, self.desk.notices)
            self._woken.clear()
            self.desk.pump()


def places_of(person: Household, monkeypatch: pytest.MonkeyPatch) -> Places:
    """Where a person's image and its backend are; backends that this process starts are theirs, too."""
    for name, value in person.env.items():
        monkeypatch.setenv(name, value)
    return Places(person.home, person.folder / ".local" / "state" / "a4ps", person.run_base)


@contextmanager
def living_desk(places: Places, *, starts: bool = True, **more: Any) -> Iterator[LivingDesk]:
    """An open desk, closed with the block."""
    living = LivingDesk(places, starts=starts, **more)
    try:
        yield living
    finally:
        living.desk.close()


def household(folder: Path) -> Household:
    """A person whose personas rehearse, and who needs no sleep."""
    quiet = {"A4PS_ENGINE": "rehearsal", "A4PS_EMBEDDER": "lexical", "A4PS_SLEEP_AFTER_S": "0"}
    return Household(folder, quiet)
