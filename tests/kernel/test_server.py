"""The backend on real sockets: who may speak, what is refused and how, and that each command has one outcome."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As, Client
from a4ps.client.starting import is_running
from a4ps.errors import A4PSError, BackendBusy, BackendLost, ProtocolError, ProtocolMismatch, RoleRefused
from a4ps.governance.roles import Role
from a4ps.image.rows import Row
from a4ps.kernel.server import BackendLock
from a4ps.protocol.codec import encode, packed
from a4ps.protocol.feed import Apply
from a4ps.protocol.messages import Accepted, Cancel, Command, Failure, Pong, Result, Welcome
from a4ps.protocol.messages import Ping as PingMessage
from a4ps.protocol.requests import known_requests
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.system import EventsSince, Status
from a4ps.protocol.requests.turns import Ask
from a4ps.protocol.session import RUNNING_MAX
from tests.doubles.served import hello, served

REQUESTS = known_requests()


# Who


@pytest.mark.parametrize("token", ["", "x", "x" * 43, "Ω" * 40])
async def test_a_token_that_is_nobodys_is_refused(tmp_path: Path, token: str) -> None:
    async with served(tmp_path) as backend:
        peer = backend.peer()
        refusal = await peer.ask(hello(token))
        assert refusal.fault.kind == "role_refused"
        assert str(backend.places.tokens) in refusal.fault.next
        assert (await peer.ask(Command(key="k" * 8, request={"do": "status"}))).fault.kind == "greet_first"


@pytest.mark.parametrize("role", Role)
async def test_every_request_is_served_to_whom_it_is_meant_for_and_refused_to_others(
    tmp_path: Path, role: Role, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may not, is refused before the request's handler is even looked for; whoever may, gets to it."""
    reached: list[str] = []

    async def handler(_: Any, call: Any) -> dict[str, Any]:
        reached.append(call.request.name)
        assert call.role is role
        return {}

    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: handler)
    async with served(tmp_path) as backend:
        peer = await backend.greeted(role)
        for name, kind in REQUESTS.items():
            fields = sample(kind.model_json_schema())
            outcome = await peer.done({"do": name, **fields})
            if role >= kind.needs:
                assert isinstance(outcome, Result), outcome
            else:
                assert outcome.fault.kind == "role_refused"
                assert kind.needs.label in outcome.fault.message
                assert role.label in outcome.fault.message
    assert reached == [name for name, kind in REQUESTS.items() if role >= kind.needs]


