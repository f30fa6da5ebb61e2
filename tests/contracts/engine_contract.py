"""What every engine must do: the clauses and methods of `a4ps.inference.engine`, as tests an adapter inherits.

Subclass `EngineContract` as `Test…` and give two fixtures: `engine`, an open engine, and `model`, the name of a model it
has that talks and does not embed. One that can embed gives `embedder` too. Where an engine needs another request to
meet a clause, override a method below the fixtures; do not skip the test.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import jsonschema
import pytest

from a4ps.errors import EngineRefused, ModelMissing, PromptTooLong
from a4ps.inference.engine import ChatRequest, Chunk, Engine, Finished, Loading, Message, Text, Thinking

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "claim": {"type": "string"},
        "reasons": {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 3},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "verdict": {"type": "string", "enum": ["keep", "change"]},
    },
    "required": ["claim", "reasons", "confidence", "verdict"],
    "additionalProperties": False,
}


async def gather(engine: Engine, request: ChatRequest) -> list[Chunk]:
    """All chunks of one reply."""
    async with aclosing(engine.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


def reply(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, Text))


def finished(chunks: list[Chunk]) -> Finished:
    last = chunks[-1]
    assert isinstance(last, Finished)
    return last


class EngineContract:
    """The tests. `request` and the hooks after it are what a subclass may override."""

    @pytest.fixture
    def model(self) -> str:
        raise NotImplementedError

    @pytest.fixture
    def embedder(self) -> str | None:
        """The name of a model that embeds, None where the engine has none."""
        return None

    @pytest.fixture
    async def engine(self) -> Any:
        raise NotImplementedError

    def request(self, model: str, **changes: Any) -> ChatRequest:
        """A plain question whose reply has more than two tokens."""
        messages = (
            Message("system", "You are Alfred, who weighs what the others said."),
            Message("user", "Should a small town build a second bridge over its river?"),
        )
        return replace(
            ChatRequest(model=model, messages=messages, persona="ALFRED", step="synthesis", seed=1), **changes
        )

    def too_long_request(self, model: str) -> ChatRequest:
        """A request whose prompt cannot fit its own num_ctx."""
        return self.request(model, messages=(Message("user", "bridge " * 20_000),), num_ctx=512)

    def missing_model(self) -> str:
        return "no-such-model:1b"

    async def test_a_reply_ends_with_its_one_finished(self, engine: Engine, model: str) -> None:
        """Clause 1; also: `Loading` comes at most once, and first."""
        chunks = await gather(engine, self.request(model))
        assert [chunk for chunk in chunks if isinstance(chunk, Finished)] == [chunks[-1]]
        assert all(not isinstance(chunk, Loading) for chunk in chunks[1:])
        assert finished(chunks).reason == "stop"
        assert finished(chunks).prompt_tokens > 0
        assert finished(chunks).completion_tokens > 0

    async def test_the_reply_is_the_text_and_nothing_else(self, engine: Engine, model: str) -> None:
        """Clause 2: thinking, where there is any, stays apart."""
        chunks = await gather(engine, self.request(model, think=True))
        thoughts = "".join(chunk.text for chunk in chunks if isinstance(chunk, Thinking))
        assert reply(chunks).strip()
        assert not thoughts or thoughts not in reply(chunks)

    async def test_a_schema_shapes_the_reply(self, engine: Engine, model: str) -> None:
        """Clause 3."""
        chunks = await gather(engine, self.request(model, schema=SCHEMA))
        assert finished(chunks).reason == "stop"
        jsonschema.validate(json.loads(reply(chunks)), SCHEMA)

    async def test_a_stream_closed_early_leaves_the_engine_usable(self, engine: Engine, model: str) -> None:
        """Clause 4, by `aclose`."""
        chunks = engine.stream(self.request(model))
        async for chunk in chunks:
            if isinstance(chunk, Text):
                break
        await chunks.aclose()
        assert reply(await gather(engine, self.request(model)))

    async def test_a_cancelled_stream_leaves_the_engine_usable(self, engine: Engine, model: str) -> None:
        """Clause 4, by cancellation."""
        begun = asyncio.Event()

        async def consume() -> None:
            async with aclosing(engine.stream(self.request(model))) as chunks:
                async for _ in chunks:
                    begun.set()
                    await asyncio.Event().wait()

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reply(await gather(engine, self.request(model)))

    async def test_max_tokens_bounds_the_reply(self, engine: Engine, model: str) -> None:
        """Clause 5: what is cut is the head of the same reply."""
        whole = await gather(engine, self.request(model))
        cut = await gather(engine, self.request(model, max_tokens=2))
        assert finished(cut).reason == "length"
        assert finished(cut).completion_tokens <= 2
        assert len(reply(cut)) < len(reply(whole))

    async def test_thinking_does_not_eat_the_reply(self, engine: Engine, model: str) -> None:
        """Clause 5: with next to no room for thoughts there is a reply all the same."""
        chunks = await gather(engine, self.request(model, think=True, think_tokens=1))
        assert finished(chunks).reason == "stop"
        assert reply(chunks).strip()

    async def test_a_prompt_that_does_not_fit_is_an_error(self, engine: Engine, model: str) -> None:
        """Clause 6."""
        with pytest.raises(PromptTooLong) as caught:
            await gather(engine, self.too_long_request(model))
        assert caught.value.next_step
        assert reply(await gather(engine, self.request(model)))

    async def test_a_missing_model_is_an_error_before_any_chunk(self, engine: Engine, model: str) -> None:
        chunks = engine.stream(self.request(self.missing_model()))
        with pytest.raises(ModelMissing) as caught:
            await anext(chunks)
        assert caught.value.model == self.missing_model()
        assert reply(await gather(engine, self.request(model)))

    async def test_eight_streams_at_once_do_not_mix(self, engine: Engine, model: str) -> None:
        requests = [
            self.request(model, messages=(Message("user", f"Is question number {number} the right one to ask?"),))
            for number in range(8)
        ]
        alone = [reply(await gather(engine, request)) for request in requests]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(gather(engine, request)) for request in requests]
        assert [reply(task.result()) for task in tasks] == alone

    async def test_the_engine_says_that_it_is_there(self, engine: Engine, model: str) -> None:
        assert (await engine.status()).reachable
        assert model in {known.name for known in await engine.models()}

    async def test_a_card_tells_what_a_model_is(self, engine: Engine, model: str) -> None:
        """What the list says of it and what its card says agree."""
        card = await engine.inspect(model)
        (info,) = [known for known in await engine.models() if known.name == model]
        assert (card.name, card.weights_bytes or info.size_bytes) == (model, info.size_bytes or card.weights_bytes)
        assert card.digest == info.digest
        assert card.architecture
        assert "completion" in card.capabilities

    async def test_a_missing_model_has_no_card(self, engine: Engine, model: str) -> None:
        with pytest.raises(ModelMissing) as caught:
            await engine.inspect(self.missing_model())
        assert caught.value.model == self.missing_model()

    async def test_what_is_unloaded_is_out_of_memory(self, engine: Engine, model: str) -> None:
        """Where anything is loaded at all; and the next call loads it again by itself."""
        await gather(engine, self.request(model))
        for resident in await engine.loaded():
            assert resident.name
            assert 0 <= resident.vram_bytes <= resident.size_bytes
        await engine.unload(model)
        assert model not in {resident.name for resident in await engine.loaded()}
        assert reply(await gather(engine, self.request(model)))

    async def test_unloading_what_is_not_loaded_is_no_error(self, engine: Engine, model: str) -> None:
        await engine.unload(model)
        await engine.unload(model)
        await engine.unload(self.missing_model())

    async def test_a_model_that_only_talks_does_not_embed(self, engine: Engine, model: str) -> None:
        if "embedding" not in (await engine.inspect(model)).capabilities:
            with pytest.raises(EngineRefused) as caught:
                await engine.embed(model, ["a bridge"])
            assert caught.value.next_step
        assert reply(await gather(engine, self.request(model)))

    async def test_a_missing_model_embeds_nothing(self, engine: Engine, model: str) -> None:
        with pytest.raises((ModelMissing, EngineRefused)):
            await engine.embed(self.missing_model(), ["a bridge"])

    async def test_each_text_has_one_vector(self, engine: Engine, embedder: str | None) -> None:
        """All of one length, the same for the same text, whatever the text is and whatever stands beside it."""
        if embedder is None:
            return
        texts = ["a bridge over the river", "", "a bridge over the river", "Straße, 你好", "\x00 \ud800", "word " * 50]
        vectors = await engine.embed(embedder, texts)
        assert len(vectors) == len(texts)
        assert len({len(vector) for vector in vectors}) == 1
        assert all(math.isfinite(number) for vector in vectors for number in vector)
        assert vectors[0] == pytest.approx(vectors[2], abs=1e-3)
        assert vectors[0] != pytest.approx(vectors[3], abs=1e-3)
        (alone,) = await engine.embed(embedder, texts[:1])
        assert alone == pytest.approx(vectors[0], abs=1e-3)
        assert await engine.embed(embedder, []) == ()

    async def test_closing_twice_is_closing_once(self, engine: Engine, model: str) -> None:
        await gather(engine, self.request(model))
        await engine.aclose()
        await engine.aclose()
