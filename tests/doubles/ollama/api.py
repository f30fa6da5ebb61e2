"""What an Ollama server answers, without a socket: from a `Call` to an `Answer`.

Statuses, header order, keys and error texts follow the recordings. Thinking and a download that succeeds are not in
them: they follow Ollama's manual.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.doubles.ollama import chatting, embedding, openai
from tests.doubles.ollama.http import (
    NDJSON,
    PLAIN_JSON,
    Answer,
    Call,
    early_error,
    encode,
    error,
    json_answer,
    parse,
    plain,
)
from tests.doubles.ollama.library import DIGEST, NAME, CreateError, Library, Model, details, full, stamp
from tests.doubles.ollama.replies import Brain, ReplySource, Responder, default_responder, scripted
from tests.doubles.ollama.runners import Options, Runners

DEFAULT_MODELS = ("qwen3.5:9b", "qwen3.5:4b", "gemma4:e4b", "nemotron-3-nano:4b", "tiny:latest")
DEFAULT_CONTEXT = 4096
_METHODS = {
    "/": ("GET", "HEAD"), "/api/version": ("GET", "HEAD"), "/api/tags": ("GET", "HEAD"), "/api/ps": ("GET", "HEAD"),
    "/api/status": ("GET", "HEAD"), "/v1/models": ("GET", "HEAD"),
    "/api/chat": ("POST",), "/api/generate": ("POST",), "/api/show": ("POST",), "/api/pull": ("POST",),
    "/api/push": ("POST",), "/api/create": ("POST",), "/api/copy": ("POST",), "/api/delete": ("DELETE",),
    "/api/embed": ("POST",), "/api/embeddings": ("POST",), "/api/me": ("POST",), "/v1/chat/completions": ("POST",),
}  # fmt: skip


@dataclass
class OllamaApi:
    """The server's state and its answers. Attributes may be changed between calls.

    `brain` gives replies, counts and vectors; without one `source` gives the words, and without that `responder`. Sets of
    names say what models can do: `thinking`, `stubborn` (thinks unbidden), `tools`, `native` (its template is not Ollama's
    own). `spilled`: name → bytes on the card. `gate`: while it is unset, no load ends. `stall_after`: a reply goes silent
    after that many pieces.
    """

    models: tuple[str, ...] = DEFAULT_MODELS
    responder: Responder = default_responder
    source: ReplySource | None = None
    brain: Brain | None = None
    thinking: frozenset[str] = frozenset()
    stubborn: frozenset[str] = frozenset()
    native: frozenset[str] = frozenset()
    tools: frozenset[str] = frozenset()
    spilled: Mapping[str, int] = field(default_factory=dict)
    version: str = "0.35.1"
    train_ctx: int = 32768
    default_ctx: int = DEFAULT_CONTEXT
    honours_truncate: bool = True
    offline: bool = False
    delay_s: float = 0.0
    load_s: float = 0.0
    max_loaded: int = 3
    gate: asyncio.Event | None = None
    stall_after: int | None = None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __post_init__(self) -> None:
        self.library = Library(())
        self.runners = Runners(lambda: self.now())
        self._known: tuple[str, ...] = ()

    def settle(self) -> None:
        """Take over what was changed from outside: names that were put on or struck from the list, delays, the gate."""
        if self.models != self._known:
            wanted = {full(name) for name in self.models}
            for name in [name for name in self.library.models if name not in wanted]:
                del self.library.models[name]
            for name in self.models:
                if self.library.find(name) is None:
                    self.library.add(name)
            self._known = self.models
        runners = self.runners
        runners.load_s, runners.gate, runners.most = self.load_s, self.gate, self.max_loaded

    def take_stock(self) -> None:
        """Have `models` say what the library has, after a call that changed it."""
        kept = [name for name in self.models if self.library.find(name) is not None]
        new = [name for name in self.library.models if name not in {full(known) for known in kept}]
        self.models = self._known = (*kept, *new)

    def load(self, model: str) -> None:
        """Make `model` a loaded one, as after a call of it."""
        self.settle()
        found = self.library.find(model)
        assert found is not None, f"{model} is not among the models"
        self.runners.put(found, Options(min(self.default_ctx, self.train_ctx)))

    def unload(self, model: str) -> None:
        self.runners.drop(full(model))

    def capabilities(self, model: Model) -> list[str]:
        if model.embeds:
            return ["embedding"]
        told = ["tools"] if self.among(model.name, self.tools) else []
        if model.chats:
            told.append("completion")
        return [*told, "thinking"] if self.among(model.name, self.thinking) else told

    @staticmethod
    def among(name: str, names: frozenset[str]) -> bool:
        return full(name) in {full(known) for known in names}

    def words(self) -> ReplySource:
        return self.source or scripted(self.responder)

    async def answer(self, call: Call) -> Answer:
        """Waits for what the call waits for on the server: a load, a slot, a whole reply."""
        self.settle()
        head = call.method == "HEAD"
        host = call.headers.get("host", "").rpartition(":")[0] or call.headers.get("host", "")
        origin = call.headers.get("origin")
        if not _is_local(host) or (origin is not None and not _is_local(re.sub(r"^https?://|:\d+$", "", origin))):
            return Answer(403)
        extra = () if origin is None else (("Access-Control-Allow-Origin", origin), ("Vary", "Origin"))
        if call.path.startswith("/api/blobs/"):
            return self._blob(call)
        methods = _METHODS.get(call.path, ())
        if not methods or (methods[0] == "GET" and call.method not in methods):
            return plain(404, "404 page not found")
        if call.method not in methods:
            return plain(405, "405 method not allowed", (("Allow", methods[0]),))
        match call.path:
            case "/":
                return plain(200, "Ollama is running", kind="text/plain; charset=utf-8", head_only=head)
            case "/api/version":
                return json_answer({"version": self.version}, extra=extra, head_only=head)
            case "/api/tags":
                tags = [self._tag(model) for model in self.library.models.values()]
                return json_answer({"models": tags}, extra=extra, head_only=head)
            case "/api/ps":
                return json_answer({"models": self._running()}, extra=extra, head_only=head)
            case "/v1/models":
                return openai.models(self)
            case "/api/status":
                return json_answer({"cloud": {"disabled": True, "source": "env"}}, extra=extra, head_only=head)
            case "/api/me":
                return error(503, "account unavailable")
        body = parse(call.raw)
        if call.path == "/v1/chat/completions":
            return await openai.chat(self, body)
        if isinstance(body, str):
            return error(400, body)
        match call.path:
            case "/api/chat":
                return await chatting.chat(self, body)
            case "/api/generate":
                return await chatting.generate(self, body)
            case "/api/embed" | "/api/embeddings":
                return await embedding.embed(self, body, old=call.path.endswith("s"))
            case "/api/show":
                return self._show(body)
            case "/api/create":
                return self._create(body)
            case "/api/copy":
                return self._copy(body)
            case "/api/delete":
                return self._delete(body)
            case "/api/push":
                return self._push(body)
            case _:
                return self._pull(body)

    def _tag(self, model: Model) -> dict[str, Any]:
        told = details() | {"context_length": self.train_ctx, "embedding_length": 192}
        return {
            "name": model.name, "model": model.name, "modified_at": stamp(model.modified), "size": model.size_bytes,
            "digest": model.digest, "details": told, "capabilities": self.capabilities(model),
        }  # fmt: skip

    def _running(self) -> list[dict[str, Any]]:
        return [
            {
                "name": one.model.name, "model": one.model.name, "size": one.model.size_bytes, "digest": one.model.digest,
                "details": details(), "expires_at": stamp(one.expires),
                "size_vram": self.spilled.get(one.model.name, one.model.size_bytes),
                "context_length": one.options.num_ctx,
            }
            for one in self.runners.listed()
        ]  # fmt: skip

    def _show(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            return error(400, "model is required")
        model = self.library.find(name)
        if model is None:
            return error(404, f"model '{full(name)}' not found")
        native = self.among(name, self.native)
        return json_answer(self.library.show(model, self.capabilities(model), self.train_ctx, native=native))

    def _create(self, body: Mapping[str, Any]) -> Answer:
        name, origin = str(body.get("model") or body.get("name") or ""), body.get("from")
        if not NAME.fullmatch(name):
            return error(400, "invalid model name")
        if not origin and not body.get("files"):
            return early_error(400, "neither 'from' or 'files' was specified", chunked=body.get("stream", True))
        if origin and self.library.find(str(origin)) is None:
            return Answer(200, (("Content-Type", NDJSON),), self._fetch(str(origin)), "chunked")
        lines: list[dict[str, str]] = []
        failed: CreateError | None = None
        try:
            lines.extend({"status": status} for status in self.library.create(body))
        except CreateError as exc:
            failed = exc
            lines.append({"error": exc.text})
        self.take_stock()
        if failed is not None and failed.status:
            return early_error(failed.status, failed.text)
        if body.get("stream", True):
            return Answer(200, (("Content-Type", NDJSON),), tuple(encode(line) for line in lines), "chunked")
        if failed is not None:
            return early_error(failed.whole, failed.text)
        return json_answer({"status": "success"}, kind=PLAIN_JSON)

    def _copy(self, body: Mapping[str, Any]) -> Answer:
        source, destination = str(body.get("source") or ""), str(body.get("destination") or "")
        if not NAME.fullmatch(destination):
            return error(400, f'destination "{destination}" is invalid')
        if self.library.find(source) is None:
            return error(404, f'model "{source}" not found')
        self.library.copy(source, destination)
        self.take_stock()
        return Answer(200)

    def _delete(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            return error(400, "model is required")
        if self.library.models.pop(full(name), None) is None:
            return error(404, f"model '{name}' not found")
        self.take_stock()
        return Answer(200)

    def _blob(self, call: Call) -> Answer:
        digest, head = call.path.rpartition("/")[2], call.method == "HEAD"
        if not DIGEST.fullmatch(digest):
            return json_answer({"error": "invalid digest format"}, status=400, head_only=head)
        if head:
            if digest in self.library.blobs:
                return Answer(200, end="bare")
            return json_answer({"error": f"stat {digest}: no such file or directory"}, status=404, head_only=True)
        if call.cut:
            return error(500, "unexpected EOF")
        try:
            return Answer(200 if self.library.upload(digest, call.raw) == "there" else 201)
        except CreateError as exc:
            return error(exc.status, exc.text)

    def _pull(self, body: Mapping[str, Any]) -> Answer:
        name = str(body.get("model") or "")
        if not NAME.fullmatch(name):
            return error(400, "invalid model name")
        if body.get("stream") is False:
            if self.offline:
                return early_error(500, self._unreachable(name, insecure=body.get("insecure") is True))
            self.models = self.models if self.library.find(name) else (*self.models, full(name))
            return json_answer({"status": "success"}, kind=PLAIN_JSON)
        fetched = self._fetch(name, insecure=body.get("insecure") is True)
        return Answer(200, (("Content-Type", NDJSON),), fetched, "chunked")

    def _push(self, body: Mapping[str, Any]) -> Answer:
        """Nothing leaves a test: there is no network for it."""
        model = self.library.find(str(body.get("model") or ""))
        weights = model.weights if model else ""
        text = f'Head "https://registry.invalid/v2/library/{body.get("model")}/blobs/{weights}": {_looked_up()}'
        lines = ({"status": "retrieving manifest"}, {"error": text})
        return Answer(200, (("Content-Type", NDJSON),), tuple(encode(line) for line in lines), "chunked")

    @staticmethod
    def _unreachable(name: str, *, insecure: bool) -> str:
        bare = re.sub(r"^https?://", "", name)
        host, _, path = bare.partition("/") if ":" in bare.partition("/")[0] else ("", "", bare)
        if not host:
            where, why = f"https://registry.invalid/v2/library/{path}", _looked_up()
        else:
            where, why = (
                f"{'http' if insecure else 'https'}://{host}/v2/{path}",
                f"dial tcp {host}: connect: connection refused",
            )
        return f'pull model manifest: Get "{where}/manifests/latest": {why}'

    async def _fetch(self, name: str, *, insecure: bool = False) -> AsyncIterator[bytes]:
        yield encode({"status": "pulling manifest"})
        if self.offline:
            yield encode({"error": self._unreachable(name, insecure=insecure)})
            return
        coming = Model(full(name), Library(()).add(name).weights)
        total, digest = coming.size_bytes, coming.weights
        for done in (0, total // 2, total):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            step = {"status": f"pulling {digest[7:19]}", "digest": digest, "total": total}
            yield encode(step | ({"completed": done} if done else {}))
        for status in ("verifying sha256 digest", "writing manifest", "success"):
            if status == "success" and self.library.find(name) is None:
                self.models = (*self.models, full(name))
                self.settle()
            yield encode({"status": status})


def _looked_up() -> str:
    return "dial tcp: lookup registry.invalid on 192.0.2.1:53: no such host"


def _is_local(host: str) -> bool:
    return host in ("127.0.0.1", "localhost", "[::1]")
