"""Real models behind the test server: each runner is a process with one of tests/data/models in llama.cpp.

Tokens, counts, contexts, shapes, temperature and seeds are then the model's own; the server's answers stay as recorded.
Closing a reply stops the model's work; a runner that goes takes its process along, and one whose process dies is dead.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

from tests.doubles.ollama.library import Library, digest_of
from tests.doubles.ollama.replies import End, Piece
from tests.doubles.ollama.runners import LoadError, Runner, RunnerDiedError, rounded
from tests.doubles.ollama_server import OllamaServer
from tests.models import manifest

#: What both bases were trained with.
TRAIN_CTX = 8192
EMBEDDER = "tiny-embed:latest"
PERSONAS = ("alfred", "brick", "robin", "babs")
_CHILD = ("-m", "tests.doubles.ollama.tiny_child")
_LAST = frozenset({"end", "counted", "vectors", "failed"})


class TinyModels:
    """The processes of a server's runners: its `Brain`, and the `Process` of its runners."""

    def __init__(self) -> None:
        self._children: dict[Runner, _Child] = {}
        self._ending: set[asyncio.Task[int]] = set()

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes of the runners that are loaded."""
        return tuple(child.process.pid for child in self._children.values())

    async def come_up(self, runner: Runner) -> None:
        model = runner.model
        files = [path for path in manifest.FOLDER.glob("*.gguf") if digest(path) in (model.weights, model.adapter)]
        files.sort(key=lambda path: digest(path) != model.weights)
        kind, ctx = "embeds" if model.embeds else "chats", rounded(runner.options.num_ctx, TRAIN_CTX)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *_CHILD, kind, str(ctx), *map(str, files), stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            cwd=Path(__file__).parents[3],
        )  # fmt: skip
        child = self._children[runner] = _Child(process)
        try:
            await child.answer(0)
        except RunnerDiedError as exc:
            raise LoadError("exit status 1") from exc

    def gone(self, runner: Runner) -> None:
        child = self._children.pop(runner, None)
        if child is not None:
            if child.process.returncode is None:
                child.process.kill()
            ending = asyncio.create_task(child.process.wait())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)

    async def settled(self) -> None:
        """Wait until the processes of runners that are gone have ended."""
        await asyncio.gather(*self._ending)

    async def aclose(self) -> None:
        for runner in tuple(self._children):
            self.gone(runner)
        await self.settled()

    async def count(self, runner: Runner, messages: list[dict[str, Any]]) -> int:
        asked = _request({"messages": messages}) | {"max_tokens": 1}
        return int((await self._children[runner].ask("count", asked))["counted"])

    async def reply(self, runner: Runner, body: Mapping[str, Any]) -> AsyncGenerator[Piece | End, None]:
        async with aclosing(self._children[runner].answers("chat", _request(body))) as answers:
            async for answer in answers:
                if "piece" in answer:
                    yield "content", answer["piece"]
                else:
                    yield End(answer["end"], answer["tokens"])

    async def embed(self, runner: Runner, texts: list[str]) -> list[list[float]]:
        rows: list[list[float]] = (await self._children[runner].ask("embed", texts))["vectors"]
        return rows


class _Child:
    """One process, asked for one thing at a time: `_open` is what it has not answered to the end, 0 for nothing."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._numbers = 0
        self._open = 0
        self._free = asyncio.Lock()

    async def answers(self, what: str, asked: Any) -> AsyncGenerator[dict[str, Any], None]:
        """What comes back, the last included. Closed before that, the process is told to stop."""
        async with self._free:
            while self._open:
                # What was given up is read to its end by whoever comes next: the one who gave it up may be in a hurry.
                await self.answer(self._open)
            self._numbers += 1
            number = self._open = self._numbers
            self._send({"id": number, what: asked})
            try:
                while self._open:
                    yield await self.answer(number)
            finally:
                if self._open:
                    self._send({"stop": number})

    async def ask(self, what: str, asked: Any) -> dict[str, Any]:
        async with aclosing(self.answers(what, asked)) as answers:
            return await anext(answers)

    async def answer(self, number: int) -> dict[str, Any]:
        """The next line. Raises `RunnerDiedError` where the process is gone, or could not do what it was asked."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RunnerDiedError
        answer: dict[str, Any] = json.loads(line)
        assert answer["id"] == number
        if not _LAST.isdisjoint(answer):
            self._open = 0
        if "failed" in answer:
            raise RunnerDiedError(answer["failed"])
        return answer

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")


def _request(body: Mapping[str, Any]) -> dict[str, Any]:
    """A body of /api/chat as a request of llama.cpp's own server; what is not said is Ollama's default."""
    options = body.get("options") or {}
    most = options.get("num_predict")
    request: dict[str, Any] = {
        "messages": [{"role": m["role"], "content": m.get("content") or ""} for m in body["messages"]],
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,
        "temperature": options.get("temperature", 0.8),
        "seed": options.get("seed", -1),
        "max_tokens": most if most and most > 0 else -1,
        "stop": options.get("stop") or [],
    }
    wanted = body.get("format")
    if wanted == "json":
        request["response_format"] = {"type": "json_object"}
    elif isinstance(wanted, Mapping):
        request["response_format"] = {"type": "json_schema", "json_schema": {"name": "reply", "schema": wanted}}
    return request


def digest(path: Path) -> str:
    return digest_of(path.read_bytes())


@asynccontextmanager
async def tiny_server(**fields: Any) -> AsyncIterator[tuple[OllamaServer, TinyModels]]:
    """A server with tiny, tinier, tiny under each persona's LoRA, and tiny as an embedder."""
    models = TinyModels()
    server = OllamaServer(train_ctx=TRAIN_CTX, brain=models, **fields)
    server.library, server.runners.process = Library(()), models
    weights = {name: digest(manifest.FOLDER / f"{name}.gguf") for name in ("tiny", "tinier", *PERSONAS)}
    for base in ("tiny", "tinier"):
        server.library.add(base, weights=weights[base])
    for persona in PERSONAS:
        server.library.add(f"tiny-{persona}", weights=weights["tiny"], adapter=weights[persona])
    server.library.add(EMBEDDER, weights=weights["tiny"], embeds=True, chats=False)
    server.take_stock()
    try:
        async with server:
            yield server, models
    finally:
        await models.aclose()
