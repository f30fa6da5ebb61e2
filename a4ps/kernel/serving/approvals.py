"""Serves the requests about approvals."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from a4ps.errors import ApprovalRefused, UsageError
from a4ps.governance.approvals import Approval
from a4ps.image.approvals import Approvals
from a4ps.kernel.approval_object import approval_object
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler, leave
from a4ps.protocol.requests import approvals
from a4ps.protocol.requests.base import Request
from a4ps.tools.actions import edited
from a4ps.tools.arguments import Files, read_arguments, read_value
from a4ps.tools.registry import ToolRegistry


async def list_approvals(backend: Backend, call: Call[approvals.Approvals]) -> Mapping[str, Any]:
    """`approvals`."""
    known = approvals_of(backend)
    found = await asyncio.to_thread(known.all if call.request.everything else known.waiting)
    return {"approvals": [_object(backend, approval) for approval in found]}


async def approval(backend: Backend, call: Call[approvals.Approval]) -> Mapping[str, Any]:
    """`approval`."""
    return _object(backend, await asyncio.to_thread(approvals_of(backend).get, call.request.id))


async def decide(backend: Backend, call: Call[approvals.Decide]) -> Mapping[str, Any]:
    """`decide`."""
    known = approvals_of(backend)
    wanted = call.request
    found = await asyncio.to_thread(known.get, wanted.id)
    if wanted.digest is not None and not (len(wanted.digest) >= 8 and found.action.digest.startswith(wanted.digest)):
        raise ApprovalRefused(
            f"approval {wanted.id} is for another action: {found.action.digest[:16]}",
            next_step=f"a4ps approvals show {wanted.id}",
        )
    if wanted.step == "leave":
        leave(wanted.id)
    else:
        found = await asyncio.to_thread(known.decide, wanted.id, wanted.step, by=call.author, remember=wanted.remember)
    return _object(backend, found)


async def edit(backend: Backend, call: Call[approvals.EditApproval]) -> Mapping[str, Any]:
    """`edit_approval`."""
    known = approvals_of(backend)
    wanted = call.request

    def work() -> Approval:
        before = known.get(wanted.id)
        changes = _changes(backend.tools, before, wanted.changes, wanted.files)
        return known.edit(wanted.id, edited(backend.tools, before.action, changes), by=call.author)

    return _object(backend, await asyncio.to_thread(work))


def approvals_of(backend: Backend) -> Approvals:
    """The society's where it is open, as one at a time writes."""
    if backend.opened is not None:
        return backend.opened.society.approvals
    return Approvals(backend.store, hours=backend.env.settings.approval_hours)


HANDLERS: Mapping[type[Request], Handler] = {
    approvals.Approvals: list_approvals,
    approvals.Approval: approval,
    approvals.Decide: decide,
    approvals.EditApproval: edit,
}


def _object(backend: Backend, found: Approval) -> Mapping[str, Any]:
    return approval_object(found, backend.store.clock.now())


def _changes(registry: ToolRegistry, found: Approval, given: Sequence[str], files: Files) -> dict[str, Any]:
    """Argument → new value. Raises UsageError."""
    if found.action.kind in ("tool-use", "tool-in-process"):
        specification = registry.get(found.action.what).specification
        places, names = read_arguments(given, specification, files)
        if places:
            raise UsageError("each change needs a name", next_step=f"it is {specification.signature}")
        return names
    pairs = [each.partition("=") for each in given]
    if not all(equals for _, equals, _ in pairs):
        raise UsageError("each change is NAME=VALUE", next_step=f"a4ps approvals show {found.id}")
    return {name: read_value(value, files) for name, _, value in pairs}
