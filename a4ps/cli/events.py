"""`a4ps events`: what has happened, and what happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import click

from a4ps.cli.connected import call, connected
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import json_line
from a4ps.protocol.feed import Apply, Show, Told, Void
from a4ps.protocol.requests.system import EventsSince, Status


@click.command("events")
@click.option(
    "--follow", "-f", is_flag=True, help="Go on with what happens from now on, words as they are said included."
)
@click.option("--last", default=20, show_default=True, type=click.IntRange(0, 10_000), help="How many to begin with.")
@framed
def command(frame: Frame, follow: bool, last: int) -> None:
    """Show the newest events: each is a commit of the image, with its number, its author and the rows that it added.

    With --json, one object a line.
    """
    if not follow:
        newest = int(call(frame, Status())["image"]["generation"])
        for event in call(frame, EventsSince(after=max(0, newest - last), limit=max(1, last)))["events"][:last]:
            _tell(frame, event)
        return
    asyncio.run(_follow(frame, last))


async def _follow(frame: Frame, last: int) -> None:
    async with connected(frame) as client:
        newest = client.welcome.sequence
        if last:
            found = await client.call(EventsSince(after=max(0, newest - last), limit=last))
            for event in found["events"]:
                if event["sequence"] <= newest:
                    _tell(frame, event)
        async for told in client.events(newest):
            _tell_live(frame, told)


def _tell_live(frame: Frame, told: Told) -> None:
    match told:
        case Apply(event):
            at = datetime.fromtimestamp(event.at, UTC).isoformat()
            rows = [{"kind": kind, "key": key} for kind, key in event.rows]
            _tell(frame, {"sequence": event.sequence, "at": at, "author": event.author, "rows": rows})
        case Show(events, _):
            for each in events:
                if frame.as_json:
                    click.echo(json_line(each))
                elif each.get("step") != "token":
                    words = plain(" ".join(f"{name}={value}" for name, value in each.items() if name != "step"))
                    click.secho(f"        {each.get('step', '')}  {words[:160]}", dim=True)
        case Void():
            click.secho("The backend was started anew.", fg="yellow", err=True)


def _tell(frame: Frame, event: dict[str, Any]) -> None:
    if frame.as_json:
        click.echo(json_line(event))
        return
    at = datetime.fromisoformat(event["at"]).astimezone()
    rows = ", ".join(f"{row['kind']} {row['key']}" for row in event["rows"][:6])
    more = f" and {len(event['rows']) - 6} more" if len(event["rows"]) > 6 else ""
    click.echo(f"{event['sequence']:>7}  {at:%Y-%m-%d %H:%M:%S}  {plain(event['author']):10} {plain(rows)}{more}")
