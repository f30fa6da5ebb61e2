"""What needs the image's file for itself: a backend that runs is ended for it, in order, and the next command starts one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import click

from a4ps.cli.frame import Frame
from a4ps.errors import ImageHeld
from a4ps.places import Places

Done = TypeVar("Done")

#: How long what is under way in the backend has to finish.
_WAIT_S = 10.0
#: Another command can start a backend between the end of one and the lock of the image.
_TRIES = 3


def image_alone(frame: Frame, work: Callable[[], Done]) -> Done:
    """Do `work`, which takes the lock of the image itself, while no backend has it.

    Raises `BackendBusy` where one runs that is still at work after a while: nothing is stopped for this.
    """
    from a4ps.client.starting import is_running

    stayed = False
    for left in reversed(range(_TRIES)):
        stayed |= asyncio.run(_backend_ended(frame.places))
        try:
            done = work()
        except ImageHeld:
            if not left or not is_running(frame.places):
                raise
            continue
        break
    if stayed and not frame.as_json:
        click.secho("The backend was ended for this. To have it run again: a4ps up", fg="yellow", err=True)
    return done


async def _backend_ended(places: Places) -> bool:
    """Whether a backend had to be ended that was meant to stay."""
    from a4ps.client.client import As, Client
    from a4ps.client.ending import end_backend
    from a4ps.client.starting import is_running

    if not is_running(places):
        return False
    client = await Client.connect(places, As("cli"), starts=False)
    stays = not client.welcome.fleeting
    await end_backend(client, _WAIT_S, stops=False)
    return stays
