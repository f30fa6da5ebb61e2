"""The window's connection to the backend: a thread with a loop of its own, which owns one `Client`.

What comes in waits in a deque until the window takes it, and `wake` is called once a batch, from this thread. What goes out
never waits. A backend that is lost is said at once and found again; durable events are told once each, in order, across
losses and restarts.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from a4ps.client.client import As, Client
from a4ps.client.starting import is_running
from a4ps.errors import A4PSError, BackendBusy, ProtocolMismatch, RoleRefused, Stopped
from a4ps.places import Places
from a4ps.protocol.feed import Apply, Show, Told, Void
from a4ps.protocol.requests.base import Request
from a4ps.ui.model.society import LinkState

#: A backend is looked for so often while there is none; one over TCP, which costs a connection, so often.
_LOOK_S, _LOOK_TCP_S = 0.5, 3.0
#: One that refused us is asked again after so long: it may have been replaced.
_REFUSED_S = 5.0
#: `close` waits so long for the thread; what is left then ends with the process.
_CLOSE_S = 3.0
#: More waiting for the window than this, and provisional events are dropped: they are void anyhow before they are seen.
_WAITING_MAX = 20_000

_REFUSALS = (ProtocolMismatch, RoleRefused, BackendBusy)


@dataclass(frozen=True, slots=True)
class Linked:
    """The link is in this state now. `epoch` and `sequence` are the backend's, of the newest commit, where it is live."""

    state: LinkState
    detail: str = ""
    next_step: str = ""
    epoch: str = ""
    sequence: int = 0


@dataclass(frozen=True, slots=True)
class Happened:
    """The next of the backend's events."""

    told: Apply | Show | Void


@dataclass(frozen=True, slots=True)
class Stepped:
    """A step of what was sent under this tag."""

    tag: str
    step: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answered:
    """The outcome of what was sent under this tag."""

    tag: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Failed:
    """What was sent under this tag was not done; `Stopped` where it was cancelled."""

    tag: str
    error: A4PSError


Incoming: TypeAlias = Linked | Happened | Stepped | Answered | Failed


class Linking(Protocol):
    """What a desk needs of a link. Every method may be called at any time in the window's thread, and returns at once;
    only `close` waits, for a bounded time.
    """

    def take(self) -> list[Incoming]:
        """What has come in since the last time, oldest first."""
        ...

    def send(self, request: Request, tag: str, follows: bool = False) -> None:
        """Have it done; its outcome comes in under `tag`, which nothing else that runs has, and its steps if `follows`."""
        ...

    def cancel(self, tag: str) -> None:
        """Have it stopped; it fails with `Stopped`."""
        ...

    def wake_in(self, seconds: float) -> None:
        """Call `wake` after so long, in place of an earlier wish."""
        ...

    def close(self) -> None:
        """Take leave; what was asked for goes on in the backend. Nothing comes in any more."""
        ...


