"""`a4ps doctor`: what works here, and the one command that mends what does not."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.inference.catalog import load_catalog
from a4ps.kernel.examine import examine
from a4ps.kernel.health import diagnose, packages_missing

_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "bad": ("✗", "red")}


@click.command("doctor")
@framed
def command(frame: Frame) -> None:
    """Tell what works here, and how to mend what does not.

    Exit code 1 if something keeps a question from being answered as set up. Changes nothing.
    """
    facts = asyncio.run(examine(frame.env))
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
