"""The event bus: who wants to know is told what happened, and can harm neither what happened nor the others told.

Every observer has a line and a thread of its own, which begins with its first event: it hears what it asked for in the
order in which it was notified. One that raises is logged and told on; one that stalls delays nobody, and what its line
does not hold any more it hears of as one `LOST` with the number. `notify` never waits for anybody.

Not for what must be known: a durable event is the commit that it tells of, and can be read from the image at any time.
`event_bus` is the process's own; an open image has one of its own besides, for what is committed to it alone.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum

#: Events that wait for one observer; older ones are lost to it.
LINE_MAX = 65_536

#: `close` leaves an observer behind that has been busy with one event for so long.
STALLED_S = 10.0

#: So much of what an exception says is told.
MESSAGE_CHARS = 2_000

_log = logging.getLogger(__name__)


class Event(StrEnum):
    """What can be told. The comment beside each says what its `data` is, and whether it is durable or provisional."""

    SWAP = "swap"  # a Change: durable, after its commit
    TURN_BEGAN = "turn began"  # a Turn: durable; told again when it is resumed
    TURN_ANSWERED = "turn answered"  # an Answered: durable
    TURN_STOPPED = "turn stopped"  # a Turn that ended without an answer and stays open: durable
    PROGRESS = "progress"  # a Told: provisional, what the turn's own listener hears
    SERIES = "series"  # a Sample: provisional until its turn is answered
    COGNITIVE_DISSONANCE = "cognitive dissonance"  # an Answered whose argument ended apart: durable
    APPROVAL_ASKED = "approval asked"  # an Approval that waits for the Architect: durable
    APPROVAL_DECIDED = "approval decided"  # an Approval that was decided or replaced: durable
    SERVICE_FAILED = "service failed"  # a ServiceFailed: provisional
    METHOD_FAILED = "method failed"  # a MethodFailed: provisional
    LOST = "lost"  # an int: so many events were told faster than this observer heard them


class Observer(ABC):
    """Whoever wants to know. Compared by identity."""

    @abstractmethod
    def update(self, event: Event, data: object) -> None:
        """Called by a thread of the subject's, one event at a time. May take its time, raise, notify, and detach itself."""


@dataclass(frozen=True, slots=True)
class ServiceFailed:
    """Something that runs by itself crashed: what it raised (class and message), how often it was started again before, and
    in how many seconds it will be. 0: as soon as it is needed; None: not any more.

    `cause` is the exception, where whoever tells of it has no crash reports of his own.
    """

    name: str
    error: str
    message: str
    restarts: int
    retry_s: float | None
    cause: BaseException | None = field(default=None, compare=False, repr=False)

    @classmethod
    def of(cls, name: str, cause: BaseException, restarts: int, retry_s: float | None) -> ServiceFailed:
        """For one that starts itself again."""
        return cls(name, type(cause).__name__, said_by(cause), restarts, retry_s, cause)

    @property
    def then(self) -> str:
        """What becomes of it, for people."""
        if self.retry_s is None:
            return "it is not started again"
        return f"it is started again in {self.retry_s:g} s" if self.retry_s else "it is started again when it is needed"


@dataclass(frozen=True, slots=True)
class MethodFailed:
    """A call of a live method raised: what (class and message)."""

    proto: str
    method: str
    error: str
    message: str


def said_by(error: BaseException) -> str:
    """What an exception says, bounded; it may be somebody else's class and have no words."""
    try:
        return str(error)[:MESSAGE_CHARS]
    except Exception:  # noqa: BLE001 - somebody else's class
        return "(it cannot say what)"


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """Who is told, how many events wait in their lines, and how many were lost to any of them, ever."""

    observers: int
    waiting: int
    lost: int


