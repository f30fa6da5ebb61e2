"""An Ollama server without a model: the protocol over a real socket, with text from a function.

Three uses. In a test: `async with OllamaServer() as server: OllamaEngine(server.url)`. As a process, for tests of the
command line: `python -m tests.doubles.ollama_server --port 0`, whose first line of output is its address. As a player of
recorded answers: `server.play(step)` gives the next call of that step's path exactly the recorded bytes and end.
`ollama/tiny.py` puts real models behind it.

What it answers is in `ollama/api.py` and beside it. `tests/inference/test_ollama_server*.py` hold it to recordings of a real
server; `tests/data/ollama/README.md` says which of them it covers, and what not.

Not covered: pictures, logprobs, `context` of a generate as real tokens, and the sizes of anything.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import struct
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from tests.doubles.ollama.api import DEFAULT_CONTEXT, DEFAULT_MODELS, OllamaApi
from tests.doubles.ollama.http import Answer, Call, End, each, head, play, read_call
from tests.doubles.ollama.replies import count_tokens, default_responder, split_tokens

__all__ = [
    "DEFAULT_CONTEXT", "Answer", "Call", "OllamaServer", "count_tokens", "default_responder", "play", "split_tokens",
]  # fmt: skip


@dataclass
class OllamaServer(OllamaApi):
    """The server. Attributes may be changed between calls; `calls` grows with each request.

    `left`: set when a client went away before its answer was complete; `departures` counts those, `connections` all
    that were accepted.
    """

    port: int = 0
    calls: list[Call] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    departures: int = 0
    connections: int = 0
    _arrivals: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _scripted: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    _server: asyncio.Server | None = None
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> OllamaServer:
        self._server = await asyncio.start_server(self._connection, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Refuse new connections and break off the open ones, as a killed server does. Idempotent."""
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def answer_next(self, path: str, answer: Answer) -> None:
        """Give the next call of `path` this answer; several queue up."""
        self._scripted[path].append(answer)

    def play(self, step: Mapping[str, Any], *, end: End | None = None) -> None:
        """Give the next call of the step's path its recorded answer, as `play` makes it."""
        self.answer_next(step["request"]["path"], play(step["response"], end=end))

    def bodies(self, path: str) -> list[Any]:
        """The JSON of each call of `path`, in order."""
        return [call.body for call in self.calls if call.path == path]

    async def wait_called(self, path: str) -> None:
        """Wait for the first call of `path`."""
        await self._arrivals[path].wait()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                ahead = b""
                while (call := await read_call(reader, ahead)) is not None:
                    self.calls.append(call)
                    self._arrivals[call.path].set()
                    ahead, keep = await self._serve(call, reader, writer)
                    if not keep:
                        break
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            writer.close()
            self._tasks.discard(task)

    async def _serve(
        self, call: Call, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> tuple[bytes, bool]:
        """Answer one call while watching whether its client stays. Returns what was read ahead, and whether to go on."""
        if call.cut:
            return b"", await self._send(call, writer) and False
        sending = asyncio.create_task(self._send(call, writer))
        watching = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait({sending, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                self.departures += 1
                self.left.set()
                return b"", False
            keep = sending.result() and call.headers.get("connection", "").lower() != "close"
            return (watching.result() if watching.done() else b""), keep
        finally:
            for task in (sending, watching):
                task.cancel()
            await asyncio.gather(sending, watching, return_exceptions=True)

    async def _send(self, call: Call, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection can serve another call."""
        queued = self._scripted[call.path]
        answer = queued.popleft() if queued else await self.answer(call)
        try:
            return await self._write(answer, call, writer)
        finally:
            if isinstance(answer.pieces, AsyncGenerator):
                # Whoever makes the pieces hears at once that nobody wants them any more.
                await answer.pieces.aclose()
            if answer.after is not None:
                answer.after()

    @staticmethod
    async def _write(answer: Answer, call: Call, writer: asyncio.StreamWriter) -> bool:
        if answer.end in ("length", "none", "bare"):
            body = b"".join([piece async for piece in each(answer.pieces)])
            own = dict(answer.headers)
            length = () if "Transfer-Encoding" in own or answer.end == "bare" else (("Content-Length", str(len(body))),)
            writer.write(head(answer, call, length) + (body if answer.end == "length" else b""))
            await writer.drain()
            return True
        framing = head(answer, call, (("Transfer-Encoding", "chunked"),)) if answer.status else b""
        async for piece in each(answer.pieces):
            # The head goes with the first piece: while a model loads, no byte arrives.
            writer.write(framing + f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
            framing = b""
            await writer.drain()
        writer.write(framing)
        await writer.drain()
        if answer.end == "silence":
            await asyncio.Event().wait()
        if answer.end == "chunked":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            return True
        if answer.end == "reset":
            # Linger of zero seconds makes close() send RST.
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False


async def _serve_forever(server: OllamaServer) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with server:
        print(server.url, flush=True)
        await stopped.wait()


def main() -> None:
    """Serve until SIGTERM or SIGINT. The first line printed is the URL."""
    parser = argparse.ArgumentParser(prog="python -m tests.doubles.ollama_server", description=main.__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--models", default=",".join(DEFAULT_MODELS), help="names, separated by commas")
    parser.add_argument("--missing-models", action="store_true", help="begin without any model; a pull adds one")
    parser.add_argument("--thinking", default="", help="names of models that can think, separated by commas")
    parser.add_argument("--delay-ms", type=float, default=0.0, help="before each token and each report of a download")
    parser.add_argument("--load-ms", type=float, default=0.0, help="before the first byte of a model not yet loaded")
    parser.add_argument("--max-loaded", type=int, default=3, help="how many models stand in memory side by side")
    parser.add_argument("--version", default="0.35.1", help="what /api/version says")
    parser.add_argument("--offline", action="store_true", help="pulls fail as they do without a network")
    given = parser.parse_args()
    server = OllamaServer(
        models=() if given.missing_models else tuple(filter(None, given.models.split(","))),
        thinking=frozenset(filter(None, given.thinking.split(","))),
        version=given.version,
        offline=given.offline,
        delay_s=given.delay_ms / 1000,
        load_s=given.load_ms / 1000,
        max_loaded=given.max_loaded,
        port=given.port,
    )
    asyncio.run(_serve_forever(server))


if __name__ == "__main__":
    main()
