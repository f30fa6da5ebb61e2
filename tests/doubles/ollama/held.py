"""Holding the test server against a recording: send what was sent, and compare status, headers, shape and order.

Not compared: times, digests, texts of a model, and sizes. What is: each status; the names of the headers and the content
type; how the answer is framed and how it ends; of every line the keys, their order and the types of their values; in
which order lines of different shape come; error texts, up to counts and digests; for lists of models, their names.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from tests.doubles.ollama.library import Library, digest_of
from tests.doubles.ollama.replies import BrokenTokenError, Piece, ReplySource
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.recordings import restored, steps

#: What a model or a machine fills in.
_FREE = ("model_info", "details", "tensors", "system", "digest", "embeddings", "embedding", "context")
_COUNTS = re.compile(r"\d+ tokens|(tokens|n_ctx)\W+\d+|sha256[:-][0-9a-f]{64}")
#: A load takes at least a quarter of a second there, and a call of what is loaded a few milliseconds.
_COLD_NS = 100_000_000

_A, _B = f"sha256:2d{'a' * 62}", f"sha256:91{'b' * 62}"
_C, _D = f"sha256:0c{'c' * 62}", f"sha256:9d{'d' * 62}"
_LORA = f"sha256:21{'e' * 62}"
#: The models of the recordings. Which of them a full memory gives up first hangs on the order of their files' names.
_MODELS: Mapping[str, Mapping[str, Any]] = {
    "tiny-a": {"weights": _A}, "tiny-a-alias": {"weights": _A}, "tiny-a-sys": {"weights": _A, "system": "Be brief."},
    "tiny-a-lora": {"weights": _A, "adapter": _LORA}, "tiny-a-lora2": {"weights": _A, "adapter": _LORA},
    "tiny-b": {"weights": _B, "system": "You are tiny."}, "tiny-c": {"weights": _C},
    "tiny-c-lora": {"weights": _C, "adapter": _LORA}, "tiny-d": {"weights": _D},
    "tiny-b-lora": {"weights": _B, "adapter": _LORA, "loadable": False}, "x9": {"weights": digest_of("x9")},
    "x10": {"weights": _LORA, "chats": False}, "x2": {}, "slow": {}, "slow2": {},
    "nat": {"weights": f"sha256:be{'1' * 62}"}, "nat-raise": {"weights": f"sha256:bf{'2' * 62}"},
    "nat-tools": {}, "badutf8": {},
}  # fmt: skip


def furnish(server: OllamaServer) -> None:
    """Give `server` the models of the recordings, whose context is 512 tokens at most."""
    server.train_ctx = 512
    server.native = frozenset({"nat", "nat-raise", "nat-tools"})
    server.tools = frozenset({"nat-tools"})
    server.offline = True
    server.library = Library(())
    for name, fields in _MODELS.items():
        server.library.add(name, **fields)
    server.take_stock()


async def exchange(server: OllamaServer, step: Mapping[str, Any]) -> tuple[int, list[tuple[str, str]], list[bytes]]:
    """Send the recorded request as it was. Returns status, headers and the body's pieces as they were framed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent(server, step))
    try:
        return parted(await reader.read())
    finally:
        writer.close()


