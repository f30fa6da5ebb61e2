"""A backend of its own process, and peers that say anything, never listen, or die: it goes on, and stays small."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest
import zmq

from a4ps.client.client import As, Client
from a4ps.client.starting import read_token, start_backend
from a4ps.errors import ProtocolError
from a4ps.governance.roles import Role
from a4ps.places import Places
from a4ps.protocol.codec import MAX_BYTES, encode, from_client
from a4ps.protocol.messages import Cancel, Command, Ping, Pong, Refused, Result, Welcome
from a4ps.protocol.requests.system import Status
from a4ps.protocol.requests.turns import Ask, Latest
from tests.doubles.household import Household
from tests.doubles.served import Peer, hello

LONG = bool(os.environ.get("A4PS_LONG"))
#: ./check sends this many frames; ./check --long ten times as many.
FRAMES, HUGE = (100_000, 10) if LONG else (10_000, 2)
#: What a backend may grow by while frames by the thousand are refused, in bytes.
GROWTH = 40 << 20
#: As many answers are awaited at once.
_WINDOW = 20


class Home:
    """A person's machine with a backend that runs."""

    def __init__(self, person: Household) -> None:
        self.person = person
        self.places = Places(person.home, person.folder / ".local" / "state" / "a4ps", person.run_base)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()

    @property
    def pid(self) -> int:
        return int(self.places.backend_lock.read_text())

    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def socket(self, kind: int = zmq.DEALER, **options: int) -> zmq.Socket[bytes]:
        socket: zmq.Socket[bytes] = self.context.socket(kind)
        for name, value in {"LINGER": 0, **options}.items():
            socket.setsockopt(getattr(zmq, name), value)
        path = self.places.events_socket if kind == zmq.SUB else self.places.commands_socket
        socket.connect(f"ipc://{path}")
        return socket

    async def greeted(self) -> Peer:
        peer = Peer(self.socket())
        assert isinstance(await peer.ask(hello(read_token(self.places, Role.ARCHITECT))), Welcome)
        return peer


