"""What every command that is a client shares: a session with the backend, which is started where none runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.frame import Frame
from a4ps.errors import BackendBusy, SettingsError, Stopped
from a4ps.protocol.requests.base import Request
from a4ps.settings import mark_of

if TYPE_CHECKING:  # ZeroMQ takes a moment to import; `--help` does without
    from a4ps.client.client import Client


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


def call_with_any_settings(
    frame: Frame, request: Request, listener: Callable[[dict[str, Any]], None] | None = None
) -> Any:
    """`call` for what can be done with settings that cannot be read: a backend that runs does it, else this process."""
    try:
        mark_of(frame.settings)
    except SettingsError:
        return asyncio.run(_called_without_settings(frame, request, listener or (lambda _: None)))
    return call(frame, request, listener)


async def _called_without_settings(
    frame: Frame, request: Request, listener: Callable[[dict[str, Any]], None]
) -> Mapping[str, Any]:
    from a4ps.client.client import As, Client
    from a4ps.client.starting import is_running

    if not is_running(frame.places):
        from a4ps.kernel.here import served_here

        return await served_here(frame.places, request, listener)
    client = await Client.connect(frame.places, As("cli"), starts=False)
    try:
        served: Mapping[str, Any] = await client.call(request, listener)
        return served
    finally:
        await client.aclose()


async def _replaced(client: Client) -> Client:
    from a4ps.client.client import Client
    from a4ps.client.ending import end_backend

    places, who = client.places, client.who
    if client.welcome.busy:
        await client.aclose()
        raise BackendBusy(
            "the backend is at work with other settings than these",
            next_step="wait until it is done, or end it: a4ps down",
        )
    await end_backend(client)
    return await Client.connect(places, who)