class Link:
    """The real one. It begins with `start`, and with a backend where none runs."""

    def __init__(self, places: Places, who: As, *, starts: bool = True, address: str = "") -> None:
        self._places, self._who, self._starts, self._address = places, who, starts, address
        self._wake: Callable[[], None] = _nobody
        self._incoming: deque[Incoming] = deque()
        self._woken = False
        self._gate = threading.Lock()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)
        # What follows is the loop's alone.
        self._closing = asyncio.Event()
        self._wanted = asyncio.Event()
        self._client: Client | None = None
        self._held: dict[str, tuple[Request, bool]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._sequence: int | None = None
        self._epoch = ""
        self._said: Linked | None = None

    def start(self, wake: Callable[[], None]) -> None:
        """Begin. `wake` is called from another thread when there is something to `take`, once until that is done."""
        self._wake = wake
        self._thread.start()

    def take(self) -> list[Incoming]:
        with self._gate:
            self._woken = False
            taken = list(self._incoming)
            self._incoming.clear()
        return taken

    def send(self, request: Request, tag: str, follows: bool = False) -> None:
        self._soon(self._ask, request, tag, follows)

    def cancel(self, tag: str) -> None:
        self._soon(self._cancel, tag)

    def wake_in(self, seconds: float) -> None:
        self._soon(self._set_timer, seconds)

    def close(self) -> None:
        self._wake = _nobody
        if self._thread.ident is None:  # it was never started
            self._loop.close()
        elif self._thread.is_alive():
            self._soon(self._closing.set)
            self._thread.join(_CLOSE_S)

    # The thread

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        finally:
            asyncio.set_event_loop(None)
            self._loop.close()

    def _soon(self, call: Callable[..., object], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(call, *arguments)

    def _tell(self, *told: Incoming) -> None:
        with self._gate:
            full = len(self._incoming) > _WAITING_MAX
            for each in told:
                if not (full and isinstance(each, Happened) and isinstance(each.told, Show)):
                    self._incoming.append(each)
            wakes, self._woken = not self._woken, True
        if wakes:
            self._wake()

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(seconds, self._tell)

    async def _live(self) -> None:
        """Until `close`."""
        living = asyncio.create_task(self._keep_linked())
        await self._closing.wait()
        living.cancel()
        await asyncio.wait([living])
        for task in [*self._running.values()]:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _keep_linked(self) -> None:
        """One client after another: one that has failed for good is followed by the next."""
        while True:
            try:
                await self._one_client()
            except A4PSError as error:
                refused = isinstance(error, _REFUSALS)
                self._say(Linked("refused" if refused else "lost", error.message, error.next_step))
                held, self._held = self._held, {}
                self._tell(*(Failed(tag, error) for tag in held))
                await self._wait_for_a_backend(_REFUSED_S if refused else self._look_s)

    async def _one_client(self) -> None:
        """Connect, and follow the events until the client gives up, which raises."""
        client = await Client.connect(
            self._places,
            self._who,
            starts=self._starts and (self._sequence is None or bool(self._held)),
            address=self._address,
            on_link=self._heard,
        )
        try:
            client.starts = self._starts and not self._address
            self._client = client
            self._say_live(client)
            before, welcome = self._sequence, client.welcome
            if before is not None and (welcome.epoch != self._epoch or welcome.sequence < before):
                behind = welcome.sequence < before
                self._happened(Void(welcome.epoch, min(before, welcome.sequence), behind))
            after = welcome.sequence if self._sequence is None else self._sequence
            self._sequence, self._epoch = after, welcome.epoch
            held, self._held = self._held, {}
            for tag, (request, follows) in held.items():
                self._ask(request, tag, follows)
            async for told in client.events(after):
                self._happened(told)
        finally:
            self._client = None
            await client.aclose()

    def _happened(self, told: Told) -> None:
        match told:
            case Apply(event):
                self._sequence = event.sequence
            case Void(epoch, sequence):
                self._epoch, self._sequence = epoch, sequence
            case Show():
                pass
            case _:
                return
        self._tell(Happened(told))

    def _heard(self, linked: bool, why: str) -> None:
        """What the client says of its session; of the first one, `_one_client` does."""
        if self._client is None:
            return
        if linked:
            self._say_live(self._client)
        else:
            self._say(Linked("lost", why, "ask something, or: a4ps up"))

    def _say_live(self, client: Client) -> None:
        self._say(Linked("live", epoch=client.welcome.epoch, sequence=client.welcome.sequence))

    def _say(self, linked: Linked) -> None:
        """Tell of the link's state, once."""
        if linked != self._said:
            self._said = linked
            self._tell(linked)

    async def _wait_for_a_backend(self, look_s: float) -> None:
        """Until there may be one again, or something is asked that is worth starting one."""
        self._wanted.clear()
        while not self._held:
            with suppress(TimeoutError):
                async with asyncio.timeout(look_s):
                    await self._wanted.wait()
            if self._address or is_running(self._places):
                return

    @property
    def _look_s(self) -> float:
        return _LOOK_TCP_S if self._address else _LOOK_S

    # What is sent

    def _ask(self, request: Request, tag: str, follows: bool) -> None:
        if self._client is None:
            self._held[tag] = request, follows
            self._wanted.set()
            return
        task = self._loop.create_task(self._serve(self._client, request, tag, follows))
        self._running[tag] = task
        task.add_done_callback(lambda _: self._running.pop(tag, None))

    async def _serve(self, client: Client, request: Request, tag: str, follows: bool) -> None:
        def step(told: dict[str, Any]) -> None:
            self._tell(Stepped(tag, told))

        try:
            value = await client.call(request, step if follows else None)
        except A4PSError as error:
            self._tell(Failed(tag, error))
        except asyncio.CancelledError:
            self._tell(Failed(tag, Stopped("it was stopped")))
        else:
            self._tell(Answered(tag, value))

    def _cancel(self, tag: str) -> None:
        if self._held.pop(tag, None) is not None:
            self._tell(Failed(tag, Stopped("it was stopped")))
        elif tag in self._running:
            self._running[tag].cancel()


def _nobody() -> None:
    """Nobody waits for anything yet, or any more."""