def sent(server: OllamaServer, step: Mapping[str, Any]) -> bytes:
    """The recorded request as it went over the wire, but for its address."""
    request = step["request"]
    raw = _body(request["body"])
    headers = dict(request["headers"])
    if headers["Host"].startswith("127.0.0.1"):
        headers["Host"] = f"127.0.0.1:{server.port}"
    if "Content-Length" in headers:
        headers["Content-Length"] = str(len(raw))
    head = [f"{request['method']} {request['path']} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + raw


def parted(received: bytes, *, cut: bool = False) -> tuple[int, list[tuple[str, str]], list[bytes]]:
    """Status, headers and pieces of a response; a stream has its terminating chunk exactly unless it is `cut`."""
    top, _, body = received.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    named = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    pieces = []
    if ("Transfer-Encoding", "chunked") in named:
        while body:
            size, _, body = body.partition(b"\r\n")
            pieces.append(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        assert (pieces[-1] == b"") is not cut, "the stream has its terminating chunk"
        pieces = pieces if cut else pieces[:-1]
    elif body:
        pieces.append(body)
    return int(first.split(" ")[1]), named, pieces


def _body(body: Any) -> bytes:
    if isinstance(body, dict):
        sent = dict(body)
        if isinstance(sent.get("messages"), list):
            sent["messages"] = [
                m | {"content": restored(m["content"])} if isinstance(m.get("content"), str) else m
                for m in sent["messages"]
            ]
        for key in ("prompt", "input"):
            if isinstance(sent.get(key), str):
                sent[key] = restored(sent[key])
        return json.dumps(sent).encode()
    return (body if isinstance(body, str) else json.dumps(body) if body is not None else "").encode()


def shape(value: Any) -> Any:
    """The keys of a JSON value in their order, and types; of a list, its first entry's. What is filled in is left out."""
    if isinstance(value, dict):
        return [(key, None if key in _FREE else shape(entry)) for key, entry in value.items() if key != "system"]
    if isinstance(value, list):
        return [shape(entry) for entry in value[:1]]
    return type(value).__name__


def agree(
    step: Mapping[str, Any], status: int, headers: list[tuple[str, str]], pieces: list[bytes], *, sized: bool = False
) -> None:
    """Assert that an answer is of the recorded kind. `sized`: length or chunks hang on sizes that are ours."""
    recorded = step["response"]
    assert status == recorded["status"], pieces
    free = {"Content-Length", "Transfer-Encoding"} if sized else set()
    assert [name for name, _ in headers if name not in free] == [n for n, _ in recorded["headers"] if n not in free]
    assert dict(headers).get("Content-Type") == dict(recorded["headers"]).get("Content-Type")
    lines = recorded.get("lines") or []
    if not lines:
        assert pieces == []
        return
    if "text" in lines[0] and not lines[0]["text"].startswith("data: "):
        assert pieces == [lines[0]["text"].encode()]
        return
    ours = [_event(line) for line in b"".join(pieces).split(b"\n")]
    theirs = [_event(line["text"].encode()) if "text" in line else line["json"] for line in lines]
    got, wanted = [one for one in ours if one is not None], [one for one in theirs if one is not None]
    assert pieces[-1].endswith(b"\n") is not lines[-1].get("no_trailing_newline", False)
    assert [one for one, _ in groupby(map(shape, got))] == [one for one, _ in groupby(map(shape, wanted))]
    for mine, its in ((got[0], wanted[0]), (got[-1], wanted[-1])):
        for key in ("done", "done_reason", "status", "error"):
            assert _plain(mine.get(key)) == _plain(its.get(key))
    if all(set(one) <= {"status", "error"} for one in wanted):
        assert list(map(_plain, got)) == list(map(_plain, wanted)), "every report of its making, in order"


def _event(line: bytes) -> dict[str, Any] | None:
    text = line.removeprefix(b"data: ")
    if not text or text == b"[DONE]":
        return {"DONE": True} if text else None
    parsed: dict[str, Any] = json.loads(text)
    return parsed


def _plain(value: Any) -> str:
    return _COUNTS.sub("N", json.dumps(value))


def words_for(step: Mapping[str, Any]) -> ReplySource:
    """A source whose reply ends as the recorded one did: by itself, at the limit, or without a word."""
    lines = [line["json"] for line in step.get("response", {}).get("lines") or () if "json" in line]
    last = lines[-1] if lines else {}
    content = str(last.get("response") or last.get("message", {}).get("content") or "")
    broken = not last.get("done", True)
    looping = broken and content.startswith(",")

    async def source(body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        if looping:
            for _ in range(200):
                yield "content", ","
        elif last.get("done_reason") == "length":
            for number in range(2000):
                yield "content", f" word{number}"
        else:
            for piece in ("The", " code", " word", "."):
                yield "content", piece
        if broken:
            raise BrokenTokenError

    return source


def agree_on_models(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> None:
    """The same models with the same contexts; in the same order where they expire in different seconds."""
    assert {one["name"]: one["context_length"] for one in ours} == {
        one["name"]: one["context_length"] for one in theirs
    }
    if len({one["expires_at"][:19] for one in theirs}) == len(theirs):
        assert [one["name"] for one in ours] == [one["name"] for one in theirs]


async def replay(server: OllamaServer, name: str, *, skip: frozenset[int] = frozenset(), loads: bool = True) -> None:
    """Send a recording's requests one after the other, each at its recorded time, and hold each answer to the recorded.

    `loads`: a call loads a model exactly where the recorded one did.
    """
    for index, step in enumerate(steps(name)):
        if "response" not in step or index in skip:
            continue
        moment = datetime.fromtimestamp(step["t_start_unix"], UTC)
        server.now = lambda moment=moment: moment  # type: ignore[misc]
        server.source = words_for(step)
        before = len(server.runners.loads)
        answer = await exchange(server, step)
        where = f"{name} step {index} ({step.get('label')})"
        try:
            path = step["request"]["path"]
            agree(step, *answer, sized=path in ("/api/tags", "/api/ps", "/api/embed", "/api/embeddings", "/api/chat"))
            told = step["response"].get("lines") or [{}]
            if path == "/api/ps":
                agree_on_models(json.loads(answer[2][0])["models"], told[0]["json"]["models"])
            took = told[-1].get("json", {}).get("load_duration")
            if loads and took is not None:
                assert (len(server.runners.loads) > before) is (took > _COLD_NS)
        except AssertionError as exc:
            raise AssertionError(f"{where}: {exc}") from exc
