"""What the backend tells everybody: durable events, read from the commit log, and provisional ones from the event bus."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from a4ps.errors import A4PSError, ProtocolError
from a4ps.events import Event, MethodFailed, Observer, ServiceFailed, event_bus
from a4ps.image.store import Store
from a4ps.kernel.serving.progress import as_step
from a4ps.protocol.codec import encode, packed
from a4ps.protocol.messages import Beat, Durable
from a4ps.protocol.steps import Failed, Figure, Service
from a4ps.series import Sample
from a4ps.society.progress import Told

_log = logging.getLogger(__name__)

#: Events in one frame, and commits read in one go.
_IN_A_FRAME, _READ_AT_ONCE = 512, 256
#: Provisional events that wait to be sent; the oldest are dropped.
_WAITING_MAX = 100_000


class Publisher(Observer):
    """Tells of one store through `send`, in the loop in which it was made."""

    def __init__(self, store: Store, epoch: str, send: Callable[[bytes], object]) -> None:
        self._store = store
        self._epoch = epoch
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._sequence = store.generation
        self._number = 0
        self._waiting: deque[Mapping[str, Any]] = deque()
        self._due = False
        store.call_on_commits(self._moved)
        event_bus.attach(self, Event.PROGRESS, Event.SERIES, Event.SERVICE_FAILED, Event.METHOD_FAILED)

    def update(self, _: Event, data: object) -> None:
        """In the bus's own thread."""
        match data:
            case Told(turn, progress):
                self.show({**as_step(progress), "turn": turn})
            case int(lost):
                self._lost(lost)
            case Sample(name, at_s, value):
                self.show(Figure(name=name, at_s=at_s, value=value).model_dump())
            case ServiceFailed(name, error, message):
                self.show(Service(name=name, detail=f"{error}: {message}; {data.then}").model_dump())
            case MethodFailed(proto, method, error, message):
                self.show(Failed(proto=proto, method=method, error=error, message=message).model_dump())

    def _lost(self, lost: int) -> None:
        """So many came faster than they could be told: the numbers say so."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._skip, lost)

    def _skip(self, lost: int) -> None:
        self._number += lost

    def show(self, step: Mapping[str, Any]) -> None:
        """Tell of something provisional; from any thread."""
        self._waiting.append(step)
        if len(self._waiting) > _WAITING_MAX:
            with suppress(IndexError):
                self._waiting.popleft()
                self._number += 1
        if not self._due:
            self._due = True
            with suppress(RuntimeError):  # the loop has ended, and nobody listens any more
                self._loop.call_soon_threadsafe(self._flush)

    def beat(self) -> None:
        """Show that the backend is there."""
        self._pump()
        self._send(encode(Beat(epoch=self._epoch, sequence=self._sequence)))

    def close(self) -> None:
        """Tell nothing more."""
        event_bus.detach(self)

    def _moved(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        while self._sequence < self._store.generation:
            try:
                found = self._store.commits_after(self._sequence, limit=_READ_AT_ONCE)
            except A4PSError:
                _log.exception("the commits after %d cannot be told of", self._sequence)
                return
            if not found:
                return
            for commit, rows in found:
                self._sequence = commit.generation
                event = Durable(
                    epoch=self._epoch,
                    sequence=commit.generation,
                    at=commit.at.timestamp(),
                    author=commit.author,
                    rows=list(rows),
                )
                self._send(encode(event))

    def _flush(self) -> None:
        self._due = False
        while self._waiting:
            some = [self._waiting.popleft() for _ in range(min(len(self._waiting), _IN_A_FRAME))]
            frame = {"kind": "provisional", "epoch": self._epoch, "number": self._number + 1, "events": some}
            self._number += len(some)
            try:
                self._send(packed(frame))
            except ProtocolError:
                _log.exception("what happens cannot be told")
