"""`a4ps down`: the backend's end, in order."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from a4ps.cli.frame import Frame, framed


@click.command("down")
@click.option(
    "--wait", "wait_s", default=10.0, show_default=True, type=click.FloatRange(0, 3600), help="Seconds for open turns."
)
@framed
def command(frame: Frame, wait_s: float) -> None:
    """End the backend: turns that run are answered, or stay open to be resumed; then everything is closed."""
    ended = asyncio.run(_down(frame, wait_s))
    if frame.as_json:
        frame.print_object({"pid": 0, "open_turns": 0} if ended is None else ended)
    elif ended is None:
        click.echo("No backend is running.")
    else:
        click.echo("The backend has ended.")
        if ended["open_turns"]:
            who = "A turn waits" if ended["open_turns"] == 1 else f"{ended['open_turns']} turns wait"
            click.echo(f"{who} to be resumed: a4ps ask --resume")


async def _down(frame: Frame, wait_s: float) -> Any:
    from a4ps.client.client import As, Client
    from a4ps.client.ending import end_backend
    from a4ps.client.starting import is_running

    if not is_running(frame.places):
        return None
    return await end_backend(await Client.connect(frame.places, As("cli"), starts=False), wait_s)
