"""`a4ps models`: what the personas speak with."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.pulling import is_address, pull_files, pull_models, source_of
from a4ps.errors import ModelMissing, Unsupported
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.inference.catalog import PROFILE_ORDER, canonical, lacking, load_catalog
from a4ps.inference.engine import EngineStatus, ModelInfo, Resident
from a4ps.inference.model_manager import ModelManager, Occupancy
from a4ps.kernel.wiring import (
    engine_of,
    lacking_files,
    llamacpp_engine,
    ollama_engine,
    parts_of,
)
from a4ps.personas.roster import BY_PROFILE, NAMES, enrol

GB = 1e9


@click.group("models")
def command() -> None:
    """List, fetch and choose the models the personas speak with."""


@dataclass(frozen=True, slots=True)
class _Here:
    """What can be used on this machine: Ollama where it answers, else the embedded engine."""

    ollama: bool
    status: EngineStatus
    installed: tuple[ModelInfo, ...]
    personas: Mapping[str, str]

    @property
    def engine(self) -> str:
        return "ollama" if self.ollama else "llamacpp"

    @property
    def usable(self) -> bool:
        return self.status.reachable

    def lacks(self, models: Mapping[str, str]) -> tuple[str, ...]:
        return lacking(models.values(), (info.name for info in self.installed))


@command.command("list")
@framed
def list_models(frame: Frame) -> None:
    """Show each profile with its models, their sizes, and which are installed."""
    here = asyncio.run(_look(frame))
    catalog = load_catalog()
    current = frame.env.settings.profile
    if frame.as_json:
        frame.print_object(_as_object(frame, here))
        return
    names = {canonical(model.name) for model in here.installed}
    for name in PROFILE_ORDER:
        models = here.personas if name == current else _named(here, catalog.profiles[name].models)
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
    here = asyncio.run(_look(frame))
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
    wanted = BY_PROFILE if model is None else model
    if model is not None:
        here = asyncio.run(_look(frame))
        missing = lacking_files(frame.env, [model]) if not here.ollama else here.lacks({persona: model})
        if here.usable and missing:
            raise ModelMissing(*missing)
    with ProtoManager.open(frame.env.places.image, keys=KeyFolder(frame.env.places.keys)) as manager:
        enrol(manager)
        with manager.transaction(reason=f"models use {persona} {wanted}") as change:
            draft = change.edit(persona)
            before = draft.codex.model_name
            draft.codex = replace(draft.codex, model_name=wanted)
        number = change.changes[0].generation if change.changes else None
    if frame.as_json:
        frame.print_object({"persona": persona, "model": wanted, "before": before, "change": number})
    elif number is None:
        click.echo(f"{persona} speaks with {plain(wanted)} already.")
    else:
        click.echo(f"{persona} speaks with {plain(wanted)} from the next turn on (change {number}).")
        click.echo(f"Undo it: a4ps image revert {number}")


@command.command("ps")
@framed
def ps(frame: Frame) -> None:
    """Show which models are in memory, what they take, and what there is."""
    here, occupancy = asyncio.run(_occupancy(frame))
    if frame.as_json:
        frame.print_object(
            {
                "engine": here.engine,
                "budget_bytes": occupancy.budget_bytes if occupancy.is_bounded else None,
                "residents": [_resident_object(resident) for resident in occupancy.residents],
            }
        )
        return
    for resident in occupancy.residents:
        click.echo(f"{plain(resident.name):<36} {resident.size_bytes / GB:>5.1f} GB  {_placed(resident)}")
    if not occupancy.residents:
        click.echo("No model is in memory.")
    if not here.ollama:
        click.echo("The embedded engine keeps models only while a question is answered or a chat is open.")
    if occupancy.is_bounded:
        click.echo(
            f"Models may take {occupancy.budget_bytes / GB:.1f} GB (setting memory_mb; 0: what is free less 10 %)."
        )


async def _look(frame: Frame) -> _Here:
    wants_embedded = frame.env.settings.engine == "llamacpp"
    engine = ollama_engine(frame.env.settings)
    try:
        status = EngineStatus(False) if wants_embedded else await engine.status()
        if status.reachable:
            return _Here(True, status, await engine.models(), frame.env.models)
    finally:
        await engine.aclose()
    embedded = llamacpp_engine(frame.env)
    try:
        status = await embedded.status()
        models = await embedded.models() if status.reachable else ()
        return _Here(False, status, models, frame.env.embedded_models)
    finally:
        await embedded.aclose()


async def _occupancy(frame: Frame) -> tuple[_Here, Occupancy]:
    here = await _look(frame)
    manager = ModelManager(parts_of(frame.env, engine_of(frame.env, "ollama" if here.ollama else "llamacpp")))
    try:
        return here, await manager.ps()
    finally:
        await manager.aclose()


def _named(here: _Here, models: Mapping[str, str]) -> dict[str, str]:
    return {name: model if here.ollama else load_catalog().embedded(model) for name, model in models.items()}


def _placed(resident: Resident) -> str:
    if not resident.vram_bytes:
        return "in RAM"
    if resident.vram_bytes < resident.size_bytes:
        return f"{100 * resident.vram_bytes // resident.size_bytes} % on the card, the rest spilled into RAM"
    return "on the card"


def _resident_object(resident: Resident) -> dict[str, Any]:
    return {
        "name": resident.name,
        "size_bytes": resident.size_bytes,
        "vram_bytes": resident.vram_bytes,
        "num_ctx": resident.num_ctx,
    }


def _as_object(frame: Frame, here: _Here) -> dict[str, Any]:
    catalog = load_catalog()
    return {
        "profile": frame.env.settings.profile,
        "engine": here.engine,
        "engine_reachable": here.usable,
        "personas": dict(here.personas),
        "installed": [
            {"name": info.name, "size_bytes": info.size_bytes, "digest": info.digest} for info in here.installed
        ],
        "profiles": {
            name: {
                "models": _named(here, profile.models),
                "size_gb": catalog.size_gb(_named(here, profile.models).values()),
            }
            for name, profile in catalog.profiles.items()
        },
    }
