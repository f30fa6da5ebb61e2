"""Telling of a turn: its own listener is called there and then, and the event bus is told the same."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from a4ps.clock import Clock
from a4ps.events import Event, Subject
from a4ps.image.series_log import smoothed
from a4ps.image.turns import Contribution
from a4ps.series import Sample
from a4ps.society.progress import Accepted, Listener, Measured, Progress, Spoke, Token, Told

_log = logging.getLogger(__name__)


class Telling:
    """A listener for one turn. It cannot harm the turn: the one that it tells is told no more after its first failure.

    `colours` are the personas' before this turn. Figures are told as samples as they come; they count once the turn is
    answered.
    """

    def __init__(self, listener: Listener, bus: Subject, clock: Clock, colours: Mapping[str, float]) -> None:
        self._listener: Listener | None = listener
        self._bus = bus
        self._clock = clock
        self._colours = dict(colours)
        self._turn = ""

    def __call__(self, progress: Progress) -> None:
        if not isinstance(progress, Token):
            self._note(progress)
        if self._bus.is_heard(Event.PROGRESS):
            self._bus.notify(Event.PROGRESS, Told(self._turn, progress))
        if self._listener is None:
            return
        try:
            self._listener(progress)
        except Exception:  # noqa: BLE001 - somebody else's code, and the turn is not theirs to end
            self._listener = None
            _log.exception("a listener failed and is no longer told of this turn")

    def _note(self, progress: Progress) -> None:
        match progress:
            case Accepted(turn):
                self._turn = turn.id
            case Measured(figure):
                self._tell("dissonance", figure)
            case Spoke(Contribution(persona=persona, character=float(figure))):
                self._colours[persona] = smoothed(self._colours.get(persona), figure)
                self._tell(f"character.{persona}", self._colours[persona])

    def _tell(self, name: str, value: float) -> None:
        if self._bus.is_heard(Event.SERIES):
            self._bus.notify(Event.SERIES, Sample(name, self._clock.now().timestamp(), value))
