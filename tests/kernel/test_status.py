"""The status of a backend: whole, plain, and as its schema says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from a4ps import __version__
from a4ps.clock import ManualClock
from a4ps.events import Subject
from a4ps.inference.engine import Resident
from a4ps.inference.model_manager import Busy, ModelStatistics
from a4ps.inference.model_memory import MemoryStatistics
from a4ps.kernel.crash_reports import CrashReports
from a4ps.kernel.gauges import gauges_of
from a4ps.kernel.status import POINTS_SHOWN, StatusObject, snapshot_of, status
from a4ps.kernel.supervision import Supervisor
from a4ps.series import Sample
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine
from tests.kernel.test_figures import QUESTION, ignore, speaks


async def test_a_living_kernels(tmp_path: Path, clock: ManualClock) -> None:
    async with open_kernel(tmp_path, ScriptedEngine(speaks), clock) as kernel:
        kernel.bus = Subject()
        began, began_s = clock.now(), clock.monotonic_s()
        gauges = gauges_of(kernel)
        supervisor = Supervisor(kernel.bus, CrashReports(tmp_path / "crashes", clock), clock=clock)
        supervisor.add("gauges", gauges.run, owner="kernel", stop=gauges.stop)
        await kernel.ask(QUESTION, ignore)
        kernel.bus.drain()
        clock.advance(90.0)
        gauges.look()
        snapshot = snapshot_of(kernel, supervisor, gauges, began, began_s)
        kernel.bus.close()
        generation = kernel.store.generation
    shown = status(snapshot)
    assert json.loads(json.dumps(shown)) == {**shown, "series": json.loads(json.dumps(shown["series"]))}
    Draft202012Validator(TypeAdapter(StatusObject).json_schema()).validate(json.loads(json.dumps(shown)))
    assert (shown["version"], shown["pid"], shown["uptime_s"]) == (__version__, os.getpid(), 90.0)
    assert shown["since"] == "2026-11-22T12:00:00+00:00"
    assert (shown["image"]["path"], shown["image"]["generation"]) == (str(tmp_path / "image.a4ps"), generation)
    assert shown["turns"] == {"answered": 1, "stopped": 0, "open": 0}
    assert (shown["engine"]["name"], shown["memory"]["memories"], shown["events"]["observers"]) == ("scripted", 1, 1)
    assert shown["engine"]["pieces"] > 0
    assert shown["sandbox"] == {"ready": 0, "lent": 0, "calls": 0, "discarded": 0, "failures": 0}
    assert shown["services"] == {
        "gauges": {"owner": "kernel", "state": "waiting", "restarts": 0, "last_error": "", "since": shown["since"]}
    }
    assert {"latency", "dissonance", "load.fill", "tokens_per_s", "commits"} <= shown["series"].keys()

    many = [Sample("loads", float(n), float(n)) for n in range(2 * POINTS_SHOWN)]
    resident = Resident("m", 10, 7, 4096, "digest")
    memory = MemoryStatistics((resident,), None, 1, 1, 2)
    models = ModelStatistics(memory, 9, Busy(100, 2))
    later = status(replace(snapshot, models=models, series={"loads": many, "none": []}))
    assert later["series"].keys() == {"loads"}
    loads = later["series"]["loads"]
    assert (loads["last"], loads["mean"], loads["count"]) == (119.0, 59.5, 120)
    assert loads["points"] == [(float(n), float(n)) for n in range(60, 120)]
    assert later["engine"]["residents"] == [{"name": "m", "size_bytes": 10, "vram_bytes": 7, "num_ctx": 4096}]
    assert (later["engine"]["waiting"], later["engine"]["tokens_in_flight"]) == (2, 100)
    assert later["engine"]["budget_bytes"] is None
    without = status(replace(snapshot, models=None))
    assert without["engine"]["residents"] == []
