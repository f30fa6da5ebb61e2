"""`a4ps up`: the backend, which everything else is a window on."""

from __future__ import annotations

import asyncio
import os
import sys

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.readiness import tell_ready
from a4ps.cli.streams import json_line, somebody_is_there
from a4ps.errors import BackendBusy

#: How long what is under way in a backend that is to make room has to finish.
_ROOM_S = 10.0


@click.command("up")
@click.option("--headless", is_flag=True, help="Run the backend alone, here, until it is ended.")
@click.option("--idle-exit", type=click.FloatRange(min=0.1), metavar="S", help="End after S seconds without anybody.")
@framed
def command(frame: Frame, headless: bool, idle_exit: float | None) -> None:
    """Run the backend: the image stays open, the society awake, memory in order, whether or not anyone looks.

    In a terminal, it goes on in the background and a chat begins; leaving the chat does not end it (a4ps down does).
    Where there is none, and with --headless, it runs here. Where there is a display, the world is opened on it (a4ps ui
    opens it again); not with --headless. Other commands use the backend; where none runs they start one that ends by
    itself.
    """
    if headless or idle_exit is not None or frame.as_json:
        _run(frame, idle_exit, window=False)
        return
    if not somebody_is_there():
        _run(frame, None, window=True)
        return
    from a4ps.cli.chat import chat
    from a4ps.client.starting import start_backend

    if not asyncio.run(_stays(frame)):
        asyncio.run(start_backend(frame.places, idle_exit_s=None))
        _open_window(frame)
    chat(frame)
    click.secho("A4PS goes on in the background. To end it: a4ps down", dim=True)


def _open_window(frame: Frame) -> None:
    from a4ps.cli.window import has_display, has_ui, open_window

    if has_ui() and has_display(os.environ):
        open_window(frame.places)


def _run(frame: Frame, idle_exit_s: float | None, *, window: bool) -> None:
    from a4ps.kernel.running import run_backend
    from a4ps.log_file import log_path

    if idle_exit_s is None and asyncio.run(_stays(frame)):
        raise BackendBusy(f"the backend of {frame.places.image} is up already", next_step="a4ps chat, or: a4ps down")

    def ready() -> None:
        places = frame.places
        if frame.as_json:
            click.echo(json_line({"ready": True, "pid": os.getpid(), "image": str(places.image)}))
            _let_go()
        else:
            click.echo(f"A4PS is up: {places.image}, process {os.getpid()}. To end it: a4ps down")
        tell_ready(os.environ)
        if window:
            _open_window(frame)

    asyncio.run(run_backend(frame.env, log=log_path(), idle_exit_s=idle_exit_s, ready=ready))


def _let_go() -> None:
    """Whoever started it need not read on, and may close what we write to."""
    sys.stdout.flush()
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    os.close(nowhere)


async def _stays(frame: Frame) -> bool:
    """Whether a backend runs that is meant to stay; one that was started in passing is ended first.

    Raises `BackendLost` where that takes too long.
    """
    from a4ps.client.client import As, Client
    from a4ps.client.ending import end_backend
    from a4ps.client.starting import is_running

    places = frame.places
    if not is_running(places):
        return False
    client = await Client.connect(places, As("cli"), starts=False)
    if not client.welcome.fleeting:
        await client.aclose()
        return True
    await end_backend(client, _ROOM_S)
    return False
