"""What the Ollama engine knows of models, loads and unloads, embeds, and ends: against the test server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from a4ps.errors import EngineBroke, EngineBusy, EngineGarbled, EngineTimeout, EngineUnreachable, PromptTooLong
from a4ps.inference.engine import ChatRequest, Chunk, Loading, Message, Text
from a4ps.inference.model_manager import ModelManager, Parts
from a4ps.inference.ollama import Deadlines, OllamaEngine
from tests.contracts.engine_contract import SCHEMA, finished, gather, reply
from tests.doubles.ollama_server import Answer, OllamaServer, default_responder

MODEL = "tiny:latest"
OTHER = "other:4b"
THINKER = "thinker:4b"
EMBEDDER = "embedder:latest"
NDJSON = (("Content-Type", "application/x-ndjson"),)
#: Long enough that only a test which waits for a deadline on purpose meets it.
SHORT_S = 0.2


def line(content: str) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": MODEL, "created_at": "", "message": message, "done": False}).encode() + b"\n"


def ask(**changes: Any) -> ChatRequest:
    base = ChatRequest(MODEL, (Message("user", "Is the sky blue?"),), persona="ROBIN", step="thesis")
    return replace(base, **changes)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer(models=(MODEL, OTHER, THINKER), thinking=frozenset({THINKER}))
    double.load(MODEL)
    double.library.add(EMBEDDER, embeds=True, chats=False)
    double.take_stock()
    async with double:
        yield double


@pytest.fixture
async def engine(server: OllamaServer) -> AsyncIterator[OllamaEngine]:
    adapter = OllamaEngine(server.url)
    yield adapter
    await adapter.aclose()


class TestMemory:
    async def test_a_card_has_the_header_and_the_size(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """And nothing is loaded for it."""
        card = await engine.inspect("TINY")
        (info,) = [known for known in await engine.models() if known.name == MODEL]
        assert (card.name, card.architecture, card.context_length) == ("TINY", "qwen3", server.train_ctx)
        assert (card.weights_bytes, card.digest) == (info.size_bytes, info.digest)
        assert card.layout is not None
        assert len(card.layout.layers) == 4
        assert card.capabilities == {"completion"}
        assert (await engine.inspect(THINKER)).capabilities == {"completion", "thinking"}
        assert server.runners.loads == []

    async def test_what_is_loaded_is_told_with_its_place(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """Less on the card than its size: it spilled."""
        await gather(engine, ask(model=THINKER, num_ctx=1024))
        server.spilled = {MODEL: 1000}
        residents = {resident.name: resident for resident in await engine.loaded()}
        assert set(residents) == {MODEL, THINKER}
        assert residents[THINKER].num_ctx == 1024
        assert residents[THINKER].vram_bytes == residents[THINKER].size_bytes > 0
        assert residents[MODEL].vram_bytes == 1000 < residents[MODEL].size_bytes

    async def test_a_load_under_way_is_not_loaded_yet(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.gate = asyncio.Event()
        chunks = engine.stream(ask(model=THINKER))
        assert await anext(chunks) == Loading(THINKER)
        coming = asyncio.ensure_future(anext(chunks))
        await server.wait_called("/api/chat")
        assert [resident.name for resident in await engine.loaded()] == [MODEL]
        server.gate.set()
        await coming
        await chunks.aclose()

    async def test_unloading_asks_once_and_waits(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """A reply under way comes to its end first; only then does the call return."""
        server.stall_after = 2
        chunks = engine.stream(ask())
        assert isinstance(await anext(chunks), Text)
        unloading = asyncio.create_task(engine.unload(MODEL))
        await server.wait_called("/api/generate")
        while len(server.bodies("/api/ps")) < 4:  # noqa: ASYNC110  # the fourth look, whenever it comes
            await asyncio.sleep(0.01)
        assert not unloading.done()
        await chunks.aclose()
        await unloading
        assert await engine.loaded() == ()
        assert server.bodies("/api/generate") == [{"model": MODEL, "prompt": "", "keep_alive": 0, "stream": False}]

    async def test_what_stays_in_memory_is_a_timeout(self, server: OllamaServer) -> None:
        engine = OllamaEngine(server.url, deadlines=Deadlines(unload_s=SHORT_S))
        server.stall_after = 2
        chunks = engine.stream(ask())
        assert isinstance(await anext(chunks), Text)
        with pytest.raises(EngineTimeout) as caught:
            await engine.unload(MODEL)
        assert caught.value.stage == "total"
        assert MODEL in caught.value.message
        await chunks.aclose()
        await engine.aclose()

    async def test_a_server_that_goes_away_is_not_taken_for_an_unload(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        await server.stop()
        for asked in (engine.unload(MODEL), engine.loaded(), engine.inspect(MODEL), engine.embed(EMBEDDER, ["x"])):
            with pytest.raises(EngineUnreachable):
                await asked

    async def test_a_model_deleted_while_loaded_cannot_be_unloaded(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """Its server no longer knows it by name, and says so only in /api/ps."""
        server.models = (THINKER,)
        short = OllamaEngine(server.url, deadlines=Deadlines(unload_s=SHORT_S))
        with pytest.raises(EngineTimeout):
            await short.unload(MODEL)
        await short.aclose()

    async def test_calls_of_one_model_never_make_it_load_again(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """Whoever asks, for whatever, with whatever heat and limit: what a load hangs on is the same."""
        asked = ask(model=THINKER)
        for changes in ({}, {"think": True}, {"schema": SCHEMA, "seed": 4}, {"temperature": 0.1, "max_tokens": 40}):
            await gather(engine, replace(asked, **changes))
        assert server.runners.loads == [THINKER]

    @pytest.mark.parametrize(
        ("seconds", "sent"), [(0.0, 0), (90.0, 90), (-1.0, -1), (float("inf"), -1), (float("nan"), -1), (1e12, -1)]
    )
    async def test_keep_alive_is_always_a_number_that_ollama_takes(
        self, engine: OllamaEngine, server: OllamaServer, seconds: float, sent: float
    ) -> None:
        await gather(engine, ask(keep_alive_s=seconds))
        (body,) = server.bodies("/api/chat")
        assert body["keep_alive"] == sent
        assert not isinstance(body["keep_alive"], str | bool)
        assert {resident.name for resident in await engine.loaded()} == (set() if seconds == 0 else {MODEL})


class TestEmbedding:
    async def test_a_long_text_is_refused_and_not_cut(self, engine: OllamaEngine, server: OllamaServer) -> None:
        with pytest.raises(PromptTooLong):
            await engine.embed(EMBEDDER, ["word " * 5000])
        assert all(body["truncate"] is False for body in server.bodies("/api/embed"))

    async def test_nothing_to_embed_is_not_asked(self, engine: OllamaEngine, server: OllamaServer) -> None:
        assert await engine.embed(EMBEDDER, []) == ()
        assert server.calls == []

    @pytest.mark.parametrize(
        "told",
        [
            {}, {"embeddings": None}, {"embeddings": []}, {"embeddings": [[1.0]]}, {"embeddings": [[1.0], [1.0, 2.0]]},
            {"embeddings": [[], []]}, {"embeddings": [[1.0], ["x"]]}, {"embeddings": [[1.0], [True]]},
            {"embeddings": [[1.0], [1e999]]},
        ],
    )  # fmt: skip
    async def test_vectors_that_are_none(
        self, engine: OllamaEngine, server: OllamaServer, told: dict[str, Any]
    ) -> None:
        server.answer_next("/api/embed", Answer(200, (), (json.dumps(told).encode(),)))
        with pytest.raises(EngineGarbled):
            await engine.embed(EMBEDDER, ["a", "b"])
        assert len(await engine.embed(EMBEDDER, ["a", "b"])) == 2


class TestLoops:
    async def test_a_reply_that_repeats_itself_is_ended_with_a_note(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """By the model manager, whatever the engine; what was said until then is kept, and the next call is as ever."""
        manager = ModelManager(Parts(engine))
        server.responder = lambda body: "Well. " + "Round and round it goes. " * 400
        chunks = await gather(manager, ask(max_tokens=5000))
        end = finished(chunks)
        assert end.reason == "length"
        assert end.notes == ("the reply was ended: it went on repeating “Round and round it goes.”",)
        assert reply(chunks).startswith("Well. Round and round")
        assert 0 < end.completion_tokens == len([chunk for chunk in chunks if isinstance(chunk, Text)]) < 500
        server.responder = default_responder
        assert finished(await gather(manager, ask())).reason == "stop"

    async def test_equal_tokens_end_with_a_note_too(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """Ollama would end this stream at the same place without a word, which is a broken reply."""
        pieces = (*(line(",") for _ in range(31)),)
        server.answer_next("/api/chat", Answer(200, NDJSON, pieces, "chunked"))
        chunks = await gather(ModelManager(Parts(engine)), ask())
        assert reply(chunks) == "," * 31
        assert "more than 30 times" in finished(chunks).notes[0]


class TestFaults:
    async def test_a_runner_that_dies_in_mid_reply(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """What had arrived is kept with the error, and the next call loads the model again."""
        server.stall_after = 3
        chunks = engine.stream(ask())
        said = [await anext(chunks) for _ in range(3)]
        loads = len(server.runners.loads)
        server.runners.kill()
        with pytest.raises(EngineBroke) as caught:
            await anext(chunks)
        assert caught.value.partial == reply(said)
        server.stall_after = None
        assert reply(await gather(engine, ask()))
        assert len(server.runners.loads) == loads + 1

    async def test_a_runner_that_dies_while_loading(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.gate = asyncio.Event()
        chunks = engine.stream(ask(model=OTHER))
        assert await anext(chunks) == Loading(OTHER)
        coming = asyncio.ensure_future(anext(chunks))
        await server.wait_called("/api/chat")
        while not server.runners.loads:  # noqa: ASYNC110  # the server's own work, which tells nobody
            await asyncio.sleep(0.01)
        server.runners.kill()
        with pytest.raises(EngineBroke):
            await coming
        server.gate.set()
        assert reply(await gather(engine, ask(model=OTHER)))

    async def test_a_runner_that_hangs(self, server: OllamaServer) -> None:
        """Silence is a timeout before the server itself gives the runner up."""
        server.runners.hang_s = 60
        server.runners.freeze()
        engine = OllamaEngine(server.url, deadlines=Deadlines(first_byte_s=SHORT_S))
        with pytest.raises(EngineTimeout) as caught:
            await gather(engine, ask())
        assert caught.value.stage == "load"
        server.runners.kill()
        assert reply(await gather(engine, ask()))
        await engine.aclose()

    async def test_a_full_queue_is_busy_and_passes(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.max_loaded, server.runners.queue, server.stall_after = 1, 0, 2
        first = engine.stream(ask())
        assert isinstance(await anext(first), Text)
        waiting = asyncio.create_task(gather(engine, ask(model=OTHER)))
        while not server.runners.waiting:  # noqa: ASYNC110  # the server's own work, which tells nobody
            await asyncio.sleep(0.01)
        chunks = engine.stream(ask(model=THINKER))
        assert await anext(chunks) == Loading(THINKER)
        with pytest.raises(EngineBusy):
            await anext(chunks)
        server.stall_after = None
        await first.aclose()
        assert reply(await waiting)
        assert reply(await gather(engine, ask(model=THINKER)))

    async def test_fifty_calls_at_once_are_all_answered(self, engine: OllamaEngine, server: OllamaServer) -> None:
        """Of two models of which one fits: each call has its own words, and loads are not one a call."""
        server.max_loaded = 1
        asked = [
            ask(model=(MODEL, OTHER)[number % 2], messages=(Message("user", f"Is {number} a number?"),))
            for number in range(50)
        ]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gather(engine, request)) for request in asked]
        for number, task in enumerate(tasks):
            chunks: list[Chunk] = task.result()
            assert f"Is {number} a number?" in reply(chunks)
            assert finished(chunks).reason == "stop"
        assert len(server.runners.loads) < 50
