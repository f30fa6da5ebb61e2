"""The model manager makes what the plan says: within the budget, verified, and whoever waits is told why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a4ps.errors import CallerError, EngineRefused, ModelMissing, ModelTooLarge, NotBound, PeerError
from a4ps.inference.calls import SwitchCost
from a4ps.inference.engine import ChatRequest, Chunk, Finished, Held, Loading, Message, Text
from a4ps.inference.model_manager import Busy, ModelManager, Parts
from tests.doubles.memory_engine import GB, MemoryEngine

FOUR = {"alfred": 3 * GB, "brick": 7 * GB, "robin": 5 * GB, "babs": 4 * GB}


def manager_of(engine: MemoryEngine, *, budget: int = 8 * GB, **changes: object) -> ModelManager:
    return ModelManager(Parts(engine, budget=lambda held: budget, **changes))  # type: ignore[arg-type]


def request(model: str, persona: str = "BRICK", **changes: object) -> ChatRequest:
    return ChatRequest(model, (Message("user", "Hello"),), persona, "thesis", **changes)  # type: ignore[arg-type]


async def hear(manager: ModelManager, asked: ChatRequest) -> list[Chunk]:
    async with aclosing(manager.stream(asked)) as chunks:
        return [chunk async for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks if isinstance(chunk, Text))


class Gate:
    """Holds whoever comes until it is opened for them."""

    def __init__(self) -> None:
        self.waiting: dict[str, asyncio.Event] = {}
        self.came = asyncio.Event()

    async def __call__(self, model: str) -> None:
        event = self.waiting.setdefault(model, asyncio.Event())
        self.came.set()
        await event.wait()

    async def until(self, model: str) -> None:
        while model not in self.waiting:
            self.came.clear()
            await self.came.wait()

    def open(self, model: str) -> None:
        self.waiting.setdefault(model, asyncio.Event()).set()


async def until(true: Callable[[], bool]) -> None:
    """Let others go on until something is so; the test's own time limit ends what never comes."""
    done = asyncio.Event()

    def look() -> None:
        if true():
            done.set()
        else:
            asyncio.get_running_loop().call_later(0.001, look)

    look()
    await done.wait()


async def test_a_model_is_loaded_once_and_stays() -> None:
    engine = MemoryEngine(FOUR)
    manager = manager_of(engine)
    for _ in range(3):
        assert text_of(await hear(manager, request("brick"))) == "Well."
    assert engine.loads() == ["brick"]


async def test_whatever_fits_together_stays_together() -> None:
    engine = MemoryEngine(FOUR)
    manager = manager_of(engine)
    for model in ("alfred", "babs", "alfred", "babs"):
        await hear(manager, request(model))
    assert engine.loads() == ["alfred", "babs"]


async def test_a_model_makes_room_for_another_and_is_seen_to_be_gone() -> None:
    engine = MemoryEngine(FOUR)
    manager = manager_of(engine)
    await hear(manager, request("brick"))
    await hear(manager, request("robin"))
    assert engine.events.index("unload brick") < engine.events.index("load robin")
    assert [resident.name for resident in (await manager.ps()).residents] == ["robin"]


async def test_loras_of_one_base_need_no_load() -> None:
    engine = MemoryEngine({"qwen+alfred": 6 * GB, "qwen+brick": 6 * GB, "qwen+robin": 6 * GB, "qwen+babs": 6 * GB})
    manager = manager_of(engine)
    for model in engine.sizes:
        await hear(manager, request(model))
    assert len(engine.loads()) == 1


async def test_sequential_unloads_after_each_call() -> None:
    engine = MemoryEngine(FOUR)
    manager = manager_of(engine, residency="sequential")
    for _ in range(2):
        await hear(manager, request("alfred"))
        await until(lambda: engine.resident == {})
    assert engine.loads() == ["alfred", "alfred"]


