"""Serves the requests about forgetting.

Plan and forgetting alike have the home to themselves: the holders read and write files that the society and memory have
open, and SQLite's locks do not outlive another reader of such a file in the same process. The next question opens them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a4ps.errors import UsageError
from a4ps.holders import TextPlace
from a4ps.kernel.backend import Backend
from a4ps.kernel.forgetter import Forgetter
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.working import working
from a4ps.kernel.wiring import forgetter_of
from a4ps.protocol.requests import forgetting
from a4ps.protocol.requests.base import Request
from a4ps.sought import Sought


async def plan_forgetting(backend: Backend, call: Call[forgetting.PlanForgetting]) -> Mapping[str, Any]:
    """`plan_forgetting`."""
    forgetter = _forgetter(backend)
    async with backend.alone():
        plan = await working(call, lambda _: forgetter.plan(_sought(forgetter, call.request)))
    return {"places": [_object(place) for place in plan.places]}


async def forget(backend: Backend, call: Call[forgetting.Forget]) -> Mapping[str, Any]:
    """`forget`: whatever is sought by now, which may be more than was planned."""
    forgetter = _forgetter(backend)
    async with backend.alone():
        try:
            await working(call, lambda _: forgetter.forget(_sought(forgetter, call.request)))
        finally:
            backend.protos.failures.clear()  # arguments and locals may be what is forgotten
            await backend.log.look_again()
    return {"forgotten": True}


async def finish_forgetting(backend: Backend, call: Call[forgetting.FinishForgetting]) -> Mapping[str, Any]:
    """`finish_forgetting`. Opening the image has tried so already; where it could not, this says why."""
    forgetter = _forgetter(backend)
    async with backend.alone():
        try:
            finished = await working(call, lambda _: forgetter.finish())
        finally:
            await backend.log.look_again()
    before, backend.has_finished_forgetting = backend.has_finished_forgetting, False
    return {"forgotten": bool(finished) or before}


def _forgetter(backend: Backend) -> Forgetter:
    return forgetter_of(backend.env.places, backend.protos)


def _sought(forgetter: Forgetter, wanted: forgetting.PlanForgetting | forgetting.Forget) -> Sought:
    if (wanted.thing is None) == (wanted.text is None):
        raise UsageError("name a turn or a memory, or give a text, not both", next_step="a4ps memory forget --help")
    if wanted.thing is not None:
        return forgetter.by_name(wanted.thing, spare_derived=wanted.spare_derived)
    return forgetter.by_text(wanted.text or "", spare_derived=wanted.spare_derived)


def _object(place: TextPlace) -> dict[str, Any]:
    return {"holder": place.holder, "where": place.where, "relation": place.relation, "next": place.next_step}


HANDLERS: Mapping[type[Request], Handler] = {
    forgetting.PlanForgetting: plan_forgetting,
    forgetting.Forget: forget,
    forgetting.FinishForgetting: finish_forgetting,
}
