"""The traces of the residency bench with real models: the same turns through the real manager and the embedded engine.

Four models are copies of the tests' two tiny bases under names of their own, and the budget is such that one fits at a
time; a worker process is started for each load. Loads are counted by the engine: workers that it did not have before. A
load takes about 0.1 s here and a call a tenth to half of that, where the simulated ones take 3 s and 2 to 8 s: counts, and
loading time over loading time, can be compared with them, shares of the whole time cannot.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path

from a4ps.inference.calls import EMBEDDED, Model
from a4ps.inference.catalog import load_catalog
from a4ps.inference.engine import ChatRequest, Chunk, Finished, Loading, Message
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.inference.memory_budget import MemoryBudget
from a4ps.inference.model_manager import ModelManager, Parts
from a4ps.inference.schedule import Residency
from bench.lockstep import REPOSITORY
from bench.residency_optimum import loads_in_order
from bench.residency_sim import Run
from bench.residency_simulated import SPEAKERS, Trace

MODELS = REPOSITORY / "tests" / "data" / "models"
#: Name in the bench → the file that it is a copy of.
COPIES: Mapping[str, str] = {"a": "tiny", "b": "tinier", "r": "tiny", "ba": "tinier"}
LORAS = ("alfred", "brick", "robin", "babs")
#: So large that a second model, reckoned from its header, does not fit beside a first in a budget of one and a quarter.
NUM_CTX = 8192
TOKENS = (20, 100)
ROUNDS = 3
QUESTION = "Count to 60."

FOUR = {"ALFRED": "a", "BRICK": "b", "ROBIN": "r", "BABS": "ba"}
LAID = {name: f"a+{name.lower()}" for name in FOUR}


@dataclass(frozen=True, slots=True)
class Real:
    """What came of it. `over_sequential` is loading time over sequential's with three turns at once, round by round: on a
    machine that others use, a load was seen to take twice as long from one run to the next. `memory_most` is over the
    budget, by the engine's word after each load.
    """

    traces: tuple[Trace, ...]
    over_sequential: tuple[float, ...]
    turns: int
    budget_bytes: int
    memory_most: float

    def trace(self, title: str) -> Trace:
        return next(trace for trace in self.traces if trace.title == title)


class Watched(LlamaCppEngine):
    """The engine, with a note of each load: whether by the manager's order or, where that erred, for a call."""

    def __init__(self, folder: Path, models: Sequence[str] = ()) -> None:
        super().__init__(folder, models=models)
        self.sequence: list[str] = []
        self.loading_s = 0.0
        self.most_bytes = 0

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        before, began = set(self.worker_pids), time.perf_counter()
        await super().load(model, num_ctx=num_ctx, keep_alive_s=keep_alive_s)
        if set(self.worker_pids) - before:
            await self._note(model, time.perf_counter() - began)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        loads = False
        async with aclosing(super().stream(request)) as chunks:
            async for chunk in chunks:
                loads |= isinstance(chunk, Loading)
                if isinstance(chunk, Finished) and loads:
                    await self._note(request.model, chunk.load_ms / 1000)
                yield chunk

    async def _note(self, model: str, seconds: float) -> None:
        self.sequence.append(model)
        self.loading_s += seconds
        self.most_bytes = max(self.most_bytes, sum(resident.size_bytes for resident in await self.loaded()))


def measure_real(turns: int) -> Real:
    """All traces, `turns` turns each. Takes about a minute for 20, and longer where others use the machine."""
    with tempfile.TemporaryDirectory(prefix="a4ps-residency-") as folder:
        return asyncio.run(_measure(Path(folder), turns))


async def _measure(folder: Path, turns: int) -> Real:
    for name, file in {**COPIES, **{lora: lora for lora in LORAS}}.items():
        shutil.copy(MODELS / f"{file}.gguf", folder / f"{name}.gguf")
    budget = await _largest(folder) * 5 // 4
    rows: list[tuple[str, Mapping[str, str], int]] = [
        ("one at a time", FOUR, 1),
        ("duo", _profile("duo"), 1),
        ("fast", _profile("fast"), 3),
        ("four LoRAs, embedded", LAID, 3),
    ]
    traces = []
    for title, models, people in rows:
        ours = await _run(folder, models, people, turns, budget, "swap-aware")
        order = [Model(name, name, 1) for name in (models[speaker] for _ in range(turns) for speaker in SPEAKERS)]
        traces.append(Trace(title, ours, {}, loads_in_order(order, EMBEDDED) if people == 1 else 0))
    rounds = []
    for _ in range(ROUNDS):
        ours = await _run(folder, FOUR, 3, turns, budget, "swap-aware")
        beside = await _run(folder, FOUR, 3, turns, budget, "sequential")
        rounds.append(Trace("three at once", ours, {"sequential": beside}))
    rounds.sort(key=_over_sequential)
    traces.insert(1, rounds[ROUNDS // 2])
    most = max(run.most_bytes for trace in (*traces, *rounds) for run in (trace.ours, *trace.peers.values()))
    return Real(tuple(traces), tuple(map(_over_sequential, rounds)), turns, budget, most / budget)


def _over_sequential(trace: Trace) -> float:
    return trace.ours.loading_s / trace.peers["sequential"].loading_s


def _profile(name: str) -> dict[str, str]:
    """A profile of the catalog, its models replaced by ours, the same by the same."""
    models = load_catalog().profiles[name].models
    ours = dict(zip(dict.fromkeys(models.values()), COPIES, strict=False))
    return {persona: ours[model] for persona, model in models.items()}


async def _largest(folder: Path) -> int:
    """What the largest of the models takes."""
    engine = Watched(folder)
    for name in COPIES:
        await engine.load(name, num_ctx=NUM_CTX, keep_alive_s=300)
        await engine.unload(name)
    await engine.aclose()
    return engine.most_bytes


async def _run(
    folder: Path, models: Mapping[str, str], people: int, turns: int, budget: int, residency: Residency
) -> Run:
    engine = Watched(folder, tuple(models.values()))
    manager = ModelManager(Parts(engine, budget=MemoryBudget(budget).read, residency=residency))
    chance = random.Random(20)
    lengths = [[chance.randint(*TOKENS) for _ in SPEAKERS] for _ in range(turns)]
    began = time.perf_counter()
    await asyncio.gather(*(_person(manager, models, lengths[one::people], str(one)) for one in range(people)))
    took = time.perf_counter() - began
    await manager.aclose()
    return Run(
        loads=len(engine.sequence),
        loading_s=engine.loading_s,
        makespan_s=took,
        most_bytes=engine.most_bytes,
        turns=turns,
        sequence=engine.sequence,
    )


async def _person(manager: ModelManager, models: Mapping[str, str], turns: Sequence[Sequence[int]], name: str) -> None:
    """One turn after the other; each call says what its turn calls next, as the society does."""
    order = [models[speaker] for speaker in SPEAKERS]
    for number, lengths in enumerate(turns):
        for place, (speaker, length) in enumerate(zip(SPEAKERS, lengths, strict=True)):
            request = ChatRequest(
                order[place],
                (Message("user", QUESTION),),
                speaker,
                "bench",
                num_ctx=NUM_CTX,
                max_tokens=length,
                temperature=0.0,
                turn=f"{name}.{number}",
                coming=tuple(order[place + 1 :]),
            )
            async with aclosing(manager.stream(request)) as chunks:
                async for _ in chunks:
                    pass
