"""Serves the requests about models."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from a4ps.errors import ModelMissing, UsageError
from a4ps.inference.engine import Resident
from a4ps.inference.model_manager import ModelManager
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.usable_models import missing_for, occupancy_without_society
from a4ps.personas.roster import BY_PROFILE, NAMES, enrol
from a4ps.protocol.objects import ResidentObject
from a4ps.protocol.requests import models
from a4ps.protocol.requests.base import Request


async def in_memory(backend: Backend, _: Call[models.InMemory]) -> Mapping[str, Any]:
    """`models_in_memory`. Opens no society; one that rehearses has no models."""
    kernel = backend.opened
    if kernel is not None and isinstance(kernel.engine, ModelManager) and kernel.engine.name != "rehearsal":
        engine, occupancy = kernel.engine.name, await kernel.engine.ps()
    else:
        engine, occupancy = await occupancy_without_society(backend.env)
    return {
        "engine": engine,
        "budget_bytes": occupancy.budget_bytes if occupancy.is_bounded else None,
        "residents": [_resident(resident) for resident in occupancy.residents],
    }


async def use(backend: Backend, call: Call[models.UseModel]) -> Mapping[str, Any]:
    """`use_model`."""
    persona, model = call.request.persona, call.request.model
    wanted = BY_PROFILE if model is None else model
    if persona not in NAMES:
        raise UsageError(f"there is no persona {persona[:40]!r}", next_step=f"there are: {', '.join(NAMES)}")
    if model is not None and (missing := await missing_for(backend.env, persona, model)):
        raise ModelMissing(*missing)

    def work() -> Mapping[str, Any]:
        enrol(backend.protos)
        with backend.protos.transaction(author=call.author, reason=f"models use {persona} {wanted}") as change:
            draft = change.edit(persona)
            before = draft.codex.model_name
            draft.codex = replace(draft.codex, model_name=wanted)
        number = change.changes[0].generation if change.changes else None
        return {"persona": persona, "model": wanted, "before": before, "change": number}

    return await asyncio.to_thread(work)


HANDLERS: Mapping[type[Request], Handler] = {models.InMemory: in_memory, models.UseModel: use}


def _resident(resident: Resident) -> ResidentObject:
    return {
        "name": resident.name,
        "size_bytes": resident.size_bytes,
        "vram_bytes": resident.vram_bytes,
        "num_ctx": resident.num_ctx,
    }