class Subject:
    """What observers attach themselves to. Every method may be called from any thread."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lines: tuple[_Line, ...] = ()
        self._closed = False
        self._lost_to_others = 0

    def attach(self, observer: Observer, *events: Event) -> None:
        """Tell `observer` of `events` from now on, of all where none is named. Attached again, it hears these instead."""
        wanted = frozenset(events) or frozenset(Event)
        with self._gate:
            known = next((line for line in self._lines if line.observer is observer), None)
            if known is not None:
                known.wanted = wanted
            elif not self._closed:
                self._lines = (*self._lines, _Line(observer, wanted))

    def detach(self, observer: Observer) -> None:
        """Tell it nothing more; what waits in its line is dropped. Does nothing where it is not attached."""
        with self._gate:
            gone = [line for line in self._lines if line.observer is observer]
            self._lines = tuple(line for line in self._lines if line.observer is not observer)
            self._lost_to_others += sum(line.lost_ever for line in gone)
        for line in gone:
            line.drop()

    def notify(self, event: Event, data: object = None) -> None:
        """Put `event` into the lines of those who want it. Never waits."""
        for line in self._lines:
            if event in line.wanted:
                line.put(event, data)

    def is_heard(self, event: Event) -> bool:
        """Whether anybody wants `event`: for whoever would make its data for nobody."""
        for line in self._lines:  # noqa: SIM110 - asked for each word of a turn
            if event in line.wanted:
                return True
        return False

    def statistics(self) -> BusStatistics:
        """How it is now."""
        with self._gate:
            lines, lost = self._lines, self._lost_to_others
        waiting = sum(line.waiting for line in lines)
        return BusStatistics(len(lines), waiting, lost + sum(line.lost_ever for line in lines))

    def drain(self) -> None:
        """Return when all that was notified before has been told; one who stalls is not waited for."""
        for line in self._lines:
            line.wait_told()

    def close(self) -> None:
        """`drain`, and end the threads; nobody can be attached again. Idempotent. An observer that closes does not wait."""
        with self._gate:
            self._closed = True
            lines, self._lines = self._lines, ()
            self._lost_to_others += sum(line.lost_ever for line in lines)
        for line in lines:
            line.wait_told()
            line.drop()


class _Line:
    """What waits for one observer, and the thread that tells it."""

    def __init__(self, observer: Observer, wanted: frozenset[Event]) -> None:
        self.observer = observer
        self.wanted = wanted
        self._waiting: deque[tuple[Event, object]] = deque()
        self._moved = threading.Condition()
        self._lost = 0
        self.lost_ever = 0
        self._told = 0
        self._busy = self._ended = self._failed = False
        self._thread: threading.Thread | None = None

    def put(self, event: Event, data: object) -> None:
        with self._moved:
            if self._ended:
                return
            if len(self._waiting) >= LINE_MAX:
                self._waiting.popleft()
                self._lost += 1
                self.lost_ever += 1
            self._waiting.append((event, data))
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="a4ps-observer", daemon=True)
                self._thread.start()
            self._moved.notify_all()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def drop(self) -> None:
        with self._moved:
            self._ended = True
            self._waiting.clear()
            self._moved.notify_all()

    def wait_told(self) -> None:
        """Return when the line is empty, or its observer has been at one event for STALLED_S, which is logged."""
        with self._moved:
            while (self._waiting or self._busy) and self._thread is not threading.current_thread():
                told = self._told
                if not self._moved.wait(STALLED_S) and told == self._told:
                    _log.warning("%r is still busy with an event and is not waited for", self.observer)
                    return

    def _run(self) -> None:
        while (given := self._next()) is not None:
            try:
                self.observer.update(*given)
            except BaseException:  # noqa: BLE001 - the observer's edge; an exit would end its later events
                # Once is enough: one that fails at each word of a turn would fill the log.
                _log.log(
                    logging.DEBUG if self._failed else logging.ERROR,
                    "%r failed at %s (logged once)",
                    self.observer,
                    given[0],
                    exc_info=True,
                )
                self._failed = True

    def _next(self) -> tuple[Event, object] | None:
        with self._moved:
            if self._busy:
                self._told += 1
            self._busy = False
            self._moved.notify_all()
            while not self._waiting and not self._ended:
                self._moved.wait()
            if self._ended:
                return None
            self._busy = True
            if self._lost:
                lost, self._lost = self._lost, 0
                return Event.LOST, lost
            return self._waiting.popleft()


class Calling(Observer):
    """A function as an observer: called with the data alone."""

    def __init__(self, function: Callable[..., object]) -> None:
        self._function = function

    def update(self, event: Event, data: object) -> None:
        if event is not Event.LOST:
            self._function(data)

    def __repr__(self) -> str:
        return f"observer {self._function!r}"


#: The process's own.
event_bus = Subject()
