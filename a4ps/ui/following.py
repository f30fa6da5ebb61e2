"""Keeps the society that is seen: folds in what the link tells, and asks for what heals and completes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a4ps.errors import A4PSError
from a4ps.protocol.feed import Apply, Show, Void
from a4ps.protocol.requests.approvals import Approvals
from a4ps.protocol.requests.figures import SeriesRequest
from a4ps.protocol.requests.protos import Protos
from a4ps.protocol.requests.system import Status
from a4ps.protocol.requests.turns import Latest, Turn
from a4ps.ui.calls import Calls
from a4ps.ui.link import Happened, Linked
from a4ps.ui.model import projection
from a4ps.ui.model.society import Society

#: The status is asked so often while there is a backend: as often as its gauges look.
STATUS_S = 10.0


class Following:
    """`changed` is called after each change of `society`, `committed` with the kinds of the rows of each commit, and
    `failed` with each step that tells that a live method or a part of the backend has failed.

    `clock` is seconds since 1970, `now` any monotonic clock.
    """

    def __init__(
        self,
        calls: Calls,
        changed: Callable[[], None],
        committed: Callable[[frozenset[str]], None],
        failed: Callable[[Mapping[str, Any]], None],
        now: Callable[[], float],
        clock: Callable[[], float],
    ) -> None:
        self.society = projection.unknown_society()
        #: The Protos of the image by name, each as the request `protos` gives it.
        self.protos: Mapping[str, Mapping[str, Any]] = {}
        self._calls, self._changed, self._committed, self._failed = calls, changed, committed, failed
        self._now, self._clock = now, clock
        self._asking: set[str] = set()
        self._again: set[str] = set()
        self._status_s = float("inf")

    @property
    def live(self) -> bool:
        return self.society.link == "live"

    @property
    def due_s(self) -> float:
        """When `tick` has something to do next."""
        return self._status_s

    def linked(self, told: Linked) -> None:
        """The link's state is another."""
        detail = f"{told.detail}: {told.next_step}" if told.detail and told.next_step else told.detail or told.next_step
        self.fold(projection.linked(self.society, told.state, detail))
        if told.state != "live":
            self._status_s = float("inf")
            return
        if not self.society.epoch:
            self.fold(projection.begun(self.society, told.epoch, told.sequence))
        self._refresh()

    def happened(self, told: Happened) -> None:
        """The backend tells of something."""
        event = told.told
        self.fold(projection.happened(self.society, event))
        match event:
            case Apply(durable):
                kinds = frozenset(kind for kind, _ in durable.rows)
                for kind, key in durable.rows:
                    if kind == "reply":
                        self._ask_turn(key)
                if kinds & {"approval", "effect"}:
                    self._ask("approvals")
                if kinds & {"proto", "proto-gone"}:
                    self._ask("protos")
                self._committed(kinds)
            case Void():
                self._refresh()
            case Show(events):
                for each in events:
                    if each.get("step") in ("failed", "service"):
                        self._ask("protos")  # which say what has failed in them
                        self._failed(each)

    def tick(self) -> None:
        """What is due by the time."""
        if self.live and self._now() >= self._status_s:
            self._ask("status")

    def fold(self, society: Society) -> None:
        """The society is this now."""
        if society is not self.society:
            self.society = society
            self._changed()

    def _refresh(self) -> None:
        """There is a backend, perhaps another: what may have changed unseen is asked for."""
        for what in ("status", "protos", "approvals", "latest", "colours"):
            self._ask(what)

    def _ask(self, what: str) -> None:
        """Ask for one of the things that complete the society; once at a time, and again where it has changed meanwhile."""
        if not self.live:
            return
        if what in self._asking:
            self._again.add(what)
            return
        self._asking.add(what)
        if what == "status":
            self._status_s = self._now() + STATUS_S
            self._calls.send(Status(), self._ending(what, self._status))
        elif what == "protos":
            self._calls.send(Protos(), self._ending(what, self._protos))
        elif what == "colours":
            self._calls.send(SeriesRequest(names=["character."]), self._ending(what, self._colours))
        elif what == "approvals":
            self._calls.send(Approvals(), self._ending(what, self._approvals))
        else:
            self._calls.send(Latest(limit=1), self._ending(what, self._latest))

    def _ask_turn(self, key: str) -> None:
        if self.live:
            self._calls.send(Turn(turn=key), self._turn)

    def _ending(
        self, what: str, then: Callable[[Mapping[str, Any]], None]
    ) -> Callable[[Mapping[str, Any] | None, A4PSError | None], None]:
        def ended(value: Mapping[str, Any] | None, _: A4PSError | None) -> None:
            self._asking.discard(what)
            if value is not None:
                then(value)
            if what in self._again:
                self._again.discard(what)
                self._ask(what)

        return ended

    def _status(self, value: Mapping[str, Any]) -> None:
        self.fold(projection.status_seen(self.society, value, self._clock()))

    def _protos(self, value: Mapping[str, Any]) -> None:
        self.protos = {each["name"]: each for each in value["protos"]}
        society = self.society
        for each in value["protos"]:
            society = projection.proto_seen(
                society, each["name"], role=each["role"], model=each["model"], mood=each["mood"]
            )
        self.fold(society)

    def _approvals(self, value: Mapping[str, Any]) -> None:
        self.fold(projection.approvals_seen(self.society, value["approvals"]))

    def _colours(self, value: Mapping[str, Any]) -> None:
        self.fold(projection.series_seen(self.society, value["series"]))

    def _latest(self, value: Mapping[str, Any]) -> None:
        for each in value["turns"]:
            self._ask_turn(each["turn_id"])

    def _turn(self, value: Mapping[str, Any] | None, _: A4PSError | None) -> None:
        if value is not None:
            self.fold(projection.answered(self.society, value))