def sample(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Values for the fields that a request cannot do without."""
    simple: dict[str, Any] = {"string": "/1", "integer": 1, "number": 1.0, "boolean": True, "object": {}}
    fields = {name: schema["properties"][name] for name in schema.get("required", ())}
    return {
        name: field["enum"][0]
        if "enum" in field
        else simple[field["type"]] * max(1, field.get("minLength", 1))
        if field.get("type") == "string"
        else ["/1"] * field.get("minItems", 0)
        if field.get("type") == "array"
        else simple[field["type"]]
        for name, field in fields.items()
    }


async def test_another_protocol_is_refused_in_words_that_name_both(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        said = packed({"kind": "hello", "protocol": 99, "package": "9.9", "a field": "of later"})
        refusal = await backend.peer().ask(said)
        assert refusal.fault.kind == "protocol_mismatch"
        for part in ("99", "9.9", "protocol 1"):
            assert part in refusal.fault.message


async def test_a_client_of_another_protocol_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(tmp_path) as backend:
        monkeypatch.setattr("a4ps.client.client.PROTOCOL_VERSION", 2)
        with pytest.raises(ProtocolMismatch, match="protocol 2"):
            await Client.connect(backend.places, As("test"), starts=False)


async def test_a_client_has_the_role_of_the_token_that_it_can_read(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test", Role.GUEST), starts=False)
        assert client.welcome.role == "guest"
        with pytest.raises(RoleRefused):
            await client.call(REQUESTS["down"]())
        await client.aclose()


async def test_an_identity_of_ones_own_is_refused(tmp_path: Path) -> None:
    """Another's identity would be another's session."""
    async with served(tmp_path) as backend:
        peer = backend.peer(b"architect")
        refusal = await peer.ask(hello(backend.token(Role.ARCHITECT)))
        assert refusal.fault.kind == "protocol_error"
        assert "identity" in refusal.fault.message


async def test_folders_sockets_and_tokens_are_their_owners_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        places = backend.places
        modes = {
            places.run_base: 0o700, places.run: 0o700, places.commands_socket: 0o700, places.events_socket: 0o700,
            places.backend_lock: 0o600, places.tokens: 0o700,
            **{places.tokens / f"{role.label}.token": 0o600 for role in Role},
        }  # fmt: skip
        assert {path: stat.S_IMODE(path.stat().st_mode) for path in modes} == modes
        assert len({backend.token(role) for role in Role}) == 3
    assert not places.commands_socket.exists()
    assert not is_running(places)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
async def test_another_users_process_is_not_let_in_even_where_the_folders_would(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        for folder in (backend.places.run_base.parent, backend.places.run_base, backend.places.run):
            folder.chmod(0o777)
        backend.places.commands_socket.chmod(0o777)
        asking = (
            "import os, sys, zmq\n"
            "context = zmq.Context()\n"
            "os.setuid(int(sys.argv[2]))\n"
            "socket = context.socket(zmq.DEALER)\n"
            "socket.setsockopt(zmq.LINGER, 0)\n"
            "socket.connect('ipc://' + sys.argv[1])\n"
            "socket.send(b'garbage')\n"
            "print(socket.poll(1500))\n"
        )
        for uid, expected in ((65534, "0"), (0, "1")):
            asked = await asyncio.create_subprocess_exec(
                sys.executable, "-c", asking, str(backend.places.commands_socket), str(uid), stdout=subprocess.PIPE
            )
            told, _ = await asked.communicate()
            assert told.decode().strip() == expected


async def test_one_backend_at_a_time_however_often_it_is_looked_for(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        with pytest.raises(BackendBusy):
            BackendLock(backend.places)
    stop = asyncio.Event()

    def look() -> None:
        while not stop.is_set():
            is_running(backend.places)

    looking = [asyncio.create_task(asyncio.to_thread(look)) for _ in range(4)]
    for _ in range(200):  # each would fail where somebody who only looks kept it out
        lock = await asyncio.to_thread(BackendLock, backend.places)
        assert is_running(backend.places)
        lock.release()
    stop.set()
    await asyncio.gather(*looking)


# What


async def test_garbage_is_answered_and_the_session_goes_on(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        for frames in ([b""], [b"garbage"], [b"a", b"b"], [b"", encode(PingMessage())]):
            assert (await peer.ask(*frames)).fault.kind == "protocol_error"
        garbled = packed({"kind": "command", "key": "abcdefgh", "request": 1})
        assert (await peer.ask(garbled)).key == "abcdefgh"
        assert isinstance(await peer.ask(PingMessage()), Pong)


async def test_a_bad_request_fails_and_says_why(tmp_path: Path) -> None:
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        for request in (
            {},
            {"do": "nonsense"},
            {"do": deep},
            {"do": "ask"},
            {"do": "ask", "text": 5},
            {"do": "ask", "x": 1},
        ):
            outcome = await peer.done(request)
            assert outcome.fault.kind == "protocol_error", outcome


async def test_a_command_sent_again_is_done_once_even_in_the_next_life(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        first = await peer.done({"do": "ask", "text": "hello"}, "key-00001")
        assert isinstance(first, Result), first
        again = await peer.done({"do": "ask", "text": "hello"}, "key-00001")
        assert again == first
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        other = await peer.done({"do": "ask", "text": "hello"}, "key-00001")
        assert other.value["turn_id"] == first.value["turn_id"]
        assert other.value["answer"] == first.value["answer"]
        assert backend.backend.log.count() == 1
        guest = await backend.greeted(Role.GUEST)
        assert (await guest.done({"do": "ask", "text": "hello"}, "key-00001")).fault.kind == "role_refused"
        assert (await peer.done({"do": "latest"})).value["count"] == 1


async def test_the_mark_of_a_command_is_in_the_commit_of_its_turn(tmp_path: Path) -> None:
    """Opening the society commits too; were that marked, a question would count as done before it is accepted."""
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        await peer.done({"do": "ask", "text": "hello"}, "key-00001")
        events = (await peer.done({"do": "events_since", "after": 0})).value["events"]
        marked = [event for event in events if {"kind": "command", "key": "key-00001"} in event["rows"]]
        assert [[row["kind"] for row in event["rows"]] for event in marked] == [["turn", "command"]]


async def test_a_command_that_is_cancelled_at_once_ends_and_leaves_nothing(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        for number in range(20):
            key = f"key-{number:05}"
            peer.say(Command(key=key, request={"do": "ask", "text": "hello"}))
            peer.say(Cancel(key=key))
        for number in range(20):
            outcome = await peer.outcome(f"key-{number:05}")
            assert outcome.fault.kind == "stopped"
        assert backend.backend.life.running() == 0


async def test_a_deadline_ends_a_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def endless(*_: Any) -> dict[str, Any]:
        await asyncio.Event().wait()
        return {}

    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: endless)
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        outcome = await peer.done({"do": "status"}, deadline_s=0.05)
        assert (outcome.fault.kind, outcome.fault.exit_code) == ("stopped", 1)
        assert "deadline" in outcome.fault.message
        keys = [f"key-{number:05}" for number in range(RUNNING_MAX)]
        for key in keys:
            peer.say(Command(key=key, request={"do": "status"}))
            assert isinstance(await peer.hear(), Accepted)
        assert (await peer.done({"do": "status"})).fault.kind == "backend_busy"
        other = await backend.greeted()
        assert (await other.done({"do": "status"}, deadline_s=0.05)).fault.kind == "stopped"
        peer.say(Cancel(key=keys[0]))
        assert (await peer.outcome(keys[0])).fault.kind == "stopped"
        assert (await peer.done({"do": "status"}, deadline_s=0.05)).fault.kind == "stopped"


@pytest.mark.parametrize("value", [{"n": object()}, {"n": {1, 2}}, 5, None], ids=["object", "set", "no map", "none"])
async def test_a_handler_that_gives_nonsense_or_fails_is_reported_as_a_bug(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: Any
) -> None:
    async def wrong(*_: Any) -> Any:
        return value

    caplog.set_level(logging.CRITICAL, logger="a4ps")
    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: wrong)
    async with served(tmp_path) as backend:
        outcome = await (await backend.greeted()).done({"do": "status"})
        assert (outcome.fault.kind, outcome.fault.log) == ("internal", "the log")
        assert backend.backend.life.running() == 0


async def test_an_error_of_any_text_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception] = [A4PSError("\ud800" * 3), ValueError("x" * 5_000_000), A4PSError("x" * 5_000_000)]

    async def wrong(*_: Any) -> Any:
        raise errors.pop()

    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: wrong)
    async with served(tmp_path) as backend:
        peer = await backend.greeted()
        while errors:
            assert isinstance(await peer.done({"do": "status"}), Failure)


# Our own client


async def test_a_client_asks_and_hears_of_the_steps_and_follows(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"), starts=False)
        steps: list[dict[str, Any]] = []
        following = client.events()
        before = client.welcome.sequence
        told = await client.call(Ask(text="hello"), steps.append)
        assert told["answer"]
        assert steps[0]["step"] == "accepted"
        newest = backend.backend.store.generation
        applied: list[int] = []
        async with asyncio.timeout(20):
            async for each in following:
                if isinstance(each, Apply):
                    applied.append(each.event.sequence)
                    if applied[-1] == newest:
                        break
        assert applied == list(range(before + 1, newest + 1))
        await client.aclose()  # though the generator is still open


async def test_durable_events_come_as_they_are_committed_not_with_the_next_beat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read from what is published; were that never understood, fetching would hide it."""
    asked: list[Request] = []
    call = Client.call

    async def noted(self: Client, request: Request, *more: Any, **options: Any) -> Any:
        asked.append(request)
        return await call(self, request, *more, **options)

    monkeypatch.setattr(Client, "call", noted)
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"), starts=False)
        following = client.events()
        assert backend.server.publisher is not None
        first = asyncio.ensure_future(anext(following))
        while not first.done():  # until the subscription has arrived
            backend.server.publisher.show({"step": "noted", "text": "x"})
            await asyncio.sleep(0.01)
        await backend.backend.store.commit_async([Row("note", "a", b"")], author="test", reason="test")
        async for told in following:
            if isinstance(told, Apply):
                assert told.event.rows == [("note", "a")]
                break
        assert not [request for request in asked if isinstance(request, EventsSince)]
        await client.aclose()


async def test_what_is_too_long_to_be_sent_is_refused_by_the_client_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"), starts=False)
        with pytest.raises(ProtocolError, match="at most"):
            await client.call(Ask(text="€" * 3_000_000))
        assert (await client.call(Status()))["image"]
        await client.aclose()


async def test_a_client_that_is_cancelled_has_its_command_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()
    ended: list[str] = []

    async def endless(*_: Any) -> dict[str, Any]:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")
        return {}

    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: endless)
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"), starts=False)
        asking = asyncio.create_task(client.call(Status()))
        await begun.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert ended == ["ended"]
        await client.aclose()


async def test_no_backend_is_told_at_once(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        places = backend.places
    with pytest.raises(BackendLost, match="no backend"):
        await Client.connect(places, As("test"), starts=False)


async def test_a_backend_that_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a4ps.client.client._GREET_S", 0.5)
    async with served(tmp_path) as backend:
        monkeypatch.setattr(backend.server, "_do", lambda _: None)
        with pytest.raises(BackendLost, match="does not answer"):
            await Client.connect(backend.places, As("test"), starts=False)


async def test_who_only_follows_hears_of_the_end_without_starting_another(tmp_path: Path) -> None:
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"))
        assert isinstance(client.welcome, Welcome)
        places = backend.places
    client._lose()
    for _ in range(3):
        await asyncio.sleep(0.3)
        assert not is_running(places)
    await client.aclose()
