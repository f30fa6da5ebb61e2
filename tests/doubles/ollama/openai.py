"""/v1/chat/completions of the test server: the same replies in OpenAI's clothes. A4PS does not call it; traces do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.doubles.ollama import chatting
from tests.doubles.ollama.http import PLAIN_JSON, Answer, each, json_answer

if TYPE_CHECKING:
    from tests.doubles.ollama.api import OllamaApi


async def chat(api: OllamaApi, body: Mapping[str, Any] | str) -> Answer:
    """One POST /v1/chat/completions. `num_ctx` cannot be said here: the server's own default holds."""
    if isinstance(body, str):
        return _failed(400, body, parsed=False)
    limit = {"num_predict": body["max_tokens"]} if body.get("max_tokens") else {}
    asked = {key: body[key] for key in ("model", "messages", "keep_alive") if key in body} | {"options": limit}
    streams = bool(body.get("stream"))
    answer = await chatting.chat(api, asked | {"stream": streams})
    if answer.status != 200:
        (told,) = [piece async for piece in each(answer.pieces)]
        return _failed(answer.status, json.loads(told)["error"])
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": int(api.now().timestamp())}
    base |= {"model": body["model"], "system_fingerprint": "fp_ollama"}
    if streams:
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        events = _events(base, each(answer.pieces), usage)
        return replace(answer, headers=(("Content-Type", "text/event-stream"),), pieces=events)
    (told,) = [piece async for piece in each(answer.pieces)]
    whole = json.loads(told)
    choice = {"index": 0, "message": whole["message"], "finish_reason": whole.get("done_reason")}
    reply = base | {"object": "chat.completion", "choices": [choice], "usage": _usage(whole)}
    return json_answer(reply, kind=PLAIN_JSON, newline=True)


def models(api: OllamaApi) -> Answer:
    """GET /v1/models."""
    listed = [
        {"id": model.name, "object": "model", "created": int(model.modified.timestamp()), "owned_by": "library"}
        for model in api.library.models.values()
    ]
    return json_answer({"object": "list", "data": listed or None}, kind=PLAIN_JSON, newline=True)


async def _events(base: Mapping[str, Any], lines: AsyncIterator[bytes], usage: bool) -> AsyncIterator[bytes]:
    first = {"role": "assistant"}
    async for line in lines:
        part = json.loads(line)
        delta = {} if part["done"] else first | {"content": part["message"]["content"]}
        first = {}
        yield _event({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": part.get("done_reason")}]})
        if part["done"] and usage:
            yield _event({**base, "choices": [], "usage": _usage(part)})
    yield b"data: [DONE]\n\n"


def _event(value: Mapping[str, Any]) -> bytes:
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _usage(whole: Mapping[str, Any]) -> dict[str, int]:
    prompt, reply = whole["prompt_eval_count"], whole["eval_count"]
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}


def _failed(status: int, text: str, *, parsed: bool = True) -> Answer:
    kind = "not_found_error" if status == 404 else "invalid_request_error" if status < 500 else "api_error"
    told = {"error": {"message": text, "type": kind, "param": None, "code": None}}
    if not parsed:
        return json_answer(told, status=status)
    return json_answer(told, status=status, kind=PLAIN_JSON, newline=True)
