"""The status of a backend: whole, plain, and as its schema says."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from a4ps.inference.engine import Resident
from a4ps.inference.model_manager import Busy, ModelStatistics
from a4ps.inference.model_memory import MemoryStatistics
from a4ps.kernel.backend import Backend
from a4ps.kernel.status import POINTS_SHOWN, snapshot_of, status
from a4ps.kernel.wiring import environment
from a4ps.protocol.objects import StatusObject
from a4ps.series import Sample
from a4ps.version import __version__


async def test_a_living_backends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    environ = {"HOME": str(tmp_path), "A4PS_ENGINE": "rehearsal"}
    backend = await Backend.open(environment(str(tmp_path / "home"), environ))
    before = status(snapshot_of(backend))
    assert (before["engine"]["name"], before["turns"]["answered"], before["series"]) == ("", 0, {})
    kernel = await backend.kernel()
    await kernel.ask("What makes bread rise?", lambda _: None)
    kernel.bus.drain()
    snapshot = snapshot_of(backend)
    generation = backend.store.generation
    await backend.aclose()
    shown = status(snapshot)
    assert json.loads(json.dumps(shown)) == {**shown, "series": json.loads(json.dumps(shown["series"]))}
    Draft202012Validator(TypeAdapter(StatusObject).json_schema()).validate(json.loads(json.dumps(shown)))
    assert (shown["version"], shown["pid"]) == (__version__, os.getpid())
    assert (shown["image"]["path"], shown["image"]["generation"]) == (str(tmp_path / "home" / "image.a4ps"), generation)
    assert shown["turns"] == {"answered": 1, "stopped": 0, "open": 0}
    assert (shown["engine"]["name"], shown["memory"]["memories"]) == ("rehearsal", 1)
    assert shown["engine"]["pieces"] > 0
    assert shown["sandbox"]["calls"] == 0
    assert shown["services"]["gauges"]["state"] == "running"
    assert {"latency", "dissonance", "load.fill"} <= shown["series"].keys()

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
