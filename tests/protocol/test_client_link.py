"""A client says at once that its backend is lost and that it is there again, and leaves without stopping anything."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As, Client
from a4ps.errors import BackendLost
from a4ps.places import Places
from a4ps.protocol.requests.system import Status
from tests.doubles.household import Household
from tests.doubles.served import served
from tests.doubles.standing import kill, standing


@pytest.mark.slow
async def test_whoever_follows_is_told_of_each_loss_and_each_return_once(tmp_path: Path) -> None:
    """A backend that was killed says nothing any more; that its lock is free tells it before it is silent for too long."""
    person = Household(tmp_path, {"A4PS_ENGINE": "rehearsal"})
    places = Places(person.home, tmp_path / ".local" / "state" / "a4ps", person.run_base)
    told: asyncio.Queue[tuple[bool, str]] = asyncio.Queue()
    with standing(person) as (first, _):
        client = await Client.connect(
            places, As("test"), starts=False, on_link=lambda linked, why: told.put_nowait((linked, why))
        )
        assert await told.get() == (True, "")
        events = client.events()
        following = asyncio.ensure_future(anext(events))
        await asyncio.to_thread(kill, first.pid)
        async with asyncio.timeout(4):  # it would be silent for five seconds before it is given up
            assert await told.get() == (False, "the backend has ended")
        with standing(person):
            async with asyncio.timeout(60):
                assert await told.get() == (True, "")
            assert (await client.call(Status()))["pid"] != first.pid
            assert told.empty()
            following.cancel()
            await asyncio.wait([following])
            await client.aclose()


async def test_who_waits_when_the_client_leaves_hears_so_and_the_command_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> dict[str, Any]:
        begun.set()
        await go.wait()
        ended.set()
        return {}

    monkeypatch.setattr("a4ps.kernel.dispatch.handler_of", lambda _: slow)
    async with served(tmp_path) as backend:
        client = await Client.connect(backend.places, As("test"), starts=False)
        asking = asyncio.create_task(client.call(Status()))
        await begun.wait()
        await client.aclose()
        with pytest.raises(BackendLost, match="leave"):
            await asking
        go.set()
        await ended.wait()
