"""The Ollama double held against recordings of a real server, so that tests which use it test what exists.

For each exchange the recorded request is sent raw; `tests/doubles/ollama/held.py` says what must agree.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from a4ps.inference.ollama import OllamaEngine
from tests.doubles.ollama.held import agree, exchange, furnish, words_for
from tests.doubles.ollama_server import OllamaServer, count_tokens, split_tokens
from tests.doubles.recordings import steps
from tests.doubles.schema_instance import instance

ROOT = Path(__file__).parent.parent.parent
#: Exchanges that stand by themselves. What hangs on what went before is in the files beside this one.
COVERED: Mapping[str, tuple[int, ...]] = {
    "01": (0, 1, 2, 3, 4, 5, 6, 8, 9, 10),
    "02": (0, 1, 2),
    "06": (0, 1, 2, 3, 4, 5),
    "07": (0, 1, 2),
    "08": (1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17),
    "09": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    "12": (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13),
    "20": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    "21": (0, 1, 2, 3, 4),
    "37": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13),
    "38": (0, 1, 2, 3, 4, 5, 6, 8, 9, 10, 12),
    "39": (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    "41": (0, 1, 2, 3, 4, 5, 6, 7, 8),
    "43": (0, 1, 2, 3),
    "46": (0, 1, 2, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21),
}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer()
    furnish(double)
    async with double:
        yield double


@pytest.mark.parametrize(
    ("number", "index"), [pytest.param(n, i, id=f"{n}-{i}") for n, covered in COVERED.items() for i in covered]
)
async def test_the_double_answers_as_the_server_did(server: OllamaServer, number: str, index: int) -> None:
    step = steps(number)[index]
    lists = step["request"]["path"] in ("/api/tags", "/api/ps", "/v1/models", "/api/generate")
    if step["request"]["path"] == "/api/ps" and number != "02":
        server.load("tiny-b")
    if number == "02":
        server.models = ()
    server.source = words_for(step)
    agree(step, *await exchange(server, step), sized=lists or step["request"]["path"] == "/api/chat")


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
