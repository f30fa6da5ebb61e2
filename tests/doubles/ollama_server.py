"""An Ollama server without a model: the protocol over a real socket, with text from a function.

Three uses. In a test: `async with OllamaServer() as server: OllamaEngine(server.url)`. As a process, for tests of the
command line: `python -m tests.doubles.ollama_server --port 0`, whose first line of output is its address. As a player of
recorded answers: `server.play(step)` gives the next call of that step's path exactly the recorded bytes and end.

Statuses, header order, keys and error texts follow recordings of a real server, and `tests/inference/
test_ollama_server.py` holds them to it. Thinking and downloads are not in the recordings: they follow Ollama's manual.

Not covered: create, copy, delete, embed, /v1, images, tools, logprobs, and the unloading of a model for another.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import re
import signal
import socket
import struct
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from typing import Any, Literal, TypeAlias

from tests.doubles.schema_instance import instance

#: Given a chat body, the reply, or (thinking, reply).
Responder: TypeAlias = Callable[[Mapping[str, Any]], "str | tuple[str, str]"]
End: TypeAlias = Literal["chunked", "length", "none", "cut", "reset", "silence"]

DEFAULT_MODELS = ("qwen3.5:9b", "qwen3.5:4b", "gemma4:e4b", "nemotron-3-nano:4b", "tiny:latest")
DEFAULT_CONTEXT = 4096
_JSON = "application/json; charset=utf-8"
_NDJSON = "application/x-ndjson"
_PHRASES = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip
_POSTS = ("/api/chat", "/api/generate", "/api/show", "/api/pull")
_GETS = ("/", "/api/version", "/api/tags", "/api/ps")
#: Go's net/http sends a length of its own accord up to this many bytes, and chunks what is longer.
_GO_BUFFER_BYTES = 2048


@dataclass(frozen=True)
class Call:
    """One request as it arrived. `body` is the parsed JSON, or the text where it is none."""

    method: str
    path: str
    headers: Mapping[str, str]
    raw: bytes = b""

    @property
    def body(self) -> Any:
        return json.loads(self.raw) if self.raw else None


@dataclass(frozen=True)
class Answer:
    """What to send. `pieces` are written one by one, each as a chunk of its own where `end` is not "length".

    `end`: the terminating chunk; a complete length; none as for HEAD; "cut" closes without the terminating chunk;
    "reset" closes with RST; "silence" leaves the connection open until the client goes. `status` 0 sends no head.
    """

    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    pieces: Iterable[bytes] | AsyncIterator[bytes] = ()
    end: End = "length"


def play(response: Mapping[str, Any], *, end: End | None = None) -> Answer:
    """A recorded response as an answer; `end` overrides the recorded end ("reset" and "silence" were never recorded)."""
    pieces = []
    for line in response.get("lines", ()):
        text = line["text"] if "text" in line else json.dumps(line["json"], separators=(",", ":"), ensure_ascii=False)
        pieces.append((text + ("" if line.get("no_trailing_newline") else "\n")).encode())
    ends: dict[str, End] = {
        "terminating chunk": "chunked",
        "content-length complete": "length",
        "no body (HEAD)": "none",
        "CLIENT closed the connection": "silence",
        "PREMATURE eof: no terminating chunk": "cut",
        "eof before headers complete": "cut",
    }
    headers = tuple((name, value) for name, value in response.get("headers") or () if name != "Content-Length")
    return Answer(response.get("status") or 0, headers, tuple(pieces), end or ends[response["end"]])


def default_responder(body: Mapping[str, Any]) -> str:
    """An instance of the schema where one is asked for, else sentences that quote the last user message."""
    if isinstance(body.get("format"), Mapping):
        return json.dumps(instance(body["format"]))
    asked = next((str(m.get("content") or "") for m in reversed(body["messages"]) if m.get("role") == "user"), "")
    words = " ".join(asked.split()[:8])
    return f"You ask: {words}. The plain reading holds up best. It would fail if its first premise fell."


def split_tokens(text: str) -> list[str]:
    """Pieces about as long as tokens; joined, they are `text`."""
    return re.findall(r"\s*\S{1,5}|\s+", text)


def count_tokens(messages: Iterable[Mapping[str, Any]]) -> int:
    return 3 + sum(4 + len(re.findall(r"\w{1,6}|[^\w\s]", str(m.get("content") or ""))) for m in messages)


@dataclass
class OllamaServer:
    """The server. Attributes may be changed between calls; `calls` grows with each request.

    `gate`: while it is unset, a chat call gets no byte (a load). `stall_after`: a chat stream goes silent after that many
    lines. `left`: set when a client went away before its answer was complete; `departures` counts those,
    `connections` all that were accepted.
    """

    models: tuple[str, ...] = DEFAULT_MODELS
    responder: Responder = default_responder
    thinking: frozenset[str] = frozenset()
    stubborn: frozenset[str] = frozenset()
    native: frozenset[str] = frozenset()
    version: str = "0.35.1"
    train_ctx: int = 32768
    honours_truncate: bool = True
    offline: bool = False
    delay_s: float = 0.0
    load_s: float = 0.0
    port: int = 0
    gate: asyncio.Event | None = None
    stall_after: int | None = None
    calls: list[Call] = field(default_factory=list)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    departures: int = 0
    connections: int = 0
    _arrivals: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    _scripted: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    _loaded: dict[str, tuple[datetime, int]] = field(default_factory=dict)
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

    def load(self, model: str) -> None:
        """Make `model` a loaded one, as after a call of it."""
        self._loaded[_full(model)] = (_now() + timedelta(minutes=5), DEFAULT_CONTEXT)

    def unload(self, model: str) -> None:
        self._loaded.pop(_full(model), None)

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
                while (call := await _read(reader, ahead)) is not None:
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
        answer = queued.popleft() if queued else self._answer(call)
        pieces = answer.pieces
        if answer.end in ("length", "none"):
            body = b"".join([piece async for piece in _each(pieces)])
            own = dict(answer.headers)
            length = () if "Transfer-Encoding" in own else (("Content-Length", str(len(body))),)
            writer.write(_head(answer, call, length) + (b"" if answer.end == "none" else body))
            await writer.drain()
            return True
        if answer.status:
            writer.write(_head(answer, call, (("Transfer-Encoding", "chunked"),)))
        async for piece in _each(pieces):
            writer.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
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

    def _answer(self, call: Call) -> Answer:
        head = call.method == "HEAD"
        host = call.headers.get("host", "").rpartition(":")[0] or call.headers.get("host", "")
        origin = call.headers.get("origin")
        if not _is_local(host) or (origin is not None and not _is_local(re.sub(r"^https?://|:\d+$", "", origin))):
            return Answer(403)
        extra = () if origin is None else (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))
        if call.path in _POSTS and call.method != "POST":
            return _plain(405, "405 method not allowed", (("Allow", "POST"),))
        if call.path not in _POSTS + _GETS or (call.path in _GETS and call.method not in ("GET", "HEAD")):
            return _plain(404, "404 page not found")
        if call.path == "/":
            return _plain(200, "Ollama is running", kind="text/plain; charset=utf-8", head=head)
        if call.path == "/api/version":
            return _json({"version": self.version}, extra=extra, head=head)
        if call.path == "/api/tags":
            return _json({"models": [self._tag(name) for name in self.models]}, extra=extra, head=head)
        if call.path == "/api/ps":
            return _json({"models": self._running()}, extra=extra, head=head)
        body = _parse(call.raw)
        if isinstance(body, str):
            return _error(400, body)
        return getattr(self, f"_{call.path.rpartition('/')[2]}")(body)  # type: ignore[no-any-return]

    def _tag(self, name: str) -> dict[str, Any]:
        details = _details() | {"context_length": self.train_ctx, "embedding_length": 192}
        return {
            "name": name, "model": name, "modified_at": _stamp(_now()), "size": _size(name), "digest": _digest(name),
            "details": details, "capabilities": self._capabilities(name),
        }  # fmt: skip

    def _running(self) -> list[dict[str, Any]]:
        self._loaded = {name: entry for name, entry in self._loaded.items() if entry[0] > _now()}
        return [
            {
                "name": name, "model": name, "size": _size(name), "digest": _digest(name), "details": _details(),
                "expires_at": _stamp(expires), "size_vram": _size(name), "context_length": ctx,
            }
            for name, (expires, ctx) in self._loaded.items()
        ]  # fmt: skip

    def _capabilities(self, name: str) -> list[str]:
        return ["completion", "thinking"] if _among(name, self.thinking) else ["completion"]

    def _has(self, name: str) -> bool:
        return _among(name, self.models)

    def _show(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            return _error(400, "model is required")
        if not self._has(name):
            return _error(404, f"model '{_full(name)}' not found")
        return _json(
            {
                "modelfile": f"FROM {name}\n# " + "-" * _GO_BUFFER_BYTES,
                "parameters": 'stop                           "<|im_end|>"',
                "template": "{{ .Prompt }}",
                "details": _details(),
                "model_info": {"general.architecture": "tiny", "tiny.context_length": self.train_ctx},
                "tensors": [],
                "capabilities": self._capabilities(name),
                "modified_at": _stamp(_now()),
            }
        )

    def _refusal(self, body: Mapping[str, Any]) -> Answer | None:
        """The error that a chat body is answered with before anything runs, or None."""
        name, options = str(body.get("model") or ""), body.get("options") or {}
        if not name:
            return _error(400, "model is required")
        if not re.fullmatch(r"[\w.:/-]+", name):
            return _error(400, "invalid model name")
        if not self._has(name):
            return _error(404, f"model '{name}' not found")
        if body.get("think") and not _among(name, self.thinking):
            return _error(400, f'"{name}" does not support thinking')
        keep = body.get("keep_alive")
        if isinstance(keep, str) and re.fullmatch(r"-?[1-9]\d*", keep):
            return _error(400, f'time: missing unit in duration "{keep}"')
        kinds = {"temperature": "float32", "num_ctx": "integer", "num_predict": "integer", "seed": "integer"}
        for key, kind in kinds.items():
            if key in options and not isinstance(options[key], int | float):
                return _error(500, f'option "{key}" must be of type {kind}')
        wanted = body.get("format")
        if wanted not in (None, "", "json") and not isinstance(wanted, Mapping):
            quoted = json.dumps(json.dumps(wanted))
            return _error(500, f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
        return None

    def _chat(self, body: Mapping[str, Any]) -> Answer:
        refused = self._refusal(body)
        if refused is not None:
            return refused
        name, options = str(body["model"]), body.get("options") or {}
        messages = body.get("messages") or []
        if not messages:
            self._keep(name, body, DEFAULT_CONTEXT)
            reason = "unload" if body.get("keep_alive") in (0, "0") else "load"
            return _json(_line(name, {"role": "assistant", "content": ""}) | {"done": True, "done_reason": reason})
        # llama-server rounds a context up to the next 256, and no model has more than it was trained with.
        ctx = min(self.train_ctx, 256 * max(1, math.ceil(options.get("num_ctx", DEFAULT_CONTEXT) / 256)))
        prompt = count_tokens(messages)
        if prompt > ctx:
            if _among(name, self.native) or (self.honours_truncate and body.get("truncate") is False):
                said = f"request ({prompt} tokens) exceeds the available context size ({ctx} tokens), try increasing it"
                inner = {"code": 400, "message": said, "type": "exceed_context_size_error"}
                inner |= {"n_prompt_tokens": prompt, "n_ctx": ctx}
                return _error(400, json.dumps({"error": inner}, separators=(",", ":")))
            prompt = ctx // 2 + 2
        cold = self._keep(name, body, ctx)
        lines = self._reply(name, body, prompt, cold)
        if body.get("stream", True):
            return Answer(200, (("Content-Type", _NDJSON),), lines, "chunked")
        return Answer(200, (("Content-Type", _JSON),), _whole(lines), "length")

    def _keep(self, name: str, body: Mapping[str, Any], ctx: int) -> bool:
        """Note the model as loaded for its keep_alive. Returns whether it had to be loaded."""
        full = _full(name)
        cold = full not in {entry["name"] for entry in self._running()}
        asked = body.get("keep_alive", 300)
        seconds = float(asked) if isinstance(asked, int | float) else (0.0 if asked == "0" else 300.0)
        if seconds == 0:
            self._loaded.pop(full, None)
        else:
            self._loaded[full] = (
                _now() + timedelta(days=36500) if seconds < 0 else _now() + timedelta(seconds=seconds),
                ctx,
            )
        return cold

    async def _reply(self, name: str, body: Mapping[str, Any], prompt: int, cold: bool) -> AsyncIterator[bytes]:
        if cold and self.load_s:
            await asyncio.sleep(self.load_s)
        if self.gate is not None:
            await self.gate.wait()
        said = self.responder(body)
        thinking, text = ("", said) if isinstance(said, str) else said
        told_not_to = body.get("think") is False or not _among(name, self.thinking)
        if told_not_to and not _among(name, self.stubborn):
            thinking = ""
        pieces = [("thinking", piece) for piece in split_tokens(thinking)]
        pieces += [("content", piece) for piece in split_tokens(text)]
        most = int((body.get("options") or {}).get("num_predict", -1))
        reason = "length" if 0 < most < len(pieces) else "stop"
        pieces = pieces[:most] if most > 0 else pieces
        for number, (kind, piece) in enumerate(pieces):
            if number == self.stall_after:
                await asyncio.Event().wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            message = {"role": "assistant", "content": ""} | {kind: piece}
            yield _encode(_line(name, message) | {"done": False})
        stats = {
            "total_duration": 11_000_000, "load_duration": 260_000_000 if cold else 2_000_000,
            "prompt_eval_count": prompt, "prompt_eval_duration": 600_000,
            "eval_count": len(pieces) + (reason == "stop"), "eval_duration": 5_000_000,
        }  # fmt: skip
        last = _line(name, {"role": "assistant", "content": ""}) | {"done": True, "done_reason": reason} | stats
        yield _encode(last)

    def _generate(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or "")
        if not self._has(name):
            return _error(404, f"model '{name}' not found")
        if body.get("prompt"):
            return _error(400, f'"{name}" does not support generate')
        self._keep(name, body, DEFAULT_CONTEXT)
        reason = "unload" if body.get("keep_alive") in (0, "0") else "load"
        stamp = {"model": name, "created_at": _stamp(_now()), "response": ""}
        return _json(stamp | {"done": True, "done_reason": reason})

    def _pull(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or "")
        if not re.fullmatch(r"[\w.:/-]+", name):
            return _error(400, "invalid model name")
        return Answer(200, (("Content-Type", _NDJSON),), self._fetch(name), "chunked")

    async def _fetch(self, name: str) -> AsyncIterator[bytes]:
        yield _encode({"status": "pulling manifest"})
        if self.offline:
            where = f"https://registry.invalid/v2/library/{name}/manifests/latest"
            looked_up = "dial tcp: lookup registry.invalid on 192.0.2.1:53: no such host"
            yield _encode({"error": f'pull model manifest: Get "{where}": {looked_up}'})
            return
        total, digest = _size(name), _digest(name)
        for done in (0, total // 2, total):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            step = {"status": f"pulling {digest[:12]}", "digest": f"sha256:{digest}", "total": total}
            yield _encode(step | ({"completed": done} if done else {}))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            if status == "success" and not self._has(name):
                self.models = (*self.models, _full(name))
            yield _encode({"status": status})


async def _read(reader: asyncio.StreamReader, ahead: bytes) -> Call | None:
    first = ahead + await reader.readline()
    if not first.strip():
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Call(method, target.partition("?")[0], headers, raw)


async def _each(pieces: Iterable[bytes] | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            yield piece
    else:
        for piece in pieces:
            yield piece


async def _whole(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """A streamed reply as the one object that "stream": false gets."""
    said: dict[str, str] = {"role": "assistant", "content": ""}
    async for line in lines:
        part = json.loads(line)
        for key in ("content", "thinking"):
            if part["message"].get(key):
                said[key] = said.get(key, "") + part["message"][key]
        if part["done"]:
            yield json.dumps(part | {"message": said}, separators=(",", ":"), ensure_ascii=False).encode()


def _head(answer: Answer, call: Call, framing: tuple[tuple[str, str], ...]) -> bytes:
    """Go's order: the handler's headers, Date, then Content-Length before Connection, but Transfer-Encoding after it."""
    headers = list(answer.headers)
    names = {name for name, _ in headers}
    if "Date" not in names:
        headers.append(("Date", formatdate(usegmt=True)))
    close = [("Connection", "close")] if call.headers.get("connection", "").lower() == "close" else []
    rest = [*framing, *close] if framing and framing[0][0] == "Content-Length" else [*close, *framing]
    headers += [(name, value) for name, value in rest if name not in names]
    lines = [f"HTTP/1.1 {answer.status} {_PHRASES.get(answer.status, 'Unknown')}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _json(
    value: Mapping[str, Any], *, status: int = 200, extra: tuple[tuple[str, str], ...] = (), head: bool = False
) -> Answer:
    body = json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
    before, after = extra[:1], extra[1:]
    end: End = "none" if head else ("chunked" if len(body) > _GO_BUFFER_BYTES else "length")
    return Answer(status, (*before, ("Content-Type", _JSON), *after), (body,), end)


def _error(status: int, text: str) -> Answer:
    return _json({"error": text}, status=status)


def _plain(
    status: int, text: str, extra: tuple[tuple[str, str], ...] = (), *, kind: str = "text/plain", head: bool = False
) -> Answer:
    return Answer(status, (*extra, ("Content-Type", kind)), (text.encode(),), "none" if head else "length")


def _encode(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _parse(raw: bytes) -> dict[str, Any] | str:
    """The body, or the text of Go's complaint about it. What follows the first JSON value is ignored, as Go does."""
    text = raw.decode("utf-8", "replace")
    if not text:
        return "missing request body"
    try:
        body, _ = json.JSONDecoder().raw_decode(text)
    except json.JSONDecodeError as exc:
        if exc.pos >= len(text.rstrip()):
            return "unexpected EOF"
        return f"invalid character '{text[exc.pos]}' looking for beginning of value"
    if not isinstance(body, dict):
        return f"json: cannot unmarshal {_go_kind(body)} into Go value of type api.ChatRequest"
    for key, wanted, go in (
        ("messages", list, "[]api.Message"),
        ("stream", bool, "bool"),
        ("options", dict, "map[string]interface {}"),
    ):
        if body.get(key) is not None and not isinstance(body[key], wanted):
            return f"json: cannot unmarshal {_go_kind(body[key])} into Go struct field ChatRequest.{key} of type {go}"
    return body


def _go_kind(value: object) -> str:
    kinds = {list: "array", str: "string", bool: "bool", dict: "object"}
    return kinds.get(type(value), "number")


def _line(name: str, message: Mapping[str, str]) -> dict[str, Any]:
    return {"model": name, "created_at": _stamp(_now()), "message": dict(message)}


def _details() -> dict[str, Any]:
    return {
        "parent_model": "", "format": "gguf", "family": "tiny", "families": ["tiny"],
        "parameter_size": "2.36M", "quantization_level": "F16",
    }  # fmt: skip


def _full(name: str) -> str:
    name = name.lower().removeprefix("library/")
    return name if ":" in name else f"{name}:latest"


def _among(name: str, names: Iterable[str]) -> bool:
    return _full(name) in {_full(known) for known in names}


def _is_local(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "[::1]")


def _digest(name: str) -> str:
    return hashlib.sha256(_full(name).encode()).hexdigest()


def _size(name: str) -> int:
    return 1_000_000 + int(_digest(name)[:6], 16)


def _now() -> datetime:
    return datetime.now(UTC)


def _stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "123Z"


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
        port=given.port,
    )
    asyncio.run(_serve_forever(server))


if __name__ == "__main__":
    main()
