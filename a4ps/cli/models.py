"""`a4ps models`: what the personas speak with."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.errors import Unsupported
from a4ps.personas.names import NAMES
from a4ps.protocol.objects import OccupancyObject, ResidentObject, UsedObject
from a4ps.protocol.requests.models import InMemory, UseModel

if TYPE_CHECKING:  # engines take a moment to import; whoever asks the backend does without
    from a4ps.kernel.usable_models import UsableModels

GB = 1e9


@click.group("models")
def command() -> None:
    """List, fetch and choose the models the personas speak with."""


@command.command("list")
@framed
def list_models(frame: Frame) -> None:
    """Show each profile with its models, their sizes, and which are installed."""
    from a4ps.inference.catalog import PROFILE_ORDER, canonical, load_catalog
    from a4ps.kernel.usable_models import usable_models

    here = asyncio.run(usable_models(frame.env))
    catalog = load_catalog()
    current = frame.env.settings.profile
    if frame.as_json:
        frame.print_object(_as_object(frame, here))
        return
    names = {canonical(model.name) for model in here.installed}
    for name in PROFILE_ORDER:
        models = here.personas if name == current else here.named(catalog.profiles[name].models)
        size = catalog.size_gb(here.lacks(models))
        download = f"{size:.1f} GB to download" if size else "all installed"
        click.secho(f"{name}{'  (current)' if name == current else ''}", bold=name == current)
        click.echo(f"  {catalog.profiles[name].description}; {download}")
        for persona, model in models.items():
            mark = click.style("installed", fg="green") if canonical(model) in names else "not installed"
            click.echo(f"  {persona:<7} {plain(model):<34} {catalog.size_gb([model]):>4.1f} GB  {mark}")
    click.echo("")
    if not here.usable:
        click.secho(f"Nothing can be used yet: {plain(here.status.detail)}: a4ps doctor", fg="yellow")
        return
    click.echo(f"Run by {plain(here.status.detail)}.")
    if here.lacks(here.personas):
        click.echo("Fetch what the current profile lacks: a4ps models pull")


@command.command("pull")
@click.argument("model", required=False)
@framed
def pull(frame: Frame, model: str | None) -> None:
    """Fetch MODEL, or, without one, all that the current profile lacks.

    Through Ollama where it answers, else as files for the embedded engine. MODEL is a name of the catalog, a tag of
    Ollama's library, or a GGUF file: hf:OWNER/REPO/FILE.gguf or an https address, with #sha256=... where you know it.
    Stopped, the same command goes on where it stopped.
    """
    from a4ps.cli.pulling import is_address, pull_files, pull_models, source_of
    from a4ps.inference.catalog import load_catalog
    from a4ps.kernel.usable_models import usable_models

    here = asyncio.run(usable_models(frame.env))
    files = not here.ollama or (model is not None and is_address(model))
    if files and not here.ollama and not here.usable:
        raise Unsupported(
            here.status.detail, next_step="reinstall A4PS, or install Ollama (https://ollama.com/download)"
        )
    wanted = (model,) if model else here.lacks(here.personas)
    if wanted and not frame.as_json:
        size = load_catalog().size_gb(wanted)
        click.echo(f"Fetching {plain(', '.join(wanted))}{f': {size:.1f} GB' if size else ''}", err=True)
    asyncio.run((pull_files if files else pull_models)(frame, wanted))
    if frame.as_json:
        frame.print_object({"pulled": list(wanted)})
        return
    click.echo("Ready." if wanted else f"The profile {frame.env.settings.profile} lacks nothing.")
    if model and files:
        name = source_of(frame, model).file_name.removesuffix(".gguf")
        click.echo(f"Let a persona speak with it: a4ps models use BRICK {plain(name)}")


@command.command("use")
@click.argument("persona", type=click.Choice(NAMES, case_sensitive=False))
@click.argument("model", required=False)
@click.option("--by-profile", is_flag=True, help="Give the choice back to the profile.")
@framed
def use(frame: Frame, persona: str, model: str | None, by_profile: bool) -> None:
    """Let PERSONA speak with MODEL from the next turn on. The change is recorded, and undone by `image revert`."""
    if by_profile == (model is not None):
        raise click.UsageError("name a MODEL, or give --by-profile")
    used: UsedObject = call(frame, UseModel(persona=persona, model=model))
    number = used["change"]
    if frame.as_json:
        frame.print_object(used)
    elif number is None:
        click.echo(f"{persona} speaks with {plain(used['model'])} already.")
    else:
        click.echo(f"{persona} speaks with {plain(used['model'])} from the next turn on (change {number}).")
        click.echo(f"Undo it: a4ps image revert {number}")


@command.command("ps")
@framed
def ps(frame: Frame) -> None:
    """Show which models are in memory, what they take, and what there is."""
    occupancy: OccupancyObject = call(frame, InMemory())
    if frame.as_json:
        frame.print_object(occupancy)
        return
    for resident in occupancy["residents"]:
        click.echo(f"{plain(resident['name']):<36} {resident['size_bytes'] / GB:>5.1f} GB  {_placed(resident)}")
    if not occupancy["residents"]:
        click.echo("No model is in memory.")
    if occupancy["engine"] == "llamacpp":
        click.echo("The embedded engine keeps models as long as the backend runs.")
    budget_bytes = occupancy["budget_bytes"]
    if budget_bytes is not None:
        click.echo(f"Models may take {budget_bytes / GB:.1f} GB (setting memory_mb; 0: what is free less 10 %).")


def _placed(resident: ResidentObject) -> str:
    if not resident["vram_bytes"]:
        return "in RAM"
    if resident["vram_bytes"] < resident["size_bytes"]:
        return f"{100 * resident['vram_bytes'] // resident['size_bytes']} % on the card, the rest spilled into RAM"
    return "on the card"


def _as_object(frame: Frame, here: UsableModels) -> dict[str, Any]:
    from a4ps.inference.catalog import load_catalog

    catalog = load_catalog()
    return {
        "profile": frame.settings.profile,
        "engine": here.engine,
        "engine_reachable": here.usable,
        "personas": dict(here.personas),
        "installed": [
            {"name": info.name, "size_bytes": info.size_bytes, "digest": info.digest} for info in here.installed
        ],
        "profiles": {
            name: {
                "models": here.named(profile.models),
                "size_gb": catalog.size_gb(here.named(profile.models).values()),
            }
            for name, profile in catalog.profiles.items()
        },
    }
