"""`a4ps doctor`: what works here, and the one command that mends what does not."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.errors import A4PSError
from a4ps.inference.catalog import load_catalog
from a4ps.kernel.examine import Running, examine
from a4ps.kernel.health import diagnose, packages_missing
from a4ps.protocol.requests.system import Status
from a4ps.protocol.requests.turns import Latest, Turn

#: A backend that is well answers at once.
_ANSWER_S = 30.0

_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "bad": ("✗", "red")}


@click.command("doctor")
@framed
def command(frame: Frame) -> None:
    """Tell what works here, and how to mend what does not.

    Exit code 1 if something keeps a question from being answered as set up. Changes nothing.
    """
    running = asyncio.run(_running(frame))
    facts = asyncio.run(examine(frame.env, running))
    checks = diagnose(facts, load_catalog())
    packages = packages_missing(facts)
    healthy = all(check.verdict != "bad" for check in checks)
    if frame.as_json:
        frame.print_object(
            {
                "healthy": healthy,
                "checks": [asdict(check) for check in checks],
                "system_packages_missing": list(packages),
            }
        )
    else:
        for check in checks:
            mark, colour = _MARKS[check.verdict]
            click.echo(f"{click.style(mark, fg=colour)} {check.name:<9} {plain(check.detail)}")
            if check.mend:
                click.echo(f"            → {plain(check.mend)}")
        if packages:
            sudo = "" if os.geteuid() == 0 else "sudo "
            click.echo(f"\nSystem packages for later parts: {sudo}apt-get install {' '.join(packages)}")
    if not healthy:
        raise click.exceptions.Exit(1)


async def _running(frame: Frame) -> Running | None:
    """What the backend says that has the image; None where none runs, and none is started."""
    from a4ps.client.client import As, Client
    from a4ps.client.starting import is_running

    if not is_running(frame.places):
        return None
    try:
        client = await Client.connect(frame.places, As("cli"), starts=False)
        try:
            status = await client.call(Status(), deadline_s=_ANSWER_S)
            latest = await client.call(Latest(limit=1), deadline_s=_ANSWER_S)
            newest = [await client.call(Turn(turn=turn["turn_id"]), deadline_s=_ANSWER_S) for turn in latest["turns"]]
        finally:
            await client.aclose()
    except A4PSError as error:
        return Running(fault=error.message, mend=error.next_step)
    return Running(
        pid=status["pid"],
        stays=not status["fleeting"],
        generation=status["image"]["generation"],
        turns=latest["count"],
        last_engine=newest[0]["engine"] if newest else "",
        read_only=status["image"]["read_only"],
    )
