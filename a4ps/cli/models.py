"""`a4ps models`: what the personas speak with."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.pulling import pull_models
from a4ps.errors import EngineUnreachable
from a4ps.inference.catalog import PROFILE_ORDER, canonical, lacking, load_catalog
from a4ps.inference.engine import ModelInfo
from a4ps.kernel.wiring import INSTALL_OLLAMA as INSTALL
from a4ps.kernel.wiring import ollama_engine


@click.group("models")
def command() -> None:
    """List or fetch the models the personas speak with."""


@command.command("list")
@framed
def list_models(frame: Frame) -> None:
    """Show each profile with its models, their sizes, and which are installed."""
    reachable, installed = asyncio.run(_installed(frame))
    catalog = load_catalog()
    current = frame.env.settings.profile
    if frame.as_json:
        frame.print_object(_as_object(frame, reachable, installed))
        return
    names = {canonical(model.name) for model in installed}
    unfetched = lacking(frame.env.models.values(), names)
    for name in PROFILE_ORDER:
        profile = catalog.profiles[name]
        models = frame.env.models if name == current else profile.models
        size = catalog.size_gb(lacking(models.values(), names))
        download = f"{size:.1f} GB to download" if size else "all installed"
        click.secho(f"{name}{'  (current)' if name == current else ''}", bold=name == current)
        click.echo(f"  {profile.description}; {download}")
        for persona, model in models.items():
            mark = click.style("installed", fg="green") if canonical(model) in names else "not installed"
            click.echo(f"  {persona:<7} {plain(model):<22} {catalog.size_gb([model]):>4.1f} GB  {mark}")
    if not reachable:
        click.secho("\nNo Ollama answers, so nothing can be installed or used yet: a4ps doctor", fg="yellow")
    elif unfetched:
        click.echo("\nFetch what the current profile lacks: a4ps models pull")


@command.command("pull")
@click.argument("model", required=False)
@framed
def pull(frame: Frame, model: str | None) -> None:
    """Fetch MODEL through Ollama, or, without one, all that the current profile lacks."""
    reachable, installed = asyncio.run(_installed(frame))
    if not reachable:
        raise EngineUnreachable(f"no Ollama answers at {frame.env.settings.ollama_host}", next_step=INSTALL)
    wanted = (model,) if model else lacking(frame.env.models.values(), (info.name for info in installed))
    if wanted and not frame.as_json:
        size = load_catalog().size_gb(wanted)
        click.echo(f"Fetching {plain(', '.join(wanted))}{f': {size:.1f} GB' if size else ''}", err=True)
    asyncio.run(pull_models(frame, wanted))
    if frame.as_json:
        frame.print_object({"pulled": list(wanted)})
    else:
        click.echo("Ready." if wanted else f"The profile {frame.env.settings.profile} lacks nothing.")


async def _installed(frame: Frame) -> tuple[bool, tuple[ModelInfo, ...]]:
    engine = ollama_engine(frame.env.settings)
    try:
        status = await engine.status()
        return status.reachable, (await engine.models() if status.reachable else ())
    finally:
        await engine.aclose()


def _as_object(frame: Frame, reachable: bool, installed: tuple[ModelInfo, ...]) -> dict[str, Any]:
    catalog = load_catalog()
    return {
        "profile": frame.env.settings.profile,
        "engine_reachable": reachable,
        "personas": frame.env.models,
        "installed": [{"name": info.name, "size_bytes": info.size_bytes, "digest": info.digest} for info in installed],
        "profiles": {
            name: {"models": dict(profile.models), "size_gb": catalog.size_gb(profile.models.values())}
            for name, profile in catalog.profiles.items()
        },
    }
