"""The engines' contract against a real Ollama server: opt-in, because it needs one, and a model that it has.

Runs where OLLAMA_HOST is set. The smallest installed model that talks is used, or A4PS_TEST_MODEL, and for embedding the
smallest that embeds. Nothing is pulled, made or deleted. Models that were loaded may be put out of memory.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from a4ps.inference.engine import ChatRequest, Message, ModelCard
from a4ps.inference.ollama import OllamaEngine
from tests.contracts.engine_contract import EngineContract

HOST = "OLLAMA_HOST"
pytestmark = [
    pytest.mark.skipif(HOST not in os.environ, reason=f"{HOST} is not set: it names a real Ollama server to test against"),
    pytest.mark.timeout(600),
]  # fmt: skip


async def smallest(engine: OllamaEngine, able: Callable[[ModelCard], bool]) -> str | None:
    """The name of the smallest installed model that is `able`."""
    for info in sorted(await engine.models(), key=lambda info: info.size_bytes):
        if able(await engine.inspect(info.name)):
            return info.name
    return None


async def asked(question: Callable[[OllamaEngine], Awaitable[str | None]]) -> str | None:
    engine = OllamaEngine(os.environ[HOST])
    try:
        return await question(engine)
    finally:
        await engine.aclose()


class TestRealServer(EngineContract):
    @pytest.fixture
    async def model(self) -> str:
        named = os.environ.get("A4PS_TEST_MODEL") or await asked(
            lambda engine: smallest(engine, lambda card: "completion" in card.capabilities)
        )
        if named is None:
            pytest.skip(f"the Ollama at {HOST} has no model that talks: ollama pull qwen3.5:4b")
        return named

    @pytest.fixture
    async def embedder(self) -> str | None:
        return await asked(lambda engine: smallest(engine, lambda card: "embedding" in card.capabilities))

    @pytest.fixture
    async def engine(self) -> AsyncIterator[OllamaEngine]:
        adapter = OllamaEngine(os.environ[HOST])
        yield adapter
        await adapter.aclose()

    def request(self, model: str, **changes: Any) -> ChatRequest:
        """A short reply, cold and seeded, so that a second one is the first again."""
        asked = (
            Message("system", "You answer in one sentence of about ten words."),
            Message("user", "Should a small town build a second bridge over its river?"),
        )
        return super().request(model, **({"messages": asked, "temperature": 0.0, "num_ctx": 2048} | changes))
