"""`a4ps config`: every setting, its value, and where it came from."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from a4ps.cli.frame import Frame, frame_options, framed
from a4ps.cli.plain import plain
from a4ps.errors import A4PSError
from a4ps.places import Places
from a4ps.settings import Settings, mark_of, write


@click.group("config", invoke_without_command=True)
@frame_options
@click.pass_context
def command(ctx: click.Context, home: str | None, as_json: bool) -> None:
    """Show every setting and its origin, or change one. Without a command: show.

    A setting comes from its default, from a4ps.toml in the home, or from a variable A4PS_NAME; the last one wins.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(show, home=home, as_json=as_json)
    # `config --json show` means what `config show --json` does.
    ctx.default_map = {name: {"home": home, "as_json": as_json} for name in command.commands}


@command.command("show")
@framed
def show(frame: Frame) -> None:
    """Show each setting, its value, and where the value came from."""
    loaded = frame.env.loaded
    values = loaded.settings.model_dump(mode="json")
    places = frame.env.places
    if frame.as_json:
        rows = {key: {"value": value, "origin": loaded.origins[key]} for key, value in values.items()}
        frame.print_object({"settings": rows, "file": str(places.settings_file), "ignored": list(loaded.ignored)})
        return
    for key, value in values.items():
        origin = loaded.origins[key]
        click.secho(f"{key:<18} {_shown(value):<24} {origin:<22}", nl=False, bold=origin != "default")
        click.secho(f" {Settings.model_fields[key].description}", dim=True)
    click.echo(f"\nfile:  {places.settings_file}{'' if places.settings_file.exists() else '  (not there yet)'}")
    click.echo(f"image: {places.image}\nlog:   {places.log}")
    for name in loaded.ignored:
        click.secho(f"{plain(name)} is set, but there is no such setting", fg="yellow")


@command.command("set")
@click.argument("key")
@click.argument("value")
@framed
def set_value(frame: Frame, key: str, value: str) -> None:
    """Set KEY to VALUE in a4ps.toml, keeping what else is there.

    Lists are written A,B; tables KEY=VALUE,KEY=VALUE.
    """
    write(frame.env.places.settings_file, key, value)
    loaded = Frame(frame.home, frame.as_json).env.loaded
    now = loaded.settings.model_dump(mode="json")[key]
    if frame.as_json:
        frame.print_object({"key": key, "value": now, "origin": loaded.origins[key]})
        return
    click.echo(f"{key} = {_shown(now)}  ({loaded.origins[key]})")
    if not loaded.origins[key].startswith("a4ps.toml"):
        click.secho(f"{loaded.origins[key]} is set and wins over the file", fg="yellow")
    used = asyncio.run(_when_used(frame.places, mark_of(loaded.settings)))
    if used:
        click.secho(used, fg="yellow")


async def _when_used(places: Places, mark: str) -> str:
    """When a backend that runs will use settings of that mark; "" where none runs, or it does already."""
    from a4ps.client.client import As, Client
    from a4ps.client.starting import is_running

    if not is_running(places):
        return ""
    try:
        client = await Client.connect(places, As("cli"), starts=False)
        welcome = client.welcome
        await client.aclose()
    except A4PSError:
        return "A backend that runs uses this after: a4ps down"
    if welcome.settings == mark:
        return ""
    if welcome.fleeting:
        return "The backend that runs in passing is replaced by the next command, which uses this."
    return "The backend that is up uses this after a4ps down and a4ps up."


def _shown(value: Any) -> str:
    return plain(_spelt(value))


def _spelt(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}={part}" for key, part in value.items()) or "-"
    if isinstance(value, list):
        return ",".join(sorted(value)) or "-"
    return str(value)
