"""How a backend is: one object of plain data, put together from the statistics of its parts, for a person or a program.

`status` is pure. `snapshot_of` asks the parts, none of which asks anybody else for it: what is in the models' memory is what
was last seen. Units are in the names; times are ISO 8601, and `points` are pairs of seconds since 1970 and figure.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from a4ps.events import BusStatistics, event_bus
from a4ps.image.store import StoreStatistics
from a4ps.image.turns import TurnStatistics
from a4ps.inference.model_manager import ModelManager, ModelStatistics
from a4ps.kernel.backend import Backend
from a4ps.kernel.supervision import ServiceStatistics
from a4ps.memory.scrapbook import Scrapbook, ScrapbookStatistics
from a4ps.protocol.messages import PROTOCOL_VERSION
from a4ps.protocol.objects import EngineStatusObject, SeriesStatusObject, ServiceStatusObject, StatusObject
from a4ps.sandbox.pool import PoolStatistics
from a4ps.series import Sample
from a4ps.version import __version__

#: The newest figures of a series that are shown.
POINTS_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a status is made of. `engine` is "" and `models` None where there was no need of one yet; `uptime_s` is by the
    monotonic clock.
    """

    pid: int
    epoch: str
    since: datetime
    uptime_s: float
    fleeting: bool
    sessions: int
    running: int
    image: Path
    store: StoreStatistics
    engine: str
    models: ModelStatistics | None
    turns: TurnStatistics
    memory: ScrapbookStatistics
    sandbox: PoolStatistics
    bus: BusStatistics
    services: Mapping[str, ServiceStatistics]
    series: Mapping[str, Sequence[Sample]]


def status(snapshot: Snapshot) -> StatusObject:
    """The object that `status --json` prints. Pure."""
    return {
        "version": __version__,
        "protocol": PROTOCOL_VERSION,
        "pid": snapshot.pid,
        "epoch": snapshot.epoch,
        "since": _iso(snapshot.since),
        "uptime_s": round(snapshot.uptime_s, 1),
        "fleeting": snapshot.fleeting,
        "sessions": snapshot.sessions,
        "running": snapshot.running,
        "image": {
            "path": str(snapshot.image),
            "generation": snapshot.store.generation,
            "commits": snapshot.store.commits,
            "file_bytes": snapshot.store.file_bytes,
            "wal_bytes": snapshot.store.wal_bytes,
            "read_only": snapshot.store.read_only,
        },
        "engine": _engine(snapshot.engine, snapshot.models),
        "turns": {
            "answered": snapshot.turns.answered,
            "stopped": snapshot.turns.stopped,
            "open": snapshot.turns.open,
        },
        "memory": {
            "memories": snapshot.memory.memories,
            "vectors": snapshot.memory.vectors,
            "left": snapshot.memory.left,
            "per_s": round(snapshot.memory.per_s, 2),
            "embedder": snapshot.memory.embedder,
            "fault": snapshot.memory.fault,
        },
        "sandbox": {
            "ready": snapshot.sandbox.ready,
            "lent": snapshot.sandbox.lent,
            "calls": snapshot.sandbox.calls,
            "discarded": snapshot.sandbox.discarded,
            "failures": snapshot.sandbox.failures,
        },
        "events": {
            "observers": snapshot.bus.observers,
            "waiting": snapshot.bus.waiting,
            "lost": snapshot.bus.lost,
        },
        "services": {name: _service(service) for name, service in snapshot.services.items()},
        "series": {name: _series(samples) for name, samples in snapshot.series.items() if samples},
    }


def snapshot_of(backend: Backend) -> Snapshot:
    """The parts as they are now.

    Counts memories in the image where that has changed since it was last asked: milliseconds. Raises what reading raises.
    """
    kernel, life, gauges = backend.opened, backend.life, backend.gauges
    engine = None if kernel is None else kernel.engine
    scrapbook = Scrapbook(backend.records) if kernel is None else kernel.society.scrapbook
    return Snapshot(
        pid=os.getpid(),
        epoch=life.epoch,
        since=life.since,
        uptime_s=life.up_s,
        fleeting=life.fleeting,
        sessions=life.sessions(),
        running=life.running(),
        image=backend.store.path,
        store=backend.store.statistics(),
        engine="" if engine is None else engine.name,
        models=engine.statistics() if isinstance(engine, ModelManager) else None,
        turns=backend.log.statistics(),
        memory=scrapbook.statistics(),
        sandbox=backend.executor.statistics(),
        bus=event_bus.statistics(),
        services=backend.supervisor.statistics(),
        series={} if gauges is None else gauges.series(),
    )


def _engine(name: str, models: ModelStatistics | None) -> EngineStatusObject:
    if models is None:
        return {
            "name": name,
            "budget_bytes": None,
            "residents": [],
            "loads": 0,
            "spills": 0,
            "waiting": 0,
            "tokens_in_flight": 0,
            "pieces": 0,
        }
    memory = models.memory
    return {
        "name": name,
        "budget_bytes": memory.budget_bytes,
        "residents": [
            {
                "name": resident.name,
                "size_bytes": resident.size_bytes,
                "vram_bytes": resident.vram_bytes,
                "num_ctx": resident.num_ctx,
            }
            for resident in memory.residents
        ],
        "loads": memory.loads,
        "spills": memory.spills,
        "waiting": models.busy.waiting,
        "tokens_in_flight": models.busy.tokens,
        "pieces": models.pieces,
    }


def _service(service: ServiceStatistics) -> ServiceStatusObject:
    return {
        "owner": service.owner,
        "state": service.state,
        "restarts": service.restarts,
        "last_error": service.last_error,
        "since": _iso(service.since),
    }


def _series(samples: Sequence[Sample]) -> SeriesStatusObject:
    values = [sample.value for sample in samples]
    points = [(round(sample.at_s, 1), round(sample.value, 4)) for sample in samples[-POINTS_SHOWN:]]
    return {"last": points[-1][1], "mean": round(fmean(values), 4), "count": len(values), "points": points}


def _iso(when: datetime) -> str:
    return when.astimezone(UTC).isoformat(timespec="seconds")
