"""Workers that die, hang, or are given files that were made to hurt: the backend says so in time and goes on.

Nothing here waits by the clock for something to happen: deadlines are the engine's own, and set short.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import signal
import struct
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import EngineBroke, EngineRefused, EngineTimeout, PeerError
from a4ps.inference.engine import ChatRequest, Loading, Message, Text
from a4ps.inference.examined import Examined
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.inference.llamacpp_files import ModelFiles
from a4ps.inference.llamacpp_seat import Deadlines
from tests.contracts.engine_contract import gather, reply
from tests.doubles.gguf_mutants import mutants
from tests.doubles.workers import workers
from tests.faults.killing import LONG, ROOT
from tests.models import manifest

MODELS = manifest.FOLDER
MUTANTS = 300 if LONG else 30
#: A reply that goes on for far longer than any deadline here.
ENDLESS: dict[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 900, "maxItems": 900}

pytestmark = pytest.mark.slow


def ask(model: str = "tiny", **changes: Any) -> ChatRequest:
    given = {"temperature": 0.0, "seed": 1, "num_ctx": 2048, "max_tokens": 60, **changes}
    return ChatRequest(model, (Message("user", "Count to 5."),), "ALFRED", "thesis", **given)


def endless() -> ChatRequest:
    return ask(schema=ENDLESS, max_tokens=100_000, num_ctx=8192)


@pytest.fixture
async def engine() -> AsyncIterator[LlamaCppEngine]:
    deadlines = Deadlines(load_s=30, first_byte_s=1.5, between_tokens_s=1.5, total_s=30, cancel_s=1.5)
    engine = LlamaCppEngine(MODELS, deadlines=deadlines)
    yield engine
    await engine.aclose()
    assert not workers()


async def broken_by(engine: LlamaCppEngine, blow: signal.Signals) -> tuple[PeerError, str]:
    """The error of a reply whose worker is struck in the middle, and what had arrived before."""
    said: list[str] = []
    try:
        async for chunk in engine.stream(endless()):
            if isinstance(chunk, Text):
                said.append(chunk.text)
                if len(said) == 3:
                    (pid,) = workers()
                    os.kill(pid, blow)
    except PeerError as error:
        return error, "".join(said)
    raise AssertionError("the reply went on without its worker")


async def newborn() -> int:
    """The worker that a call in another task is about to start."""
    while True:
        for pid in workers():
            return pid
        await asyncio.sleep(0)


async def test_a_worker_killed_in_mid_reply_leaves_its_partial_text(engine: LlamaCppEngine) -> None:
    error, said = await broken_by(engine, signal.SIGKILL)
    assert isinstance(error, EngineBroke)
    assert error.partial == said
    assert "SIGKILL" in error.message
    assert error.next_step
    chunks = await gather(engine, ask())
    assert isinstance(chunks[0], Loading)
    assert reply(chunks)


async def test_a_worker_stopped_in_mid_reply_is_killed_at_the_deadline(engine: LlamaCppEngine) -> None:
    error, said = await broken_by(engine, signal.SIGSTOP)
    assert isinstance(error, EngineTimeout)
    assert (error.stage, error.partial) == ("token", said)
    assert not engine.worker_pids, "it was left to be killed later"
    assert reply(await gather(engine, ask()))


async def test_a_worker_that_died_unseen_is_replaced_by_the_next_call(engine: LlamaCppEngine) -> None:
    await gather(engine, ask())
    (pid,) = workers()
    gone = os.pidfd_open(pid)
    os.kill(pid, signal.SIGKILL)
    await asyncio.get_running_loop().run_in_executor(None, select.select, [gone], [], [], 20)
    os.close(gone)
    chunks = await gather(engine, ask())
    assert isinstance(chunks[0], Loading)
    assert reply(chunks)


async def test_a_worker_stopped_before_its_call_is_killed_at_the_deadline(engine: LlamaCppEngine) -> None:
    await gather(engine, ask())
    (pid,) = workers()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(EngineTimeout) as caught:
        await gather(engine, ask())
    assert caught.value.stage == "load"
    assert not engine.worker_pids
    assert reply(await gather(engine, ask()))


async def test_a_worker_that_will_not_stop_is_killed_behind_the_back_of_who_closed(engine: LlamaCppEngine) -> None:
    async with aclosing(engine.stream(endless())) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text):
                (pid,) = workers()
                os.kill(pid, signal.SIGSTOP)
                break
    assert reply(await gather(engine, ask()))
    assert pid not in workers()


async def test_a_worker_killed_while_it_loads_is_a_refusal(engine: LlamaCppEngine) -> None:
    call = asyncio.create_task(gather(engine, ask()))
    os.kill(await newborn(), signal.SIGKILL)
    with pytest.raises(EngineRefused, match="SIGKILL"):
        await call
    assert reply(await gather(engine, ask()))


async def test_a_call_cancelled_while_it_loads_leaves_no_worker(engine: LlamaCppEngine) -> None:
    call = asyncio.create_task(gather(engine, ask()))
    await newborn()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert reply(await gather(engine, ask()))
    assert len(workers()) == 1


async def test_a_reply_that_takes_too_long_is_ended_with_what_it_had() -> None:
    engine = LlamaCppEngine(MODELS, deadlines=Deadlines(total_s=0.4))
    try:
        await gather(engine, ask(num_ctx=8192))
        with pytest.raises(EngineTimeout) as caught:
            async for _ in engine.stream(endless()):
                pass
        assert caught.value.stage == "total"
        assert caught.value.partial.startswith("[")
        assert isinstance((await gather(engine, ask()))[0], Loading), "its worker still runs"
    finally:
        await engine.aclose()


async def test_closing_the_engine_breaks_what_is_open_and_starts_nothing_more(engine: LlamaCppEngine) -> None:
    begun = asyncio.Event()

    async def listen() -> None:
        async with aclosing(engine.stream(endless())) as chunks:
            async for chunk in chunks:
                if isinstance(chunk, Text):
                    begun.set()

    calls = [asyncio.create_task(listen()) for _ in range(3)]
    await begun.wait()
    await engine.aclose()
    ended = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in ended] == [EngineBroke] * 3
    assert not workers()


@pytest.mark.parametrize("stopped", [False, True])
def test_a_worker_dies_with_its_parent(stopped: bool) -> None:
    """Killed outright, the parent can do nothing about it; a worker that is stopped cannot either."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.llamacpp_parent", str(MODELS), "tiny"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        alive = os.pidfd_open(pid)
        try:
            if stopped:
                os.kill(pid, signal.SIGSTOP)
            parent.kill()
            assert select.select([alive], [], [], 20)[0], "the worker outlived its parent"
        finally:
            os.close(alive)


