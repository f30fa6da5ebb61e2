"""/api/chat and /api/generate of the test server: what is refused, what loads, and how a reply is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from tests.doubles.ollama import keep_alive
from tests.doubles.ollama.http import JSON, NDJSON, PLAIN_JSON, Answer, early_error, encode, error, json_answer
from tests.doubles.ollama.library import NAME, Model, stamp
from tests.doubles.ollama.replies import EQUAL_PIECES, BrokenTokenError, End, Piece, count_tokens, count_words
from tests.doubles.ollama.runners import Lease, LoadError, Options, QueueFullError, Runner, RunnerDiedError, rounded

if TYPE_CHECKING:
    from tests.doubles.ollama.api import OllamaApi

BUSY = "server busy, please try again.  maximum pending requests exceeded"
DIED = "an error was encountered while running the model: unexpected EOF"
_KINDS = {"temperature": "float32", "num_ctx": "integer", "num_predict": "integer", "seed": "integer"}
_LONGER = (
    "the prompt is longer than the context length currently available to the model; shorten the prompt, "
    "adjust the context length in settings, or use a model with a longer context length"
)
_SCHEMA_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
#: From (model as it was called, text, thinking) to one line of the reply.
Liner = Callable[[str, str, str], dict[str, Any]]
#: The messages that a runner is given, and how many tokens they are.
Prompt = Callable[[Runner], Awaitable[tuple[list[dict[str, Any]], int]]]


async def chat(api: OllamaApi, body: Mapping[str, Any]) -> Answer:
    """One POST /api/chat."""
    refused = refusal(api, body, "messages")
    if refused is not None:
        return refused
    model, messages = _model(api, body), body.get("messages") or []
    if not messages:
        return await _only_load(api, model, body, lambda: line(api, body["model"], ""))
    if not model.chats:
        return error(400, f'"{body["model"]}" does not support chat')
    shortens = body.get("truncate") is not False and not api.among(model.name, api.native)

    async def prompt(runner: Runner) -> tuple[list[dict[str, Any]], int]:
        kept = await _shortened(api, runner, messages, context(api, body)) if shortens else messages
        return kept, await _count(api, runner, kept)

    return await _reply(api, model, body, prompt, _chat_line(api))


async def _count(api: OllamaApi, runner: Runner, messages: list[dict[str, Any]]) -> int:
    return count_tokens(messages) if api.brain is None else await api.brain.count(runner, messages)


async def _shortened(api: OllamaApi, runner: Runner, messages: list[dict[str, Any]], room: int) -> list[dict[str, Any]]:
    """What is left when the oldest messages are dropped, but for the system's and the last, until the rest fits."""
    kept = list(messages)
    while await _count(api, runner, kept) > room:
        oldest = next((m for m in kept[:-1] if m.get("role") != "system"), None)
        if oldest is None:
            break
        kept.remove(oldest)
    return kept


async def generate(api: OllamaApi, body: Mapping[str, Any]) -> Answer:
    """One POST /api/generate."""
    refused = refusal(api, body, "prompt")
    if refused is not None:
        return refused
    model, prompt = _model(api, body), str(body.get("prompt") or "")

    def empty() -> dict[str, Any]:
        return {"model": body["model"], "created_at": stamp(api.now()), "response": ""}

    if not prompt:
        return await _only_load(api, model, body, empty)
    if body.get("suffix"):
        return error(400, f"registry.invalid/library/{model.name} does not support insert")
    if body.get("images"):
        said = "Multimodal data provided, but model does not support multimodal requests."
        inner = {"error": {"code": 400, "message": said, "type": "invalid_request_error"}}
        return error(400, json.dumps(inner, separators=(",", ":")))
    asked = dict(body) | {"messages": [{"role": "user", "content": prompt}]}

    async def told(runner: Runner) -> tuple[list[dict[str, Any]], int]:
        messages: list[dict[str, Any]] = asked["messages"]
        if body.get("raw") and api.brain is None:
            return messages, count_words(prompt)
        return messages, await _count(api, runner, messages) + len(body.get("context") or ())

    return await _reply(api, model, asked, told, lambda name, text, _: empty() | {"model": name, "response": text})


def line(api: OllamaApi, name: str, text: str, thinking: str = "") -> dict[str, Any]:
    message = {"role": "assistant", "content": text} | ({"thinking": thinking} if thinking else {})
    return {"model": name, "created_at": stamp(api.now()), "message": message}


def _chat_line(api: OllamaApi) -> Liner:
    return lambda name, text, thinking: line(api, name, text, thinking)


def _model(api: OllamaApi, body: Mapping[str, Any]) -> Model:
    model = api.library.find(str(body["model"]))
    assert model is not None
    return model