async def test_who_waits_is_told_why_and_the_load_is_shown() -> None:
    engine = MemoryEngine(FOUR, speaking=Gate(), loading=Gate())
    loading, speaking = engine.loading, engine.speaking
    assert isinstance(loading, Gate)
    assert isinstance(speaking, Gate)
    manager = manager_of(engine)
    first = asyncio.create_task(hear(manager, request("brick", "BRICK")))
    await loading.until("brick")
    loading.open("brick")
    await speaking.until("brick")
    second = asyncio.create_task(hear(manager, request("robin", "ROBIN")))
    await until(lambda: bool(manager.waits))
    speaking.open("brick")
    await loading.until("robin")
    loading.open("robin")
    speaking.open("robin")
    assert Loading("brick") in await first
    chunks = await second
    held = [chunk.why for chunk in chunks if isinstance(chunk, Held)]
    assert any("ROBIN waits for BRICK's model to finish" in why for why in held)
    assert chunks.index(Loading("robin")) > 0
    assert text_of(chunks) == "Well."


async def test_a_call_that_is_given_up_leaves_the_line() -> None:
    engine = MemoryEngine(FOUR, speaking=Gate())
    speaking = engine.speaking
    assert isinstance(speaking, Gate)
    manager = manager_of(engine)
    first = asyncio.create_task(hear(manager, request("brick")))
    await speaking.until("brick")
    second = asyncio.create_task(hear(manager, request("robin")))
    await until(lambda: bool(manager.waits))
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    speaking.open("brick")
    await first
    await manager.idle()
    assert engine.loads() == ["brick"]
    assert manager.waits == ()


async def test_a_call_cancelled_in_mid_reply_frees_its_model() -> None:
    engine = MemoryEngine(FOUR, speaking=Gate())
    speaking = engine.speaking
    assert isinstance(speaking, Gate)
    manager = manager_of(engine)
    first = asyncio.create_task(hear(manager, request("brick")))
    await speaking.until("brick")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    speaking.open("robin")
    assert text_of(await hear(manager, request("robin"))) == "Well."


async def test_what_cannot_fit_is_refused_with_what_would() -> None:
    manager = manager_of(MemoryEngine(FOUR), budget=6 * GB, sizes_gb={"babs": 3.0, "brick": 6.0})
    with pytest.raises(ModelTooLarge) as refused:
        await hear(manager, request("brick"))
    assert "babs" in refused.value.next_step
    assert (await manager.ps()).waits == ()


async def test_a_missing_model_is_said_before_anything_is_loaded() -> None:
    engine = MemoryEngine(FOUR)
    with pytest.raises(ModelMissing):
        await hear(manager_of(engine), request("nobody"))
    assert engine.events == []


