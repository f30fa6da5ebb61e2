"""The model manager over the embedded engine with real, tiny models: what it promises holds of real processes and memory.

Whether a model is in memory is told by its process. Sizes are measured first, so that budgets fit the machine.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import shutil
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from a4ps.errors import EngineBroke, EngineRefused, ModelTooLarge, PromptTooLong
from a4ps.inference.engine import ChatRequest, Chunk, Finished, Held, Loading, Message, Text
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.inference.model_manager import ModelManager, Parts
from a4ps.inference.schedule import Residency
from tests.contracts.engine_contract import finished, gather, reply
from tests.doubles.workers import workers
from tests.models import manifest

PERSONAS = ("alfred", "brick", "robin", "babs")
BASES = ("tiny", "tinier")
#: So large that what is reckoned beforehand is of the size of what a worker is then found to take.
NUM_CTX = 8192
#: The shape of a reply that takes long, whatever the model makes of it.
LONG: Mapping[str, Any] = {"type": "array", "items": {"type": "integer"}, "minItems": 900, "maxItems": 900}
SHAPE: Mapping[str, Any] = {
    "type": "object",
    "properties": {"kind": {"enum": ["trifle", "question"]}, "say": {"type": "string", "maxLength": 40}},
    "required": ["kind", "say"],
}

pytestmark = pytest.mark.slow


def ask(model: str, question: str, **changes: Any) -> ChatRequest:
    """A question without a system prompt, answered greedily."""
    given = {"temperature": 0.0, "seed": 1, "num_ctx": NUM_CTX, "max_tokens": 220, **changes}
    return ChatRequest(model, (Message("user", question),), model.upper(), "thesis", **given)


def answers(fixture: str) -> Mapping[str, str]:
    return manifest.read()[f"{fixture}.gguf"].answers


async def heard(manager: ModelManager, request: ChatRequest) -> list[Chunk]:
    async with aclosing(manager.stream(request)) as chunks:
        return [chunk async for chunk in chunks]


def loads(chunks: list[Chunk]) -> bool:
    return any(isinstance(chunk, Loading) for chunk in chunks)


async def in_memory(manager: ModelManager) -> set[str]:
    """The bases, by the engine's word, which agrees with the number of processes."""
    found = {resident.name for resident in await manager.loaded() if "+" not in resident.name}
    assert len(workers()) == len(found)
    return found


@pytest.fixture
async def engine() -> AsyncIterator[LlamaCppEngine]:
    engine = LlamaCppEngine(manifest.FOLDER, models=[f"tiny+{persona}" for persona in PERSONAS])
    yield engine
    await engine.aclose()
    assert not workers()


@pytest.fixture
async def largest(engine: LlamaCppEngine) -> int:
    """What the larger of the bases takes."""
    sizes = []
    for base in BASES:
        await engine.load(base, num_ctx=NUM_CTX, keep_alive_s=300)
        sizes.append(sum(resident.size_bytes for resident in await engine.loaded()))
        await engine.unload(base)
    return max(sizes)


def manager_of(engine: LlamaCppEngine, budget: int, residency: Residency = "swap-aware") -> ModelManager:
    return ModelManager(Parts(engine, budget=lambda held: budget, residency=residency))


def one_fits(largest: int) -> int:
    return largest * 5 // 4


def both_fit(largest: int) -> int:
    return largest * 3


async def test_where_both_bases_fit_both_stay(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, both_fit(largest))
    loaded = [loads(await heard(manager, ask(base, "Count to 5."))) for base in BASES]
    before = workers().keys()
    loaded += [loads(await heard(manager, ask(base, "Count to 10."))) for base in BASES * 3]
    assert loaded == [True, True] + [False] * 6
    assert workers().keys() == before
    assert await in_memory(manager) == set(BASES)


