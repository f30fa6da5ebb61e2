"""How the making of a tool looks in a terminal."""

from __future__ import annotations

import click

from a4ps.cli.plain import plain
from a4ps.tools.report import ForgeProgress, Specified, TestsReady, Tried, Writing


def forge_line(step: ForgeProgress) -> str:
    """A step of the forge as a line."""
    match step:
        case Specified(specification):
            return f"BRICK specifies {plain(specification.signature)}: {plain(specification.summary)}"
        case TestsReady(cases, held_out, by_alfred):
            return f"{cases} cases, {by_alfred} of them ALFRED's, {held_out} not shown to the writer"
        case Writing(attempt, of):
            return f"attempt {attempt} of at most {of}: BRICK writes …"
        case Tried(attempt, True, _):
            return f"attempt {attempt}: passed"
        case Tried(attempt, False, why):
            return f"attempt {attempt}: failed: {plain(' '.join(why.split()))[:300]}"
    return ""


def tell_step(step: ForgeProgress) -> None:
    """Print a step on stderr."""
    click.secho(forge_line(step), dim=True, err=True)
