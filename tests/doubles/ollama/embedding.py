"""/api/embed and the older /api/embeddings of the test server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tests.doubles.ollama import chatting
from tests.doubles.ollama.http import Answer, error, json_answer
from tests.doubles.ollama.replies import count_words, vector
from tests.doubles.ollama.runners import Lease, RunnerDiedError

if TYPE_CHECKING:
    from tests.doubles.ollama.api import OllamaApi

_CANNOT = "This server does not support embeddings. Start it with `--embeddings`"


async def embed(api: OllamaApi, body: Mapping[str, Any], *, old: bool) -> Answer:
    """A chat model refuses, but is loaded by it; empty texts have no vector, and one among others is an error."""
    given = body.get("prompt" if old else "input")
    if not isinstance(given, str | list | None):
        return error(400, "invalid input type")
    refused = chatting.refusal(api, body, "input")
    if refused is not None:
        return refused
    model = api.library.find(str(body["model"]))
    assert model is not None
    lease = await chatting.hold(api, model, body)
    if isinstance(lease, Answer):
        return lease
    try:
        texts = [given] if isinstance(given, str) else [str(text) for text in given or ()]
        return await _old(api, lease, texts) if old else await _new(api, lease, body, texts)
    except RunnerDiedError:
        lease.runner.dead.set()
        return error(500, chatting.DIED)
    finally:
        lease.release()


async def _new(api: OllamaApi, lease: Lease, body: Mapping[str, Any], texts: list[str]) -> Answer:
    model, waited_ns = lease.runner.model, lease.waited_ns
    name, room = str(body["model"]), chatting.context(api, body)
    if not texts or texts == [""]:
        return json_answer({"model": name, "embeddings": []})
    counts = [count_words(text) for text in texts]
    if max(counts) > room and body.get("truncate") is False:
        return error(400, "the input length exceeds the context length")
    if not model.embeds:
        return error(501, _CANNOT)
    if "" in texts:
        return error(400, "input exceeds maximum context length and cannot be truncated further")
    vectors = await _vectors(api, lease, texts, int(body.get("dimensions") or 0))
    counted = {"total_duration": waited_ns + 5_000_000, "load_duration": waited_ns}
    counted["prompt_eval_count"] = sum(min(count, room - 2) for count in counts)
    return json_answer({"model": name, "embeddings": vectors} | counted)


async def _old(api: OllamaApi, lease: Lease, texts: list[str]) -> Answer:
    if not lease.runner.model.embeds:
        return error(500, _CANNOT)
    return json_answer({"embedding": (await _vectors(api, lease, texts, 0))[0] if texts and texts[0] else []})


async def _vectors(api: OllamaApi, lease: Lease, texts: list[str], dimensions: int) -> list[list[float]]:
    if api.brain is None:
        return [vector(text, dimensions) for text in texts]
    return await api.brain.embed(lease.runner, texts)
