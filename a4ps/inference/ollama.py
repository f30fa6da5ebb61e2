"""The Ollama engine: the society's models run by a local Ollama server, reached through its own Python client.

This file owns sockets, deadlines and the one retry; what bytes mean is decided in `ollama_wire.py`. Importing it loads
neither the client nor its HTTP library: both are imported by the first call.

The client's public `chat()` cannot send `truncate` and `shift`, without which Ollama cuts a long prompt silently, and
it builds three objects for each token. So the engine calls the client's `_request`, the method beneath `chat()`, with
`dict` as the type of a line. That name is private: the dependency is pinned to 0.6, and every test goes through it.

Not covered: U+0085 in a reply ends a line for the HTTP library though not for JSON; such a reply is `EngineGarbled`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from a4ps.errors import (
    EngineBroke,
    EngineGarbled,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    ModelMissing,
    PeerError,
)
from a4ps.inference import ollama_wire as wire
from a4ps.inference.calls import OLLAMA
from a4ps.inference.catalog import canonical
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    Loading,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
    Thinking,
)
from a4ps.inference.tokens import estimate_prompt

if TYPE_CHECKING:
    import ollama

_Line = dict[str, Any]
_Lines = AsyncGenerator[_Line, None]
_Refuse = Callable[[object, int], PeerError]

_TAIL_S = 1.0
#: Between two looks at what is loaded.
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the engine waits for Ollama, in seconds; each runs out as `EngineTimeout` with its own stage.

    `connect_s`: a TCP connection ("connect"). `probe_s`: status and the list of loaded models, whose silence is no
    error. `answer_s`: a short question about models ("load"). `first_byte_s`: the load of a model and the reading of a
    prompt; also between two reports of a download ("load"). `between_tokens_s` ("token"). `unload_s`: until a model is
    out of memory, the end of a reply that it still gives included ("total"). `total_s`: one reply with its retry, the
    caller's own pauses between chunks included ("total").
    """

    connect_s: float = 2.0
    probe_s: float = 2.0
    answer_s: float = 30.0
    first_byte_s: float = 180.0
    between_tokens_s: float = 60.0
    unload_s: float = 60.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class _Plan:
    """How to ask. `roomy`: the budget has room for thinking. `last`: no further attempt follows."""

    think: bool | None
    roomy: bool
    last: bool = False
    notes: tuple[str, ...] = ()


class _AskAgainError(Exception):
    """Leaves an attempt, which closes its response, for another one by `plan`."""

    def __init__(self, plan: _Plan) -> None:
        super().__init__()
        self.plan = plan


