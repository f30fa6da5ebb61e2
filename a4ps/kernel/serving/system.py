"""Serves the requests about the backend itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC
from typing import Any

from a4ps.errors import BackendBusy
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.status import snapshot_of
from a4ps.kernel.status import status as status_object
from a4ps.protocol.requests import system
from a4ps.protocol.requests.base import Request


async def status(backend: Backend, _: Call[system.Status]) -> Mapping[str, Any]:
    """`status`; the command that asks does not count."""
    found = await asyncio.to_thread(snapshot_of, backend)
    return status_object(replace(found, running=max(0, found.running - 1)))


async def snapshot(backend: Backend, call: Call[system.Snapshot]) -> Mapping[str, Any]:
    """`snapshot`. What is committed while it is read may be in it: whoever follows applies those commits once more."""
    sequence = backend.store.generation
    kinds = call.request.kinds or await asyncio.to_thread(backend.store.kinds)
    heads = {kind: await asyncio.to_thread(backend.store.heads, kind) for kind in kinds}
    return {"epoch": backend.life.epoch, "sequence": sequence, "heads": heads}


async def events_since(backend: Backend, call: Call[system.EventsSince]) -> Mapping[str, Any]:
    """`events_since`."""
    found = await asyncio.to_thread(backend.store.commits_after, call.request.after, limit=call.request.limit)
    return {
        "epoch": backend.life.epoch,
        "sequence": backend.store.generation,
        "events": [
            {
                "sequence": commit.generation,
                "at": commit.at.astimezone(UTC).isoformat(),
                "author": commit.author,
                "rows": [{"kind": kind, "key": key} for kind, key in rows],
            }
            for commit, rows in found
        ],
    }


async def down(backend: Backend, call: Call[system.Down]) -> Mapping[str, Any]:
    """`down`. It is answered once nothing else runs any more, at the latest when `wait_s` is over; then the backend ends."""
    if not call.request.stops:
        await _idle(backend, call.request.wait_s)
    backend.life.askers.add(call.key)
    backend.life.end(call.request.wait_s)
    await backend.life.settled.wait()
    return {"pid": os.getpid(), "open_turns": len(backend.log.open_ids)}


async def _idle(backend: Backend, within_s: float) -> None:
    """Return once no other command is under way. Raises `BackendBusy`."""
    until_s = backend.life.up_s + within_s
    while backend.life.running() > 1:
        if backend.life.up_s >= until_s:
            raise BackendBusy(
                "the backend is at work, and would have to be ended for this",
                next_step="wait until it is done, or end it: a4ps down",
            )
        await asyncio.sleep(0.05)


HANDLERS: Mapping[type[Request], Handler] = {
    system.Status: status,
    system.Snapshot: snapshot,
    system.EventsSince: events_since,
    system.Down: down,
}
