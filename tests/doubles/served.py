"""A real server over a real image in a folder, in the test's own loop, and peers that say what a test wants said."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import zmq

from a4ps.governance.roles import Role
from a4ps.kernel.backend import Backend
from a4ps.kernel.server import BackendLock, Server
from a4ps.kernel.wiring import Environment
from a4ps.places import Places
from a4ps.protocol.codec import encode, from_backend
from a4ps.protocol.messages import PROTOCOL_VERSION, Accepted, Command, FromBackend, Hello, Message, Step
from a4ps.protocol.wire import Wire
from a4ps.settings import Loaded, Settings
from a4ps.version import __version__


@dataclass
class Served:
    """A backend that runs. `running` ends when its life does."""

    places: Places
    backend: Backend
    server: Server
    running: asyncio.Task[None]
    context: zmq.Context[zmq.Socket[bytes]] = field(default_factory=zmq.Context)
    peers: list[Peer] = field(default_factory=list)

    def token(self, role: Role) -> str:
        return (self.places.tokens / f"{role.label}.token").read_text().strip()

    def peer(self, identity: bytes = b"", address: str = "") -> Peer:
        socket: zmq.Socket[bytes] = self.context.socket(zmq.DEALER)
        if identity:
            socket.setsockopt(zmq.IDENTITY, identity)
        socket.connect(address or f"ipc://{self.places.commands_socket}")
        self.peers.append(Peer(socket))
        return self.peers[-1]

    async def greeted(self, role: Role = Role.ARCHITECT, name: str = "test") -> Peer:
        """A peer whose session is open."""
        peer = self.peer()
        said = await peer.ask(hello(self.token(role), name))
        assert said.kind == "welcome", said
        return peer


class Peer:
    """A DEALER that says anything."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.heard: asyncio.Queue[FromBackend] = asyncio.Queue()
        self.wire = Wire(socket, lambda frames: self.heard.put_nowait(from_backend(frames[-1])))

    def say(self, *frames: Message | bytes) -> None:
        assert self.wire.send([each if isinstance(each, bytes) else encode(each) for each in frames])

    async def hear(self, within_s: float = 20) -> Any:
        async with asyncio.timeout(within_s):
            return await self.heard.get()

    async def ask(self, *frames: Message | bytes) -> Any:
        """The first answer to what is said."""
        self.say(*frames)
        return await self.hear()

    async def outcome(self, key: str) -> Any:
        """The outcome of that command; what else is heard meanwhile of others is lost."""
        while True:
            message = await self.hear(60)
            if getattr(message, "key", "") == key and not isinstance(message, Accepted | Step):
                return message

    async def done(self, request: dict[str, Any], key: str = "", **more: Any) -> Any:
        """Have a request done, and return its outcome."""
        command = Command(key=key or secrets.token_urlsafe(9), request=request, **more)
        self.say(command)
        return await self.outcome(command.key)


def hello(token: str, name: str = "test") -> Hello:
    return Hello(protocol=PROTOCOL_VERSION, package=__version__, client=name, token=token)


@asynccontextmanager
async def served(folder: Path, **settings: Any) -> AsyncIterator[Served]:
    """A backend of an image in `folder`, whose personas rehearse; ended with the block."""
    run = Path(tempfile.mkdtemp(prefix="a4ps-test-"))
    places = Places(folder / "home", folder / "state", run / "a4ps")
    values = {"engine": "rehearsal", "embedder": "lexical", **settings}
    env = Environment(
        places, Loaded(Settings.model_validate(values), dict.fromkeys(Settings.model_fields, "default"), ())
    )
    lock = BackendLock(places)
    try:
        backend = await Backend.open(env)
        server = Server(backend, settings="mark", log="the log")
        try:
            server.bind()
        except BaseException:
            await server.aclose()
            await backend.aclose()
            raise
        found = Served(places, backend, server, asyncio.create_task(server.run()))
        try:
            yield found
        finally:
            for peer in found.peers:
                peer.wire.close(0)
            await asyncio.to_thread(found.context.term)
            backend.life.end(0.0)
            await found.running
            await server.aclose()
            await backend.aclose()
    finally:
        lock.release()
        shutil.rmtree(run)
