"""Serves the requests about approvals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from a4ps.errors import ApprovalRefused
from a4ps.image.approvals import Approvals
from a4ps.kernel.approval_object import approval_object
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler, leave
from a4ps.protocol.requests import approvals
from a4ps.protocol.requests.base import Request


async def decide(backend: Backend, call: Call[approvals.Decide]) -> Mapping[str, Any]:
    """`decide`."""
    known = approvals_of(backend)
    wanted = call.request
    approval = known.get(wanted.id)
    if wanted.digest is not None and not (len(wanted.digest) >= 8 and approval.action.digest.startswith(wanted.digest)):
        raise ApprovalRefused(
            f"approval {wanted.id} is for another action: {approval.action.digest[:16]}",
            next_step=f"a4ps approvals show {wanted.id}",
        )
    if wanted.step == "leave":
        leave(wanted.id)
    else:
        approval = await asyncio.to_thread(known.decide, wanted.id, wanted.step, remember=wanted.remember)
    return approval_object(approval, backend.store.clock.now())


def approvals_of(backend: Backend) -> Approvals:
    """The society's where it is open, as one at a time writes."""
    if backend.opened is not None:
        return backend.opened.society.approvals
    return Approvals(backend.store, hours=backend.env.settings.approval_hours)


HANDLERS: Mapping[type[Request], Handler] = {approvals.Decide: decide}