def refusal(api: OllamaApi, body: Mapping[str, Any], told: str) -> Answer | None:
    """The error that a body is answered with before anything runs, or None."""
    try:
        keep_alive.seconds(body.get("keep_alive"))
    except ValueError as exc:
        return error(400, str(exc))
    if told == "messages" and any(
        isinstance(m, Mapping) and isinstance(m.get("content"), list) for m in body.get(told) or ()
    ):
        return error(400, "json: cannot unmarshal array into Go struct field Alias.content of type string")
    name, options = str(body.get("model") or ""), body.get("options") or {}
    if not name and told == "messages":
        return error(400, "model is required")
    if not name:
        return error(404, "model '' not found")
    if not NAME.fullmatch(name):
        return error(400, "invalid model name")
    model = api.library.find(name)
    if model is None and name.endswith(("-cloud", ":cloud")):
        return error(403, "ollama cloud is disabled: remote model is unavailable")
    if model is None:
        embeds = told == "input"
        return error(404, f'model "{name}" not found, try pulling it first' if embeds else f"model '{name}' not found")
    if body.get("tools") and not api.among(name, api.tools):
        return error(400, f"registry.invalid/library/{model.name} does not support tools")
    if any(not tool.get("function") for tool in body.get("tools") or ()):
        schema = '{"type":"","properties":null}'
        return error(400, _no_grammar(schema, native=True))
    if body.get("think") and not api.among(name, api.thinking):
        return error(400, f'"{name}" does not support thinking')
    for key, kind in _KINDS.items():
        if options.get(key) is not None and not isinstance(options[key], int | float):
            return error(500, f'option "{key}" must be of type {kind}')
    stop = options.get("stop")
    if stop is not None and not isinstance(stop, list):
        return error(500, 'option "stop" must be of type array')
    if stop and not all(isinstance(item, str) for item in stop):
        return error(500, 'option "stop" must be of an array of strings')
    wanted = body.get("format")
    if wanted not in (None, "", "json") and not isinstance(wanted, Mapping):
        quoted = json.dumps(json.dumps(wanted))
        return error(500, f'invalid format: {quoted}; expected "json" or a valid JSON Schema object')
    if isinstance(wanted, Mapping) and wanted.get("type", "object") not in _SCHEMA_TYPES:
        text = _no_grammar(json.dumps(wanted, separators=(",", ":")), native=api.among(name, api.native))
        streams = body.get("stream", True)
        return early_error(400, text, chunked=True) if streams else error(400, text)
    return None


def _no_grammar(schema: str, *, native: bool) -> str:
    failed = f"JSON schema conversion failed:\nUnrecognized schema: {schema}"
    automatic = "Unable to generate parser for this template. Automatic parser generation failed: "
    said = f"{automatic}{failed}" if native else f"Field 'json_schema': \"json_schema\": {failed}"
    inner = {"code": 400, "message": said, "type": "invalid_request_error"}
    return json.dumps({"error": inner}, separators=(",", ":"))


def context(api: OllamaApi, body: Mapping[str, Any]) -> int:
    """The context that a model is loaded with: what was asked for, within what it was trained with."""
    asked = (body.get("options") or {}).get("num_ctx")
    return max(4, min(api.train_ctx, int(api.default_ctx if asked is None else asked)))


async def hold(api: OllamaApi, model: Model, body: Mapping[str, Any]) -> Lease | Answer:
    """A lease of a runner for this call, or the error that the call gets instead."""
    keep = keep_alive.seconds(body.get("keep_alive"))
    try:
        return await api.runners.lease(model, Options.of(body, context(api, body)), keep)
    except QueueFullError:
        return error(503, BUSY)
    except LoadError as exc:
        return error(500, str(exc))


async def _only_load(
    api: OllamaApi, model: Model, body: Mapping[str, Any], empty: Callable[[], dict[str, Any]]
) -> Answer:
    """No prompt: load the model, or with keep_alive 0 unload it."""
    if keep_alive.seconds(body.get("keep_alive")) == 0:
        api.runners.expire(model)
        return json_answer(empty() | {"done": True, "done_reason": "unload"})
    lease = await hold(api, model, body)
    if isinstance(lease, Answer):
        return lease
    lease.release()
    return json_answer(empty() | {"done": True, "done_reason": "load"})


