"""A client of the backend: asks for things, hears of them, and goes on where a connection or a backend was lost."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import zmq

from a4ps.client.starting import is_running, read_token, start_backend, wait_path
from a4ps.errors import A4PSError, BackendLost, ProtocolError
from a4ps.governance.roles import Role
from a4ps.places import Places
from a4ps.protocol.codec import checked, encode, from_backend, published
from a4ps.protocol.curve import next_port, secure
from a4ps.protocol.faults import error_of, fault_of
from a4ps.protocol.feed import Apply, Feed, Fetch, Told
from a4ps.protocol.messages import (
    PROTOCOL_VERSION,
    Bye,
    Command,
    Durable,
    Failure,
    FromBackend,
    Hello,
    Welcome,
)
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.system import EventsSince
from a4ps.protocol.session import RESEND_S, ClientSide, Closed, Effect, Opened, Outcome, Send, Settle, Tell
from a4ps.protocol.wire import Wire
from a4ps.version import __version__

Listener: TypeAlias = Callable[[dict[str, Any]], None]

#: Told whether there is a session now, and where there is none any more, why.
LinkListener: TypeAlias = Callable[[bool, str], None]

#: A backend that is there and does not answer is given up after so long; one that starts may take longer than that. One
#: that has ended has so long to be followed by another, where we do not start it ourselves.
_GREET_S = 30.0
#: A backend that ends at once is started so often for one session.
_STARTS_MAX = 3
_FETCH_LIMIT = 1_000


@dataclass(slots=True)
class _Waiting:
    outcome: asyncio.Future[Outcome]
    listener: Listener | None


@dataclass(frozen=True, slots=True)
class As:
    """How a client presents itself: its name, its role, and the mark of the settings that it would run with ("" for any)."""

    name: str
    role: Role = Role.ARCHITECT
    settings: str = ""


@dataclass(slots=True)
class Client:
    """One event loop's. Made by `connect`; close with `aclose`.

    Where the backend ends under it, it waits for the next, or, where something is asked for and it `starts`, starts one, and
    sends again what has no outcome. `on_link` hears at once of each loss of the session, and of each opening, the first
    included.
    """

    places: Places
    who: As
    starts: bool = True
    address: str = ""
    on_link: LinkListener | None = None
    _context: zmq.Context[zmq.Socket[bytes]] = field(default_factory=zmq.Context)
    _side: ClientSide | None = None
    _wire: Wire | None = None
    _waiting: dict[str, _Waiting] = field(default_factory=dict)
    _opened: asyncio.Event = field(default_factory=asyncio.Event)
    _failed: A4PSError | None = None
    _keeper: asyncio.Task[None] | None = None
    _lost_s: float | None = None
    _linked: bool = False
    _followers: dict[Wire, Callable[[A4PSError], None]] = field(default_factory=dict)

    @classmethod
    async def connect(
        cls,
        places: Places,
        who: As,
        *,
        starts: bool = True,
        address: str = "",
        on_link: LinkListener | None = None,
    ) -> Client:
        """A client whose session is open. `starts`: a backend is started where none runs. With `address`, it is the one that
        listens there over TCP, and none is started.

        Raises `BackendLost` where there is none, and what kept one from starting or from taking us.
        """
        self = cls(places, who, starts and not address, address, on_link)
        self._lost_s = _now()
        try:
            await self._find(self.starts)
            self._keeper = asyncio.create_task(self._keep(), name="client")
            await self._wait_open()
        except BaseException:
            await self.aclose()
            raise
        return self

    @property
    def welcome(self) -> Welcome:
        """What the backend said of itself when the session was opened."""
        assert self._side is not None
        assert self._side.welcome is not None
        return self._side.welcome

    async def call(self, request: Request, listener: Listener | None = None, *, deadline_s: float | None = None) -> Any:
        """Have a request served, and return the object of the type that it `gives`. `listener` hears its steps.

        Cancelled, the command is stopped, and its outcome awaited. Raises the error that it failed with, `ProtocolError` for
        what is too long to be sent, and `BackendLost` where the backend is gone for good.
        """
        key = secrets.token_urlsafe(12)
        command = checked(Command(key=key, request=request.as_wire(), deadline_s=deadline_s))
        if self._failed is not None:
            raise self._failed
        assert self._side is not None
        waiting = _Waiting(asyncio.get_running_loop().create_future(), listener)
        self._waiting[key] = waiting
        try:
            self._do(self._side.ask(command, _now(), once=request.once))
            outcome = await self._outcome(key, waiting.outcome)
        finally:
            del self._waiting[key]
        if isinstance(outcome, Failure):
            raise error_of(outcome.fault)
        return outcome.value

    async def events(self, after: int | None = None) -> AsyncIterator[Told]:
        """What happens after the durable event `after`, or else after the session was opened: each durable event once,
        without gaps, whatever is lost; see `feed`. Close the generator. Raises as `call` does where there is no backend.
        """
        if self._failed is not None:
            raise self._failed
        queue: asyncio.Queue[Told | A4PSError] = asyncio.Queue()
        feed = Feed(self.welcome.epoch, self.welcome.sequence if after is None else after)
        fetching: set[asyncio.Task[None]] = set()

        def act(told: list[Told]) -> None:
            for each in told:
                if isinstance(each, Fetch):
                    task = asyncio.create_task(fetch(each.after))
                    fetching.add(task)
                    task.add_done_callback(fetching.discard)
                else:
                    queue.put_nowait(each)

        async def fetch(after: int) -> None:
            try:
                found = await self.call(EventsSince(after=after, limit=_FETCH_LIMIT))
            except A4PSError:
                feed.not_fetched()
                return
            events = [_durable(found["epoch"], each) for each in found["events"]]
            act(feed.caught_up(found["epoch"], events, found["sequence"]))

        def received(frames: list[bytes]) -> None:
            try:
                message = published(frames[0])
            except ProtocolError:
                return
            act(feed.received(message))

        socket = self._socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.setsockopt(zmq.RCVHWM, 10_000)
        socket.connect(next_port(self.address) if self.address else f"ipc://{self.places.events_socket}")
        wire = Wire(socket, received)
        self._followers[wire] = queue.put_nowait
        try:
            while True:
                told = await queue.get()
                if isinstance(told, A4PSError):
                    raise told
                yield told
        finally:
            del self._followers[wire]
            wire.close(0)
            for task in fetching:
                task.cancel()

    async def aclose(self) -> None:
        """Take leave and close. What was asked for goes on in the backend; who waits for it here hears `BackendLost`.
        Idempotent.
        """
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        if self._wire is not None:
            self._wire.send([encode(Bye())])
            self._wire.close()
        for wire in self._followers:
            wire.close(0)
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_exception(BackendLost("this client has taken leave", next_step="ask anew"))
        await asyncio.to_thread(self._context.term)

    # The session

    async def _outcome(self, key: str, outcome: asyncio.Future[Outcome]) -> Outcome:
        cancelled: asyncio.CancelledError | None = None
        while not outcome.done():
            try:
                await asyncio.wait([outcome])
            except asyncio.CancelledError as error:
                if cancelled is not None:
                    raise  # the second time, whoever wants to leave need not wait
                cancelled = error
                assert self._side is not None
                self._do(self._side.cancel(key, _now()))
        if cancelled is not None:
            raise cancelled
        return outcome.result()

    async def _find(self, starts: bool) -> None:
        """Connect to the backend that runs, or to one that is started."""
        until_s, started = _now() + _GREET_S, 0
        while not (self.address or (is_running(self.places) and wait_path(self.places.commands_socket))):
            if not is_running(self.places):
                if not starts:
                    raise BackendLost(f"no backend of {self.places.image} is running", next_step="a4ps up")
                if started == _STARTS_MAX:
                    raise BackendLost("the backend ends as soon as it is started", next_step="a4ps doctor")
                await start_backend(self.places)
                until_s, started = _now() + _GREET_S, started + 1
            elif _now() > until_s:
                raise BackendLost("the backend is not ready", next_step="try again; a4ps doctor looks into it")
            else:
                await asyncio.sleep(0.01)
            self._lost_s = _now()
        before = self._side
        token = read_token(self.places, self.who.role)
        hello = Hello(
            protocol=PROTOCOL_VERSION,
            package=__version__,
            client=self.who.name,
            token=token,
            settings=self.who.settings,
        )
        self._side = ClientSide(hello, _now())
        if before is not None:
            self._side.adopt(before)
        socket = self._socket(zmq.DEALER)
        socket.connect(self.address or f"ipc://{self.places.commands_socket}")
        self._wire = Wire(socket, self._received)
        self._do(self._side.begin())

    def _socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self._context.socket(kind)
        try:
            socket.setsockopt(zmq.LINGER, 500)
            socket.setsockopt(zmq.RECONNECT_IVL, 20)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
            if self.address:
                secure(socket, self.places.curve)
        except BaseException:
            socket.close(0)
            raise
        return socket

    def _may_run(self) -> bool:
        """Whether there may be a backend: one over TCP is asked to find out."""
        return bool(self.address) or is_running(self.places)

    async def _keep(self) -> None:
        """Look after the session as time goes by; find the backend again where it is lost."""
        while True:
            await asyncio.sleep(RESEND_S / 2)
            assert self._side is not None
            self._do(self._side.tick(_now()))
            watched = bool(self._waiting or self._followers)
            gone = self._wire is None or (watched and not self._may_run())
            if gone and self._failed is None:
                self._lose()
                # Who only looks on starts nothing: a backend that was ended would not stay so.
                starts = self.starts and bool(self._waiting)
                if not starts and not self._may_run() and not self._is_given_up():
                    continue
                try:
                    await self._find(starts)
                except BackendLost as error:
                    if self._is_given_up():
                        self._fail(error)
                except A4PSError as error:
                    self._fail(error)
            elif self._failed is None and self._is_given_up():
                self._fail(BackendLost("the backend does not answer", next_step="a4ps down, then try again"))

    def _lose(self, why: str = "the backend has ended") -> None:
        if self._wire is not None:
            self._wire.close(0)
            self._wire = None
        if self._lost_s is None:
            self._lost_s = _now()
        self._tell_link(False, why)

    def _tell_link(self, linked: bool, why: str) -> None:
        if linked is not self._linked:
            self._linked = linked
            if self.on_link is not None:
                self.on_link(linked, why)

    def _is_given_up(self) -> bool:
        """Whether something has been asked for, or a session, and there has been none for too long."""
        wanted = bool(self._waiting) or not self._opened.is_set()
        return wanted and self._lost_s is not None and _now() - self._lost_s > _GREET_S

    async def _wait_open(self) -> None:
        await self._opened.wait()
        if self._failed is not None:
            raise self._failed

    def _received(self, frames: list[bytes]) -> None:
        message: FromBackend
        try:
            message = from_backend(frames[-1])
        except ProtocolError as error:
            if not error.key:
                return
            message = Failure(key=error.key, fault=fault_of(error))  # it would come no better a second time
        assert self._side is not None
        self._do(self._side.received(message, _now()))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message):
                    if self._wire is not None:
                        self._wire.send([encode(message)])
                case Tell(key, step):
                    waiting = self._waiting.get(key)
                    if waiting is not None and waiting.listener is not None:
                        waiting.listener(step)
                case Settle(key, outcome):
                    if key in self._waiting and not self._waiting[key].outcome.done():
                        self._waiting[key].outcome.set_result(outcome)
                case Opened():
                    self._lost_s = None
                    self._opened.set()
                    self._tell_link(True, "")
                case Closed(None):
                    self._lose("the backend does not answer")  # the keeper finds it again
                case Closed(fault):
                    assert fault is not None
                    self._fail(error_of(fault))
                case _:
                    raise AssertionError(effect)

    def _fail(self, error: A4PSError) -> None:
        self._failed = error
        self._opened.set()
        self._tell_link(False, error.message)
        for waiting in self._waiting.values():
            if not waiting.outcome.done():
                waiting.outcome.set_exception(error)
        for tell in self._followers.values():
            tell(error)


def _durable(epoch: str, event: dict[str, Any]) -> Durable:
    from datetime import datetime

    return Durable(
        epoch=epoch,
        sequence=event["sequence"],
        at=datetime.fromisoformat(event["at"]).timestamp(),
        author=event["author"],
        rows=[(row["kind"], row["key"]) for row in event["rows"]],
    )


def _now() -> float:
    return time.monotonic()


__all__ = ["Apply", "As", "Client"]
