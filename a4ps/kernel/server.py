"""The backend's sockets: commands come in and are dispatched, events go out, and its life ends in order."""

from __future__ import annotations

import asyncio
import fcntl
import functools
import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import zmq

from a4ps.errors import BackendBusy, ProtocolError, StorageFailed
from a4ps.governance.roles import Role
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import STOPPED, Dispatch
from a4ps.kernel.gatekeeper import Gatekeeper
from a4ps.kernel.publisher import Publisher
from a4ps.kernel.tokens import Tokens
from a4ps.places import Places
from a4ps.protocol.codec import MAX_BYTES, encode, from_client
from a4ps.protocol.curve import next_port
from a4ps.protocol.faults import fault_of, internal
from a4ps.protocol.messages import (
    HEARTBEAT_S,
    PROTOCOL_VERSION,
    Command,
    Failure,
    Fault,
    FromClient,
    Hello,
    Message,
    Welcome,
)
from a4ps.protocol.session import BackendSide, Effect, Outcome, Send, Start, Stop
from a4ps.protocol.wire import Wire
from a4ps.version import __version__

_log = logging.getLogger(__name__)

#: Messages that wait for one client which does not read; more steps are dropped, outcomes are asked for again.
_UNREAD_MAX = 2_000
#: Messages of one client that wait for us; it waits with more, so that it cannot fill our memory.
_UNTAKEN_MAX = 32
#: How often sessions, idleness and heartbeats are looked at.
_TICK_S = 0.5