class Trusting(ModelFiles):
    """Takes every file for the sound model, so that llama.cpp itself meets the damage."""

    async def examine(self, path: Path) -> Examined:
        return await super().examine(MODELS / "tiny.gguf")


def damaged(model: bytes, chance: random.Random, count: int) -> Iterator[bytes]:
    """`model`, each time hurt in another way: in its header, its tensors' places, its weights, its length."""
    header = model.rindex(b"blk.") + 200
    for number in range(count):
        data = bytearray(model)
        match number % 5:
            case 0:
                for _ in range(chance.randint(1, 6)):
                    data[chance.randrange(header)] ^= 1 << chance.randrange(8)
            case 1:
                del data[chance.randrange(len(data)) :]
            case 2:
                at = chance.choice((8, 16, chance.randrange(24, header - 8)))
                struct.pack_into("<Q", data, at, chance.choice((0, 1, 2**31, 2**32, 2**62, 2**63, 2**64 - 1)))
            case 3:
                start = chance.randrange(header, len(data) - 5000)
                data[start : start + 5000] = chance.choice((chance.randbytes(5000), b"\xff" * 5000))
            case _:
                start = chance.randrange(24, header)
                data[start : start + chance.randint(1, 60)] = chance.randbytes(chance.randint(0, 60))
        yield bytes(data)


@pytest.mark.timeout(900 if LONG else 180)
async def test_files_made_to_hurt_hurt_their_worker_at_most(engine: LlamaCppEngine, tmp_path: Path) -> None:
    """Refused or loaded, each within 2 s, and the base beside them speaks as before."""
    before = reply(await gather(engine, ask()))
    chance = random.Random(20261130)
    deadlines = Deadlines(load_s=1.9, first_byte_s=1.9, between_tokens_s=1.9, total_s=1.9)
    trusting = LlamaCppEngine(tmp_path, deadlines=deadlines, memory_bytes=2**29)
    trusting.files = Trusting(tmp_path, ())
    made = [data for _, data in mutants(chance, MUTANTS // 3)]
    made += damaged((MODELS / "tiny.gguf").read_bytes(), chance, MUTANTS - len(made))
    refused: list[str] = []
    loaded = 0
    try:
        for number, data in enumerate(made):
            (tmp_path / f"{number}.gguf").write_bytes(data)
            try:
                await gather(trusting, ask(f"{number}", max_tokens=4, num_ctx=512, keep_alive_s=0))
                loaded += 1
            except PeerError as error:
                refused.append(error.message)
            (tmp_path / f"{number}.gguf").unlink()
            assert len(workers()) <= 2
    finally:
        await trusting.aclose()
    print(f"\n{MUTANTS} files made to hurt: {len(refused)} refused, {loaded} loaded")
    assert len(refused) >= MUTANTS // 3
    assert not [said for said in refused if str(tmp_path) in said]
    assert reply(await gather(engine, ask())) == before
