"""Serves the requests about turns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from a4ps.governance.approvals import Approval
from a4ps.governance.roles import Role
from a4ps.governance.taint import FILES, as_plain
from a4ps.image.turns import Turn
from a4ps.kernel.answered import answered_turn
from a4ps.kernel.approval_object import approval_object
from a4ps.kernel.backend import Backend
from a4ps.kernel.compared import compared
from a4ps.kernel.serving.call import Call, Handler, decided
from a4ps.kernel.serving.progress import as_step
from a4ps.kernel.why import why
from a4ps.protocol import steps
from a4ps.protocol.requests import turns
from a4ps.protocol.requests.base import Request
from a4ps.society.gate import Approver
from a4ps.society.progress import Progress


async def ask(backend: Backend, call: Call[turns.Ask]) -> Mapping[str, Any]:
    """`ask`."""
    kernel = await backend.kernel()
    anybodys = call.request.untrusted or call.role is Role.GUEST
    asked = await kernel.ask(
        call.request.text,
        _listener(call),
        everyone=call.request.everyone,
        approve=_approver(backend, call),
        taint=as_plain(FILES) if anybodys else (),
    )
    return asked.as_json()


async def rerun(backend: Backend, call: Call[turns.Rerun]) -> Mapping[str, Any]:
    """`rerun`."""
    kernel = await backend.kernel()
    answered = await kernel.rerun(call.request.turn, _listener(call), approve=_approver(backend, call))
    return {**answered.as_json(), "compared": compared(kernel.records, answered).as_json()}


async def resume(backend: Backend, call: Call[turns.Resume]) -> Mapping[str, Any]:
    """`resume`."""
    kernel = await backend.kernel()
    answered = await kernel.resume(call.request.turn or None, _listener(call), approve=_approver(backend, call))
    return answered.as_json()


async def turn(backend: Backend, call: Call[turns.Turn]) -> Mapping[str, Any]:
    """`turn`."""
    return answered_turn(backend.records, call.request.turn).as_json()


async def latest(backend: Backend, call: Call[turns.Latest]) -> Mapping[str, Any]:
    """`latest`."""
    found = backend.log.latest(call.request.limit) if call.request.limit else []
    return {"count": backend.log.count(), "turns": [_line(turn) for turn, _ in found]}


async def cut_off(backend: Backend, _: Call[turns.CutOff]) -> Mapping[str, Any]:
    """`cut_off`."""
    kernel = await backend.kernel()
    waiting = [{**_line(turn), "engine": turn.engine} for turn in kernel.cut_off()]
    return {"engine": kernel.engine.name, "notice": kernel.notice, "turns": waiting}


async def explain(backend: Backend, call: Call[turns.WhyRequest]) -> Mapping[str, Any]:
    """`why`."""
    newest = backend.log.latest(1) if not call.request.turn else ()
    wanted = call.request.turn or (newest[0][0].id if newest else "0")
    return why(backend.records, wanted).as_json()


HANDLERS: Mapping[type[Request], Handler] = {
    turns.Ask: ask,
    turns.Rerun: rerun,
    turns.Resume: resume,
    turns.Turn: turn,
    turns.Latest: latest,
    turns.CutOff: cut_off,
    turns.WhyRequest: explain,
}


async def done_before(backend: Backend, call: Call[Any], turn_id: str) -> Mapping[str, Any]:
    """The answer to a turn that this command had accepted before the backend ended; where it is open, it is finished."""
    if backend.log.reply(turn_id) is not None:
        answered = answered_turn(backend.records, turn_id)
    else:
        kernel = await backend.kernel()
        answered = await kernel.resume(turn_id, _listener(call), approve=_approver(backend, call))
    beside = {"compared": compared(backend.records, answered).as_json()} if answered.turn.again else {}
    return {**answered.as_json(), **beside}


def _listener(call: Call[Any]) -> Any:
    def listen(told: Progress) -> None:
        call.tell(as_step(told))

    return listen


def _approver(backend: Backend, call: Call[Any]) -> Approver | None:
    """Asks whoever attends the command; only the Architect can be asked."""
    if not call.request.attended or call.role is not Role.ARCHITECT:
        return None

    async def approve(approval: Approval) -> bool | None:
        call.tell(steps.Wanted(approval=approval_object(approval, backend.store.clock.now())).model_dump())
        return await decided(approval, call)

    return approve


def _line(turn: Turn) -> dict[str, Any]:
    return {"turn_id": turn.id, "question": turn.question, "asked_at": turn.asked_at.isoformat()}
