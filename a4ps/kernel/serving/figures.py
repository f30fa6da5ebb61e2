"""Serves the requests about figures over time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from a4ps.errors import UsageError
from a4ps.image.series_log import SeriesLog
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.progress import as_step
from a4ps.kernel.serving.working import working
from a4ps.personas.names import NAMES
from a4ps.protocol.requests import figures
from a4ps.protocol.requests.base import Request
from a4ps.series import Point, Series


async def series(backend: Backend, call: Call[figures.SeriesRequest]) -> Mapping[str, Any]:
    """`series`. Raises `UsageError` where none is called so."""
    found = await working(call, lambda _: SeriesLog(backend.store).read())
    names = tuple(call.request.names)
    chosen = {name: points for name, points in sorted(found.items()) if not names or name.startswith(names)}
    if names and not chosen:
        raise UsageError(
            f"there is no series {', '.join(names)}",
            next_step=f"there are: {', '.join(sorted(found))}" if found else 'none yet: a4ps ask "..."',
        )
    return {"series": {name: [_object(point) for point in points] for name, points in chosen.items()}}


async def drift(backend: Backend, call: Call[figures.Drift]) -> Mapping[str, Any]:
    """`drift`. Who has answered is told as `spoke` steps."""
    from a4ps.society import drift as probing
    from a4ps.society.progress import Progress, Spoke

    unknown = [name for name in call.request.personas if name not in NAMES]
    if unknown:
        raise UsageError(f"there is no persona {unknown[0]}", next_step=f"there are: {', '.join(NAMES)}")

    def told(progress: Progress) -> None:
        if isinstance(progress, Spoke):
            call.tell(as_step(progress))

    async with backend.working() as kernel:
        earlier = await working(call, lambda _: kernel.series.read())
        probed = await kernel.drift(call.request.personas or NAMES, told)
    return {
        "probe_set": probing.probes()[0],
        "figures": {
            name: {"now": now, "before": _mean(earlier, name, -1), "first": _mean(earlier, name, 0)}
            for name, now in probing.figures(probed).items()
        },
        "probes": [asdict(each) for each in probed],
    }


def _mean(earlier: Mapping[str, Series], name: str, place: int) -> float | None:
    return earlier[name][place].mean if name in earlier else None


def _object(point: Point) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(point.at_s, UTC).isoformat(),
        "mean": point.mean,
        "low": point.low,
        "high": point.high,
        "count": point.count,
    }


HANDLERS: Mapping[type[Request], Handler] = {figures.SeriesRequest: series, figures.Drift: drift}
