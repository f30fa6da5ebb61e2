"""A real kernel over a real image in a folder, with an engine of the test's choice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from a4ps.clock import Clock, SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.model_ledger import ModelLedger
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.inference.engine import Engine
from a4ps.inference.model_manager import ModelManager, Parts
from a4ps.kernel.kernel import Kernel
from a4ps.memory.following import Means
from a4ps.memory.records import Records
from a4ps.memory.scrapbook import Scrapbook
from a4ps.personas.roster import NAMES, enrol
from a4ps.settings import Settings
from a4ps.society.graph import Deliberation
from a4ps.society.society import Society
from a4ps.tools.asking import Voice
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.running import Runner
from a4ps.tools.tool_forge import ForgeParts, ToolForge
from tests.doubles.scripted_engine import ScriptedEngine


@asynccontextmanager
async def open_kernel(
    folder: Path,
    engine: Engine,
    clock: Clock | None = None,
    models: Mapping[str, str] | None = None,
    runner: Runner | None = None,
    means: Callable[[ModelManager, Clock], Means] | None = None,
    **settings: Any,
) -> AsyncIterator[Kernel]:
    """As `a4ps.kernel.wiring.kernel_over`, but the engine is given; a scripted one also gives the models.

    Tools can be used where a `runner` is given, vectors where `means` are.
    """
    clock = clock or SystemClock()
    store = Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), clock)
    log = TurnLog(store)
    deliberation = await Deliberation.open(folder / "cache" / "checkpoints.sqlite", store.seal)
    if models is None:
        assert isinstance(engine, ScriptedEngine)
        models = dict.fromkeys(NAMES, engine.model)
    protos = ProtoManager.over(store)
    enrol(protos)
    manager = ModelManager(Parts(engine, ledger=ModelLedger(store)))
    forge = None
    if runner is not None:
        voices = models
        parts = ForgeParts(
            ToolRegistry(protos, runner),
            manager,
            lambda name: Voice(protos.get_proto(name).codex, voices[name]),
            clock,
        )
        forge = ToolForge(parts)
    scrapbook = Scrapbook(Records(store, log), None if means is None else means(manager, clock))
    society = Society(protos, models, manager, Settings(**settings), deliberation, scrapbook, clock, forge)
    kernel = Kernel(store, log, manager, society, clock)
    try:
        yield kernel
    finally:
        await kernel.aclose()