class BackendLock:
    """Says that a backend of this image runs, as long as its process does. Raises `BackendBusy` where one does."""

    def __init__(self, places: Places) -> None:
        _make_run_folder(places.run)
        self._fd = os.open(places.backend_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        while not _flocked(self._fd, fcntl.LOCK_EX):
            # Whoever asks whether a backend runs shares the lock for a moment; a backend shares it with nobody.
            if not _flocked(self._fd, fcntl.LOCK_SH):
                os.close(self._fd)
                raise BackendBusy(f"a backend of {places.image} is running", next_step="a4ps status")
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            time.sleep(random.uniform(0.0005, 0.005))  # noqa: S311 - so that two of us do not keep in step
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        os.close(self._fd)


class Server:
    """Serves one open backend until its life ends. `settings` is the mark of those that it runs with."""

    def __init__(self, backend: Backend, *, settings: str, log: str, idle_exit_s: float = 0.0) -> None:
        self._backend = backend
        self._life = backend.life
        self._places = backend.env.places
        self._settings = settings
        self._log = log
        self._idle_exit_s = idle_exit_s
        self._tokens = Tokens(self._places.tokens)
        self._side = BackendSide(self._judge, self._welcome)
        self._dispatch = Dispatch(backend, self._tell, self._side.attends, lambda: log)
        self._tasks: dict[str, asyncio.Task[Outcome]] = {}
        self._closing = False
        self._now = backend.store.clock.monotonic_s
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._busy_s = self._now()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._commands: Wire | None = None
        self._events: Wire | None = None
        self.publisher: Publisher | None = None
        self._gatekeeper: Gatekeeper | None = None
        self._life.sessions = lambda: self._side.sessions
        self._life.running = lambda: len(self._tasks)

    def bind(self) -> None:
        """Open the sockets. Raises StorageFailed where that cannot be."""
        try:
            commands = self._bound(zmq.ROUTER, self._places.commands_socket)
            self._commands = Wire(commands, self._received)
            events_socket = self._bound(zmq.PUB, self._places.events_socket)
            self._events = Wire(events_socket, None)
            if listen := self._backend.env.settings.listen:
                self._gatekeeper = Gatekeeper(self._context, self._places.curve)
                self._gatekeeper.admit(commands, listen)
                self._gatekeeper.admit(events_socket, next_port(listen))
        except zmq.ZMQError as error:
            raise StorageFailed(
                f"the sockets in {self._places.run} cannot be opened, or not the one of the setting listen: {error}",
                next_step=f"ls -ld {self._places.run}; a4ps config",
            ) from error
        events = self._events
        self.publisher = Publisher(self._backend.store, self._life.epoch, lambda frame: events.send([frame]))

    async def run(self) -> None:
        """Serve until `life.end`, or until nobody has needed a fleeting backend for long enough; then end in order."""
        looking = asyncio.create_task(self._backend.supervisor.watch("sessions", self._look_after), name="sessions")
        try:
            await self._life.ended.wait()
            await self._wind_up()
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look_after(self) -> None:
        assert self.publisher is not None
        beat_s = self._now()
        while True:
            await asyncio.sleep(_TICK_S)
            now = self._now()
            self._do(self._side.tick(now))
            if now - beat_s >= HEARTBEAT_S:
                beat_s = now
                self.publisher.beat()
            if self._side.sessions or self._tasks or self._backend.at_work:
                self._busy_s = now
            elif self._life.fleeting and now - self._busy_s > self._idle_exit_s:
                self._life.end(0.0)

    async def aclose(self) -> None:
        """Close the sockets and remove their names. Idempotent."""
        if self.publisher is not None:
            self.publisher.close()
        for wire in (self._commands, self._events):
            if wire is not None:
                wire.close()
        if self._gatekeeper is not None:
            self._gatekeeper.close()
        await asyncio.to_thread(self._context.term)
        for path in (self._places.commands_socket, self._places.events_socket):
            path.unlink(missing_ok=True)

    def _bound(self, kind: int, path: Path) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self._context.socket(kind)
        socket.setsockopt(zmq.SNDHWM, _UNREAD_MAX)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_BYTES)
        socket.setsockopt(zmq.LINGER, 500)
        if kind == zmq.ROUTER:
            socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
            socket.setsockopt(zmq.RCVHWM, _UNTAKEN_MAX)
        socket.setsockopt(zmq.IPC_FILTER_UID, os.getuid())  # nobody else's process, were the folder open to it
        socket.bind(f"ipc://{path}")
        path.chmod(0o700)
        return socket

    async def _wind_up(self) -> None:
        """Let what is under way end, and stop what does not: a turn that is stopped can be resumed."""
        if running := self._others():
            await asyncio.wait(running, timeout=max(self._life.wait_s, 0.05))
        self._closing = True
        if running := self._others():
            for task in running:
                task.cancel()
            await asyncio.wait(running)
        self._life.settled.set()
        if self._tasks:
            await asyncio.wait(list(self._tasks.values()))
            await asyncio.sleep(0)  # their outcomes are sent

    def _others(self) -> list[asyncio.Task[Outcome]]:
        """What runs, but for those that only wait for the end."""
        return [task for key, task in self._tasks.items() if key not in self._life.askers]

    # Sessions

    def _judge(self, hello: Hello) -> Role | Fault:
        if hello.protocol != PROTOCOL_VERSION:
            return Fault(
                kind="protocol_mismatch",
                message=f"the backend is A4PS {__version__} with protocol {PROTOCOL_VERSION}; "
                f"this client is {hello.package} with protocol {hello.protocol}",
                next="end the backend with its own version (a4ps down), then start this one's",
            )
        role = self._tokens.role_of(hello.token)
        if role is None:
            return Fault(
                kind="role_refused",
                message="this token is nobody's",
                next=f"the tokens are in {self._places.tokens}, readable by their owner alone",
            )
        return role

    def _welcome(self, role: Role) -> Welcome:
        return Welcome(
            protocol=PROTOCOL_VERSION,
            package=__version__,
            role=role.label,  # type: ignore[arg-type]
            epoch=self._life.epoch,
            sequence=self._backend.store.generation,
            settings=self._settings,
            fleeting=self._life.fleeting,
            busy=bool(self._tasks),
        )

    def _received(self, frames: list[bytes]) -> None:
        peer, *rest = frames
        try:
            message = _message_of(peer, rest)
        except ProtocolError as error:
            self._do(self._side.garbled(peer, fault_of(error), error.key))
            return
        if self._closing and isinstance(message, Command):
            return  # not acknowledged, so it is sent to the next backend
        self._do(self._side.received(peer, message, self._now()))

    def _do(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(message, peer):
                    self._send(peer, message)
                case Start(command=command):
                    task = self._loop.create_task(self._dispatch.serve(effect), name=f"command {command.key}")
                    self._tasks[command.key] = task
                    task.add_done_callback(functools.partial(self._served, command.key))
                case Stop(key):
                    if key in self._tasks:
                        self._tasks[key].cancel()
                case _:
                    raise AssertionError(effect)

    def _served(self, key: str, task: asyncio.Task[Outcome]) -> None:
        """A callback, as a task that is stopped before its first step runs nothing of its own."""
        del self._tasks[key]
        outcome = Failure(key=key, fault=STOPPED) if task.cancelled() else task.result()
        try:
            size = len(encode(outcome))
        except ProtocolError as error:
            _log.exception("an outcome cannot be sent")
            outcome, size = Failure(key=key, fault=internal(error, self._log)), 0
        self._do(self._side.finished(outcome, self._now(), size))

    def _tell(self, key: str, step: Mapping[str, Any]) -> None:
        if threading.get_ident() == self._thread:
            self._do(self._side.stepped(key, dict(step)))
        else:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(lambda: self._do(self._side.stepped(key, dict(step))))

    def _send(self, peer: bytes, message: Message) -> None:
        assert self._commands is not None
        try:
            data = encode(message)
        except ProtocolError:
            _log.exception("a message to a client cannot be sent")
            return
        self._commands.send([peer, data])


def _message_of(peer: bytes, frames: list[bytes]) -> FromClient:
    if len(frames) != 1:
        raise ProtocolError(f"a message of {len(frames)} frames; one is meant", next_step="see PROTOCOL.md")
    if not peer.startswith(b"\0"):
        # A name that a peer gives itself could be another's, whose session it would then speak in.
        raise ProtocolError("this socket has an identity of its own; it must not", next_step="see PROTOCOL.md")
    return from_client(frames[0])


def _flocked(descriptor: int, how: int) -> bool:
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_run_folder(folder: Path) -> None:
    """0700 and ours, whoever made its parent. Raises StorageFailed."""
    try:
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in (folder.parent, folder):
            each.mkdir(mode=0o700, exist_ok=True)
            found = each.lstat()
            if found.st_uid != os.getuid() or each.is_symlink():
                raise StorageFailed(f"{each} is somebody else's", next_step="set XDG_RUNTIME_DIR to a folder of yours")
            each.chmod(0o700)
    except OSError as error:
        raise StorageFailed(
            f"the run-time folder {folder} cannot be made: {error.strerror}", next_step="set XDG_RUNTIME_DIR"
        ) from error
