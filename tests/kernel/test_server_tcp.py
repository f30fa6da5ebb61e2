"""The backend over TCP: only where that is set, only to keys that are on the list, and each refusal says why in our log."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq

from a4ps.client.client import As, Client
from a4ps.errors import BackendLost, StorageFailed
from a4ps.governance.roles import Role
from a4ps.image.rows import Row
from a4ps.places import Places
from a4ps.protocol.curve import KeyPair, allowed, key_pair, next_port, public_key
from a4ps.protocol.feed import Apply
from a4ps.protocol.messages import Welcome
from a4ps.protocol.requests.turns import Latest
from tests.doubles.served import Peer, Served, hello, served


def free_address() -> str:
    """A port that is free, and the next one too."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            try:
                second.bind(("127.0.0.1", first.getsockname()[1] + 1))
            except OSError:
                continue
            return f"tcp://127.0.0.1:{first.getsockname()[1]}"


def let_in(backend: Served, keys: KeyPair) -> None:
    file = backend.places.curve / "allowed" / "laptop.pub"
    file.write_bytes(keys.public + b"\n")
    file.chmod(0o600)


def peer(backend: Served, address: str, keys: KeyPair | None, server: bytes) -> Peer:
    dealer: zmq.Socket[bytes] = backend.context.socket(zmq.DEALER)
    if keys is not None:
        dealer.setsockopt(zmq.CURVE_SERVERKEY, server)
        dealer.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        dealer.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
    dealer.connect(address)
    backend.peers.append(Peer(dealer))
    return backend.peers[-1]


async def test_a_known_key_is_let_in_and_its_token_says_the_role(tmp_path: Path) -> None:
    address = free_address()
    async with served(tmp_path, listen=address) as backend:
        keys = key_pair(tmp_path / "laptop", "client")
        let_in(backend, keys)
        server = public_key(backend.places.curve / "server.pub")
        there = peer(backend, address, keys, server)
        assert (await there.ask(hello("x"))).fault.kind == "role_refused"
        welcome = await there.ask(hello(backend.token(Role.CLIENT)))
        assert isinstance(welcome, Welcome)
        assert welcome.role == "client"
        assert (await there.done({"do": "latest"})).value["count"] == 0
        here = await backend.greeted()  # the sockets of this machine are as they were
        assert (await here.done({"do": "latest"})).value["count"] == 0
        events: zmq.Socket[bytes] = backend.context.socket(zmq.SUB)
        events.setsockopt(zmq.CURVE_SERVERKEY, server)
        events.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
        events.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        events.setsockopt(zmq.SUBSCRIBE, b"")
        events.connect(next_port(address))
        assert await asyncio.to_thread(events.poll, 10_000)  # a beat
        events.close(0)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ("unknown key", "its key is not in"),
        ("no key", "no key"),
        ("another server's key", "not this backend's"),
        ("a listed key that others can write", "its key is not in"),
    ],
)
async def test_a_wrong_key_is_refused_with_a_reason_in_our_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str, reason: str
) -> None:
    address = free_address()
    caplog.set_level(logging.WARNING)
    async with served(tmp_path, listen=address) as backend:
        keys = key_pair(tmp_path / "laptop", "client")
        server = public_key(backend.places.curve / "server.pub")
        if wrong != "unknown key":
            let_in(backend, keys)
        if wrong.startswith("a listed"):
            (backend.places.curve / "allowed" / "laptop.pub").chmod(0o666)
        if wrong.startswith("another"):
            server = key_pair(tmp_path / "other", "server").public
        there = peer(backend, address, None if wrong == "no key" else keys, server)
        there.say(hello(backend.token(Role.ARCHITECT)))
        await logged(caplog, lambda: reason in caplog.text)
        assert there.heard.empty()
        assert isinstance(await (await backend.greeted()).ask(hello(backend.token(Role.GUEST))), Welcome)
        assert backend.token(Role.ARCHITECT) not in caplog.text


async def logged(caplog: pytest.LogCaptureFixture, condition: Callable[[], bool]) -> None:
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Seeing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            loop.call_soon_threadsafe(seen.set)

    handler = Seeing()
    logging.getLogger().addHandler(handler)
    try:
        async with asyncio.timeout(20):
            while not condition():
                await seen.wait()
                seen.clear()
    finally:
        logging.getLogger().removeHandler(handler)


@pytest.mark.parametrize(("mode", "text"), [(0o644, None), (0o640, None), (0o600, b"nonsense\n"), (0o600, b"")])
async def test_a_backend_does_not_start_with_a_key_of_its_own_that_is_bad(
    tmp_path: Path, mode: int, text: bytes | None
) -> None:
    folder = tmp_path / "state" / "keys" / "curve"
    key_pair(folder, "server")
    file = folder / "server.key"
    if text is not None:
        file.write_bytes(text)
    file.chmod(mode)
    with pytest.raises(StorageFailed, match=r"server\.key"):
        async with served(tmp_path, listen=free_address()):
            pass


def test_keys_are_their_owners_alone_and_stay_the_same(tmp_path: Path) -> None:
    keys = key_pair(tmp_path, "server")
    assert key_pair(tmp_path, "server") == keys
    assert (tmp_path / "server.key").stat().st_mode & 0o777 == 0o600
    assert public_key(tmp_path / "server.pub") == keys.public
    assert keys.secret.decode() not in repr(keys)
    assert allowed(tmp_path) == {}
    with pytest.raises(StorageFailed):
        public_key(tmp_path / "server.key")


async def test_without_the_setting_there_is_no_tcp(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        assert not backend.places.curve.exists()


async def test_our_own_client_asks_and_follows_over_tcp(tmp_path: Path) -> None:
    address = free_address()
    async with served(tmp_path, listen=address) as backend:
        there = Places(tmp_path / "laptop", tmp_path / "laptop-state", tmp_path / "laptop-run")
        with pytest.raises(StorageFailed, match=r"backend\.pub"):
            await Client.connect(there, As("laptop"), address=address)
        (there.curve / "backend.pub").write_bytes((backend.places.curve / "server.pub").read_bytes())
        let_in(backend, key_pair(there.curve, "client"))
        there.tokens.mkdir(mode=0o700)
        (there.tokens / "client.token").write_text(backend.token(Role.CLIENT))
        client = await Client.connect(there, As("laptop", Role.CLIENT), address=address)
        assert client.welcome.role == "client"
        assert (await client.call(Latest()))["count"] == 0
        following = client.events()
        await backend.backend.store.commit_async([Row("note", "a", b"")], author="test", reason="test")
        async for told in following:
            if isinstance(told, Apply):
                assert told.event.rows == [("note", "a")]
                break
        await client.aclose()
        assert not there.run.exists()


async def test_a_client_whose_key_is_not_known_is_told_that_there_is_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("a4ps.client.client._GREET_S", 0.5)
    address = free_address()
    async with served(tmp_path, listen=address) as backend:
        there = Places(tmp_path / "laptop", tmp_path / "laptop-state", tmp_path / "laptop-run")
        key_pair(there.curve, "client")
        (there.curve / "backend.pub").write_bytes((backend.places.curve / "server.pub").read_bytes())
        with pytest.raises(BackendLost, match="does not answer"):
            await Client.connect(there, As("laptop"), address=address)