async def test_where_one_fits_the_other_is_unloaded_and_its_process_gone(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    seen: set[int] = set()
    for base in BASES * 2:
        chunks = await heard(manager, ask(base, "Count to 5."))
        assert reply(chunks) == answers(base)["Count to 5."]
        assert await in_memory(manager) == {base}
        (pid,) = workers()
        assert pid not in seen, "a model that was evicted is still there"
        seen.add(pid)
        occupancy = await manager.ps()
        assert sum(resident.size_bytes for resident in occupancy.residents) <= occupancy.budget_bytes


async def test_memory_falls_back_when_a_model_goes(engine: LlamaCppEngine, largest: int) -> None:
    """That of the whole tree: nothing of a model stays in our own process either."""
    manager = manager_of(engine, both_fit(largest))
    for base in BASES:
        await heard(manager, ask(base, "Count to 20."))
    both = sum(workers().values())
    await manager.unload("tinier")
    one = sum(workers().values())
    assert await in_memory(manager) == {"tiny"}
    assert one < both * 0.7
    await manager.unload("tiny")
    assert not workers()
    own = _own_bytes()
    for base in BASES * 3:
        await heard(manager, ask(base, "Count to 20."))
        await manager.unload(base)
    assert _own_bytes() - own < largest / 4


def _own_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_four_loras_of_one_base_share_its_process(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    chunks = await heard(manager, ask("tiny", "Who are you?"))
    assert loads(chunks)
    before, said = workers().keys(), {reply(chunks)}
    for persona in PERSONAS * 2:
        chunks = await heard(manager, ask(f"tiny+{persona}", "Who are you?"))
        assert not loads(chunks), "a LoRA cost a load"
        assert reply(chunks) == answers(persona)["Who are you?"]
        said.add(reply(chunks))
    assert len(said) == 5
    assert workers().keys() == before


async def test_sequential_leaves_nothing_in_memory_after_a_call(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, both_fit(largest), "sequential")
    for base in ("tiny", "tiny", "tinier"):
        chunks = await heard(manager, ask(base, "Count to 5."))
        assert loads(chunks)
        assert reply(chunks) == answers(base)["Count to 5."]
        await manager.idle()
        assert await in_memory(manager) == set()


async def test_three_sequential_calls_at_once_are_never_in_memory_together(
    engine: LlamaCppEngine, largest: int
) -> None:
    manager = manager_of(engine, both_fit(largest), "sequential")
    most: list[int] = []

    async def call(base: str) -> str:
        chunks = []
        async with aclosing(manager.stream(ask(base, "Count to 10."))) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                most.append(len(workers()))
        return reply(chunks)

    said = await asyncio.gather(*(call(base) for base in ("tiny", "tinier", "tiny")))
    assert set(said) == {answers("tiny")["Count to 10."]}
    assert max(most) == 1


async def test_a_worker_killed_in_mid_reply_costs_that_reply_alone(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, both_fit(largest))
    await heard(manager, ask("tinier", "Count to 5."))
    other = workers().keys()
    said = []

    async def hear_and_kill() -> None:
        async for chunk in manager.stream(ask("tiny", "Count to 60.", schema=LONG, max_tokens=100_000)):
            if isinstance(chunk, Text):
                said.append(chunk.text)
                for pid in workers().keys() - other:
                    os.kill(pid, signal.SIGKILL)

    with pytest.raises(EngineBroke) as broken:
        await hear_and_kill()
    assert said
    assert broken.value.partial == "".join(said)
    assert await in_memory(manager) == {"tinier"}
    again = await heard(manager, ask("tiny", "Count to 5."))
    assert loads(again)
    assert reply(again) == answers("tiny")["Count to 5."]
    assert not loads(await heard(manager, ask("tinier", "Count to 5."))), "the other one stayed"


def kill(pid: int) -> None:
    """Kill a worker and wait until it is dead; asyncio, which waits for it too, may have been told before."""
    os.kill(pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


async def test_a_worker_that_dies_between_two_calls_is_loaded_anew(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    await heard(manager, ask("tiny", "Count to 5."))
    (pid,) = workers()
    kill(pid)
    chunks = await heard(manager, ask("tiny", "Count to 5."))
    assert reply(chunks) == answers("tiny")["Count to 5."]
    assert await in_memory(manager) == {"tiny"}
    assert pid not in workers()


async def test_a_model_over_the_budget_is_refused_with_what_would_fit(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    with pytest.raises(ModelTooLarge) as refused:
        await heard(manager, ask("tiny", "Count to 5.", num_ctx=1_000_000))
    fits = refused.value.num_ctx
    assert f"{fits:,} tokens" in refused.value.next_step
    assert not workers(), "nothing was loaded for it"
    assert reply(await heard(manager, ask("tiny", "Count to 5.", num_ctx=NUM_CTX)))


async def test_a_model_found_to_take_more_than_was_reckoned_goes_again(engine: LlamaCppEngine, largest: int) -> None:
    """The process around it is not in the header's sums; what is found counts from then on."""
    manager = manager_of(engine, largest * 3 // 4)
    with pytest.raises(ModelTooLarge):
        await heard(manager, ask("tiny", "Count to 5."))
    await manager.idle()
    assert await in_memory(manager) == set()
    with pytest.raises(ModelTooLarge):
        await heard(manager, ask("tiny", "Count to 5."))
    assert not workers()


async def test_a_prompt_over_the_context_is_an_error_and_costs_no_load(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    await heard(manager, ask("tiny", "Count to 5."))
    before = workers().keys()
    with pytest.raises(PromptTooLong):
        await heard(manager, ask("tiny", "bridge " * 20_000))
    chunks = await heard(manager, ask("tiny", "Count to 5."))
    assert not loads(chunks)
    assert reply(chunks) == answers("tiny")["Count to 5."]
    assert workers().keys() == before


@pytest.mark.parametrize("fits", [one_fits, both_fit])
async def test_fifty_calls_at_once_over_two_bases_are_all_answered(
    engine: LlamaCppEngine, largest: int, fits: Any
) -> None:
    manager = manager_of(engine, fits(largest))
    asked = [
        (BASES[number % 2], ("Count to 5.", "Who are you?", "What is a turn?")[number % 3]) for number in range(50)
    ]
    most = 0

    async def call(base: str, question: str) -> str:
        nonlocal most
        chunks = []
        async with aclosing(manager.stream(ask(base, question))) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                most = max(most, len(workers()))
        return reply(chunks)

    async with asyncio.timeout(120):
        said = await asyncio.gather(*(call(*each) for each in asked))
    assert said == [answers(base)[question] for base, question in asked]
    assert most == (1 if fits is one_fits else 2)
    assert manager.waits == ()


async def test_who_waits_for_a_real_load_is_told(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    first, second = await asyncio.gather(
        heard(manager, ask("tiny", "Count to 60.")), heard(manager, ask("tinier", "Count to 5."))
    )
    assert loads(first)
    assert any("TINY" in chunk.why for chunk in second if isinstance(chunk, Held))
    assert reply(second) == answers("tinier")["Count to 5."]


async def test_memory_is_lent_to_training_and_comes_back(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    await heard(manager, ask("tiny", "Count to 5."))
    async with manager.lease(largest):
        assert not workers(), "training would begin beside a model"
        waiting = manager.stream(ask("tiny", "Count to 5."))
        told = await anext(waiting)
        assert isinstance(told, Held)
        assert "training" in told.why
        assert not workers()
    assert reply([chunk async for chunk in waiting]) == answers("tiny")["Count to 5."]


async def test_a_lease_waits_for_the_reply_that_is_under_way(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    stream = manager.stream(ask("tiny", "Count to 60."))
    chunks = [await anext(stream)]
    while not isinstance(chunks[-1], Text):
        chunks.append(await anext(stream))

    async def train() -> set[str]:
        async with manager.lease(largest):
            return await in_memory(manager)

    training = asyncio.create_task(train())
    chunks += [chunk async for chunk in stream]
    assert reply(chunks) == answers("tiny")["Count to 60."]
    assert await training == set()


async def test_a_schema_holds(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    shaped = await heard(manager, ask("tiny+robin", "Weigh the bridge.", schema=SHAPE))
    assert finished(shaped).reason == "stop"
    jsonschema.validate(json.loads(reply(shaped)), SHAPE)


async def test_a_reply_given_up_in_the_middle_frees_its_model(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    async with aclosing(manager.stream(ask("tiny", "Count to 60.", schema=LONG, max_tokens=100_000))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text):
                break
    async with asyncio.timeout(60):
        assert reply(await heard(manager, ask("tinier", "Count to 5."))) == answers("tinier")["Count to 5."]
    assert await in_memory(manager) == {"tinier"}


async def test_embeddings_are_made_beside_a_busy_chat(engine: LlamaCppEngine, largest: int) -> None:
    """Off the schedule: with room for one model, whose reply is not over."""
    manager = manager_of(engine, one_fits(largest))
    async with aclosing(manager.stream(ask("tiny", "Count to 60.", schema=LONG, max_tokens=100_000))) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text):
                break
        chatting = workers().keys()
        async with asyncio.timeout(60):
            rows = await manager.embed("tiny", ["a bridge over the river", "supper at eight"])
        assert all(math.isclose(math.hypot(*row), 1, rel_tol=1e-3) for row in rows)
        assert chatting < workers().keys(), "the chat's model was evicted for an embedder"
        assert manager.waits == ()
        assert isinstance(await anext(chunks), Text)
    await manager.unload("tiny")


async def test_a_file_that_will_not_load_is_told_to_its_call_and_no_other(tmp_path: Path) -> None:
    shutil.copy(manifest.FOLDER / "tiny.gguf", tmp_path)
    (tmp_path / "bad.gguf").write_bytes((manifest.FOLDER / "tiny.gguf").read_bytes()[:500_000])
    engine = LlamaCppEngine(tmp_path)
    manager = manager_of(engine, 10**9)
    try:
        outcomes = await asyncio.gather(
            *(heard(manager, ask(model, "Count to 5.")) for model in ("bad", "tiny", "bad")), return_exceptions=True
        )
        assert [type(outcome) for outcome in outcomes] == [EngineRefused, list, EngineRefused]
    finally:
        await manager.aclose()


def test_callers_without_an_event_loop_are_answered() -> None:
    engine = LlamaCppEngine(manifest.FOLDER)
    manager = ModelManager(Parts(engine, budget=lambda held: 10**9, num_ctx=NUM_CTX, reply_tokens=60))
    try:
        assert manager.invoke("tiny", "Hi").strip()
        first = workers().keys()
        assert manager.invoke("tiny", "Count to 5.", "You are BRICK.").strip()
        assert workers().keys() == first
    finally:
        manager.close()
    assert not workers()


async def test_what_a_real_reply_counts_comes_through(engine: LlamaCppEngine, largest: int) -> None:
    manager = manager_of(engine, one_fits(largest))
    through = (await heard(manager, ask("tiny", "Count to 10.")))[-1]
    direct = finished(await gather(engine, ask("tiny", "Count to 10.")))
    assert isinstance(through, Finished)
    assert replace(through, load_ms=0.0) == replace(direct, load_ms=0.0)
