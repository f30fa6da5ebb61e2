"""`a4ps image`: the durable universe itself, to be checked, looked back upon, undone, backed up, and carried elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.waiting import waiting
from a4ps.clock import SystemClock
from a4ps.errors import CallerError, IntegrityError, Stopped
from a4ps.governance.trust import ARCHITECT
from a4ps.image import restore as restoring
from a4ps.image.changes import Change, Difference, shown
from a4ps.image.codex import Codex
from a4ps.image.keys import KeyFolder
from a4ps.image.methods import Method
from a4ps.image.portable import read_portable
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.snapshot import PortableImage
from a4ps.image.text_export import import_text
from a4ps.places import Places

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@click.group("image")
def command() -> None:
    """Check, look back, undo, back up and carry what lives here."""


@command.command("verify")
@click.option("--deep", is_flag=True, help="Check every commit, row and page instead of the newest.")
@framed
def verify(frame: Frame, deep: bool) -> None:
    """Check that the image is what was stored. Exit code 4 if it is not."""
    with _opened(frame) as manager, waiting("Checking the image"):
        report = manager.verify(deep=deep)
    if frame.as_json:
        frame.print_object(
            {
                "ok": report.ok,
                "deep": report.deep,
                "generation": report.generation,
                "commits": report.commits,
                "rows": report.rows,
                "faults": list(report.faults),
                "warnings": list(report.warnings),
            }
        )
    else:
        for mark, colour, lines in (("✗", "red", report.faults), ("·", "yellow", report.warnings)):
            for line in lines:
                click.echo(f"{click.style(mark, fg=colour)} {plain(line)}")
        checked = f"{report.commits:,} {'' if deep else 'newest '}commits with {report.rows:,} rows"
        click.echo(f"{checked}: {'as they were stored' if report.ok else 'not as they were stored'}")
        if not report.ok:
            click.echo("  → put a backup in its place: a4ps image restore FILE")
    if not report.ok:
        raise click.exceptions.Exit(IntegrityError.exit_code)


@command.command("history")
@click.argument("name", required=False)
@framed
def history(frame: Frame, name: str | None) -> None:
    """Show the changes of NAME and what it inherits, or of all Protos, oldest first.

    The number that a line begins with is what diff and revert take.
    """
    with _opened(frame) as manager:
        changes = manager.history(name)
    if frame.as_json:
        frame.print_object({"changes": [_change_object(change) for change in changes]})
        return
    for change in changes:
        click.echo(_told(change))


@command.command("diff")
@click.argument("change", type=click.IntRange(min=1))
@framed
def diff(frame: Frame, change: int) -> None:
    """Show what CHANGE, a number of the history, made different."""
    with _opened(frame) as manager:
        found = manager.diff(change)
        # Values are decoded when they are shown, which may need the image.
        differences = [_difference_object(each) for each in found]
        text = plain(str(found))
    if frame.as_json:
        frame.print_object({"change": change, "differences": differences})
        return
    for line in text.splitlines():
        click.secho(line, fg={"+ ": "green", "- ": "red"}.get(line[:2]))


@command.command("revert")
@click.argument("change", type=click.IntRange(min=1))
@click.option("--reason", default="", help="Why, for the history.")
@framed
def revert(frame: Frame, change: int, reason: str) -> None:
    """Undo CHANGE, a number of the history, by a new change; what came later stays.

    Refused where a later change touched the same slot, method, codex or parents.
    """
    with _opened(frame) as manager:
        changes = manager.revert(change, reason=reason)
    if frame.as_json:
        frame.print_object({"reverted": change, "changes": [_change_object(each) for each in changes]})
        return
    for each in changes:
        click.echo(_told(each))


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@framed
def backup(frame: Frame, file: Path) -> None:
    """Copy the whole image to FILE, which must not exist, and check every row of the copy.

    The key stays where it is, so only this account can restore FILE: keep a copy of the key folder as well.
    """
    with _opened(frame) as manager, waiting("Copying and checking the image"):
        report = manager.backup(file)
        keys = manager.store.keys.path
    if frame.as_json:
        value = {"generation": report.generation, "commits": report.commits, "rows": report.rows}
        frame.print_object({"file": str(file.absolute()), **value})
        return
    click.echo(f"{plain(str(file))}: {report.commits:,} commits with {report.rows:,} rows, each verified")
    click.echo(f"It can be restored only with its key, which is in {plain(str(keys))}", err=True)


_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@_yes
@framed
def restore(frame: Frame, file: Path, yes: bool) -> None:
    """Put the backup FILE in the place of the image, after checking every row of it.

    The image as it was is kept beside it under a dated name. That the image goes back in time is recorded in it.
    """
    places = _places(frame)
    _ask(frame, yes, f"Put {file} in the place of {places.image}?")
    with waiting("Checking the backup"):
        done = restoring.restore(places.image, file, KeyFolder(places.keys), SystemClock(), author=ARCHITECT)
    if frame.as_json:
        value = {"generation": done.report.generation, "commits": done.report.commits, "rows": done.report.rows}
        frame.print_object({"image": str(places.image), **value, "kept": _path_or_none(done.aside)})
        return
    click.echo(f"Restored: {done.report.commits:,} commits with {done.report.rows:,} rows, each verified")
    _tell_kept(done.aside)


@command.command("save")
@click.argument("file", type=click.Path(path_type=Path))
@framed
def save(frame: Frame, file: Path) -> None:
    """Write all Protos, their history and the turns into one signed FILE, in place of what it held."""
    with _opened(frame) as manager, waiting("Saving"):
        manager.save_image(file)
        names = manager.names()
    _tell_written(frame, file, names)


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@_yes
@framed
def load(frame: Frame, file: Path, yes: bool) -> None:
    """Make what was saved in FILE the image's content, in one change.

    All of FILE is verified first, and the image as it was is kept beside it under a dated name.
    """
    _take_over(frame, file, yes, "Loading", lambda keys: read_portable(file, keys), f"load {file}")


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@framed
def export(frame: Frame, folder: Path) -> None:
    """Write everything into FOLDER as texts that people and git can read, in place of an earlier export."""
    with _opened(frame) as manager, waiting("Exporting"):
        manager.export_text(folder)
        names = manager.names()
    _tell_written(frame, folder, names)


@command.command("import")
@click.argument("source", metavar="FOLDER", type=click.Path(path_type=Path))
@click.option("--salvage", is_flag=True, help="FOLDER is an image file: take what can be read of it, unverified.")
@click.option("--vouch", is_flag=True, help="Vouch for all that it brings: what it says is untrusted alone is so.")
@_yes
@framed
def import_(frame: Frame, source: Path, salvage: bool, vouch: bool, yes: bool) -> None:
    """Make an exported FOLDER, perhaps a stranger's, the image's content, in one change.

    Its methods are kept but not trusted. Turns, memories and tools that are not here to the letter are marked as untrusted,
    whatever the export says of them, unless you --vouch for it. Personas are taken as they are. What you had promoted and
    vouched for before ends with what it was for. The image as it was is kept beside it under a dated name.

    With --salvage, the same of an image file whose key is lost, or which is damaged, the present image's own file
    included: what can be read of it is taken over, but nothing of it can be verified. A file that is whole and whose key
    is here is refused, as restore brings that one back with its trust.
    """
    if salvage:
        _salvage(frame, source, yes, vouch=vouch)
    else:

        def read(keys: KeyFolder) -> PortableImage:
            del keys
            return replace(import_text(source), foreign=not vouch)

        _take_over(frame, source, yes, "Importing", read, f"import {source}")


def _places(frame: Frame) -> Places:
    # Not the frame's environment: an image can be checked and restored with settings that cannot be read.
    return Places.find(frame.home, os.environ)


@contextmanager
def _opened(frame: Frame, *, make: bool = False) -> Iterator[ProtoManager]:
    """Raises CallerError where there is no image and none is to be made; what opening it raises."""
    places = _places(frame)
    if not make and not places.image.exists():
        raise CallerError(f"there is no image at {places.image} yet", next_step='a4ps ask "..." makes one')
    with ProtoManager.open(places.image, keys=KeyFolder(places.keys)) as manager:
        yield manager


def _take_over(
    frame: Frame, path: Path, yes: bool, what: str, read: Callable[[KeyFolder], PortableImage], reason: str
) -> None:
    places = _places(frame)
    if places.image.exists():
        _ask(frame, yes, f"Put {path} in the place of all that is in {places.image}?")
    with waiting(what):
        content = read(KeyFolder(places.keys))  # before an image is made for it, where there is none yet
        with _opened(frame, make=True) as manager:
            kept = manager.become(content, reason=reason)
            names = manager.names()
    _tell_taken_over(frame, places.image, names, kept)


def _salvage(frame: Frame, file: Path, yes: bool, *, vouch: bool) -> None:
    from a4ps.image.salvage import salvage

    places = _places(frame)
    if places.image.exists():
        _ask(frame, yes, f"Put what can be read of {file}, unverified, in the place of all that is in {places.image}?")
    with waiting("Reading what is left"):
        done = salvage(places.image, file, KeyFolder(places.keys), SystemClock(), author=ARCHITECT, vouch=vouch)
    if frame.as_json:
        found = {"rows": done.found.rows, "rows_skipped": done.found.skipped, "lost": list(done.found.notes)}
        value = {"image": str(places.image), "protos": list(done.protos), "kept": _path_or_none(done.kept)}
        frame.print_object({**value, "salvaged": {"turns": done.turns, "others": done.others, **found}})
        return
    figures = f"{len(done.protos):,} Protos, {done.turns:,} turns and {done.others:,} other records"
    click.echo(f"Read, and verified by nothing: {figures}; {done.found.skipped:,} rows could not be read")
    for note in done.found.notes:
        click.echo(f"{click.style('·', fg='yellow')} {plain(note)}")
    click.echo("Methods are kept as text: read one and define it anew to have it run. Opaque values stay closed.")
    _tell_taken_over(frame, places.image, list(done.protos), done.kept)


def _tell_taken_over(frame: Frame, image: Path, names: list[str], kept: Path | None) -> None:
    if frame.as_json:
        frame.print_object({"image": str(image), "protos": names, "kept": _path_or_none(kept)})
        return
    click.echo(f"The image holds: {plain(', '.join(names)) or 'no Proto'}")
    _tell_kept(kept)


def _ask(frame: Frame, yes: bool, question: str) -> None:
    """Raises `Stopped` where a person says no."""
    if yes or frame.as_json or not somebody_is_there():
        return
    if not click.confirm(plain(question), default=False, err=True):
        raise Stopped("nothing was changed")


def _tell_kept(kept: Path | None) -> None:
    if kept is not None:
        click.echo(f"What was there before: {plain(str(kept))}")


def _tell_written(frame: Frame, path: Path, names: list[str]) -> None:
    if frame.as_json:
        frame.print_object({"path": str(path.absolute()), "protos": names})
        return
    click.echo(f"{plain(str(path))}: {plain(', '.join(names)) or 'no Proto'}, their history, and the turns")


def _path_or_none(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _told(change: Change) -> str:
    return plain(" ".join(str(change).split()))


def _change_object(change: Change) -> Mapping[str, Any]:
    return {
        "change": change.generation,
        "base": change.base,
        "proto": change.name,
        "act": change.act,
        "author": change.author,
        "reason": change.reason,
        "at": change.at.isoformat(),
        "evidence": change.evidence,
        "inherited": change.inherited,
        "forgotten": change.forgotten,
    }


def _difference_object(difference: Difference) -> Mapping[str, Any]:
    part, name = difference.part
    return {
        "proto": difference.proto,
        "part": part,
        "name": name,
        "before": _text_of(difference.before),
        "after": _text_of(difference.after),
    }


def _text_of(value: object) -> str | None:
    """A method as its source, a codex as JSON, anything else as Python would write it."""
    if value is None or isinstance(value, Method):
        return None if value is None else value.source
    return json.dumps(value.to_mapping(), ensure_ascii=False) if isinstance(value, Codex) else shown(value)
