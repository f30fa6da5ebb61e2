"""The Ollama engine against the test server with real, tiny models behind it, through the real client.

What a script cannot show: real tokens and their counts, a context that is really full, shapes that a grammar holds, memory
that falls back.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any

import jsonschema
import ollama
import pytest

from a4ps.errors import EngineBroke, PromptTooLong
from a4ps.inference.engine import ChatRequest, Loading, Message, Text
from a4ps.inference.ollama import OllamaEngine
from a4ps.personas.roster import NAMES
from tests.contracts.engine_contract import SCHEMA, EngineContract, finished, gather, reply
from tests.doubles.kernels import open_kernel
from tests.doubles.ollama.tiny import EMBEDDER, TinyModels, tiny_server
from tests.doubles.ollama_server import OllamaServer
from tests.models import manifest

TINY, TINIER = "tiny:latest", "tinier:latest"
#: The shape of a reply that takes long, whatever the model makes of it.
LONG: Mapping[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 900, "maxItems": 900}

pytestmark = pytest.mark.slow


def ask(model: str, question: str, **changes: Any) -> ChatRequest:
    """A question without a system prompt, answered greedily."""
    given = {"temperature": 0.0, "seed": 1, "num_ctx": 2048, "max_tokens": 220, **changes}
    return ChatRequest(model, (Message("user", question),), "ALFRED", "thesis", **given)


def answers(fixture: str) -> Mapping[str, str]:
    return manifest.read()[f"{fixture}.gguf"].answers


@pytest.fixture
async def served() -> AsyncIterator[tuple[OllamaServer, TinyModels]]:
    async with tiny_server() as served:
        yield served


@pytest.fixture
def server(served: tuple[OllamaServer, TinyModels]) -> OllamaServer:
    return served[0]


@pytest.fixture
def models(served: tuple[OllamaServer, TinyModels]) -> TinyModels:
    return served[1]


@pytest.fixture
async def engine(server: OllamaServer) -> AsyncIterator[OllamaEngine]:
    adapter = OllamaEngine(server.url)
    yield adapter
    await adapter.aclose()


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[ollama.AsyncClient]:
    client = ollama.AsyncClient(server.url)
    yield client
    await client.close()  # type: ignore[no-untyped-call]  # the client declares no types here


class TestContract(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return TINY

    @pytest.fixture
    def embedder(self) -> str:
        return EMBEDDER

    @pytest.fixture
    async def engine(self, server: OllamaServer) -> AsyncIterator[OllamaEngine]:
        adapter = OllamaEngine(server.url)
        yield adapter
        await adapter.aclose()


async def test_every_known_answer_comes_out_exactly(engine: OllamaEngine) -> None:
    for name, model in (("tiny", TINY), ("tinier", TINIER), ("brick", "tiny-brick:latest")):
        for question, answer in answers(name).items():
            assert reply(await gather(engine, ask(model, question))) == answer


async def test_counts_are_those_of_the_model(engine: OllamaEngine, client: ollama.AsyncClient) -> None:
    """A line is a token where letters are whole; the end of the reply is one more."""
    chunks = await gather(engine, ask(TINY, "Count to 60."))
    pieces = [chunk.text for chunk in chunks if isinstance(chunk, Text)]
    assert finished(chunks).completion_tokens == len(pieces) + 1
    signs = await gather(engine, ask(TINY, "Show me your signs."))
    assert finished(signs).completion_tokens > len([chunk for chunk in signs if isinstance(chunk, Text)]) + 1
    told = await client.chat(TINY, [{"role": "user", "content": "Count to 60."}], options={"temperature": 0})
    assert told.prompt_eval_count == finished(chunks).prompt_tokens


async def test_a_full_context_is_refused_at_the_token(engine: OllamaEngine) -> None:
    """llama-server rounds a context up to the next 256."""
    tokens = finished(await gather(engine, ask(TINY, "Hello"))).prompt_tokens
    each = finished(await gather(engine, ask(TINY, "Hello bridge"))).prompt_tokens - tokens
    fits = (512 - tokens) // each
    longest = ask(TINY, "Hello" + " bridge" * fits, num_ctx=512)
    assert finished(await gather(engine, longest)).prompt_tokens == tokens + fits * each
    with pytest.raises(PromptTooLong):
        await gather(engine, ask(TINY, "Hello" + " bridge" * (fits + 1), num_ctx=512))


async def test_what_is_not_refused_is_cut(client: ollama.AsyncClient) -> None:
    """The older messages first, then the last one to half the context: what the engine's `truncate` is sent against."""
    long, options = "bridge " * 300, {"num_ctx": 256, "num_predict": 2}
    many = [{"role": "user", "content": long}, {"role": "user", "content": "Count to 5."}]
    short = await client.chat(TINY, many[1:], options=options)
    assert (await client.chat(TINY, many, options=options)).prompt_eval_count == short.prompt_eval_count
    cut = await client.chat(TINY, many[:1], options=options)
    assert cut.prompt_eval_count is not None
    assert 64 < cut.prompt_eval_count <= 130


