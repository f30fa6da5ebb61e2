"""Following the backend's events without missing a durable one: the rules, without sockets.

A follower begins with a snapshot and applies each durable event once, in order. A gap, or another epoch, means that it asks
for what it lacks; what is provisional is void with its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from a4ps.protocol.messages import Beat, Durable, Provisional, Published


@dataclass(frozen=True, slots=True)
class Apply:
    """The next durable event."""

    event: Durable


@dataclass(frozen=True, slots=True)
class Show:
    """Provisional events; `dropped` of them are missing before these."""

    events: Sequence[dict[str, Any]]
    dropped: int


@dataclass(frozen=True, slots=True)
class Void:
    """The backend was started anew: what is provisional counts no more.

    `behind`: its image is an older one, such as a restored copy; whoever keeps a projection takes a fresh snapshot, of
    number `sequence` or later, and the events that follow are those after `sequence`.
    """

    epoch: str
    sequence: int
    behind: bool


@dataclass(frozen=True, slots=True)
class Fetch:
    """Ask for the durable events after this number, and give them to `caught_up`."""

    after: int


Told: TypeAlias = Apply | Show | Void | Fetch


class Feed:
    """One follower's. `sequence` is the last durable event that it has."""

    def __init__(self, epoch: str, sequence: int) -> None:
        self.epoch = epoch
        self.sequence = sequence
        self._number = 0
        self._fetching = False
        self._past: set[str] = set()

    def received(self, message: Published) -> list[Told]:
        """What to do about a message of the backend."""
        told: list[Told] = []
        if message.epoch in self._past:  # late words of a backend that has ended
            return []
        if message.epoch != self.epoch:
            if isinstance(message, Provisional):
                return []  # where the image stands now comes with the next beat, and that first
            told.append(self._anew(message))
        match message:
            case Durable(sequence=sequence):
                if sequence == self.sequence + 1:
                    self.sequence = sequence
                    told.append(Apply(message))
                elif sequence > self.sequence:
                    told += self._fetch()
            case Beat(sequence=sequence):
                if sequence > self.sequence:
                    told += self._fetch()
            case Provisional(number=number, events=events):
                dropped = max(0, number - self._number - 1) if self._number else 0
                self._number = number + len(events) - 1
                told.append(Show(events, dropped))
        return told

    def caught_up(self, epoch: str, events: Sequence[Durable], newest: int) -> list[Told]:
        """What to do about the events that were asked for, of a backend of that epoch whose newest is `newest`: those that
        are still missing are applied, in order.
        """
        self._fetching = False
        told: list[Told] = []
        if epoch != self.epoch:
            return told
        for event in events:
            if event.sequence == self.sequence + 1:
                self.sequence = event.sequence
                told.append(Apply(event))
        if told and newest > self.sequence:
            told += self._fetch()
        return told

    def not_fetched(self) -> None:
        """They could not be had; the next sign of a gap asks again."""
        self._fetching = False

    def _anew(self, message: Durable | Beat) -> Void:
        self._past.add(self.epoch)
        self.epoch, self._number, self._fetching = message.epoch, 0, False
        newest = message.sequence - 1 if isinstance(message, Durable) else message.sequence
        behind = newest < self.sequence
        if behind:
            self.sequence = newest
        return Void(message.epoch, self.sequence, behind)

    def _fetch(self) -> list[Told]:
        if self._fetching:
            return []
        self._fetching = True
        return [Fetch(self.sequence)]
