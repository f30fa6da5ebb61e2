"""`a4ps series`: figures over time."""

from __future__ import annotations

from datetime import datetime

import click

from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.protocol.objects import PointObject, SeriesObject
from a4ps.protocol.requests.figures import SeriesRequest
from a4ps.series import Point, drawn

#: Points that a line shows.
WIDTH = 40


@click.command("series")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@framed
def command(frame: Frame, names: tuple[str, ...]) -> None:
    """Show the figures that turns and probes have left, over time: all, or those whose names begin as given.

    dissonance: how far thesis and antithesis stood apart, a round. character.PERSONA: how far what a persona says is from
    its codex, smoothed, a contribution. drift-SET.PERSONA: the same on fixed probes (a4ps drift). load: tokens in flight,
    the part of the context filled and calls waiting, a turn at its busiest. latency: seconds, a turn. A point may stand for
    several figures.
    """
    found: SeriesObject = call(frame, SeriesRequest(names=list(names)))
    if frame.as_json:
        frame.print_object(found)
        return
    for name, objects in found["series"].items():
        points = tuple(_point(each) for each in objects)
        count = sum(point.count for point in points)
        mean = sum(point.mean * point.count for point in points) / count
        shown = f"last {points[-1].mean:.4g}  mean {mean:.4g}  of {count}"
        click.echo(f"{plain(name):22} {drawn(points, WIDTH):{WIDTH}} {shown}")
    if not found["series"]:
        click.echo("No turn has left a figure yet.")


def _point(told: PointObject) -> Point:
    return Point(datetime.fromisoformat(told["at"]).timestamp(), told["mean"], told["low"], told["high"], told["count"])