class OllamaEngine:
    """One Ollama server. Serves many streams at once within one event loop; see `Engine` for its contract.

    Between calls it keeps connections, each model's capabilities and context, and which models think though told not
    to. A method that raised, was closed early or was cancelled has closed its own connection and leaves the engine
    usable.
    """

    name = "ollama"
    cost = OLLAMA

    def __init__(self, host: str, *, deadlines: Deadlines | None = None) -> None:
        """`host` as in OLLAMA_HOST. Opens nothing. Raises `SettingsError` for what is no address."""
        self.url = wire.base_url(host)
        self._deadlines = deadlines or Deadlines()
        self._client: ollama.AsyncClient | None = None
        self._capabilities: dict[str, frozenset[str]] = {}
        self._trained: dict[str, int] = {}
        self._stubborn: set[str] = set()

    async def status(self) -> EngineStatus:
        """At most `probe_s`; never raises. What answers without being Ollama is not reachable."""
        try:
            version = wire.parse_version(await self._ask("GET", "/api/version", self._deadlines.probe_s))
        except PeerError as exc:
            return EngineStatus(reachable=False, detail=exc.message)
        hazard = wire.known_hole(version) or ""
        return EngineStatus(reachable=True, version=version, detail=f"Ollama {version} at {self.url}", hazard=hazard)

    async def models(self) -> tuple[ModelInfo, ...]:
        """Raises `EngineUnreachable`, `EngineTimeout` ("load") or `EngineGarbled`."""
        return wire.parse_models(await self._ask("GET", "/api/tags", self._deadlines.answer_s))

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """One reply. Asks a second time, and no more, where hidden thinking leaves no room for one.

        The pieces that Ollama streams stand for tokens: one is at least one token. Where the reply had to be ended from
        here, Ollama sends no counts; `Finished` then has the pieces and an estimate of the prompt.
        """
        least = wire.least_tokens(request.messages)
        if least > request.num_ctx:
            raise wire.too_long(0, f"it has at least {least} tokens, num_ctx is {request.num_ctx}")
        loop = asyncio.get_running_loop()
        ends = loop.time() + self._deadlines.total_s
        loaded = await self._is_loaded(request)
        # A load is announced for a model that is known to exist, as a missing one must be an error before any chunk.
        capabilities = await self._abilities(request.model, ask=loaded is False)
        if loaded is False:
            yield Loading(request.model)
        think = request.think if "thinking" in capabilities else None
        plan: _Plan | None = _Plan(think=think, roomy=think is True or request.model in self._stubborn)
        while plan is not None:
            try:
                async with aclosing(self._attempt(request, plan, least, ends)) as chunks:
                    async for chunk in chunks:
                        yield chunk
                plan = None
            except _AskAgainError as again:
                plan = again.plan

    async def _attempt(self, request: ChatRequest, plan: _Plan, least: int, ends: float) -> AsyncGenerator[Chunk, None]:
        """One POST /api/chat. Raises `_AskAgainError` before any text went out, or a `PeerError`."""
        pieces: list[str] = []
        thoughts = 0
        most = max(1, request.max_tokens)
        room = most + request.think_tokens if plan.roomy else most

        def refuse(error: object, status: int) -> PeerError:
            return wire.refusal(error, status=status, model=request.model, partial="".join(pieces))

        body = wire.chat_body(request, think=plan.think, num_predict=room)
        limit_s, stage = self._deadlines.first_byte_s, "load"
        async with aclosing(await self._lines("/api/chat", body)) as lines:
            while True:
                part = await self._next(
                    lines, limit_s, stage, refuse=refuse, partial=pieces, ends=ends, model=request.model
                )
                if part is None:
                    raise EngineBroke(
                        "the reply stopped without an end", partial="".join(pieces), next_step="resume the turn"
                    )
                limit_s, stage = self._deadlines.between_tokens_s, "token"
                delta = wire.parse_chunk(part)
                if delta.thinking:
                    thoughts += 1
                    if not pieces:
                        self._mind(request, plan, delta.thinking, thoughts)
                    yield Thinking(delta.thinking)
                if delta.text:
                    # A roomy budget is one for thoughts and reply together; the reply's own part of it is kept here.
                    if len(pieces) >= most:
                        spent = estimate_prompt(request.messages)
                        yield Finished("length", spent, len(pieces), notes=self._notes(plan, thoughts))
                        return
                    pieces.append(delta.text)
                    yield Text(delta.text)
                if delta.done is not None:
                    wire.check_uncut(delta.done.prompt_tokens, least, request.num_ctx)
                    self._check_reply(request, plan, "".join(pieces), delta.done, thoughts)
                    yield Finished(
                        delta.done.reason,
                        delta.done.prompt_tokens,
                        delta.done.completion_tokens,
                        load_ms=delta.done.load_ms,
                        notes=self._notes(plan, thoughts),
                    )
                    # Reading up to the response's end frees its connection for the next call; a server that holds the
                    # end back is not waited for, and what fails now no longer touches the reply.
                    with suppress(PeerError):
                        await self._next(lines, _TAIL_S, "token", refuse=refuse)
                    return

    def _mind(self, request: ChatRequest, plan: _Plan, thought: str, thoughts: int) -> None:
        """Judge one more thought before any text. Raises `_AskAgainError`, or `EngineGarbled` at the last attempt."""
        if not plan.roomy and thought.strip():
            # It thinks unbidden, out of the reply's own budget: ask again with room for both, and at once from now on.
            self._stubborn.add(request.model)
            if not plan.last:
                raise _AskAgainError(replace(plan, roomy=True, last=True))
        if thoughts > request.think_tokens:
            self._ask_without_thinking(request, plan, f"thinking was cut after {request.think_tokens} tokens")

    def _ask_without_thinking(self, request: ChatRequest, plan: _Plan, note: str) -> None:
        if plan.last or plan.think is not True:
            raise EngineGarbled(
                f"{request.model} only thought and gave no reply within {request.think_tokens} tokens",
                next_step="choose another model, or raise think_tokens",
            )
        raise _AskAgainError(replace(plan, think=False, last=True, notes=(*plan.notes, note)))

    def _check_reply(self, request: ChatRequest, plan: _Plan, text: str, done: wire.Done, thoughts: int) -> None:
        """Raises `EngineGarbled` for a reply that is none, `_AskAgainError` where thinking used up the whole budget."""
        if done.reason == "length":
            if not text and thoughts:
                self._ask_without_thinking(request, plan, f"thinking was cut after {thoughts} tokens")
            return
        if not text.strip():
            raise EngineGarbled("the model answered nothing", next_step="resume the turn, or choose another model")
        if request.schema is not None:
            wire.check_json(text)

    def _notes(self, plan: _Plan, thoughts: int) -> tuple[str, ...]:
        unbidden = bool(thoughts) and plan.think is not True
        return (*plan.notes, "the model thinks although it was told not to") if unbidden else plan.notes

    async def inspect(self, model: str) -> ModelCard:
        """Raises `ModelMissing`, `EngineUnreachable`, `EngineTimeout` ("load") or `EngineGarbled`."""
        told = await self._ask("POST", "/api/show", self._deadlines.answer_s, {"model": model})
        known = {canonical(info.name): info for info in await self.models()}
        return wire.parse_card(told, replace(known.get(canonical(model), ModelInfo(model)), name=model))

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """Raises `ModelMissing`, `EngineRefused` where it does not load, `EngineTimeout` ("load") and as `loaded` does."""
        body = wire.load_body(model, num_ctx, keep_alive_s)
        await self._ask("POST", "/api/generate", self._deadlines.first_byte_s, body)

    async def loaded(self) -> tuple[Resident, ...]:
        """Raises `EngineUnreachable`, `EngineTimeout` ("load") or `EngineGarbled`."""
        return wire.parse_residents(await self._ask("GET", "/api/ps", self._deadlines.answer_s))

    async def unload(self, model: str) -> None:
        """Asks for it, then looks until the server no longer lists the model: a reply that it still gives comes first.

        Raises `EngineTimeout` ("total") where it stays, and as `loaded` does. A model of the same weights and options
        shares its process, and is listed by the name that loaded it.
        """
        asked = {"model": model, "prompt": "", "keep_alive": 0, "stream": False}
        try:
            async with asyncio.timeout(self._deadlines.unload_s):
                # A model that was deleted while loaded can no longer be asked for; its time runs out, or it is let be.
                with suppress(ModelMissing):
                    await self._ask("POST", "/api/generate", self._deadlines.answer_s, asked)
                while True:
                    if canonical(model) not in {canonical(entry.name) for entry in await self.loaded()}:
                        return
                    await asyncio.sleep(_LOOK_S)
        except TimeoutError as exc:
            raise EngineTimeout(
                f"{model} is still in memory after {self._deadlines.unload_s:g} s",
                stage="total",
                next_step="see `ollama ps`: a call of somebody else may be using it",
            ) from exc

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """A text that is too long is refused, not cut; an empty one counts as a full stop.

        Raises `EngineRefused` for a model that cannot embed, `PromptTooLong`, `ModelMissing`, and as `models` does.
        The model is loaded for it, which may put another one out of memory.
        """
        if not texts:
            return ()
        body = wire.embed_body(model, texts)
        return wire.parse_vectors(await self._ask("POST", "/api/embed", self._deadlines.first_byte_s, body), len(texts))

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Ollama resumes a broken download by itself. Raises `EngineRefused` for a version with a known hole."""
        version = wire.parse_version(await self._ask("GET", "/api/version", self._deadlines.answer_s))
        hole = wire.known_hole(version)
        if hole is not None:
            raise EngineRefused(
                f"{hole}; nothing was pulled", next_step="upgrade Ollama, then: a4ps models pull " + model
            )

        def refuse(error: object, status: int) -> PeerError:
            return wire.pull_refusal(error, status=status, model=model)

        status = ""
        async with aclosing(await self._lines("/api/pull", {"model": model, "stream": True})) as lines:
            while (part := await self._next(lines, self._deadlines.first_byte_s, "load", refuse=refuse)) is not None:
                progress = wire.parse_progress(part)
                status = progress.status
                yield progress
        if status != "success":
            raise EngineBroke(f"the download of {model} stopped before its end", next_step=f"a4ps models pull {model}")

    async def aclose(self) -> None:
        """Closes the connections; streams that are still open end as broken."""
        if self._client is not None:
            await self._client.close()  # type: ignore[no-untyped-call]  # the client declares no types here

    async def _is_loaded(self, request: ChatRequest) -> bool | None:
        """Whether the model is in memory as this call needs it: with another context it would be loaded anew.

        None where the server does not say: the chat call then tells what is wrong.
        """
        try:
            listed = wire.parse_residents(await self._ask("GET", "/api/ps", self._deadlines.probe_s))
        except PeerError:
            return None
        for entry in listed:
            if canonical(entry.name) == canonical(request.model):
                # No model gets more than it was trained with; as long as that is unknown, less than asked may be it.
                most = self._trained.get(request.model) or entry.num_ctx
                return entry.num_ctx in (0, min(request.num_ctx, most))
        return False

    async def _abilities(self, model: str, *, ask: bool) -> frozenset[str]:
        """The model's capabilities, from memory unless `ask`. Raises `ModelMissing`."""
        if ask or model not in self._capabilities:
            payload = await self._ask("POST", "/api/show", self._deadlines.answer_s, {"model": model})
            self._capabilities[model] = wire.parse_capabilities(payload)
            self._trained[model] = wire.parse_card(payload, ModelInfo(model)).context_length
        return self._capabilities[model]

    def _connected(self) -> ollama.AsyncClient:
        if self._client is None:
            import httpx
            import ollama

            self._client = ollama.AsyncClient(
                self.url,
                # Reading has no deadline here: `_next` counts whole lines, which a trickle of bytes cannot stretch.
                timeout=httpx.Timeout(None, connect=self._deadlines.connect_s),
                # A proxy from the environment would carry prompts off this machine; so would following a redirect.
                trust_env=not wire.is_loopback(self.url),
                follow_redirects=False,
            )
        return self._client

    async def _ask(self, method: str, path: str, limit_s: float, body: Mapping[str, Any] | None = None) -> _Line:
        """One short question, answered within `limit_s`. Raises a `PeerError`; forgets a model that is missing."""
        model = str((body or {}).get("model", ""))
        try:
            async with asyncio.timeout(limit_s):
                return cast(_Line, await self._connected()._request(dict, method, path, stream=False, json=body))
        except TimeoutError as exc:
            raise self._silent("load", limit_s) from exc
        except _failures() as exc:
            raise self._explain(
                exc, lambda error, status: wire.refusal(error, status=status, model=model), model
            ) from exc

    async def _lines(self, path: str, body: Mapping[str, Any]) -> _Lines:
        """The lines of a streamed answer; nothing is sent until the first is asked for."""
        lines = await self._connected()._request(dict, "POST", path, json=body, stream=True)
        return cast(_Lines, lines)

    async def _next(
        self,
        lines: _Lines,
        limit_s: float,
        stage: str,
        *,
        refuse: _Refuse,
        partial: list[str] | None = None,
        ends: float | None = None,
        model: str = "",
    ) -> _Line | None:
        """The next line, or None at the end. `ends` is the loop's time by which the whole must be over."""
        left_s = limit_s if ends is None else ends - asyncio.get_running_loop().time()
        if left_s < limit_s:
            limit_s, stage = left_s, "total"
        try:
            async with asyncio.timeout(limit_s):
                return await anext(lines)
        except StopAsyncIteration:
            return None
        except TimeoutError as exc:
            raise self._silent(stage, self._deadlines.total_s if stage == "total" else limit_s) from exc
        except _failures() as exc:
            raise self._explain(exc, refuse, model, "".join(partial or ())) from exc

    def _silent(self, stage: str, limit_s: float) -> EngineTimeout:
        what = {
            "connect": f"no connection to {self.url} within {limit_s:g} s",
            "load": f"{self.url} did not begin to answer within {limit_s:g} s",
            "token": f"the reply stood still for {limit_s:g} s",
            "total": f"the reply was not complete after {limit_s:g} s",
        }[stage]
        return EngineTimeout(what, stage=stage, next_step="see `ollama ps` and Ollama's log, then resume the turn")

    def _explain(self, exc: Exception, refuse: _Refuse, model: str, partial: str = "") -> PeerError:
        """What one of `_failures()` means."""
        import httpx
        import ollama

        if isinstance(exc, ollama.ResponseError):
            error = refuse(exc.error, exc.status_code)
            if isinstance(error, ModelMissing):
                self._capabilities.pop(model, None)
            return error
        if isinstance(exc, httpx.ConnectTimeout):
            return self._silent("connect", self._deadlines.connect_s)
        if isinstance(exc, ConnectionError | httpx.ConnectError):
            return EngineUnreachable(f"no Ollama answers at {self.url}", next_step="ollama serve")
        if isinstance(exc, httpx.TransportError):
            return EngineBroke(
                f"the connection to {self.url} broke: {wire.shown(str(exc))}",
                partial=partial,
                next_step="see that `ollama serve` still runs, then resume the turn",
            )
        return EngineGarbled(
            f"{self.url} does not speak Ollama's protocol: {wire.shown(str(exc))}", next_step="check the host"
        )


def _failures() -> tuple[type[Exception], ...]:
    """What the client raises: its own error, the HTTP library's, and what its reading of a wrong answer trips over."""
    import httpx
    import ollama

    return (
        ollama.ResponseError,
        ConnectionError,
        httpx.HTTPError,
        httpx.InvalidURL,
        ValueError,
        TypeError,
        AttributeError,
    )
