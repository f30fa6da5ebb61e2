"""What crashes in a living backend is told to whoever follows, reported, started again, and takes nobody else down."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from a4ps.client.client import As, Client
from a4ps.clock import SystemClock
from a4ps.errors import EngineBroke, SandboxUnavailable
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.kernel import supervision, wiring
from a4ps.personas.roster import NAMES
from a4ps.protocol.feed import Show
from a4ps.protocol.requests.system import Status
from a4ps.protocol.requests.turns import Ask, Resume
from a4ps.sandbox import pool as pools
from tests.doubles.served import Served, served
from tests.doubles.workers import workers
from tests.memory.books import Meanings, means
from tests.models import manifest

MODELS = {name: f"tiny+{name.lower()}" for name in NAMES}


class Watched:
    """A client that has been told of services that failed."""

    def __init__(self, house: Served, client: Client) -> None:
        self.house = house
        self.client = client
        self.failed: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def listen(self) -> None:
        async with aclosing(self.client.events()) as events:  # type: ignore[type-var]  # it is a generator
            async for told in events:
                for step in told.events if isinstance(told, Show) else ():
                    if step.get("step") == "service":
                        self.failed.put_nowait(dict(step))

    async def service(self, name: str) -> dict[str, Any]:
        """Its status once it runs again."""
        while True:
            found = (await self.client.call(Status()))["services"].get(name)
            if found is not None and found["state"] == "running":
                return dict(found)
            await asyncio.sleep(0.01)

    def reports(self) -> list[str]:
        return [path.read_text() for path in sorted(self.house.places.crashes.glob("*.txt"))]


async def until(holds: Callable[..., Awaitable[bool]], *given: Any) -> None:
    """For what another process or thread does in its own time; ended by the test's time limit."""
    while not await holds(*given):  # noqa: ASYNC110 - nothing of ours is told of it
        await asyncio.sleep(0.01)


async def vectors_are(count: int, client: Client) -> bool:
    return bool((await client.call(Status()))["memory"]["vectors"] >= count)


async def no_workers() -> bool:
    return not workers()


@asynccontextmanager
async def watched(folder: Path) -> AsyncIterator[Watched]:
    async with served(folder) as house:
        client = await Client.connect(house.places, As("test"), starts=False)
        seen = Watched(house, client)
        listening = asyncio.create_task(seen.listen())
        try:
            yield seen
        finally:
            listening.cancel()
            await asyncio.wait([listening])
            await client.aclose()


async def test_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torn(Meanings):
        """Its first embedding is a bug."""

        async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
            if not self.asked:
                self.asked.append("")
                raise ValueError("torn")
            return await super().embed(model, texts)

    engine = Torn("bread yeast")
    monkeypatch.setattr(supervision, "FIRST_S", 0.05)
    monkeypatch.setattr(wiring, "means_of", lambda env, *_: means(engine, env.places.scrapbook, SystemClock()))
    async with watched(tmp_path) as seen:
        first = await seen.client.call(Ask(text="What makes bread rise?"))
        step = await seen.failed.get()
        assert (step["name"], step["detail"]) == ("memory", "ValueError: torn; it is started again in 0.05 s")
        service = await seen.service("memory")
        assert (service["restarts"], service["last_error"]) == (1, "ValueError: torn")
        assert (await seen.client.call(Ask(text="And what bakes it?")))["turn_id"] > first["turn_id"]
        await until(vectors_are, 2, seen.client)  # and it does what it did not do
        (report,) = seen.reports()
        assert "service: memory" in report
        assert "ValueError: torn" in report


async def test_the_thread_that_starts_sandboxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = pools.Pool._start
    broken: list[object] = []

    def once(pool: pools.Pool, order: pools.Order | None) -> None:
        if not broken:
            broken.append(pool)
            raise RuntimeError("a bug of ours")
        start(pool, order)

    monkeypatch.setattr(pools.Pool, "_start", once)
    monkeypatch.setattr(pools, "AGAIN_S", 0.05)
    async with watched(tmp_path) as seen:
        kernel = await seen.house.backend.kernel()
        executor = kernel.executor
        assert executor is not None
        try:
            await asyncio.to_thread(executor.call, "def f():\n    return 1\n")
        except SandboxUnavailable as error:
            if not broken:
                pytest.skip(error.message)
        step = await seen.failed.get()
        assert step["name"] == "sandboxes"
        assert step["detail"] == "RuntimeError: a bug of ours; it is started again in 0.05 s"
        assert (await seen.service("sandboxes"))["restarts"] == 1
        assert (await asyncio.to_thread(executor.call, "def f():\n    return 1\n")).value == 1
        (report,) = seen.reports()
        assert "service: sandboxes" in report
        assert "RuntimeError: a bug of ours" in report


@pytest.mark.slow
async def test_an_engines_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LlamaCppEngine(manifest.FOLDER, models=MODELS.values())
    monkeypatch.setattr(wiring, "engine_of", lambda *_: engine)
    monkeypatch.setattr(wiring.Environment, "models_of", lambda *_: MODELS)
    async with watched(tmp_path) as seen:
        killed: list[int] = []

        def kill(step: dict[str, Any]) -> None:
            # It is in the middle of it, or just about to begin.
            if step["step"] == "began" and not killed and workers():
                killed.extend(workers())
                os.kill(killed[0], signal.SIGKILL)

        try:
            await seen.client.call(Ask(text="Should we take the train or the car?", everyone=True), kill)
        except EngineBroke:
            await seen.client.call(Resume())
        step = await seen.failed.get()
        assert step["name"] == "llama.cpp tiny"
        assert "SIGKILL" in step["detail"] or "while nobody called it" in step["detail"]
        assert step["detail"].endswith("it is started again when it is needed")
        service = await seen.service("llama.cpp tiny")
        assert (service["owner"], service["restarts"]) == ("itself", 1)
        (report,) = seen.reports()
        assert "service: llama.cpp tiny" in report

        (idle,) = workers()
        os.kill(idle, signal.SIGKILL)  # one that nobody calls is missed by the next who does
        await until(no_workers)
        assert (await seen.client.call(Ask(text="Count to 10.")))["answer"]
        step = await seen.failed.get()
        assert "it ended while nobody called it" in step["detail"]
    assert seen.failed.empty()  # the end of the engine is no crash
    assert not workers()
