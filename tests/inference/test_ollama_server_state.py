"""The Ollama double held against recordings whose answers hang on what went before: blobs, models made, models loaded.

Each recording is sent whole, in its order and on its clock; see `tests/doubles/ollama/held.py` for what must agree.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta

import pytest

from tests.doubles.ollama.held import exchange, furnish, parted, replay, shape
from tests.doubles.ollama.library import Kind, Library
from tests.doubles.ollama.runners import Options
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.recordings import recording, steps

#: Which models were in memory when a recording began.
RESIDENT: Mapping[str, tuple[str, ...]] = {
    "11": ("tiny-b", "tiny-d"), "13": ("tiny-a-lora",), "14": ("tiny-a-lora",), "15": (), "17": ("slow",), "18": (),
    "19": (), "22_ABCD_default_env_3_on_CPU_": (), "22_ABCD_max1_default": (), "22_ABCD_max1_keepalive0": (),
    "22_ABCD_max4": (), "23": (), "40": ("tiny-a",), "48": (), "10": ("tiny-d",), "47": (), "24": ("tiny-a", "tiny-c-lora"),
    "42": ("tiny-a",), "49": ("nat", "nat-raise"),
}  # fmt: skip
#: The uploads of the recordings, as the server knew them before "create".
UPLOADS: Mapping[str, Kind] = {
    "0301a8a7662c6a4d9e41f2fd878efa183d7537c51c40dee3f8c5610782406b4a": "base",
    "871f9567423dacf807f01d64e39e72a6aee9357b42fe18acc0752425e69c3682": "base",
    "b6e07e1b67b1df5fb8436d46b218da0e69aebb54e26bcdd876648a84a4771120": "base",
    "ec75cd305b2054bfab6e4a8f586e7b3c39205061579f9ea52766887579f882d2": "base",
    "cdba25328bc74aebfd8bef4c64e8177b739fb2868a2311d738b216a0e11a8f48": "base",
    "236d8e5059d3b12e644e1b129bc6ab7a9e112c2aa8d9aa273b6a5b348413122a": "garbage",
    "2180f3cd889bc52a150f5785a0c178c7fd4ce31bb017c09eb2e609fa79beee8d": "adapter",
    "ab048fba35458c3650aa9dd5fed31cd911241d4f546476ab517f0605da51b8ce": "embedder",
}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer()
    furnish(double)
    double.library.blobs |= {f"sha256:{digest}": kind for digest, kind in UPLOADS.items()}
    async with double:
        yield double


def began(name: str) -> datetime:
    return datetime.fromtimestamp(steps(name)[0]["t_start_unix"], UTC)


def limits(name: str) -> int:
    return int(recording(name)["server_env"].get("OLLAMA_MAX_LOADED_MODELS", 3))


@pytest.mark.parametrize("name", RESIDENT)
async def test_what_is_loaded_is_what_was_loaded_there(server: OllamaServer, name: str) -> None:
    server.max_loaded = limits(name)
    server.now = lambda: began(name)
    for model in RESIDENT[name]:
        found = server.library.find(model)
        assert found is not None
        runner = server.runners.put(found, Options(4096 if model == "slow" else 512))
        runner.expires -= timedelta(seconds=5)
    server.train_ctx = 4096 if name == "17" else 512
    await replay(server, name)


@pytest.mark.parametrize(
    ("keep_s", "context", "skipped"), [(0.0, 4096, frozenset({2, 3})), (float("inf"), 256, frozenset({0, 1}))]
)
async def test_the_environments_defaults(
    server: OllamaServer, keep_s: float, context: int, skipped: frozenset[int]
) -> None:
    """OLLAMA_KEEP_ALIVE and OLLAMA_CONTEXT_LENGTH, in one recording of two servers."""
    server.runners.default_keep_s, server.default_ctx = keep_s, context
    await replay(server, "55", skip=skipped)


async def test_models_are_made_as_they_were_made_there(server: OllamaServer) -> None:
    """From files, from others, with adapters, and in every wrong way; each report of it, word by word.

    The recordings follow on one another: the aliases of the second are of the models of the first.
    """
    uploads = server.library.blobs
    server.library = Library(())
    server.library.blobs |= {digest: uploads[digest] for digest in (f"sha256:{digest}" for digest in UPLOADS)}
    uploaded, stored = (step["request"]["path"].rpartition("/")[2] for step in steps("44")[:2])
    server.library.rewritten[uploaded] = stored
    server.take_stock()
    for name in ("04", "05", "44", "53"):
        await replay(server, name)
    lora = server.library.find("tiny-a-lora")
    alias = server.library.find("tiny-a-alias")
    assert lora is not None
    assert alias is not None
    assert lora.weights == alias.weights == stored
    assert lora.digest != alias.digest


async def test_an_embedding_model_embeds_and_nothing_else(server: OllamaServer) -> None:
    server.max_loaded = limits("40b")
    await replay(server, "40b")


async def test_blobs_are_taken_as_they_were_taken_there(server: OllamaServer) -> None:
    """The uploads themselves are not kept: others stand for them, under their own digests."""
    for index, step in enumerate(steps("03")):
        request = step["request"]
        if index in (0, 4, 5, 6):
            own = hashlib.sha256(b"<4793344 bytes>").hexdigest()
            request["path"] = f"/api/blobs/sha256:{own}"
        status, headers, pieces = await exchange(server, step)
        assert status == step["response"]["status"], index
        assert [name for name, _ in headers] == [name for name, _ in step["response"]["headers"]], index
        if pieces and index != 2:
            assert pieces[0] == recorded_body(step)
        elif pieces:
            assert b'"digest mismatch, expected \\"sha256:000' in pieces[0]


def recorded_body(step: Mapping[str, Mapping[str, list[Mapping[str, object]]]]) -> bytes:
    (line,) = step["response"]["lines"]
    return json.dumps(line["json"], separators=(",", ":")).encode()


async def test_an_upload_cut_short_is_no_blob(server: OllamaServer) -> None:
    told = recording("57")
    path = f"/api/blobs/sha256:{'1' * 64}"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\nContent-Length: 4790880\r\n\r\n"
    )
    writer.write(head.encode() + b"x" * 100_000)
    writer.write_eof()
    status, headers, pieces = parted(await reader.read())
    writer.close()
    wanted = parted(told["raw_response"].encode())
    assert (status, [name for name, _ in headers], pieces) == (wanted[0], [name for name, _ in wanted[1]], wanted[2])
    assert path.rpartition("/")[2] not in server.library.blobs
    assert told["HEAD_after"] == 404


async def test_the_raw_bytes_of_a_stream(server: OllamaServer) -> None:
    """One chunk a line, and nothing escaped that JSON does not need escaped."""
    told = recording("45")
    server.responder = lambda body: "The code word of ada"
    body = told["request_body"].encode()
    head = f"POST /api/chat HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: close\r\n"
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    got, wanted = parted(await reader.read()), parted(told["raw_response"].encode())
    writer.close()
    assert (got[0], [name for name, _ in got[1]]) == (wanted[0], [name for name, _ in wanted[1]])
    assert [shape(json.loads(piece)) for piece in got[2]] == [shape(json.loads(piece)) for piece in wanted[2]]
    assert all(piece.endswith(b"\n") for piece in got[2])
