"""The Ollama engine against a server on the loopback that speaks Ollama's protocol, through the real client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import replace
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
    PromptTooLong,
    SettingsError,
)
from a4ps.inference.engine import ChatRequest, Chunk, Finished, Loading, Message, PullProgress, Text, Thinking
from a4ps.inference.ollama import Deadlines, OllamaEngine
from tests.contracts.engine_contract import SCHEMA, EngineContract, finished, gather, reply
from tests.doubles.ollama_server import Answer, OllamaServer, default_responder

MODEL = "tiny:latest"
THINKER = "thinker:4b"
STUBBORN = "stubborn:4b"
EMBEDDER = "embedder:latest"
NDJSON = (("Content-Type", "application/x-ndjson"),)
#: Long enough that only a test which waits for a deadline on purpose meets it.
SHORT_S = 0.2


def thoughtful(body: Mapping[str, Any]) -> tuple[str, str]:
    return "one two three four five six", default_responder(body)


def line(content: str = "", **fields: Any) -> bytes:
    message = {"role": "assistant", "content": content}
    return json.dumps({"model": MODEL, "created_at": "", "message": message, "done": False} | fields).encode() + b"\n"


def end(**fields: Any) -> bytes:
    counts: dict[str, Any] = {"prompt_eval_count": 20, "eval_count": 3, "load_duration": 5_000_000}
    return line(**(counts | {"done": True, "done_reason": "stop"} | fields))


def ask(**changes: Any) -> ChatRequest:
    base = ChatRequest(MODEL, (Message("user", "Is the sky blue?"),), persona="ROBIN", step="thesis")
    return replace(base, **changes)


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    models = (MODEL, THINKER, STUBBORN)
    double = OllamaServer(
        models=models, thinking=frozenset({THINKER, STUBBORN}), stubborn=frozenset({STUBBORN}), responder=thoughtful
    )
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


async def collect(chunks: AsyncIterator[Chunk], into: list[Chunk]) -> None:
    """Like `gather`, keeping what came before an error."""
    async for chunk in chunks:
        into.append(chunk)  # noqa: PERF401  # a comprehension would lose it


class TestContract(EngineContract):
    @pytest.fixture
    def model(self) -> str:
        return MODEL

    @pytest.fixture
    def embedder(self) -> str:
        return EMBEDDER

    @pytest.fixture
    async def engine(self, server: OllamaServer) -> AsyncIterator[OllamaEngine]:
        adapter = OllamaEngine(server.url)
        yield adapter
        await adapter.aclose()


class TestContractOfAThinker(TestContract):
    @pytest.fixture
    def model(self) -> str:
        return THINKER


class TestRequest:
    async def test_every_limit_is_sent(self, engine: OllamaEngine, server: OllamaServer) -> None:
        await gather(engine, ask(num_ctx=1024, max_tokens=77, temperature=0.2, seed=9, keep_alive_s=42.0))
        (body,) = server.bodies("/api/chat")
        assert body["options"] == {"num_ctx": 1024, "num_predict": 77, "temperature": 0.2, "seed": 9}
        assert body["keep_alive"] == 42.0
        assert body["stream"] is True
        assert (body["truncate"], body["shift"]) == (False, False)

    async def test_thinking_is_not_mentioned_to_a_model_that_cannot(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """Asking it to think is an error there, so a profile may say `think` for all its models."""
        assert reply(await gather(engine, ask(think=True)))
        (body,) = server.bodies("/api/chat")
        assert "think" not in body
        assert body["options"]["num_predict"] == 512

    @pytest.mark.parametrize("think", [True, False])
    async def test_a_thinker_is_told_either_way(self, engine: OllamaEngine, server: OllamaServer, think: bool) -> None:
        chunks = await gather(engine, ask(model=THINKER, think=think, max_tokens=100, think_tokens=30))
        (body,) = server.bodies("/api/chat")
        assert body["think"] is think
        assert body["options"]["num_predict"] == (130 if think else 100)
        assert any(isinstance(chunk, Thinking) for chunk in chunks) is think
        assert finished(chunks).notes == ()

    async def test_capabilities_are_asked_once_for_a_loaded_model(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        for _ in range(3):
            await gather(engine, ask())
        assert len(server.bodies("/api/show")) == 1

    async def test_a_model_that_went_is_missing_and_its_capabilities_are_forgotten(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """/api/ps goes on listing a deleted model, so the call itself is the first to say so."""
        await gather(engine, ask())
        server.models = (THINKER,)
        with pytest.raises(ModelMissing):
            await anext(engine.stream(ask()))
        server.models = (MODEL,)
        await gather(engine, ask())
        assert len(server.bodies("/api/show")) == 2

    async def test_a_model_that_went_after_it_was_unloaded_is_missing_before_any_chunk(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """No load is announced on the strength of an earlier call."""
        await gather(engine, ask())
        server.models = (THINKER,)
        server.unload(MODEL)
        with pytest.raises(ModelMissing):
            await anext(engine.stream(ask()))


class TestLoading:
    async def test_a_load_is_announced_before_the_server_says_anything(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        server.gate = asyncio.Event()
        chunks = engine.stream(ask(model=THINKER))
        assert await anext(chunks) == Loading(THINKER)
        server.gate.set()
        assert [chunk async for chunk in chunks if isinstance(chunk, Loading)] == []

    @pytest.mark.parametrize("name", ["tiny", "TINY:latest", "library/tiny"])
    async def test_a_loaded_model_is_known_by_all_its_names(self, engine: OllamaEngine, name: str) -> None:
        assert not any(isinstance(chunk, Loading) for chunk in await gather(engine, ask(model=name)))

    async def test_a_load_for_another_context_is_announced_too(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """And one for the same, or for more than the model was trained with, is none."""
        server.train_ctx = 4096
        loads = []
        for num_ctx in (2048, 2048, 1024, 4096, 9000):
            before = len(server.runners.loads)
            chunks = await gather(engine, ask(model=THINKER, num_ctx=num_ctx))
            loads.append(len(server.runners.loads) > before)
            assert isinstance(chunks[0], Loading) is loads[-1]
        assert loads == [True, False, True, True, False]

    @pytest.mark.parametrize("answer", [Answer(500), Answer(200, (), (b"[]",)), Answer(0, end="silence")])
    async def test_a_failing_ps_is_left_to_the_call_itself(self, server: OllamaServer, answer: Answer) -> None:
        server.answer_next("/api/ps", answer)
        engine = OllamaEngine(server.url, deadlines=Deadlines(probe_s=SHORT_S))
        chunks = await gather(engine, ask(model=THINKER))
        await engine.aclose()
        assert not any(isinstance(chunk, Loading) for chunk in chunks)
        assert reply(chunks)


class TestThinking:
    async def test_thinking_beyond_its_limit_is_cut_and_asked_for_no_more(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        thought = line(message={"role": "assistant", "content": "", "thinking": "hm "})
        server.answer_next("/api/chat", Answer(200, NDJSON, (thought,) * 4, "silence"))
        chunks = await gather(engine, ask(model=THINKER, think=True, think_tokens=3))
        assert [chunk.text for chunk in chunks if isinstance(chunk, Thinking)] == ["hm "] * 3
        assert reply(chunks) == default_responder(server.bodies("/api/chat")[0])
        assert finished(chunks).notes == ("thinking was cut after 3 tokens",)
        assert [body["think"] for body in server.bodies("/api/chat")] == [True, False]
        await server.left.wait()

    async def test_thinking_that_used_up_the_whole_budget_is_asked_for_no_more(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """A piece can hold several tokens: the server may reach its limit before the pieces reach ours."""
        thought = line(message={"role": "assistant", "content": "", "thinking": "hm"})
        pieces = (thought, end(done_reason="length"))
        server.answer_next("/api/chat", Answer(200, NDJSON, pieces, "chunked"))
        chunks = await gather(engine, ask(model=THINKER, think=True, think_tokens=3))
        assert reply(chunks)
        assert finished(chunks).notes == ("thinking was cut after 1 tokens",)

    async def test_a_model_that_thinks_unbidden_gets_room_for_both(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """Once found out, it gets that room at the first attempt."""
        for _ in range(2):
            chunks = await gather(engine, ask(model=STUBBORN, max_tokens=100, think_tokens=30))
            assert (
                "".join(chunk.text for chunk in chunks if isinstance(chunk, Thinking))
                == thoughtful({"messages": []})[0]
            )
            assert reply(chunks)
            assert finished(chunks).notes == ("the model thinks although it was told not to",)
        budgets = [body["options"]["num_predict"] for body in server.bodies("/api/chat")]
        assert budgets == [100, 130, 130]

    @pytest.mark.parametrize("think", [True, False])
    async def test_a_model_that_only_thinks_is_asked_twice_at_most(
        self, engine: OllamaEngine, server: OllamaServer, think: bool
    ) -> None:
        with pytest.raises(EngineGarbled, match="only thought"):
            await gather(engine, ask(model=STUBBORN, think=think, think_tokens=2))
        assert len(server.bodies("/api/chat")) == 2

    async def test_room_for_thoughts_is_none_for_the_reply(self, engine: OllamaEngine, server: OllamaServer) -> None:
        chunks = await gather(engine, ask(model=THINKER, think=True, max_tokens=4, think_tokens=50))
        assert len([chunk for chunk in chunks if isinstance(chunk, Text)]) == 4
        assert finished(chunks).reason == "length"
        assert finished(chunks).completion_tokens == 4
        assert finished(chunks).prompt_tokens > 0


class TestDeadlines:
    @pytest.mark.parametrize(
        ("deadlines", "path", "stage"),
        [
            (Deadlines(answer_s=SHORT_S), "/api/show", "load"),
            (Deadlines(first_byte_s=SHORT_S), "/api/chat", "load"),
            (Deadlines(total_s=SHORT_S, first_byte_s=9), "/api/chat", "total"),
        ],
    )
    async def test_a_server_that_never_answers(
        self, server: OllamaServer, deadlines: Deadlines, path: str, stage: str
    ) -> None:
        server.answer_next(path, Answer(0, end="silence"))
        engine = OllamaEngine(server.url, deadlines=deadlines)
        with pytest.raises(EngineTimeout) as caught:
            await gather(engine, ask())
        assert caught.value.stage == stage
        await server.left.wait()
        await engine.aclose()

    @pytest.mark.parametrize(
        ("deadlines", "stage"),
        [(Deadlines(between_tokens_s=SHORT_S), "token"), (Deadlines(total_s=1.0), "total")],
    )
    async def test_a_server_that_stalls_in_mid_stream(
        self, server: OllamaServer, deadlines: Deadlines, stage: str
    ) -> None:
        server.stall_after = 3
        engine = OllamaEngine(server.url, deadlines=deadlines)
        chunks: list[Chunk] = []
        with pytest.raises(EngineTimeout) as caught:
            await collect(engine.stream(ask()), chunks)
        assert caught.value.stage == stage
        assert len(chunks) == 3
        await server.left.wait()
        await engine.aclose()

    async def test_a_trickle_of_bytes_is_not_a_token(self, server: OllamaServer) -> None:
        """Bytes that never make a line do not put the deadline off."""

        async def trickle() -> AsyncIterator[bytes]:
            yield line("The")
            while True:
                await asyncio.sleep(SHORT_S / 5)
                yield b" "

        server.answer_next("/api/chat", Answer(200, NDJSON, trickle(), "chunked"))
        engine = OllamaEngine(server.url, deadlines=Deadlines(between_tokens_s=SHORT_S))
        with pytest.raises(EngineTimeout) as caught:
            await gather(engine, ask())
        assert caught.value.stage == "token"
        await engine.aclose()

    async def test_a_connection_that_is_never_accepted(self) -> None:
        """A listening socket with a full queue leaves a connection hanging, without any address beyond the loopback."""
        import socket

        with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
            address = listener.getsockname()
            fillers = [socket.socket() for _ in range(4)]
            for filler in fillers:
                filler.setblocking(False)
                filler.connect_ex(address)
            engine = OllamaEngine(f"127.0.0.1:{address[1]}", deadlines=Deadlines(connect_s=SHORT_S))
            with pytest.raises(EngineTimeout) as caught:
                await gather(engine, ask())
            await engine.aclose()
            for filler in fillers:
                filler.close()
        assert caught.value.stage == "connect"


class TestStopping:
    async def test_a_whole_reply_is_read_to_the_end_of_its_response(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """So the server sees no client leave, and the connection serves the next call."""
        await gather(engine, ask())
        await gather(engine, ask())
        assert server.departures == 0
        assert server.connections == 1

    async def test_what_follows_the_end_of_a_reply_no_longer_matters(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        server.answer_next("/api/chat", Answer(200, NDJSON, (line("Yes."), end(), b"garbage\n"), "cut"))
        assert reply(await gather(engine, ask())) == "Yes."

    async def test_closing_early_hangs_up(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.stall_after = 2
        chunks = engine.stream(ask())
        assert isinstance(await anext(chunks), Text)
        await chunks.aclose()
        await server.left.wait()
        assert server.departures == 1

    async def test_closing_early_leaves_nothing_to_the_garbage_collector(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """Once `aclose` returns, the response is closed: no generator between caller and socket is left behind."""
        abandoned: list[str] = []
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(
            finalizer=lambda generator: abandoned.append(str(getattr(generator, "__qualname__", "")))
        )
        try:
            server.stall_after = 2
            chunks = engine.stream(ask())
            assert isinstance(await anext(chunks), Text)
            await chunks.aclose()
        finally:
            sys.set_asyncgen_hooks(*hooks)
        assert not [name for name in abandoned if name.startswith(("OllamaEngine.", "AsyncClient."))]

    @pytest.mark.parametrize("loading", [True, False])
    async def test_cancelling_hangs_up(self, engine: OllamaEngine, server: OllamaServer, loading: bool) -> None:
        server.stall_after, server.gate = 2, asyncio.Event()
        if not loading:
            server.gate.set()
        begun = asyncio.Event()

        async def consume() -> None:
            async with aclosing(engine.stream(ask(model=THINKER))) as chunks:
                async for chunk in chunks:
                    if loading or isinstance(chunk, Text):
                        begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        await server.wait_called("/api/chat")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await server.left.wait()


class TestFailures:
    async def test_nobody_there(self, server: OllamaServer) -> None:
        await server.stop()
        engine = OllamaEngine(server.url)
        with pytest.raises(EngineUnreachable) as caught:
            await gather(engine, ask())
        assert server.url in caught.value.message
        assert caught.value.next_step == "ollama serve"
        with pytest.raises(EngineUnreachable):
            await engine.models()
        with pytest.raises(EngineUnreachable):
            await anext(engine.pull("tiny"))
        status = await engine.status()
        assert not status.reachable
        assert server.url in status.detail
        await engine.aclose()

    async def test_the_server_goes_away_between_show_and_chat(self, engine: OllamaEngine, server: OllamaServer) -> None:
        chunks = engine.stream(ask(model=THINKER))
        assert isinstance(await anext(chunks), Loading)
        await server.stop()
        with pytest.raises(EngineUnreachable):
            await anext(chunks)

    @pytest.mark.parametrize(
        ("pieces", "ending", "error", "says"),
        [
            ((), "chunked", EngineBroke, "without an end"),
            ((line("The"), line(" sky")), "chunked", EngineBroke, "without an end"),
            ((line("The"),), "cut", EngineBroke, "broke"),
            ((line("The"),), "reset", EngineBroke, "broke"),
            ((b"<html><body>Welcome to my router</body></html>",), "chunked", EngineGarbled, "protocol"),
            ((line("The"), b'{"model": "tiny", "mess'), "chunked", EngineGarbled, "protocol"),
            ((line("The"), b"\xff\xfe\n"), "chunked", EngineGarbled, "protocol"),
            ((b"[1, 2]\n",), "chunked", EngineGarbled, "protocol"),
            ((b'"text"\n',), "chunked", EngineGarbled, "protocol"),
            ((b'{"response": "x", "done": false}\n',), "chunked", EngineGarbled, "no chat reply"),
            ((line("The"), end(done="yes")), "chunked", EngineGarbled, "no chat reply"),
            ((line(message={"role": "assistant", "content": ["a"]}),), "chunked", EngineGarbled, "not as text"),
            ((line("The"), end(eval_count="3")), "chunked", EngineGarbled, "not as a count"),
            ((end(),), "chunked", EngineGarbled, "answered nothing"),
            ((line("  \n"), end()), "chunked", EngineGarbled, "answered nothing"),
            ((end(done_reason="load"),), "chunked", EngineGarbled, "prompt was empty"),
            ((line("The"), b'{"error": "CUDA error"}\n'), "chunked", EngineBroke, "mid-reply"),
            ((b'{"error": "CUDA error: out of memory"}\n',), "chunked", EngineRefused, "memory"),
            ((b'{"error": {"message": "odd"}}\n',), "chunked", EngineGarbled, "protocol"),
        ],
    )
    async def test_answers_that_are_no_reply(
        self,
        engine: OllamaEngine,
        server: OllamaServer,
        pieces: tuple[bytes, ...],
        ending: Any,
        error: type[Exception],
        says: str,
    ) -> None:
        server.answer_next("/api/chat", Answer(200, NDJSON, pieces, ending))
        chunks: list[Chunk] = []
        with pytest.raises(error, match=says) as caught:
            await collect(engine.stream(ask()), chunks)
        if isinstance(caught.value, EngineBroke):
            assert caught.value.partial == reply(chunks)
        assert reply(await gather(engine, ask())), "the engine serves the next call"

    async def test_a_reply_that_is_cut_keeps_what_had_arrived(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.answer_next("/api/chat", Answer(200, NDJSON, (line("The"), line(" sky")), "cut"))
        with pytest.raises(EngineBroke) as caught:
            await gather(engine, ask())
        assert caught.value.partial == "The sky"

    @pytest.mark.parametrize(
        ("status", "body", "error"),
        [
            (400, b'{"error":"bad"}', EngineRefused),
            (403, b"", EngineRefused),
            (404, b"404 page not found", EngineGarbled),
            (302, b"", EngineGarbled),
            (502, b"<html>Bad Gateway</html>", EngineGarbled),
            (503, b'{"error":"server busy, please try again."}', EngineBusy),
            (500, b'{"error":"llama-server process has terminated: signal: killed"}', EngineBroke),
            (500, b'{"error":"llama-server process has terminated: exit status 1"}', EngineRefused),
            (500, b"", EngineRefused),
            (400, b'{"error":"the input length exceeds the context length"}', PromptTooLong),
        ],
    )
    async def test_http_errors(
        self, engine: OllamaEngine, server: OllamaServer, status: int, body: bytes, error: type[Exception]
    ) -> None:
        elsewhere = (("Location", "http://127.0.0.1:1/"),) if status == 302 else ()
        server.answer_next("/api/chat", Answer(status, elsewhere, (body,)))
        with pytest.raises(error) as caught:
            await gather(engine, ask())
        assert type(caught.value) is error
        if isinstance(caught.value, EngineRefused):
            assert caught.value.status == status

    async def test_a_reply_that_should_be_json_and_is_not(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.responder = lambda body: "Certainly! Here is the JSON"
        with pytest.raises(EngineGarbled, match="was to be JSON"):
            await gather(engine, ask(schema=SCHEMA))

    async def test_json_cut_by_the_limit_is_the_callers(self, engine: OllamaEngine) -> None:
        chunks = await gather(engine, ask(schema=SCHEMA, max_tokens=3))
        assert finished(chunks).reason == "length"

    async def test_what_answers_is_no_ollama(self, engine: OllamaEngine, server: OllamaServer) -> None:
        for payload in (b"<html>", b"[]", b'{"status": "fine"}'):
            server.answer_next("/api/version", Answer(200, (), (payload,)))
            assert not (await engine.status()).reachable
        server.answer_next("/api/tags", Answer(200, (), (b'{"models": [1]}',)))
        with pytest.raises(EngineGarbled):
            await engine.models()

    async def test_status_gives_up_on_a_silent_server(self, server: OllamaServer) -> None:
        server.answer_next("/api/version", Answer(0, end="silence"))
        engine = OllamaEngine(server.url, deadlines=Deadlines(probe_s=SHORT_S))
        assert not (await engine.status()).reachable
        await engine.aclose()


class TestTruncation:
    LONG = (Message("user", "word " * 400),)

    async def test_a_server_that_knows_truncate_refuses(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.train_ctx = 256
        with pytest.raises(PromptTooLong, match=r"403 tokens|407 tokens") as caught:
            await gather(engine, ask(messages=self.LONG))
        assert caught.value.status == 400

    async def test_a_server_that_ignores_truncate_is_found_out(
        self, engine: OllamaEngine, server: OllamaServer
    ) -> None:
        """It read fewer tokens than the prompt has words. The text has gone out by then; the turn must not use it."""
        server.train_ctx, server.honours_truncate = 256, False
        chunks: list[Chunk] = []
        with pytest.raises(PromptTooLong, match="130 tokens of at least 400"):
            await collect(engine.stream(ask(messages=self.LONG)), chunks)
        assert not any(isinstance(chunk, Finished) for chunk in chunks)

    async def test_what_cannot_fit_is_not_even_sent(self, engine: OllamaEngine, server: OllamaServer) -> None:
        with pytest.raises(PromptTooLong):
            await gather(engine, ask(messages=self.LONG, num_ctx=256))
        assert server.calls == []


class TestPull:
    async def test_a_download_reports_and_succeeds(self, engine: OllamaEngine, server: OllamaServer) -> None:
        reports = [report async for report in engine.pull("fresh:1b")]
        assert reports[0] == PullProgress("pulling manifest")
        assert reports[-1] == PullProgress("success")
        assert max(report.completed_bytes for report in reports) == max(report.total_bytes for report in reports) > 0
        assert "fresh:1b" in {known.name for known in await engine.models()}

    async def test_no_network(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.offline = True
        with pytest.raises(EngineUnreachable, match="registry") as caught:
            _ = [report async for report in engine.pull("fresh:1b")]
        assert "a4ps models pull fresh:1b" in caught.value.next_step

    async def test_a_bad_name(self, engine: OllamaEngine) -> None:
        with pytest.raises(EngineRefused) as caught:
            await anext(engine.pull("a b"))
        assert caught.value.status == 400

    @pytest.mark.parametrize("version", ["0.34.2", "0.17.0"])
    async def test_a_version_with_a_hole_pulls_nothing(
        self, engine: OllamaEngine, server: OllamaServer, version: str
    ) -> None:
        server.version = version
        with pytest.raises(EngineRefused, match=version) as caught:
            await anext(engine.pull("fresh:1b"))
        assert "upgrade Ollama" in caught.value.next_step
        assert server.bodies("/api/pull") == []
        assert (await engine.status()).hazard

    @pytest.mark.parametrize("ending", ["chunked", "cut"])
    async def test_a_download_that_stops(self, engine: OllamaEngine, server: OllamaServer, ending: Any) -> None:
        server.answer_next("/api/pull", Answer(200, NDJSON, (b'{"status":"pulling manifest"}\n',), ending))
        with pytest.raises(EngineBroke):
            _ = [report async for report in engine.pull("fresh:1b")]

    async def test_a_line_that_is_no_report(self, engine: OllamaEngine, server: OllamaServer) -> None:
        server.answer_next("/api/pull", Answer(200, NDJSON, (b'{"state":"x"}\n',), "chunked"))
        with pytest.raises(EngineGarbled):
            await anext(engine.pull("fresh:1b"))


class TestSurroundings:
    def test_importing_loads_no_client(self) -> None:
        code = "import sys, a4ps.inference.ollama; print({'ollama', 'httpx'} & set(sys.modules))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "set()"

    async def test_a_proxy_from_the_environment_is_not_used(
        self, server: OllamaServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.delenv("NO_PROXY", raising=False)
        engine = OllamaEngine(server.url)
        assert (await engine.status()).reachable
        await engine.aclose()

    async def test_the_bind_address_is_called_on_the_loopback(self, server: OllamaServer) -> None:
        engine = OllamaEngine(f"0.0.0.0:{server.port}")
        assert (await engine.status()).reachable
        await engine.aclose()

    def test_what_is_no_address_is_refused_at_once(self) -> None:
        with pytest.raises(SettingsError):
            OllamaEngine("http://127.0.0.1:port")

    async def test_closing_an_engine_that_was_never_used(self) -> None:
        await OllamaEngine("127.0.0.1:1").aclose()
