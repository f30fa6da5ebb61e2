"""`a4ps series`: figures over time."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.errors import UsageError
from a4ps.image.series_log import SeriesLog
from a4ps.kernel.wiring import open_records
from a4ps.series import Series, drawn

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
    with open_records(frame.env) as records:
        series = SeriesLog(records.store).read()
    chosen = {name: points for name, points in sorted(series.items()) if not names or name.startswith(names)}
    if names and not chosen:
        raise UsageError(
            f"there is no series {plain(', '.join(names))}",
            next_step=f"there are: {', '.join(sorted(series))}" if series else 'none yet: a4ps ask "..."',
        )
    if frame.as_json:
        frame.print_object({"series": {name: _points(points) for name, points in chosen.items()}})
        return
    for name, points in chosen.items():
        count = sum(point.count for point in points)
        mean = sum(point.mean * point.count for point in points) / count
        click.echo(f"{name:22} {drawn(points, WIDTH):{WIDTH}} last {points[-1].mean:.4g}  mean {mean:.4g}  of {count}")
    if not chosen:
        click.echo("No turn has left a figure yet.")


def _points(series: Series) -> list[dict[str, object]]:
    return [
        {
            "at": datetime.fromtimestamp(point.at_s, UTC).isoformat(),
            "mean": point.mean,
            "low": point.low,
            "high": point.high,
            "count": point.count,
        }
        for point in series
    ]
