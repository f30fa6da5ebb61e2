"""A link without a backend: what a desk sends is kept, and a test says what comes in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from a4ps.errors import A4PSError
from a4ps.protocol.feed import Apply, Show, Void
from a4ps.protocol.messages import Durable
from a4ps.protocol.requests.base import Request
from a4ps.ui.link import Answered, Failed, Happened, Incoming, Linked, Stepped

EPOCH = "epoch-1"


class FakeLink:
    """What was sent and not answered is in `sent`, the oldest first."""

    def __init__(self) -> None:
        self.sent: dict[str, Request] = {}
        self.cancelled: list[str] = []
        self.woken_in_s: float | None = None
        self.closed = False
        self._incoming: list[Incoming] = []
        self._sequence = 0

    def take(self) -> list[Incoming]:
        taken, self._incoming = self._incoming, []
        return taken

    def send(self, request: Request, tag: str, follows: bool = False) -> None:
        assert tag not in self.sent
        self.sent[tag] = request

    def cancel(self, tag: str) -> None:
        self.cancelled.append(tag)

    def wake_in(self, seconds: float) -> None:
        self.woken_in_s = seconds

    def close(self) -> None:
        self.closed = True

    # What a test says

    def tag(self, name: str) -> str:
        """The tag of the oldest request of that name that has no answer."""
        return next(tag for tag, request in self.sent.items() if request.name == name)

    def asked(self, name: str) -> list[Request]:
        """All requests of that name that have no answer."""
        return [request for request in self.sent.values() if request.name == name]

    def live(self, sequence: int = 0) -> None:
        self._sequence = sequence
        self._incoming.append(Linked("live", epoch=EPOCH, sequence=sequence))

    def lost(self) -> None:
        self._incoming.append(Linked("lost", "the backend has ended", "a4ps up"))

    def answer(self, name: str, value: Mapping[str, Any]) -> None:
        tag = self.tag(name)
        del self.sent[tag]
        self._incoming.append(Answered(tag, dict(value)))

    def fail(self, name: str, error: A4PSError) -> None:
        tag = self.tag(name)
        del self.sent[tag]
        self._incoming.append(Failed(tag, error))

    def step(self, name: str, **step: Any) -> None:
        self._incoming.append(Stepped(self.tag(name), step))

    def show(self, *events: Mapping[str, Any], dropped: int = 0) -> None:
        self._incoming.append(Happened(Show([dict(each) for each in events], dropped)))

    def commit(self, *rows: tuple[str, str]) -> None:
        self._sequence += 1
        event = Durable(epoch=EPOCH, sequence=self._sequence, at=0.0, author="test", rows=list(rows))
        self._incoming.append(Happened(Apply(event)))

    def void(self, epoch: str, sequence: int, *, behind: bool = False) -> None:
        self._incoming.append(Happened(Void(epoch, sequence, behind)))


def ask_object(turn: str, question: str, said: Sequence[tuple[str, str, str]], **more: Any) -> dict[str, Any]:
    """The AskObject of an answered turn: (persona, step, text) of each contribution."""
    contributions = [{"persona": name, "role": role, "text": text, "model": "m"} for name, role, text in said]
    return {
        "turn_id": turn,
        "question": question,
        "answer": said[-1][2],
        "contributions": contributions,
        "dissonance": None,
        "argued": [],
        "memories_used": [],
        "notes": [],
        **more,
    }