async def test_shapes_are_held(engine: OllamaEngine, client: ollama.AsyncClient) -> None:
    for seed in range(6):
        chunks = await gather(engine, ask(TINY, "Weigh it.", schema=SCHEMA, temperature=1.5, seed=seed, max_tokens=900))
        if finished(chunks).reason == "stop":
            jsonschema.validate(json.loads(reply(chunks)), SCHEMA)
    free = await client.chat(TINY, [{"role": "user", "content": "Reply as JSON."}], format="json")
    if free.done_reason == "stop":
        json.loads(free.message.content or "")


async def test_a_seed_gives_the_same_again_and_another_something_else(engine: OllamaEngine) -> None:
    said = [reply(await gather(engine, ask(TINY, "Weigh it.", temperature=1.5, seed=seed))) for seed in (3, 3, 4)]
    assert said[0] == said[1] != said[2]


async def test_unloading_ends_the_process(engine: OllamaEngine, models: TinyModels) -> None:
    await gather(engine, ask(TINY, "Count to 5."))
    (pid,) = models.pids
    assert _bytes_of(pid) > 10**7
    await engine.unload(TINY)
    await models.settled()
    assert models.pids == ()
    assert _bytes_of(pid) == 0
    assert reply(await gather(engine, ask(TINY, "Count to 5.", keep_alive_s=0)))
    await models.settled()
    assert models.pids == ()
    assert await engine.loaded() == ()


def _bytes_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


async def test_two_bases_stay_and_another_lora_loads_its_base_anew(
    engine: OllamaEngine, server: OllamaServer, models: TinyModels
) -> None:
    """The cost that the scheduler knows Ollama for."""
    order = (TINY, TINIER, TINY, "tiny-brick:latest", "tiny-robin:latest", TINIER)
    loads = [isinstance((await gather(engine, ask(model, "Count to 5.")))[0], Loading) for model in order]
    assert loads == [True, True, False, True, True, False]
    assert len(models.pids) == 2


async def test_a_process_killed_in_mid_reply_is_an_error_with_the_text_so_far(
    engine: OllamaEngine, models: TinyModels
) -> None:
    said: list[str] = []

    async def hear_and_kill() -> None:
        async for chunk in engine.stream(ask(TINY, "Count.", schema=LONG, max_tokens=100_000)):
            if isinstance(chunk, Text):
                if not said:
                    (pid,) = models.pids
                    os.kill(pid, signal.SIGKILL)
                said.append(chunk.text)

    with pytest.raises(EngineBroke) as broken:
        await hear_and_kill()
    assert said
    assert broken.value.partial == "".join(said)
    assert reply(await gather(engine, ask(TINY, "Count to 5."))) == answers("tiny")["Count to 5."]


async def test_a_reply_that_is_closed_stops_the_models_work(engine: OllamaEngine, models: TinyModels) -> None:
    async with aclosing(engine.stream(ask(TINY, "Count.", schema=LONG, max_tokens=100_000))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text):
                break
    before = models.pids
    async with asyncio.timeout(60):
        assert reply(await gather(engine, ask(TINY, "Count to 5."))) == answers("tiny")["Count to 5."]
    assert models.pids == before


async def test_fifty_calls_at_once_are_all_answered(engine: OllamaEngine) -> None:
    asked = [((TINY, TINIER)[number % 2], ("Count to 5.", "What is a turn?")[number % 3 % 2]) for number in range(50)]
    async with asyncio.timeout(120):
        said = await asyncio.gather(*(gather(engine, ask(*each)) for each in asked))
    known = {TINY: answers("tiny"), TINIER: answers("tinier")}
    assert [reply(chunks) for chunks in said] == [known[model][question] for model, question in asked]


async def test_a_whole_turn_is_held_by_real_models(tmp_path: Path, engine: OllamaEngine, server: OllamaServer) -> None:
    """Plan, thesis, antithesis, research and synthesis by the personas' LoRAs, in real tokens."""
    models = {name: f"tiny-{name.lower()}:latest" for name in NAMES}
    async with open_kernel(tmp_path, engine, models=models, num_ctx=4096) as kernel:
        answered = await kernel.ask("Should we take the train or the car?", lambda _: None)
        assert answered.reply.answer.strip()
        assert answered.turn.engine == "ollama"
    chats = server.bodies("/api/chat")
    assert {body["model"] for body in chats} >= set(models.values())
    assert all(body["truncate"] is False for body in chats)
