"""`a4ps drift`: how far the personas of today are from their codices."""

from __future__ import annotations

from typing import Any

import click

from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.errors import Stopped
from a4ps.personas.names import NAMES
from a4ps.protocol.objects import DriftObject
from a4ps.protocol.requests.figures import Drift


@click.command("drift")
@click.argument("personas", metavar="[PERSONA]...", nargs=-1, type=click.Choice(NAMES, case_sensitive=False))
@framed
def command(frame: Frame, personas: tuple[str, ...]) -> None:
    """Put the fixed probes to PERSONAS, or to all four, and keep how far their answers are from their codices.

    Each answer is measured on its text and judged by ALFRED, item by item: six calls a persona, which stand behind those of
    a conversation. 0 is in character, 1 is out of it. a4ps series drift shows all earlier figures.
    """

    def told(step: dict[str, Any]) -> None:
        if step["step"] == "spoke" and not frame.as_json:
            said = step["contribution"]
            click.secho(f"{said['persona']} has answered ({said['role']})", dim=True, err=True)

    try:
        found: DriftObject = call(frame, Drift(personas=list(personas)), told)
    except Stopped:
        raise Stopped("stopped; none of the figures is kept", next_step="a4ps drift") from None
    if frame.as_json:
        frame.print_object(found)
        return
    for name, figure in found["figures"].items():
        before, first = figure["before"], figure["first"]
        since = "" if before is None or first is None else f"  before {before:.2f}  first {first:.2f}"
        click.echo(f"{name:22} {figure['now']:.2f}{since}")
    for each in found["probes"]:
        if each["remark"]:
            click.secho(f"{each['persona']}: {plain(each['remark'])}", dim=True)
