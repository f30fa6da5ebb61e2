"""`a4ps status`: what the backend is and does."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.protocol.requests.system import Status
from a4ps.series import Point, drawn


@click.command("status")
@framed
def command(frame: Frame) -> int:
    """Show whether a backend runs, and what it does. The exit code is 1 where none does."""
    found = asyncio.run(_status(frame))
    if frame.as_json:
        frame.print_object({"up": found is not None, "backend": found})
    elif found is None:
        click.echo("No backend is running. A command starts one for a while; to have it stay: a4ps up")
    else:
        tell_status(found)
    return 0 if found is not None else 1


def tell_status(found: dict[str, Any]) -> None:
    """For people."""
    stays = "ends by itself when idle" if found["fleeting"] else "stays until a4ps down"
    click.echo(f"A4PS {found['version']}, process {found['pid']}, up for {_duration(found['uptime_s'])}; it {stays}")
    image, engine, memory = found["image"], found["engine"], found["memory"]
    size = (image["file_bytes"] + image["wal_bytes"]) / 1e6
    _line("image", f"{plain(image['path'])}, {image['generation']} commits, {size:.1f} MB")
    if image["read_only"]:
        _line("", f"writes are refused: {plain(image['read_only'])}", fg="red")
    residents = ", ".join(f"{plain(each['name'])} ({each['size_bytes'] / 1e9:.1f} GB)" for each in engine["residents"])
    _line("engine", f"{engine['name'] or 'none was needed yet'}{f', in memory: {residents}' if residents else ''}")
    turns = found["turns"]
    _line(
        "turns", f"{turns['answered']} answered since then, {turns['open']} open, {found['running']} commands under way"
    )
    vectors = f", {memory['vectors']} by vector, {memory['left']} to embed" if memory["embedder"] else ""
    _line("memory", f"{memory['memories']}{vectors}")
    if memory["fault"]:
        _line("", plain(memory["fault"]), fg="yellow")
    sandbox = found["sandbox"]
    _line("sandbox", f"{sandbox['calls']} calls, {sandbox['failures']} failures, {sandbox['ready']} ready")
    _line("sessions", str(found["sessions"]))
    for name, service in found["services"].items():
        if service["state"] == "backing off" or service["restarts"]:
            _line(
                "service", f"{name} {service['state']}, {service['restarts']} restarts: {plain(service['last_error'])}"
            )
    for name, series in found["series"].items():
        points = tuple(Point(at, value, value, value) for at, value in series["points"])
        _line("", f"{name:18} {drawn(points, 30):30} {series['last']:.4g}", dim=True)


def _line(name: str, text: str, *, fg: str | None = None, dim: bool = False) -> None:
    click.secho(f"  {name:9} {text}", fg=fg, dim=dim)


def _duration(seconds: float) -> str:
    whole = int(seconds)
    days, hours, minutes = whole // 86_400, whole // 3_600 % 24, whole // 60 % 60
    if days or hours:
        return f"{f'{days} d ' if days else ''}{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


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
