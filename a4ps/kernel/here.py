"""One request served in this process, without a backend: for an image whose home has settings that cannot be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from a4ps.governance.roles import Role
from a4ps.kernel.backend import Backend
from a4ps.kernel.dispatch import handler_of
from a4ps.kernel.serving.call import Call
from a4ps.kernel.wiring import Environment
from a4ps.places import Places
from a4ps.protocol.requests.base import Request
from a4ps.settings import Loaded, Settings


async def served_here(places: Places, request: Request, tell: Callable[[dict[str, Any]], None]) -> Mapping[str, Any]:
    """What `request` gives, served as the Architect's, with the image open for as long and every setting at its default.

    Raises as `Store.open` does, and what serving it raises.
    """
    defaults = dict.fromkeys(Settings.model_fields, "default")
    backend = await Backend.open(Environment(places, Loaded(Settings(), defaults, ())), fleeting=True)
    try:
        call: Call[Any] = Call(request, "", Role.ARCHITECT, "cli", lambda step: tell(dict(step)))
        return await handler_of(type(request))(backend, call)
    finally:
        await backend.aclose()
