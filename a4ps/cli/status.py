"""`a4ps status`: what the backend is and does."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.protocol.requests.system import Status


@click.command("status")
@framed
def command(frame: Frame) -> int:
    """Show whether a backend runs, and what it does. The exit code is 1 where none does."""
    found = asyncio.run(_status(frame))
    if frame.as_json:
        frame.print_object({"running": False} if found is None else {"running": True, **found})
    elif found is None:
        click.echo("No backend is running. A command starts one for a while; to have it stay: a4ps up")
    else:
        tell_status(found)
    return 0 if found is not None else 1


def tell_status(found: dict[str, Any]) -> None:
    """For people."""
    stays = "ends by itself when idle" if found["fleeting"] else "stays until a4ps down"
    click.echo(f"A4PS {found['version']}, process {found['pid']}, up for {found['up_s']:.0f} s; it {stays}")
    click.echo(f"  image     {plain(found['image'])}, {found['generation']} commits")
    click.echo(f"  engine    {found['engine'] or 'none was needed yet'}")
    click.echo(f"  sessions  {found['sessions']}, {found['running']} commands under way")


async def _status(frame: Frame) -> Any:
    from a4ps.client.client import As, Client
    from a4ps.client.starting import is_running

    if not is_running(frame.places):
        return None
    client = await Client.connect(frame.places, As("cli"), starts=False)
    try:
        return await client.call(Status())
    finally:
        await client.aclose()
