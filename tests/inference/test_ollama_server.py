"""The Ollama double held against recordings of a real server, so that tests which use it test what exists.

For each exchange: the recorded request, sent raw, must get the recorded status, headers in their order, framing and, line
by line, the recorded keys in their order; error texts must be equal, up to counts.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from a4ps.inference.ollama import OllamaEngine
from tests.doubles.ollama_server import OllamaServer, count_tokens, split_tokens
from tests.doubles.recordings import restored, steps
from tests.doubles.schema_instance import instance

MODELS = ("tiny-a", "tiny-b", "tiny-d", "nat", "slow")
ROOT = Path(__file__).parent.parent.parent
COVERED: Mapping[str, tuple[int, ...]] = {
    "01": (0, 1, 2, 3, 4, 5, 8, 9, 10),
    "02": (0, 1),
    "06": (0, 3, 4, 5),
    "07": (0,),
    "08": (1, 3, 4, 8, 16, 17),
    "09": (5, 6, 7),
    "12": (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13),
    "20": (0, 1, 2, 5, 6),
    "37": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10),
    "38": (0, 1, 2, 3, 4, 5, 6, 10, 12),
    "39": (0, 1, 3, 14, 15),
    "41": (0, 4, 5),
    "46": (2, 11, 13, 19),
}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer(models=MODELS, native=frozenset({"nat"}), train_ctx=512, offline=True)
    double.responder = lambda body: "The code word of ada is black 876."
    async with double:
        yield double


async def exchange(server: OllamaServer, step: Mapping[str, Any]) -> tuple[int, list[tuple[str, str]], list[bytes]]:
    """Send the recorded request as it was. Returns status, headers and the body's pieces as they were framed."""
    request = step["request"]
    sent = request["body"]
    if isinstance(sent, dict):
        sent = dict(sent)
        if isinstance(sent.get("messages"), list):
            sent["messages"] = [m | {"content": restored(m["content"])} for m in sent["messages"]]
        sent = json.dumps(sent)
    raw = (sent if isinstance(sent, str) else json.dumps(sent) if sent is not None else "").encode()
    headers = dict(request["headers"])
    if headers["Host"].startswith("127.0.0.1"):
        headers["Host"] = f"127.0.0.1:{server.port}"
    if "Content-Length" in headers:
        headers["Content-Length"] = str(len(raw))
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = [f"{request['method']} {request['path']} HTTP/1.1"] + [f"{name}: {value}" for name, value in headers.items()]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + raw)
    received = await reader.read()
    writer.close()
    top, _, body = received.partition(b"\r\n\r\n")
    first, *rest = top.decode().split("\r\n")
    names = [(name, value) for name, _, value in (line.partition(": ") for line in rest)]
    pieces = []
    if ("Transfer-Encoding", "chunked") in names:
        while body:
            size, _, body = body.partition(b"\r\n")
            pieces.append(body[: int(size, 16)])
            body = body[int(size, 16) + 2 :]
        assert pieces.pop() == b"", "the stream has its terminating chunk"
    elif body:
        pieces.append(body)
    return int(first.split(" ")[1]), names, pieces


def shape(value: Any) -> Any:
    """The keys of a JSON value in their order; of a list, its first entry's. What a model or a machine fills is left out."""
    if isinstance(value, dict):
        free = ("model_info", "details", "tensors", "system", "digest")
        return [(key, None if key in free else shape(entry)) for key, entry in value.items() if key != "system"]
    if isinstance(value, list):
        return [shape(entry) for entry in value[:1]]
    return type(value).__name__


@pytest.mark.parametrize(
    ("number", "index"), [pytest.param(n, i, id=f"{n}-{i}") for n, covered in COVERED.items() for i in covered]
)
async def test_the_double_answers_as_the_server_did(server: OllamaServer, number: str, index: int) -> None:
    step = steps(number)[index]
    recorded = step["response"]
    if step["request"]["path"] == "/api/ps" and number != "02":
        server.load("tiny-b")
    if number == "02":
        server.models = ()
    status, headers, pieces = await exchange(server, step)
    assert status == recorded["status"]
    lists = step["request"]["path"] in ("/api/tags", "/api/ps")
    if lists:
        # Whether a list comes with a length or in chunks hangs on its size, which is that of the models there are.
        framing = {"Content-Length", "Transfer-Encoding"}
        assert {name for name, _ in headers} - framing == {name for name, _ in recorded["headers"]} - framing
    else:
        assert [name for name, _ in headers] == [name for name, _ in recorded["headers"]]
    assert dict(headers).get("Content-Type") == dict(recorded["headers"]).get("Content-Type")
    if not recorded.get("lines"):
        assert pieces == []
        return
    first, last = recorded["lines"][0], recorded["lines"][-1]
    if "text" in first:
        assert pieces == [first["text"].encode()]
        return
    assert len(pieces) > 1 or len(recorded["lines"]) == 1
    for piece, line in ((pieces[0], first), (pieces[-1], last)):
        got = json.loads(piece)
        assert piece.endswith(b"\n") is not line.get("no_trailing_newline", False)
        assert shape(got) == shape(line["json"])
        if "error" in got:
            plain = [re.sub(r"\d+ tokens|_tokens\":\d+", "N", text) for text in (got["error"], line["json"]["error"])]
            assert plain[0] == plain[1]
        for key in ("done", "done_reason", "status"):
            assert got.get(key) == line["json"].get(key)


async def test_keep_alive_is_kept_account_of(server: OllamaServer) -> None:
    ps, unload = steps("02")[1], steps("12")[0]
    server.load("tiny-d")
    server.load("tiny-a")
    await exchange(server, unload)
    _, _, (body,) = await exchange(server, ps)
    assert [entry["name"] for entry in json.loads(body)["models"]] == ["tiny-a:latest"]


async def test_the_double_runs_as_a_process() -> None:
    command = (sys.executable, "-m", "tests.doubles.ollama_server", "--port", "0", "--missing-models")
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    engine = OllamaEngine((await process.stdout.readline()).decode().strip())
    try:
        assert (await engine.status()).reachable
        assert await engine.models() == ()
        assert [report async for report in engine.pull("fresh:1b")][-1].status == "success"
        assert [known.name for known in await engine.models()] == ["fresh:1b"]
    finally:
        await engine.aclose()
        process.terminate()
    assert await process.wait() == 0


@pytest.mark.parametrize("text", ["", "one", " two  three\n\nfour ", "Straße 你好，世界"])
def test_tokens_make_up_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text
    assert count_tokens([{"content": text}]) >= len(text.split())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "string", "maxLength": 7}, "b": {"type": "boolean"}}},
        {"type": "array", "items": {"type": "integer", "minimum": 3, "maximum": 4}, "minItems": 5},
        {"type": "array", "items": {"type": "string", "minLength": 90}, "maxItems": 1},
        {"anyOf": [{"type": "null"}, {"type": "number", "exclusiveMinimum": 0, "maximum": 1}]},
        {"$defs": {"x": {"enum": ["u", "v"]}}, "allOf": [{"$ref": "#/$defs/x"}]},
        {"type": ["string", "null"]},
        {"type": "integer", "exclusiveMinimum": 5},
        {"type": "number", "maximum": -5},
        {"const": 4},
    ],
)
def test_instances_have_their_schemas_shape(schema: dict[str, Any]) -> None:
    jsonschema.validate(instance(schema), schema)