@asynccontextmanager
async def backend(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    person = Household(folder, {"A4PS_ENGINE": "rehearsal", "A4PS_EMBEDDER": "lexical", "A4PS_SLEEP_AFTER_S": "0"})
    for name, value in person.env.items():
        monkeypatch.setenv(name, value)
    home = Home(person)
    await start_backend(home.places)
    yield home
    home.context.destroy(0)


def frame(chance: random.Random, replayed: str) -> bytes:
    """One frame that is answered with one message."""
    whole: dict[str, Any] = {"kind": "command", "key": f"key-{chance.randrange(1 << 40)}", "request": {"do": "status"}}
    match chance.randrange(8):
        case 0:
            return chance.randbytes(chance.randrange(200))
        case 1:
            data = encode(Command(**whole))
            return data[: chance.randrange(len(data))]
        case 2:
            return chance.choice([b"\x91", b"\x81\xa1a"]) * chance.randrange(1_000, 20_000)
        case 3:
            name = chance.choice(["kind", "key", "request", "deadline_s"])
            weird: list[Any] = [[], {}, -1, "x" * 70, b"\xff", 1.5, True]
            return bytes(msgpack.packb({**whole, name: chance.choice(weird)}))
        case 4:
            return bytes(
                msgpack.packb({"kind": chance.choice(["", "welcome", "durable", "Hello", "\0"]), "key": "k" * 8})
            )
        case 5:
            flipped = bytearray(encode(Command(**whole)))
            for _ in range(3):
                flipped[chance.randrange(len(flipped))] = chance.randrange(256)
            return bytes(flipped)
        case 6:
            return encode(Command(key=replayed, request={"do": "status"}))
        case _:
            return bytes(msgpack.packb([{}] * chance.choice([1, 1_000, 100_001])))


def is_answered(data: bytes, replayed: str) -> bool:
    """Whether one message comes of it; not of one that became a real one by chance."""
    try:
        message = from_client(data)
    except ProtocolError:
        return True
    return isinstance(message, Command) and message.key == replayed


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_fuzzed_frames_are_answered_one_by_one_and_the_backend_stays_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(11)
    async with backend(tmp_path, monkeypatch) as home:
        pid = home.pid
        peer = await home.greeted()
        first = await peer.done({"do": "status"}, "replayed-1")
        kinds = {"refused": 0, "result": 0}
        before = 0
        sent = 0
        while sent < FRAMES:
            frames = [
                data
                for data in (frame(chance, "replayed-1") for _ in range(_WINDOW))
                if is_answered(data, "replayed-1")
            ]
            for data in frames:
                peer.say(data)
            for _ in frames:
                said = await peer.hear()
                assert isinstance(said, Refused) or said == first
                kinds[said.kind] += 1
            sent += len(frames)
            peer.say(Ping())
            assert isinstance(await peer.hear(), Pong)
            before = before or (home.resident_bytes() if sent > FRAMES // 10 else 0)
        for _ in range(HUGE):  # the connection is all that can be ended by one of 64 MB
            huge = Peer(home.socket(LINGER=500))
            huge.say(b"\0" * (64 << 20))
            within = Peer(home.socket())
            assert (await within.ask(b"\0" * MAX_BYTES)).fault.kind == "protocol_error"
            for each in (huge, within):
                each.wire.close(0)
        grown = home.resident_bytes() - before
        assert isinstance(await peer.ask(Ping()), Pong)
        peer.wire.close(0)
        assert home.pid == pid
        assert grown < GROWTH
    print(f"\n  {sent} frames: {kinds}; {HUGE} of 64 MB; grown by {grown >> 20} MB")


@pytest.mark.slow
async def test_who_never_reads_keeps_nobody_waiting_and_costs_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 100_000 if LONG else 10_000
    async with backend(tmp_path, monkeypatch) as home:
        peer = await home.greeted()
        before = home.resident_bytes()
        deaf = home.socket(RCVHWM=1, SNDHWM=1_000)
        deaf.send(encode(hello(read_token(home.places, Role.ARCHITECT))))
        ears = home.socket(zmq.SUB, RCVHWM=1)
        ears.setsockopt(zmq.SUBSCRIBE, b"")
        given = 0
        for number in range(count):
            try:
                deaf.send(encode(Command(key=f"deaf-{number:06}", request={"do": "latest"})), zmq.NOBLOCK)
                given += 1
            except zmq.Again:
                assert isinstance(await peer.ask(Ping()), Pong)
        for _ in range(20):
            assert isinstance(await peer.done({"do": "latest"}), Result)
        grown = home.resident_bytes() - before
        assert grown < GROWTH
        peer.wire.close(0)
        deaf.close(0)
        ears.close(0)
    print(f"\n  {given} commands of one that never reads: grown by {grown >> 20} MB")


@pytest.mark.slow
async def test_fifty_clients_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend(tmp_path, monkeypatch) as home:
        clients = await asyncio.gather(*(Client.connect(home.places, As(f"client {n}")) for n in range(50)))

        async def work(client: Client) -> None:
            for _ in range(10):
                assert (await client.call(Latest()))["count"] == 0

        await asyncio.gather(*(work(client) for client in clients))
        assert (await clients[0].call(Status()))["sessions"] == 50
        await asyncio.gather(*(client.aclose() for client in clients))


DYING = """
import asyncio, sys
from pathlib import Path
from a4ps.client.client import As, Client
from a4ps.places import Places
from a4ps.protocol.requests.turns import Ask
async def ask():
    client = await Client.connect(Places(*map(Path, sys.argv[1:4])), As("dying"))
    await client.call(Ask(text=sys.argv[4]), lambda step: print(step["step"], flush=True))
    print("answered", flush=True)
    await asyncio.Event().wait()
asyncio.run(ask())
"""


@pytest.mark.slow
async def test_what_a_client_asked_that_was_killed_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 40 if LONG else 4
    async with backend(tmp_path, monkeypatch) as home:
        watching = await Client.connect(home.places, As("watching"))
        for number in range(count):
            places = home.places
            dying = await asyncio.create_subprocess_exec(
                sys.executable, "-c", DYING, str(places.home), str(places.state), str(places.run_base), f"hello {number}",
                stdout=subprocess.PIPE,
            )  # fmt: skip
            assert dying.stdout is not None
            assert await dying.stdout.readline() == b"accepted\n"
            dying.send_signal(signal.SIGKILL)
            await dying.wait()
        async with asyncio.timeout(60):
            while (await watching.call(Latest(limit=count)))["count"] < count:  # noqa: ASYNC110 - another process counts
                await asyncio.sleep(0.1)
            while (await watching.call(Status()))["sessions"] > 1:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.5)
        assert (await watching.call(Status()))["running"] == 0
        await watching.aclose()


@pytest.mark.slow
async def test_no_process_has_a_token_in_its_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend(tmp_path, monkeypatch) as home:
        client = await Client.connect(home.places, As("test"))
        tokens = [read_token(home.places, role).encode() for role in Role]
        assert all(tokens)
        looked = 0

        def look(_: Any = None) -> None:
            nonlocal looked
            for pid in [home.pid, *descendants(home.pid)]:
                try:
                    told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
                except OSError:
                    continue
                looked += 1
                assert not any(token in told for token in tokens)

        await client.call(Ask(text="Which came first, the plan or the garden?"), look)
        look()
        assert looked > 1
        peer = await home.greeted()
        peer.say(Cancel(key="k" * 8))  # of nobody's command: nothing comes of it
        assert isinstance(await peer.ask(Ping()), Pong)
        peer.wire.close(0)
        await client.aclose()


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            below = [int(each) for each in (task / "children").read_text().split()]
        except OSError:
            continue
        found += [each for child in below for each in (child, *descendants(child))]
    return found
