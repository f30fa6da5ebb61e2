"""Ending the backend that a client speaks with, so that somebody else can have the image."""

from __future__ import annotations

from typing import Any

from a4ps.client.client import Client
from a4ps.client.starting import has_ended
from a4ps.errors import BackendLost
from a4ps.protocol.requests.system import Down

#: Closing takes so long at most, after what was waited for: models are unloaded, the log is written back.
_CLOSING_S = 30.0


async def end_backend(client: Client, wait_s: float = 0.0, *, stops: bool = True) -> Any:
    """Have its backend end, close the client, and return what the backend said once it has let go of the image.

    What is under way has `wait_s` to finish. Then it is stopped; or, unless it `stops` anything, raises `BackendBusy`.
    Raises `BackendLost` where closing takes too long.
    """
    try:
        ended = await client.call(Down(wait_s=wait_s, stops=stops))
    finally:
        await client.aclose()
    if not await has_ended(client.places, ended["pid"], wait_s + _CLOSING_S):
        raise BackendLost(f"the backend (process {ended['pid']}) is still closing", next_step=f"kill {ended['pid']}")
    return ended
