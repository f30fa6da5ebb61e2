"""I9: backends killed at random instants while ten clients ask and follow: each sees all that is durable, and nothing is
done twice or lost.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As, Client
from a4ps.client.starting import is_running, start_backend
from a4ps.errors import BackendBusy
from a4ps.places import Places
from a4ps.protocol.feed import Apply
from a4ps.protocol.requests.system import EventsSince, Snapshot
from a4ps.protocol.requests.turns import Ask, Latest
from tests.doubles.household import Household

#: ./check runs this many kills; ./check --long ten times as many.
KILLS = 50 if os.environ.get("A4PS_LONG") else 5
CLIENTS = 10


class Follower:
    """A client that keeps a projection: from a snapshot on, the newest commit of each (kind, key)."""

    def __init__(self, client: Client, moved: asyncio.Event) -> None:
        self.client = client
        self.moved = moved
        self.heads: dict[tuple[str, str], int] = {}
        self.sequences: list[int] = []
        self.answers: dict[str, Any] = {}
        self.ready = asyncio.Event()

    async def follow(self) -> None:
        found = await self.client.call(Snapshot())
        for kind, heads in found["heads"].items():
            self.heads.update({(kind, key): sequence for key, sequence in heads.items()})
        self.ready.set()
        events = self.client.events(found["sequence"])
        try:
            async for told in events:
                if isinstance(told, Apply):
                    self.sequences.append(told.event.sequence)
                    self.heads.update(dict.fromkeys(told.event.rows, told.event.sequence))
                    self.moved.set()
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    async def ask(self, name: str, enough: asyncio.Event) -> None:
        number = 0
        while not enough.is_set() or not number:
            text = f"hello {name} {number}"
            self.answers[text] = await self.client.call(Ask(text=text))
            number += 1
            self.moved.set()


async def until(moved: asyncio.Event, condition: Callable[[], bool]) -> None:
    while not condition():
        moved.clear()
        await moved.wait()


@asynccontextmanager
async def followers(places: Places, moved: asyncio.Event) -> AsyncIterator[list[Follower]]:
    """Two of them start a backend where one is wanted, as commands do; the others wait for it."""
    found: list[Follower] = []
    tasks: list[asyncio.Task[None]] = []
    try:
        for number in range(CLIENTS):
            client = await Client.connect(places, As(f"client {number}"), starts=number < 2)
            found.append(Follower(client, moved))
            tasks.append(asyncio.create_task(found[-1].follow()))
            await found[-1].ready.wait()
        yield found
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        for each in found:
            await each.client.aclose()


@pytest.mark.slow
@pytest.mark.timeout(60 * KILLS)
async def test_backends_killed_under_load_lose_and_repeat_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = Household(tmp_path, {"A4PS_ENGINE": "rehearsal", "A4PS_EMBEDDER": "lexical", "A4PS_SLEEP_AFTER_S": "0"})
    for name, value in person.env.items():
        monkeypatch.setenv(name, value)
    places = Places(person.home, tmp_path / ".local" / "state" / "a4ps", person.run_base)
    chance = random.Random(7)
    await start_backend(places)
    killed, moved = 0, asyncio.Event()
    async with followers(places, moved) as clients:
        enough = asyncio.Event()
        asking = [asyncio.create_task(each.ask(str(number), enough)) for number, each in enumerate(clients)]
        for task in asking:
            task.add_done_callback(lambda _: moved.set())
        for _ in range(KILLS):
            goal = sum(len(each.answers) for each in clients) + 3
            await until(
                moved,
                lambda goal=goal: (  # type: ignore[misc]
                    sum(len(each.answers) for each in clients) >= goal or any(task.done() for task in asking)
                ),
            )
            await asyncio.sleep(chance.uniform(0.0, 0.3))
            with suppress(ProcessLookupError, BackendBusy):
                pid = int(places.backend_lock.read_text())
                os.kill(pid, signal.SIGKILL)
                killed += 1
                with suppress(ChildProcessError):
                    await asyncio.to_thread(os.waitpid, pid, 0)
        enough.set()
        await asyncio.gather(*asking)

        whole = clients[0].client
        turns = (await whole.call(Latest(limit=100_000)))["turns"]
        asked = Counter(turn["question"] for turn in turns)
        told = {text: answer for each in clients for text, answer in each.answers.items()}
        assert asked == Counter(told.keys())
        assert {turn["turn_id"]: turn["question"] for turn in turns} == {
            answer["turn_id"]: text for text, answer in told.items()
        }
        snapshot = await whole.call(Snapshot())
        newest = snapshot["sequence"]
        heads = {(kind, key): at for kind, keys in snapshot["heads"].items() for key, at in keys.items()}
        log = (await whole.call(EventsSince(after=0, limit=10_000)))["events"]
        assert [event["sequence"] for event in log] == list(range(1, newest + 1))
        for each in clients:
            await until(moved, lambda each=each: each.sequences[-1:] == [newest])  # type: ignore[misc]
            assert each.sequences == list(range(each.sequences[0], newest + 1))
            assert each.heads == heads
        assert is_running(places)
    marks = Counter(row["key"] for event in log for row in event["rows"] if row["kind"] == "command")
    assert set(marks.values()) == {1}
    print(
        f"\n  {killed} backends killed: {len(told)} questions answered, each once; {newest} commits followed by {CLIENTS}"
    )
