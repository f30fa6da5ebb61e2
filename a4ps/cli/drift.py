"""`a4ps drift`: how far the personas of today are from their codices."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.session import opened_kernel
from a4ps.personas.roster import NAMES
from a4ps.series import Series
from a4ps.society.drift import Probed, figures, probes
from a4ps.society.progress import Progress, Spoke


@click.command("drift")
@click.argument("personas", metavar="[PERSONA]...", nargs=-1, type=click.Choice(NAMES, case_sensitive=False))
@framed
def command(frame: Frame, personas: tuple[str, ...]) -> None:
    """Put the fixed probes to PERSONAS, or to all four, and keep how far their answers are from their codices.

    Each answer is measured on its text and judged by ALFRED, item by item: six calls a persona, which stand behind those of
    a conversation. 0 is in character, 1 is out of it. a4ps series drift shows all earlier figures.
    """
    probed, earlier = asyncio.run(_probe(frame, personas or NAMES))
    found = {
        name: {"now": now, "before": _mean(earlier, name, -1), "first": _mean(earlier, name, 0)}
        for name, now in figures(probed).items()
    }
    if frame.as_json:
        frame.print_object({"probe_set": probes()[0], "figures": found, "probes": [asdict(each) for each in probed]})
        return
    for name, figure in found.items():
        since = "" if figure["before"] is None else f"  before {figure['before']:.2f}  first {figure['first']:.2f}"
        click.echo(f"{name:22} {figure['now']:.2f}{since}")
    for each in probed:
        if each.remark:
            click.secho(f"{each.persona}: {plain(each.remark)}", dim=True)


async def _probe(frame: Frame, personas: tuple[str, ...]) -> tuple[tuple[Probed, ...], Mapping[str, Series]]:
    def told(progress: Progress) -> None:
        if isinstance(progress, Spoke) and not frame.as_json:
            click.secho(
                f"{progress.contribution.persona} has answered ({progress.contribution.role})", dim=True, err=True
            )

    async with opened_kernel(frame) as kernel:
        earlier = kernel.series.read()
        return await kernel.drift(personas, told), earlier


def _mean(series: Mapping[str, Series], name: str, place: int) -> float | None:
    return series[name][place].mean if name in series else None