async def _reply(api: OllamaApi, model: Model, body: Mapping[str, Any], tell: Prompt, liner: Liner) -> Answer:
    streams = body.get("stream", True)
    lease = await hold(api, model, body)
    if isinstance(lease, Answer):
        return lease
    try:
        messages, prompt = await tell(lease.runner)
    except RunnerDiedError:
        lease.runner.dead.set()
        lease.release()
        return error(500, DIED)
    ctx = rounded(lease.runner.options.num_ctx, api.train_ctx)
    if prompt > ctx:
        native = api.among(model.name, api.native)
        if not native and body.get("shift") is False and body.get("truncate") is not False and api.honours_truncate:
            lease.release()
            return error(400, _LONGER)
        if native or (api.honours_truncate and body.get("truncate") is False):
            lease.release()
            said = f"request ({prompt} tokens) exceeds the available context size ({ctx} tokens), try increasing it"
            inner: dict[str, Any] = {"code": 400, "message": said, "type": "exceed_context_size_error"}
            inner |= {"n_prompt_tokens": prompt, "n_ctx": ctx}
            told = {"error": json.dumps({"error": inner}, separators=(",", ":"))}
            if native and streams:
                return json_answer(told, status=400, kind=PLAIN_JSON, end="chunked")
            return json_answer(told, status=400)
        messages, prompt = await _cut(api, lease.runner, messages, ctx // 2 + 2)
    lines = _lines(api, lease, dict(body) | {"messages": messages}, prompt, liner)
    if streams:
        return Answer(200, (("Content-Type", NDJSON),), _streamed(lines), "chunked", lease.release)
    try:
        return await _whole([part async for part in lines])
    except RunnerDiedError:
        return error(500, DIED)
    finally:
        lease.release()


async def _cut(
    api: OllamaApi, runner: Runner, messages: list[dict[str, Any]], room: int
) -> tuple[list[dict[str, Any]], int]:
    """The prompt with about `room` tokens: what a real model is given is cut until it has no more."""
    if api.brain is None:
        return messages, room
    *before, last = messages
    while (prompt := await api.brain.count(runner, [*before, last])) > room and last.get("content"):
        last = last | {"content": last["content"][max(1, len(last["content"]) // 8) :]}
    return [*before, last], prompt


async def _streamed(lines: AsyncGenerator[dict[str, Any], None]) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(lines):
            async for part in lines:
                yield encode(part)
    except RunnerDiedError:
        yield encode({"error": DIED})


async def _whole(parts: list[dict[str, Any]]) -> Answer:
    """A streamed reply as the one object that "stream": false gets; without a last line `done` stays false."""
    last = dict(parts[-1])
    if "response" in last:
        last["response"] = "".join(part["response"] for part in parts)
        return json_answer(last, kind=JSON)
    said: dict[str, str] = {"role": "assistant", "content": ""}
    for part in parts:
        for key in ("content", "thinking"):
            if part["message"].get(key):
                said[key] = said.get(key, "") + part["message"][key]
    return json_answer(last | {"message": said}, kind=JSON)


async def _lines(
    api: OllamaApi, lease: Lease, body: Mapping[str, Any], prompt: int, liner: Liner
) -> AsyncGenerator[dict[str, Any], None]:
    """The lines of a reply, one a token, and the last with the counts. Raises `RunnerDiedError`."""
    began = monotonic_ns()
    await lease.slot()
    name, options = str(body["model"]), body.get("options") or {}
    most = int(options.get("num_predict") or -1)
    if options.get("num_predict") == 0 and api.among(name, api.native):
        most = 1
    count, equal, last, reason, told = 0, 0, "", "stop", 0
    silent = not api.among(name, api.stubborn) and (body.get("think") is False or not api.among(name, api.thinking))
    with suppress(BrokenTokenError):
        async with aclosing(_pieces(api, lease.runner, body)) as pieces:
            async for piece_or_end in pieces:
                if isinstance(piece_or_end, End):
                    reason, told = piece_or_end.reason, piece_or_end.tokens
                    break
                kind, piece = piece_or_end
                if kind == "thinking" and silent:
                    continue
                if 0 < most <= count:
                    reason = "length"
                    break
                await _beat(api, lease.runner.dead, count)
                count += 1
                equal = equal + 1 if piece == last else 1
                last = piece
                part = liner(name, piece, "") if kind == "content" else liner(name, "", piece)
                yield part | {"done": False}
                if equal > EQUAL_PIECES:
                    return
        if lease.runner.dead.is_set():
            raise RunnerDiedError
        stats = {
            "total_duration": monotonic_ns() - began + lease.waited_ns, "load_duration": lease.waited_ns,
            "prompt_eval_count": prompt, "prompt_eval_duration": 600_000,
            "eval_count": told or count + (reason == "stop"), "eval_duration": 5_000_000,
        }  # fmt: skip
        end = liner(name, "", "") | {"done": True, "done_reason": reason}
        if "response" in end and not body.get("raw"):
            end["context"] = [1] * prompt
        yield end | stats


async def _pieces(api: OllamaApi, runner: Runner, body: Mapping[str, Any]) -> AsyncGenerator[Piece | End, None]:
    """What is said. Where the process behind a runner died, the runner is dead."""
    if api.brain is None:
        async for piece in api.words()(body):
            yield piece
        return
    try:
        async with aclosing(api.brain.reply(runner, body)) as said:
            async for piece_or_end in said:
                yield piece_or_end
    except RunnerDiedError:
        runner.dead.set()
        raise


async def _beat(api: OllamaApi, dead: asyncio.Event, number: int) -> None:
    """What comes before a token: the model's time for it, a stall, a death."""
    if number == api.stall_after:
        await dead.wait()
    if api.delay_s:
        with suppress(TimeoutError):
            async with asyncio.timeout(api.delay_s):
                await dead.wait()
    if dead.is_set():
        raise RunnerDiedError
