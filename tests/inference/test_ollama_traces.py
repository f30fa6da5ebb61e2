"""Each recorded exchange of a real Ollama server, played back byte by byte through the real client.

A recorded success must give the recorded text. A recorded failure must give the error named here: `ERRORS` is the table
of what each known way of failing means to A4PS.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from a4ps.errors import (
    EngineBroke,
    EngineBusy,
    EngineGarbled,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    ModelMissing,
    PeerError,
    PromptTooLong,
)
from a4ps.inference.engine import ChatRequest, Message
from a4ps.inference.ollama import Deadlines, OllamaEngine
from tests.contracts.engine_contract import finished, gather, reply
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.recordings import names, restored, steps

MODEL = "tiny:latest"

#: (file's number, step) → the error. What is not here is a reply.
ERRORS: Mapping[tuple[str, int], type[PeerError]] = {
    ("08", 15): EngineRefused,  # content as a list
    ("08", 16): EngineRefused,  # think: true on a model that cannot
    ("08", 18): EngineBroke,  # one object with done: false
    ("08", 19): EngineBroke,
    ("09", 5): EngineRefused,  # format that is none
    ("09", 6): EngineRefused,
    ("09", 7): EngineRefused,
    ("09", 8): EngineRefused,
    ("09", 9): EngineRefused,
    ("12", 4): EngineGarbled,  # done_reason "load"
    ("12", 5): EngineGarbled,
    ("12", 11): EngineGarbled,  # done_reason "unload"
    ("10", 0): EngineRefused,  # tools for a model without them
    ("10", 1): EngineRefused,
    ("10", 2): EngineRefused,
    ("13", 12): EngineRefused,  # keep_alive "-1", "90", "", true, "forever", [1], "10x"
    ("13", 24): EngineRefused,
    ("13", 36): EngineRefused,
    ("13", 42): EngineRefused,
    ("13", 45): EngineRefused,
    ("13", 48): EngineRefused,
    ("13", 51): EngineRefused,
    ("19", 12): PromptTooLong,  # a context of 2 tokens
    ("20", 0): PromptTooLong,  # cut silently: 258 of 1,511 tokens
    ("20", 1): PromptTooLong,
    ("20", 2): PromptTooLong,  # truncate: false gives 400
    ("20", 3): PromptTooLong,
    ("20", 4): PromptTooLong,
    ("20", 5): PromptTooLong,
    ("20", 6): PromptTooLong,
    ("20", 7): PromptTooLong,
    ("20", 8): PromptTooLong,  # oldest messages dropped silently
    ("20", 9): PromptTooLong,
    ("20", 13): PromptTooLong,
    ("21", 0): EngineBroke,  # a clean end without done: true
    ("21", 1): EngineBroke,
    ("24", 0): EngineRefused,  # the model does not load
    ("24", 1): EngineRefused,
    ("24", 3): EngineRefused,
    ("25", 0): EngineTimeout,  # silence in mid-stream
    ("28", 0): EngineBroke,  # runner killed: an error line
    ("29", 0): EngineBroke,  # runner killed: HTTP 500
    ("29", 4): EngineBroke,
    ("31", 0): EngineBroke,  # runner killed while loading
    ("33", 0): EngineBroke,  # server stopped in mid-stream
    ("34", 0): EngineBroke,  # server killed in mid-stream
    ("35", 0): EngineBroke,  # server killed before its first byte
    ("36", 3): EngineBusy,
    ("36", 4): EngineBusy,
    ("36", 6): EngineBusy,
    ("37", 0): ModelMissing,
    ("37", 2): ModelMissing,
    ("37", 3): ModelMissing,
    ("37", 4): EngineRefused,
    ("37", 6): EngineRefused,
    ("37", 7): EngineRefused,
    ("37", 12): EngineRefused,  # a cloud model while the cloud is off
    ("38", 0): EngineRefused,  # bad JSON
    ("38", 1): EngineRefused,
    ("38", 2): EngineRefused,
    ("38", 3): EngineRefused,
    ("38", 4): EngineRefused,
    ("38", 5): EngineRefused,
    ("38", 6): EngineGarbled,
    ("38", 12): EngineGarbled,
    ("39", 1): EngineRefused,  # options of a wrong type
    ("39", 3): EngineRefused,
    ("39", 4): PromptTooLong,  # a context of 3 tokens
    ("39", 5): EngineRefused,
    ("39", 7): EngineRefused,
    ("39", 15): EngineRefused,
    ("40b", 12): EngineRefused,  # a chat with an embedding model
    ("42", 9): ModelMissing,  # deleted while loaded
    ("46", 3): EngineBroke,
    ("46", 8): EngineRefused,
    ("46", 9): EngineRefused,
    ("46", 11): PromptTooLong,
    ("46", 12): PromptTooLong,  # 400 with a chunked body
    ("46", 13): PromptTooLong,
    ("46", 14): PromptTooLong,
    ("46", 18): EngineRefused,
    ("47", 4): EngineRefused,  # tools that are none
    ("47", 5): EngineRefused,
    ("52", 6): ModelMissing,
    ("53", 1): ModelMissing,
}


def chats() -> Iterator[Any]:
    for number in names():
        for index, step in enumerate(steps(number)):
            if "response" in step and (step["request"]["method"], step["request"]["path"]) == ("POST", "/api/chat"):
                yield pytest.param(number, index, step, id=f"{number}-{index}")


def asked(step: Mapping[str, Any]) -> ChatRequest:
    """The recorded question where it can be one of ours, else a short one."""
    body = step["request"]["body"]
    body = body if isinstance(body, dict) else {}
    messages = body.get("messages")
    ours = isinstance(messages, list) and all(
        isinstance(m, dict) and m["role"] in ("system", "user", "assistant") and isinstance(m["content"], str)
        for m in messages
    )
    said = tuple(Message(m["role"], restored(m["content"])) for m in messages or ()) if ours else ()
    schema = body.get("format") if isinstance(body.get("format"), dict) else None
    return ChatRequest(
        MODEL, said or (Message("user", "Hi"),), persona="BABS", step="antithesis", schema=schema, num_ctx=100_000
    )


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer(models=(MODEL,))
    double.load(MODEL)
    async with double:
        yield double


@pytest.fixture
async def engine(server: OllamaServer) -> AsyncIterator[OllamaEngine]:
    adapter = OllamaEngine(server.url, deadlines=Deadlines(between_tokens_s=0.3))
    yield adapter
    await adapter.aclose()


@pytest.mark.parametrize(("number", "index", "step"), list(chats()))
async def test_what_a_recorded_answer_means(
    engine: OllamaEngine, server: OllamaServer, number: str, index: int, step: dict[str, Any]
) -> None:
    server.play(step)
    lines = [line["json"] for line in step["response"].get("lines", ()) if "json" in line]
    said = "".join(line["message"]["content"] for line in lines if "message" in line)
    expected = ERRORS.get((number, index))
    if expected is None:
        chunks = await gather(engine, asked(step))
        assert reply(chunks) == said
        end = finished(chunks)
        assert end.reason == lines[-1]["done_reason"]
        assert (end.prompt_tokens, end.completion_tokens) == (lines[-1]["prompt_eval_count"], lines[-1]["eval_count"])
        assert end.load_ms == lines[-1]["load_duration"] / 1e6
    else:
        with pytest.raises(expected) as caught:
            await gather(engine, asked(step))
        assert type(caught.value) is expected
        assert caught.value.next_step
        assert "/srv/" not in caught.value.message
        if isinstance(caught.value, EngineBroke):
            assert caught.value.partial == said


def test_the_table_names_only_recorded_steps() -> None:
    recorded = {(param.values[0], param.values[1]) for param in chats()}
    assert set(ERRORS) <= recorded


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (0, EngineUnreachable),
        (1, EngineUnreachable),
        (2, EngineUnreachable),
        (3, EngineUnreachable),
        (4, EngineRefused),
        (5, EngineRefused),
        (6, EngineUnreachable),
    ],
)
async def test_what_a_recorded_download_means(
    engine: OllamaEngine, server: OllamaServer, index: int, error: type[PeerError]
) -> None:
    server.play(steps("41")[index])
    with pytest.raises(error) as caught:
        _ = [report async for report in engine.pull("tiny")]
    assert caught.value.next_step


async def test_the_recorded_lists_are_read(engine: OllamaEngine, server: OllamaServer) -> None:
    tags, nothing, version = steps("07")[0], steps("02")[0], steps("01")[2]
    for step in (tags, nothing, version):
        server.play(step)
    entries = tags["response"]["lines"][0]["json"]["models"]
    models = await engine.models()
    assert [(m.name, m.size_bytes, m.digest) for m in models] == [(e["name"], e["size"], e["digest"]) for e in entries]
    assert await engine.models() == ()
    status = await engine.status()
    assert (status.reachable, status.version) == (True, "0.33.0-rc2")


async def test_a_recorded_foreign_host_is_not_reachable(engine: OllamaEngine, server: OllamaServer) -> None:
    server.play(steps("01")[9])
    assert not (await engine.status()).reachable


async def test_a_recorded_missing_model_is_missing(engine: OllamaEngine, server: OllamaServer) -> None:
    server.play(steps("06")[3])
    with pytest.raises(ModelMissing):
        await anext(engine.stream(asked(steps("08")[1])))
