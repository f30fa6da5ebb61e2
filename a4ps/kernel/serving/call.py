"""One command while it is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from a4ps.events import Calling, Event, event_bus
from a4ps.governance.approvals import Approval
from a4ps.governance.roles import Role
from a4ps.governance.trust import ARCHITECT
from a4ps.kernel.backend import Backend
from a4ps.protocol.requests.base import Request
from a4ps.protocol.steps import Working

AnyRequest = TypeVar("AnyRequest", bound=Request)


@dataclass(frozen=True, slots=True)
class Call(Generic[AnyRequest]):
    """A request with who made it: the role of their session and the client's name.

    `tell` sends a step to them, from any thread. `is_here` says whether their session is open.
    """

    request: AnyRequest
    key: str
    role: Role
    client: str
    tell: Callable[[Mapping[str, Any]], None]
    is_here: Callable[[], bool] = field(default=lambda: False)

    @property
    def author(self) -> str:
        """Whose a change is that comes of it: a client's own name says only which of its role's it is."""
        return ARCHITECT if self.role is Role.ARCHITECT else f"{self.role.label} {self.client}"

    def tell_work(self, label: str, done: float, of: float, per_s: float | None = None) -> None:
        """How far a longer work is."""
        self.tell(Working(label=label, done=done, of=of, per_s=per_s).model_dump())


#: What serves a request. Raises `A4PSError`.
Handler: TypeAlias = Callable[[Backend, Call[Any]], Awaitable[Mapping[str, Any]]]


#: Approvals about which somebody is being asked, and how they are told of the answer.
_asked: dict[str, Callable[[bool | None], None]] = {}


def leave(approval_id: str) -> None:
    """Whoever is asked about that approval has no answer."""
    if approval_id in _asked:
        _asked[approval_id](None)


async def decided(approval: Approval, call: Call[Any]) -> bool | None:
    """Wait until the Architect has decided about `approval`, here or anywhere; None once who is asked leaves it or goes."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool | None] = loop.create_future()

    def settle(answer: bool | None) -> None:
        if not answered.done():
            answered.set_result(answer)

    def hear(told: Approval) -> None:
        if told.id == approval.id:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle, told.state == "approved")

    observer = Calling(hear)
    event_bus.attach(observer, Event.APPROVAL_DECIDED)
    _asked[approval.id] = settle
    try:
        while call.is_here():
            done, _ = await asyncio.wait([answered], timeout=1.0)
            if done:
                return answered.result()
        return None
    finally:
        del _asked[approval.id]
        event_bus.detach(observer)
