"""`a4ps uninstall`: what A4PS has made for this account, shown and then taken away."""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.frame import Frame, frame_options
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.waiting import waiting
from a4ps.errors import Stopped, UsageError
from a4ps.places import Places

if TYPE_CHECKING:
    from a4ps.kernel.uninstall import Plan

#: How long turns that are under way have to finish.
_WAIT_S = 10.0
#: How long systemd has to end what it runs: the unit says 60 s.
_SYSTEMD_S = 90.0


@click.command("uninstall")
@click.option("--keep", is_flag=True, help="Leave image, settings and keys where they are, which is the default.")
@click.option("--everything", is_flag=True, help="Remove image, settings and keys too, for good.")
@click.option(
    "--export",
    "folder",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="First write everything as text there.",
)
@click.option("--dry-run", is_flag=True, help="Show the plan, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@frame_options
def command(
    keep: bool, everything: bool, folder: Path | None, dry_run: bool, yes: bool, home: str | None, as_json: bool
) -> None:
    """Remove what A4PS has made for this account: models that it fetched, caches, logs, tokens, the autostart.

    First shows the plan with the sizes. A backend that runs is ended. Image, settings and keys stay, unless --everything is
    given, which cannot be undone: without its key no backup opens either. What A4PS did not make stays and is named, and so
    do Ollama and its models. The program itself is removed as the last line says.
    """
    if keep and everything:
        raise UsageError("--keep and --everything contradict each other", next_step="a4ps uninstall --help")
    frame = Frame(home, as_json)  # without the log, which goes
    plan = _plan(frame.places, everything=everything)
    folder = None if folder is None else folder.absolute()
    if folder is not None:
        _need_exportable(frame.places, folder)
    if not as_json:
        _show(plan)
    doing = not (plan.is_empty and folder is None) and not dry_run
    if doing:
        _ask(frame, yes, everything)
        _stop(frame.places, plan)
        if folder is not None:
            _export(frame.places, folder)
        _carry_out(frame.places, plan)
    if as_json:
        frame.print_object(_object(plan, doing, folder))
    elif not dry_run:
        click.echo("Removed." if doing else "There is nothing to remove.")
        click.echo(f"To remove the program: {plain(_program())}")


def _plan(places: Places, *, everything: bool) -> Plan:
    from a4ps.client.starting import is_held
    from a4ps.kernel.autostart import read_autostart
    from a4ps.kernel.uninstall import plan_of

    usual = Places.find(None, {name: value for name, value in os.environ.items() if name != "A4PS_HOME"})
    others = [lock for lock in places.run_base.glob("*/lock") if lock != places.backend_lock and is_held(lock)]
    return plan_of(places, usual, read_autostart(os.environ), everything=everything, others_run=bool(others))


def _need_exportable(places: Places, folder: Path) -> None:
    if not places.image.exists():
        raise UsageError(f"there is no image at {places.image} to export", next_step="leave out --export")
    for own in (places.home, places.state, places.run_base):
        if folder.resolve().is_relative_to(own.resolve()):
            raise UsageError(f"{folder} is among what may go", next_step="name a folder elsewhere")


def _show(plan: Plan) -> None:
    for removal in plan.removals:
        size = _size(removal.size_bytes)
        click.echo(f"{click.style('-', fg='red')} {removal.what:15} {size:>9}  {plain(str(removal.path))}")
    for kept in plan.kept:
        click.echo(f"· {'stays':15} {_size(kept.size_bytes):>9}  {plain(str(kept.path))}: {plain(kept.why)}")


def _size(size_bytes: int) -> str:
    for unit, bytes_of in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= bytes_of:
            return f"{size_bytes / bytes_of:.1f} {unit}"
    return f"{size_bytes} B"


def _ask(frame: Frame, yes: bool, everything: bool) -> None:
    """Raises `Stopped` where a person says no, `UsageError` where nobody is there to ask."""
    if yes:
        return
    if frame.as_json or not somebody_is_there():
        raise UsageError(
            "nobody is there to ask whether this may go", next_step="--dry-run shows the plan, --yes does it"
        )
    question = "Remove this, the image and its keys with it, for good?" if everything else "Remove this?"
    if not click.confirm(question, default=False, err=True):
        raise Stopped("nothing was changed")


def _stop(places: Places, plan: Plan) -> None:
    """End the backend in order, whoever runs it. Raises as `end_backend` does."""
    if any(removal.what == "autostart" for removal in plan.removals):
        # Otherwise it would be started again. Where systemd does not answer, it runs nothing either.
        _systemctl("disable", "--now", "a4ps.service")
    asyncio.run(_end_backend(places))


def _systemctl(*arguments: str) -> None:
    if (systemctl := shutil.which("systemctl")) is None:
        return
    try:
        subprocess.run([systemctl, "--user", *arguments], timeout=_SYSTEMD_S, check=False, capture_output=True)
    except (OSError, subprocess.TimeoutExpired):
        return


async def _end_backend(places: Places) -> None:
    from a4ps.client.client import As, Client
    from a4ps.client.ending import end_backend
    from a4ps.client.starting import is_running

    if is_running(places):
        await end_backend(await Client.connect(places, As("cli"), starts=False), _WAIT_S)


def _export(places: Places, folder: Path) -> None:
    from a4ps.image.keys import KeyFolder
    from a4ps.image.proto_manager import ProtoManager

    with ProtoManager.open(places.image, keys=KeyFolder(places.keys)) as manager, waiting("Exporting"):
        manager.export_text(folder)


def _carry_out(places: Places, plan: Plan) -> None:
    """Raises `ImageHeld` where a program has the image open, and StorageFailed."""
    from a4ps.image.lock import OwnerLock
    from a4ps.kernel.uninstall import carry_out

    with ExitStack() as undo:
        if places.image.exists():
            undo.callback(OwnerLock(places.image).release)
        carry_out(plan)
    if any(removal.what == "autostart" for removal in plan.removals):
        _systemctl("daemon-reload")


def _program() -> str:
    """What removes the program, by how it was installed."""
    prefix = Path(sys.prefix)
    if prefix.name == ".venv" and (prefix.parent / "start").is_file():
        link = Path.home() / ".local" / "bin" / "a4ps"
        root = [prefix.parent, *([link] if link.resolve() == prefix.parent / "start" else [])]
        return f"rm -r {shlex.join(map(str, root))}"
    if "pipx" in prefix.parts:
        return "pipx uninstall a4ps"
    return "uv tool uninstall a4ps" if "uv" in prefix.parts else f"{shlex.quote(sys.executable)} -m pip uninstall a4ps"


def _object(plan: Plan, done: bool, folder: Path | None) -> dict[str, Any]:
    return {
        "done": done,
        "removals": [
            {"what": each.what, "path": str(each.path), "size_bytes": each.size_bytes} for each in plan.removals
        ],
        "kept": [{"path": str(each.path), "why": each.why, "size_bytes": each.size_bytes} for each in plan.kept],
        "exported": str(folder) if done and folder is not None else None,
        "program": _program(),
    }
