"""A worker's surroundings: what it inherits, what it may do, what is heard of it. And the engine's small answers."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import EngineRefused
from a4ps.inference import llamacpp_process
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.inference.llamacpp_process import Frames, WorkerDied, WorkerProcess
from a4ps.inference.llamacpp_wire import Cancel, Ended, Load, Piece, Ready, Speak, encode
from tests.models import manifest

MODELS = manifest.FOLDER
LISTENING = "0A"


def load(**changes: object) -> Load:
    given = {
        "loras": (),
        "embedding": False,
        "num_ctx": 512,
        "threads": 1,
        "gpu_layers": 0,
        "memory_bytes": 0,
        "nice": 0,
    }
    return Load(**{"base": str(MODELS / "tiny.gguf"), **given, **changes})  # type: ignore[arg-type]


@pytest.fixture
async def worker() -> AsyncIterator[WorkerProcess]:
    worker = await WorkerProcess.start({"SECRET": "x", "CUDA_VISIBLE_DEVICES": "", "PYTHONPATH": "/nowhere"})
    yield worker
    worker.kill()
    await worker.ended()
    assert not worker.alive


def proc(worker: WorkerProcess, name: str) -> str:
    return Path(f"/proc/{worker.pid}/{name}").read_text(encoding="utf-8")


def listens(worker: WorkerProcess) -> bool:
    """Whether one of the worker's sockets waits for connections from the network, loopback included."""
    held = {str(link.readlink()) for link in Path(f"/proc/{worker.pid}/fd").iterdir()}
    rows = [line.split() for table in ("tcp", "tcp6") for line in proc(worker, f"net/{table}").splitlines()[1:]]
    return any(row[3] == LISTENING and f"socket:[{row[9]}]" in held for row in rows)


def has_empty_private_folder(worker: WorkerProcess) -> bool:
    folder = Path(f"/proc/{worker.pid}/cwd").readlink()
    return not list(folder.iterdir()) and folder.stat().st_mode & 0o077 == 0


def has_no_folder(worker: WorkerProcess) -> bool:
    return str(Path(f"/proc/{worker.pid}/cwd").readlink()).endswith("(deleted)")


@pytest.mark.slow
async def test_a_worker_inherits_nothing_and_is_reached_by_nobody_else(worker: WorkerProcess) -> None:
    worker.send(load(nice=5))
    assert isinstance(await worker.receive(), Ready)
    assert set(proc(worker, "environ").strip("\0").split("\0")) == {"LC_ALL=C.UTF-8", "CUDA_VISIBLE_DEVICES="}
    assert os.getsid(worker.pid) == worker.pid, "Ctrl-C at the terminal would reach it"
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == os.getpriority(os.PRIO_PROCESS, 0) + 5
    (core,) = (line for line in proc(worker, "limits").splitlines() if line.startswith("Max core file size"))
    assert core.split()[4:6] == ["0", "0"]
    assert not listens(worker), "it listens on a port"
    assert has_empty_private_folder(worker), "llama.cpp's socket can be reached"
    worker.tidy()
    assert has_no_folder(worker)


@pytest.mark.slow
async def test_a_worker_says_why_it_cannot_load_without_naming_files(
    worker: WorkerProcess, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"GGUF" + bytes(100))
    with caplog.at_level(logging.INFO, logger="a4ps.inference.llamacpp_process"):
        worker.send(load(base=str(bad)))
        await worker.receive()
        with pytest.raises(WorkerDied, match="it ended with 1"):
            await worker.receive()
    assert worker.said()
    assert str(tmp_path) not in worker.said()
    assert "gguf" in caplog.text, "the log has what llama.cpp said"


@pytest.mark.slow
async def test_a_worker_that_is_told_nonsense_ends(worker: WorkerProcess) -> None:
    worker.send(Cancel(1))
    with pytest.raises(WorkerDied, match="the first message is to be Load"):
        await worker.receive()
    assert not worker.alive


@pytest.mark.slow
async def test_a_death_is_told_by_its_signal(worker: WorkerProcess) -> None:
    os.kill(worker.pid, signal.SIGSEGV)
    with pytest.raises(WorkerDied, match="SIGSEGV"):
        await worker.receive()
    worker.send(Cancel(1))
    worker.kill()
    assert worker.memory_bytes() == 0


async def test_a_reader_cancelled_in_mid_frame_loses_nothing() -> None:
    stream = asyncio.StreamReader()
    frames, frame = Frames(stream), encode(Cancel(7))
    for part in (frame[:2], frame[2:4], frame[4:6]):
        stream.feed_data(part)
        reading = asyncio.create_task(frames.next())
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
    stream.feed_data(frame[6:])
    assert await frames.next() == Cancel(7)


@pytest.mark.slow
async def test_a_cancelled_reply_stops_in_the_middle(worker: WorkerProcess) -> None:
    worker.send(load(num_ctx=8192))
    await worker.receive()
    endless = json.dumps({"type": "array", "items": {"type": "integer"}, "minItems": 900, "maxItems": 900})
    worker.send(Speak(1, (("user", "Count to 5."),), -1, endless, False, 1, 8000, 8192, 0.0, 1))
    while not isinstance(await worker.receive(), Piece):
        pass
    worker.send(Cancel(1))
    while isinstance(ended := await worker.receive(), Piece):
        pass
    assert isinstance(ended, Ended)
    assert ended.reason == "cancelled"


@pytest.mark.slow
async def test_a_cancel_for_a_call_that_ended_means_nothing(worker: WorkerProcess) -> None:
    worker.send(load())
    await worker.receive()
    for call in (1, 2):
        worker.send(Speak(call, (("user", "Count to 5."),), -1, "", False, 1, 40, 512, 0.0, 1))
        while not isinstance(message := await worker.receive(), Ended):
            pass
        assert message.reason == "stop"
        worker.send(Cancel(call))


async def test_the_engine_knows_without_importing_whether_llama_cpp_is_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    engine = LlamaCppEngine(tmp_path / "no such folder")
    assert (await engine.status()).reachable
    assert await engine.models() == ()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not (await engine.status()).reachable


def test_the_embedded_engine_fetches_nothing(tmp_path: Path) -> None:
    with pytest.raises(EngineRefused) as caught:
        LlamaCppEngine(tmp_path).pull("tiny")
    assert str(tmp_path) in caught.value.next_step


async def test_a_killed_worker_whose_words_nobody_read_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio stops reading what nobody takes, and then says of no dead child that it is dead."""
    monkeypatch.setattr(llamacpp_process, "CHILD", ("-c", "import os\nwhile True: os.write(1, bytes(65_536))"))
    worker = await WorkerProcess.start()
    stream: Any = worker._frames._stream
    while not stream._paused:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    worker.kill()
    async with asyncio.timeout(60):
        await worker.ended()
