"""How a failure is told to a person: what happened, what to do next, where the log is."""

from __future__ import annotations

import click

from a4ps.cli.plain import plain


def tell_failure(message: str, next_step: str, log: str = "") -> None:
    """Write on stderr; empty parts are left out."""
    click.echo(click.style("a4ps: ", fg="red", bold=True) + plain(message), err=True)
    if next_step:
        click.echo(f"  → {plain(next_step)}", err=True)
    if log:
        click.echo(f"  log: {plain(log)}", err=True)
