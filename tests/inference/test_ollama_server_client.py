"""The Ollama double driven by the real Python client, against what that client made of a real server (recording 51).

Each label of the recording that names a call is made again; an error must be of the recorded class, status and text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.doubles.ollama.held import furnish
from tests.doubles.ollama.replies import Piece
from tests.doubles.ollama_server import OllamaServer
from tests.doubles.recordings import recording

Does = Callable[[ollama.AsyncClient], Awaitable[Any]]
ASKED = [{"role": "user", "content": "What is the code word of ada?"}]
ABSENT = f"sha256:{'0' * 64}"
RECORDED: Mapping[str, Mapping[str, Any]] = {told["label"]: told for told in recording("51")["results"]}


async def streamed(answer: Awaitable[Any]) -> list[Any]:
    return [part async for part in await answer]


#: Calls that a real server refused, by the recording's label.
REFUSED: Mapping[str, Does] = {
    "missing model": lambda c: c.chat("nope", ASKED),
    "missing model stream, iterated": lambda c: streamed(c.chat("nope", ASKED, stream=True)),
    "bad keep_alive '-1'": lambda c: c.chat("tiny-d", ASKED, keep_alive="-1"),
    "bad option type": lambda c: c.chat("tiny-d", ASKED, options={"temperature": "hot"}),
    "tools unsupported": lambda c: c.chat("tiny-d", ASKED, tools=[{"type": "function", "function": {"name": "get_x"}}]),
    "think unsupported": lambda c: c.chat("tiny-d", ASKED, think=True),
    "show missing": lambda c: c.show("nope"),
    "embed completion model": lambda c: c.embed("tiny-d", "hello"),
    "create adapter unknown digest": lambda c: c.create("x", from_="tiny-a", adapters={"l.gguf": ABSENT}),
    "create adapter unknown digest, stream": lambda c: streamed(
        c.create("x", from_="tiny-a", adapters={"l.gguf": ABSENT}, stream=True)
    ),
    "create bad name": lambda c: c.create("a b/..", from_="tiny-a"),
    "copy missing": lambda c: c.copy("nope", "n2"),
    "delete missing": lambda c: c.delete("nope"),
    "pull no network": lambda c: c.pull("zz-nonexistent-test"),
    "pull no network stream": lambda c: streamed(c.pull("zz-nonexistent-test", stream=True)),
    "load failure (adapter of wrong arch)": lambda c: c.chat("tiny-b-lora", ASKED),
    "load failure stream": lambda c: streamed(c.chat("tiny-b-lora", ASKED, stream=True)),
}


@pytest.fixture
async def server() -> AsyncIterator[OllamaServer]:
    double = OllamaServer()
    furnish(double)
    double.library.add("tiny-emb", embeds=True, chats=False)
    double.take_stock()
    async with double:
        yield double


@pytest.fixture
async def client(server: OllamaServer) -> AsyncIterator[ollama.AsyncClient]:
    made = ollama.AsyncClient(server.url, trust_env=False)
    yield made
    await made.close()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("label", REFUSED)
async def test_what_is_refused(client: ollama.AsyncClient, label: str) -> None:
    told = RECORDED[label]
    with pytest.raises(ollama.ResponseError) as caught:
        await REFUSED[label](client)
    assert told["exception"] == "ollama._types.ResponseError"
    assert (caught.value.error, str(caught.value.status_code)) == (told["error"], told["status"])


async def test_what_is_answered(client: ollama.AsyncClient, server: OllamaServer) -> None:
    """Chats, loads, unloads, lists, cards, vectors, copies: as typed objects of the client."""
    server.responder = lambda body: "The code word of ada is black 876."
    whole = await client.chat("tiny-d", ASKED)
    assert (whole.done, whole.done_reason) == (True, "stop")
    assert fields(repr(whole)) == fields(RECORDED["chat"]["ok"])
    parts = await streamed(client.chat("tiny-d", ASKED, stream=True))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert fields(repr(parts[-1])) == fields(RECORDED["chat stream last part"]["ok"])
    assert [entry.model for entry in (await client.ps()).models] == ["tiny-d:latest"]
    assert (await client.generate("tiny-d")).done_reason == "load"
    assert (await client.generate("tiny-d", keep_alive=0)).done_reason == "unload"
    assert (await client.chat("tiny-d", [], keep_alive=0)).done_reason == "unload"
    assert repr(await client.ps()) == RECORDED["ps"]["ok"]
    assert str((await client.show("tiny-a")).capabilities) == RECORDED["show"]["ok"]
    assert fields(repr((await client.list()).models[0])) == fields(RECORDED["list"]["ok"])
    assert str(len((await client.embed("tiny-emb", ["a", "b"])).embeddings)) == RECORDED["embed"]["ok"]
    assert repr(await client.copy("tiny-d", "copied")) == RECORDED["copy"]["ok"]
    assert repr(await client.delete("copied")) == RECORDED["delete"]["ok"]


async def test_a_model_is_made_of_an_upload(client: ollama.AsyncClient, server: OllamaServer, tmp_path: Path) -> None:
    """The client uploads in chunks; what an upload is shows in its head; a base and its adapter share a runner's place."""
    base, adapter = tmp_path / "base.gguf", tmp_path / "adapter.gguf"
    base.write_bytes(b"GGUF" + b"\x00" * 100_000)
    adapter.write_bytes(b"GGUF general.type adapter adapter.type lora")
    digest = await client.create_blob(base)
    assert digest == f"sha256:{hashlib.sha256(base.read_bytes()).hexdigest()}"
    reports = await streamed(client.create("made", files={"base.gguf": digest}, stream=True))
    assert reports[-1].status == "success"
    lora = await client.create_blob(adapter)
    made = await client.create("made-lora", from_="made", adapters={"adapter.gguf": lora})
    assert repr(made) == RECORDED["create adapter"]["ok"]
    for name in ("made", "made-lora", "made"):
        assert (await client.chat(name, ASKED)).done
    assert server.runners.loads == ["made:latest", "made-lora:latest", "made:latest"]
    with pytest.raises(ollama.ResponseError, match="digest mismatch"):
        await client._request_raw("POST", f"/api/blobs/{ABSENT}", content=b"GGUF")  # type: ignore[no-untyped-call]


async def test_a_stream_ended_by_the_servers_own_guard(client: ollama.AsyncClient, server: OllamaServer) -> None:
    async def commas(body: Mapping[str, Any]) -> AsyncIterator[Piece]:
        while True:
            yield "content", ","

    server.source = commas
    parts = await streamed(client.generate("tiny-b", "The GNU General", raw=True, stream=True))
    last = parts[-1]
    assert (
        str((len(parts), last.done, last.done_reason))
        == RECORDED["stream ends cleanly without done (repeat guard)"]["ok"]
    )


def fields(shown: str) -> set[str]:
    """The names of fields that a typed object shows with a value."""
    return {name for name, value in re.findall(r"(\w+)=(\S)", shown) if value != "N"}
