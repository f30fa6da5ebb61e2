"""Requests about the backend itself: what it does, what has happened, its end."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import DownObject, EventsObject, SnapshotObject, StatusObject
from a4ps.protocol.requests.base import Request


class Status(Request, name="status", gives=StatusObject, needs=Role.GUEST, again=True):
    """What the backend is and does."""


class Snapshot(Request, name="snapshot", gives=SnapshotObject, again=True):
    """The newest row of each (kind, key) as its commit's number, for the kinds named, all where none is; with the epoch and
    the number of the newest commit that is in it for sure.
    """

    kinds: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=100)] = Field(default_factory=list)


class EventsSince(Request, name="events_since", gives=EventsObject, again=True):
    """The durable events after number `after`, oldest first, at most `limit`."""

    after: Annotated[int, Field(ge=0, lt=1 << 47)]
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1_000


class Down(Request, name="down", gives=DownObject, needs=Role.ARCHITECT, again=True):
    """End the backend in order. What is under way is finished. Where that takes longer than `wait_s`, it is stopped, and
    turns stay open to be resumed; or, unless it `stops` anything, the backend goes on and the request fails.
    """

    wait_s: Annotated[float, Field(ge=0, le=3_600)] = 10.0
    stops: bool = True
