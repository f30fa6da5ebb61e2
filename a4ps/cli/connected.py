"""What every command that is a client shares: a session with the backend, which is started where none runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.frame import Frame
from a4ps.errors import BackendBusy, Stopped
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.system import Down
from a4ps.settings import mark_of

if TYPE_CHECKING:  # ZeroMQ takes a moment to import; `--help` does without
    from a4ps.client.client import Client

#: How long a backend that is asked to make room has for it.
_ROOM_S = 20.0


@asynccontextmanager
async def connected(frame: Frame, *, starts: bool = True) -> AsyncIterator[Client]:
    """A session as the Architect. A backend that runs in passing, with other settings than this command's, is replaced.

    Raises `BackendLost`, what kept a backend from starting, and `BackendBusy` where one with other settings is at work.
    """
    from a4ps.client.client import As, Client

    mark = mark_of(frame.settings)
    address = frame.settings.backend
    client = await Client.connect(frame.places, As("cli", settings=mark), starts=starts, address=address)
    try:
        if client.welcome.settings != mark and not address:
            if client.welcome.fleeting and starts:
                client = await _replaced(client)
            elif not frame.as_json:
                note = "The backend runs with the settings that it was started with. For these: a4ps down"
                click.secho(note, fg="yellow", err=True)
        yield client
    finally:
        await client.aclose()


def call(frame: Frame, request: Request, listener: Callable[[dict[str, Any]], None] | None = None) -> Any:
    """Have one request served, and return its object. `listener` hears its steps. Raises `Stopped` at Ctrl-C."""

    async def ask() -> Any:
        async with connected(frame) as client:
            try:
                return await client.call(request, listener)
            except asyncio.CancelledError:
                raise Stopped("stopped; what was done so far is kept") from None

    return asyncio.run(ask())


async def _replaced(client: Client) -> Client:
    from a4ps.client.client import Client
    from a4ps.client.starting import has_ended

    places, who = client.places, client.who
    try:
        if client.welcome.busy:
            raise BackendBusy(
                "the backend is at work with other settings than these",
                next_step="wait until it is done, or end it: a4ps down",
            )
        await client.call(Down(wait_s=0.0))
    finally:
        await client.aclose()
    if not await has_ended(places, _ROOM_S):
        raise BackendBusy("the backend is still closing", next_step="try again")
    return await Client.connect(places, who)