async def test_a_load_that_fails_is_told_to_all_who_wait_for_it_and_tried_again_by_the_next() -> None:
    engine = MemoryEngine(FOUR, fail_load=EngineRefused("it would not load"))
    manager = manager_of(engine)
    outcomes = await asyncio.gather(*(hear(manager, request("brick")) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [EngineRefused] * 3
    engine.fail_load = None
    assert text_of(await hear(manager, request("brick"))) == "Well."


async def test_a_model_that_died_is_loaded_again() -> None:
    engine = MemoryEngine(FOUR, speaking=Gate())
    speaking = engine.speaking
    assert isinstance(speaking, Gate)
    manager = manager_of(engine)
    first = asyncio.create_task(hear(manager, request("brick")))
    await speaking.until("brick")
    engine.resident.clear()
    speaking.open("brick")
    with pytest.raises(PeerError):
        await first
    assert text_of(await hear(manager, request("brick"))) == "Well."
    assert engine.loads() == ["brick", "brick"]


async def test_a_model_that_is_there_already_is_adopted() -> None:
    """An earlier process, or another program, may have loaded it."""
    engine = MemoryEngine(FOUR, resident={"brick": 7 * GB})
    await hear(manager_of(engine), request("brick"))
    assert engine.loads() == []


async def test_a_model_that_spills_is_loaded_once_more_with_a_smaller_context() -> None:
    engine = MemoryEngine({"brick": 7 * GB}, spill_over_ctx=4096)
    manager = manager_of(engine)
    last = (await hear(manager, request("brick", num_ctx=8192)))[-1]
    assert isinstance(last, Finished)
    assert any("4,096 tokens instead of 8,192" in note for note in last.notes)
    assert engine.contexts == {"brick": 4096}
    again = (await hear(manager, request("brick", num_ctx=8192)))[-1]
    assert isinstance(again, Finished)
    assert again.notes == ()
    assert engine.loads() == ["brick", "brick"]


async def test_it_counts_loads_spills_and_what_was_said() -> None:
    """Asking nobody: what is in memory is what was last seen."""
    engine = MemoryEngine({"alfred": 3 * GB, "brick": 7 * GB}, spill_over_ctx=4096)
    manager = manager_of(engine)
    before = manager.statistics()
    assert (before.memory.loads, before.memory.spills, before.pieces, before.memory.residents) == (0, 0, 0, ())
    pieces = [chunk for chunk in await hear(manager, request("brick")) if isinstance(chunk, Text)]
    after = manager.statistics()
    assert (after.memory.loads, after.memory.spills, after.pieces) == (1, 1, len(pieces))
    assert [resident.name for resident in after.memory.residents] == ["brick"]
    assert (after.memory.budget_bytes, after.memory.waiting, after.busy) == (8 * GB, 0, Busy())


async def test_a_context_that_was_reduced_is_remembered_by_later_processes() -> None:
    book = Book()
    await hear(manager_of(MemoryEngine({"brick": 7 * GB}, spill_over_ctx=4096), ledger=book), request("brick"))
    engine = MemoryEngine({"brick": 7 * GB}, spill_over_ctx=4096)
    await hear(manager_of(engine, ledger=book), request("brick"))
    assert (engine.loads(), engine.contexts) == (["brick"], {"brick": 4096})


async def test_texts_are_embedded_beside_the_schedule() -> None:
    """By words alone, or by a file on the CPU; Ollama's embedder is a call that is counted like any other."""
    files = MemoryEngine({"tiny": GB}, vectors=True)
    engine = MemoryEngine({"nomic": GB}, name="ollama", vectors=True)
    manager = manager_of(engine, embedder=files)
    (lexical,) = await manager.embed("", ["a bridge"])
    assert sum(number * number for number in lexical) == pytest.approx(1)
    assert await manager.embed("tiny", ["a bridge"]) == ((1.0, 0.0),)
    assert (files.events, engine.events) == (["embed tiny"], [])
    assert await manager.embed("ollama:nomic", ["a bridge"]) == ((1.0, 0.0),)
    assert engine.events == ["load nomic", "embed nomic"]
    with pytest.raises(EngineRefused):
        await manager_of(MemoryEngine(FOUR)).embed("ollama:brick", ["a bridge"])


async def test_a_reply_in_circles_is_ended() -> None:
    engine = MemoryEngine({"brick": GB}, said=("again ",) * 200)
    chunks = await hear(manager_of(engine), request("brick"))
    last = chunks[-1]
    assert isinstance(last, Finished)
    assert last.reason == "length"
    assert "ended" in last.notes[0]
    assert text_of(chunks).count("again") < 60


async def test_memory_is_lent_to_training_and_comes_back() -> None:
    engine = MemoryEngine(FOUR)
    manager = manager_of(engine)
    await hear(manager, request("brick"))
    async with manager.lease(6 * GB):
        assert engine.resident == {}
        waiting = asyncio.create_task(hear(manager, request("brick")))
        await until(lambda: bool(manager.waits))
        assert "training" in str(manager.waits[0])
    assert text_of(await waiting) == "Well."
    with pytest.raises(ModelTooLarge):
        async with manager.lease(9 * GB):
            pytest.fail("more was lent than there is")


class Book:
    """A ledger in memory."""

    def __init__(self, **known: str) -> None:
        self.known = known
        self.contexts: dict[str, int] = {}

    def context(self, model: str) -> int:
        return self.contexts.get(model, 0)

    def keep_context(self, model: str, num_ctx: int) -> None:
        self.contexts[model] = num_ctx

    def check(self, model: str, digest: str) -> str:
        before = self.known.setdefault(model, digest)
        return "" if before == digest else f"{model} has changed"


async def test_a_model_with_other_weights_is_told() -> None:
    engine = MemoryEngine(FOUR, digests={"brick": "bb", "babs": "cc"})
    manager = manager_of(engine, ledger=Book(brick="aa"))
    told = (await hear(manager, request("brick")))[-1]
    assert isinstance(told, Finished)
    assert told.notes == ("brick has changed",)
    assert (await hear(manager, request("babs")))[-1] == Finished("stop", 1, 2)


def test_it_answers_callers_without_an_event_loop() -> None:
    manager = manager_of(MemoryEngine(FOUR))
    assert manager.invoke("brick", "Hello", "You are BRICK.") == "Well."
    manager.close()


async def test_on_its_own_loop_a_blocking_call_is_refused() -> None:
    with pytest.raises(CallerError):
        manager_of(MemoryEngine(FOUR)).invoke("brick", "Hello")


def test_without_wiring_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from a4ps import ports

    monkeypatch.setattr(ports.current(), "models", None)
    with pytest.raises(NotBound):
        ModelManager()


async def test_fifty_calls_at_once_are_all_answered() -> None:
    """None of the four is loaded twice: who waits for one in memory is served before another takes its place."""

    async def once_all_wait(model: str) -> None:
        del model
        while not all_wait and len(manager.waits) < 49:  # noqa: ASYNC110 - the manager tells nobody
            await asyncio.sleep(0)
        all_wait.append(True)

    all_wait: list[bool] = []
    engine = MemoryEngine(FOUR, loading=once_all_wait)
    manager = manager_of(engine)
    names = list(FOUR)
    replies = await asyncio.gather(*(hear(manager, request(names[n % 4], names[n % 4].upper())) for n in range(50)))
    assert [text_of(reply) for reply in replies] == ["Well."] * 50
    assert sorted(engine.loads()) == sorted(names)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([*FOUR, "qwen+a", "qwen+b"]), st.integers(0, 3), st.booleans()), max_size=14),
    st.sampled_from(["swap-aware", "sequential"]),
    st.booleans(),
)
def test_nothing_is_ever_over_the_budget_and_nobody_is_forgotten(
    calls: list[tuple[str, int, bool]], residency: str, lora_reloads: bool
) -> None:
    """I7, I8: the engine itself refuses to hold more than its card, to unload what speaks, and to speak unloaded."""

    async def run() -> None:
        sizes = {**FOUR, "qwen+a": 6 * GB, "qwen+b": 6 * GB}
        engine = MemoryEngine(sizes, cost=SwitchCost("memory", lora_reloads=lora_reloads))
        manager = manager_of(engine, residency=residency)

        async def one(model: str, after: int, cancelled: bool) -> None:
            for _ in range(after):
                await asyncio.sleep(0)
            task = asyncio.create_task(hear(manager, request(model)))
            if cancelled:
                for _ in range(3 + after):
                    await asyncio.sleep(0)
                task.cancel()
            outcome = (await asyncio.gather(task, return_exceptions=True))[0]
            assert isinstance(outcome, asyncio.CancelledError) if isinstance(outcome, BaseException) else outcome

        async with asyncio.timeout(20):
            await asyncio.gather(*(one(*call) for call in calls))
        await manager.idle()
        assert manager.waits == ()
        await manager.aclose()

    asyncio.run(run())
