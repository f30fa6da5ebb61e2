"""`a4ps image`: the durable universe itself, to be checked, looked back upon, undone, backed up, and carried elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from a4ps.cli.alone import image_alone
from a4ps.cli.connected import call_with_any_settings
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.waiting import waiting
from a4ps.errors import CallerError, IntegrityError, Stopped
from a4ps.protocol.objects import ChangeObject, WrittenObject
from a4ps.protocol.requests import image
from a4ps.protocol.requests.base import Request


@click.group("image")
def command() -> None:
    """Check, look back, undo, back up and carry what lives here."""


@command.command("verify")
@click.option("--deep", is_flag=True, help="Check every commit, row and page instead of the newest.")
@framed
def verify(frame: Frame, deep: bool) -> None:
    """Check that the image is what was stored. Exit code 4 if it is not."""
    report = _asked(frame, image.Verify(deep=deep), "Checking the image")
    if frame.as_json:
        frame.print_object(report)
    else:
        for mark, colour, lines in (("✗", "red", report["faults"]), ("·", "yellow", report["warnings"])):
            for line in lines:
                click.echo(f"{click.style(mark, fg=colour)} {plain(line)}")
        checked = f"{report['commits']:,} {'' if deep else 'newest '}commits with {report['rows']:,} rows"
        click.echo(f"{checked}: {'as they were stored' if report['ok'] else 'not as they were stored'}")
        if not report["ok"]:
            click.echo("  → put a backup in its place: a4ps image restore FILE")
    if not report["ok"]:
        raise click.exceptions.Exit(IntegrityError.exit_code)


@command.command("history")
@click.argument("name", required=False)
@framed
def history(frame: Frame, name: str | None) -> None:
    """Show the changes of NAME and what it inherits, or of all Protos, oldest first.

    The number that a line begins with is what diff and revert take.
    """
    found = _asked(frame, image.History(proto=name or ""), "Reading the history")
    if frame.as_json:
        frame.print_object(found)
    else:
        _tell_changes(found["changes"])


@command.command("diff")
@click.argument("change", type=click.IntRange(min=1))
@framed
def diff(frame: Frame, change: int) -> None:
    """Show what CHANGE, a number of the history, made different."""
    found = _asked(frame, image.Diff(change=change), "Reading the change")
    if frame.as_json:
        frame.print_object(found)
        return
    from a4ps.image.changes import NO_DIFFERENCE, difference_text

    texts = [
        difference_text(each["proto"], (each["part"], each["name"]), each["before"], each["after"])
        for each in found["differences"]
    ]
    for line in plain("\n".join(texts) or NO_DIFFERENCE).splitlines():
        click.secho(line, fg={"+ ": "green", "- ": "red"}.get(line[:2]))


@command.command("revert")
@click.argument("change", type=click.IntRange(min=1))
@click.option("--reason", default="", help="Why, for the history.")
@framed
def revert(frame: Frame, change: int, reason: str) -> None:
    """Undo CHANGE, a number of the history, by a new change; what came later stays.

    Refused where a later change touched the same slot, method, codex or parents.
    """
    found = _asked(frame, image.Revert(change=change, reason=reason), "Undoing the change")
    if frame.as_json:
        frame.print_object(found)
    else:
        _tell_changes(found["changes"])


@command.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@framed
def backup(frame: Frame, file: Path) -> None:
    """Copy the whole image to FILE, which must not exist, and check every row of the copy.

    The key stays where it is, so only this account can restore FILE: keep a copy of the key folder as well.
    """
    report = _asked(frame, image.Backup(file=str(file.absolute())), "Copying and checking the image")
    if frame.as_json:
        frame.print_object(report)
        return
    click.echo(f"{plain(str(file))}: {report['commits']:,} commits with {report['rows']:,} rows, each verified")
    click.echo(f"It can be restored only with its key, which is in {plain(str(frame.places.keys))}", err=True)


_yes = click.option("--yes", is_flag=True, help="Do not ask.")


@command.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@_yes
@framed
def restore(frame: Frame, file: Path, yes: bool) -> None:
    """Put the backup FILE in the place of the image, after checking every row of it.

    The image as it was is kept beside it under a dated name. That the image goes back in time is recorded in it.
    """
    from a4ps.clock import SystemClock
    from a4ps.governance.trust import ARCHITECT
    from a4ps.image.keys import KeyFolder
    from a4ps.image.restore import need_backup
    from a4ps.image.restore import restore as put_back

    places = frame.places
    _ask(frame, yes, f"Put {file} in the place of {places.image}?")
    need_backup(places.image, file)  # before a backend is ended for it
    with waiting("Checking the backup"):
        done = image_alone(
            frame, lambda: put_back(places.image, file, KeyFolder(places.keys), SystemClock(), author=ARCHITECT)
        )
    if frame.as_json:
        value = {"generation": done.report.generation, "commits": done.report.commits, "rows": done.report.rows}
        frame.print_object({"image": str(places.image), **value, "kept": _path_or_none(done.aside)})
        return
    click.echo(f"Restored: {done.report.commits:,} commits with {done.report.rows:,} rows, each verified")
    _tell_kept(_path_or_none(done.aside))


@command.command("save")
@click.argument("file", type=click.Path(path_type=Path))
@framed
def save(frame: Frame, file: Path) -> None:
    """Write all Protos, their history and the turns into one signed FILE, in place of what it held."""
    _tell_written(frame, file, _asked(frame, image.Save(file=str(file.absolute())), "Saving"))


@command.command("load")
@click.argument("file", type=click.Path(path_type=Path))
@_yes
@framed
def load(frame: Frame, file: Path, yes: bool) -> None:
    """Make what was saved in FILE the image's content, in one change.

    All of FILE is verified first, and the image as it was is kept beside it under a dated name.
    """

    def read() -> object:
        from a4ps.image.keys import KeyFolder
        from a4ps.image.portable import read_portable

        return read_portable(file, KeyFolder(frame.places.keys))

    _take_over(frame, file, yes, "Loading", read, image.Load(file=str(file.absolute())))


@command.command("export")
@click.argument("folder", type=click.Path(path_type=Path))
@framed
def export(frame: Frame, folder: Path) -> None:
    """Write everything into FOLDER as texts that people and git can read, in place of an earlier export."""
    _tell_written(frame, folder, _asked(frame, image.Export(folder=str(folder.absolute())), "Exporting"))


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
        return

    def read() -> object:
        from a4ps.image.text_export import import_text

        return import_text(source)

    _take_over(frame, source, yes, "Importing", read, image.Import(folder=str(source.absolute()), vouch=vouch))


def _asked(frame: Frame, request: Request, what: str) -> Any:
    """The object that a backend gives; `what` is shown meanwhile. Raises CallerError where there is no image yet."""
    places = frame.places
    if not places.image.exists():
        raise CallerError(f"there is no image at {places.image} yet", next_step='a4ps ask "..." makes one')
    with waiting(what) as line:
        return call_with_any_settings(frame, request, line.hear)


def _take_over(frame: Frame, path: Path, yes: bool, what: str, read: Callable[[], object], request: Request) -> None:
    file = frame.places.image
    if file.exists():
        _ask(frame, yes, f"Put {path} in the place of all that is in {file}?")
    with waiting(what) as line:
        if not file.exists():
            read()  # what cannot be read makes no image
        found = call_with_any_settings(frame, request, line.hear)
    if frame.as_json:
        frame.print_object(found)
    else:
        _tell_taken_over(found["protos"], found["kept"])


def _salvage(frame: Frame, file: Path, yes: bool, *, vouch: bool) -> None:
    from a4ps.clock import SystemClock
    from a4ps.governance.trust import ARCHITECT
    from a4ps.image.keys import KeyFolder
    from a4ps.image.salvage import need_file, salvage

    places = frame.places
    if places.image.exists():
        _ask(frame, yes, f"Put what can be read of {file}, unverified, in the place of all that is in {places.image}?")
    need_file(file)  # before a backend is ended for it
    with waiting("Reading what is left"):
        done = image_alone(
            frame,
            lambda: salvage(places.image, file, KeyFolder(places.keys), SystemClock(), author=ARCHITECT, vouch=vouch),
        )
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
    _tell_taken_over(list(done.protos), _path_or_none(done.kept))


def _tell_taken_over(names: list[str], kept: str | None) -> None:
    click.echo(f"The image holds: {plain(', '.join(names)) or 'no Proto'}")
    _tell_kept(kept)


def _ask(frame: Frame, yes: bool, question: str) -> None:
    """Raises `Stopped` where a person says no."""
    if yes or frame.as_json or not somebody_is_there():
        return
    if not click.confirm(plain(question), default=False, err=True):
        raise Stopped("nothing was changed")


def _tell_kept(kept: str | None) -> None:
    if kept is not None:
        click.echo(f"What was there before: {plain(kept)}")


def _tell_written(frame: Frame, path: Path, written: WrittenObject) -> None:
    if frame.as_json:
        frame.print_object(written)
        return
    click.echo(f"{plain(str(path))}: {plain(', '.join(written['protos'])) or 'no Proto'}, their history, and the turns")


def _path_or_none(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _tell_changes(changes: list[ChangeObject]) -> None:
    """A line each."""
    from a4ps.image.changes import Change

    for each in changes:
        at = datetime.fromisoformat(each["at"])
        name, act, author, reason = each["proto"], each["act"], each["author"], each["reason"]
        change = Change(
            *(each["change"], name, each["base"], act, author, reason, at),
            inherited=each["inherited"],
            forgotten=each["forgotten"],
        )
        click.echo(plain(" ".join(str(change).split())))
