"""`a4ps memory`: what the society remembers beside its conversations, and how it is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.connected import call, connected
from a4ps.cli.forgetting import forget
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.progress_bars import ProgressBars
from a4ps.cli.streams import json_line, standard_input
from a4ps.errors import DocumentUnreadable, Stopped, StorageFailed, UsageError
from a4ps.governance.taint import is_tainted
from a4ps.memory.file_kinds import SUFFIXES
from a4ps.memory.notes import NOTE_CHARS, checked_note
from a4ps.protocol.objects import (
    DocumentObject,
    EmbeddedObject,
    MemoriesObject,
    MemoryAddedObject,
    MemoryPinnedObject,
    MemoryRebuiltObject,
    MemorySearchObject,
    NightObject,
    VouchedObject,
    WholeMemoryObject,
)
from a4ps.protocol.requests import memory

if TYPE_CHECKING:
    from a4ps.client.client import Client

#: How much of what is vouched for is shown, in characters.
SHOWN_CHARS = 160


@click.group("memory")
def command() -> None:
    """Add to what the society remembers, and look into it.

    Every answered question is remembered by itself; its number is its id.
    """


command.add_command(forget)


@command.command("add")
@click.argument("what", nargs=-1, required=True, metavar="TEXT|FILE|FOLDER|-")
@framed
def add(frame: Frame, what: tuple[str, ...]) -> int:
    """Remember a text ("-" reads one), a file, or all files of a folder: text, Markdown, PDF.

    Files are cut into parts. They, and what comes through "-", are marked as untrusted: what they say is data, whoever
    wrote it. Stopped in the middle, the same command goes on where it was; a file that has changed takes the place of what
    it was. Of one that has not, what was forgotten stays forgotten.
    """
    wanted = _sorted_out(what)
    added = asyncio.run(_add(frame, wanted))
    if frame.as_json:
        frame.print_object(added)
    else:
        for id_ in added["memories"]:
            click.echo(f"Remembered as {id_}.")
        for taken in added["documents"]:
            parts = f"{taken['parts']} part{'' if taken['parts'] == 1 else 's'}"
            click.echo(f"{plain(taken['path'])}: {taken['state']}, {parts}, as {taken['id']}")
            if taken["forgotten"]:
                click.secho(_forgotten(taken), fg="yellow")
    return 1 if added["failed"] else 0


@command.command("search")
@click.argument("query")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100), help="Results at most.")
@framed
def search(frame: Frame, query: str, limit: int) -> None:
    """Find what belongs to QUERY, as a turn would: each with its score, in [0, 1], and how it was found."""
    searched: MemorySearchObject = call(frame, memory.Search(query=query, limit=limit))
    if frame.as_json:
        frame.print_object(searched)
        return
    for found in searched["results"]:
        marked = " · untrusted" if is_tainted(frozenset(found["taint"])) else ""
        click.echo(f"{click.style(found['id'], bold=True)}  {found['score']:.2f}  {plain(found['source'])}{marked}")
        click.echo(f"  {plain(' '.join(found['text'].split()))}")
    if not searched["results"]:
        click.echo("Nothing that is remembered belongs to it.")


@command.command("pin")
@click.argument("id_", metavar="ID")
@click.option("--off", is_flag=True, help="Let it weigh again what it weighs by itself.")
@framed
def pin(frame: Frame, id_: str, off: bool) -> None:
    """Mark a memory as important: it comes before others that are as relevant, and is never merged away."""
    pinned: MemoryPinnedObject = call(frame, memory.Pin(id=id_, off=off))
    if frame.as_json:
        frame.print_object(pinned)
    else:
        click.echo(f"{plain(pinned['id'])} has the importance {pinned['importance']:g} now.")


@command.command("vouch")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--off", is_flag=True, help="Take it back: it is untrusted again.")
@framed
def vouch(frame: Frame, ids: tuple[str, ...], off: bool) -> None:
    """Vouch for memories, or for whole documents (d1), that are marked as untrusted: nothing in them leads a model astray.

    It is your word alone that clears the mark, and it counts for what is recalled from now on. What was made of them before
    stays marked; it can be vouched for as well. A file that changes is another document.
    """
    done: VouchedObject = call(frame, memory.Vouch(ids=list(ids), off=off))
    if frame.as_json:
        frame.print_object({"vouched": done["vouched"], "ids": done["ids"]})
        return
    for id_, text in zip(done["ids"], done["texts"], strict=True):
        click.echo(
            f"{click.style(plain(id_), bold=True)} is {'untrusted again' if off else 'vouched for'}: {_short(text)}"
        )


@command.command("export")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@framed
def export(frame: Frame, file: Path | None) -> None:
    """Write every memory to FILE as JSON, one a line; without FILE to the output.

    It is a copy that nobody looks after: who forgets something later has to take it out of there too.
    """
    if file is None and frame.as_json:
        raise UsageError("--json needs a FILE to write to", next_step="a4ps memory export memories.jsonl --json")
    count = asyncio.run(_export(frame, file))
    if file is None:
        return
    if frame.as_json:
        frame.print_object({"file": str(file.resolve()), "memories": count})
    else:
        click.echo(f"{count} memor{'y is' if count == 1 else 'ies are'} in {file}.")


@command.command("rebuild")
@framed
def rebuild(frame: Frame) -> None:
    """Make anew what memory is searched with: full text, and the index over the vectors, embedding what has none yet."""
    with ProgressBars() as bars:
        result: MemoryRebuiltObject = call(frame, memory.Rebuild(), bars.hear)
    if result["fault"]:
        _tell_no_vectors(result["fault"])
    if frame.as_json:
        frame.print_object(result)
        return
    click.echo(f"{result['memories']} memories, searched by full text.")
    if result["fault"]:
        click.secho(f"There are no vectors: {plain(result['fault'])}", fg="yellow")
    elif result["method"] == "none":
        click.echo("No embedder is here, so full text serves alone: a4ps doctor says how to have one.")
    else:
        click.echo(
            f"{result['vectors']} vectors by {plain(result['embedder'])}, {result['vectors_per_s']:.0f} a second."
        )
        if result["method"] != "flat":
            click.echo(f"{result['method']}, {result['probes']} probes, recall {result['recall']:.3f}.")


@command.command("sleep")
@click.option("--undo", is_flag=True, help="Take back what the last night did.")
@framed
def sleep(frame: Frame, undo: bool) -> None:
    """Consolidate memory now: duplicates are merged, turns distilled into facts that name their sources.

    A chat that is left alone does so by itself (setting sleep_after_s).
    """
    night: NightObject = call(frame, memory.UndoNight()) if undo else _slept(frame)
    facts = night["facts"]
    if frame.as_json:
        shown = {"night": night["night"], "undone": undo, "merged": night["merged"], "facts": facts}
        frame.print_object(shown)
        return
    if not night["night"]:
        click.echo("There was nothing to undo." if undo else "There was nothing to consolidate.")
        return
    done = "is undone" if undo else f"looked at {night['episodes']} turns"
    click.echo(f"Night {night['night']} {done}: {len(night['merged'])} merged, {night['made']} facts.")
    for fact, origin in zip(facts, night["origins"], strict=True):
        click.echo(f"{click.style(fact['id'], bold=True)}  {plain(fact['text'])}  ({plain(origin)})")


def _slept(frame: Frame) -> Any:
    try:
        return call(frame, memory.Sleep())
    except Stopped:
        raise Stopped("woken; nothing was changed", next_step="a4ps memory sleep") from None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be remembered: texts, which of them may be anybody's words (their places), files and folders."""

    texts: list[str]
    piped: list[int]
    paths: list[str]


async def _add(frame: Frame, wanted: Wanted) -> MemoryAddedObject:
    added: MemoryAddedObject = {"memories": [], "documents": [], "failed": []}
    async with connected(frame) as client:
        try:
            with ProgressBars() as bars:
                # Files first: who stops that and repeats the command does not have the texts remembered twice.
                if wanted.paths:
                    try:
                        added.update(await client.call(memory.ReadIn(files=wanted.paths), bars.hear))
                    except DocumentUnreadable as error:
                        if not wanted.texts:
                            raise
                        added["failed"].append({"path": wanted.paths[0], "why": error.message})
                        click.secho(f"{plain(error.message)}; {plain(error.next_step)}", fg="yellow", err=True)
                if wanted.texts:
                    added.update(await client.call(memory.Remember(texts=wanted.texts, untrusted=wanted.piped)))
                embedded: EmbeddedObject = await client.call(memory.Embed(), bars.hear)
        except asyncio.CancelledError:
            raise Stopped(
                "stopped; what was read so far is remembered", next_step="repeat the command to go on"
            ) from None
    if embedded["fault"]:
        _tell_no_vectors(embedded["fault"])
    return added


def _tell_no_vectors(fault: str) -> None:
    click.secho(plain(f"There are no vectors: {fault}. Full text serves."), fg="yellow", err=True)


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"


def _sorted_out(what: Sequence[str]) -> Wanted:
    """Raises UsageError for what looks like a file and is none, and for no text at all.

    What comes through a pipe may be anybody's words.
    """
    wanted = Wanted([], [], [])
    for each in what:
        text = standard_input().read(4 * NOTE_CHARS).decode("utf-8", "surrogateescape") if each == "-" else each
        path = None if each == "-" or not each else _path(each)
        if path is not None:
            wanted.paths.append(str(path.absolute()))
            continue
        if each == "-":
            wanted.piped.append(len(wanted.texts))
        wanted.texts.append(checked_note(text))
    return wanted


def _path(given: str) -> Path | None:
    """The file or folder of that name; None for a text. Raises UsageError for the name of a file that is not there."""
    path = Path(given)
    try:
        if path.exists():
            return path
    except OSError:  # too long for a name
        return None
    names_a_file = path.suffix.lower() in SUFFIXES or given.endswith("/") or given.startswith(("/", "./", "~"))
    if names_a_file and len(given.split()) == 1:
        raise UsageError(
            f"there is no file {given}", next_step="to remember it as a text: echo TEXT | a4ps memory add -"
        )
    return None


async def _export(frame: Frame, file: Path | None) -> int:
    """How many memories were written."""
    count = 0
    async with connected(frame) as client:
        try:
            if file is None:
                async for each in _exported(client):
                    click.echo(json_line(each))
                    count += 1
                return count
            try:
                with file.open("x", encoding="utf-8", errors="surrogatepass") as out:
                    async for each in _exported(client):
                        out.write(json_line(each) + "\n")
                        count += 1
            except FileExistsError:
                raise UsageError(f"{file} is there already", next_step="name another file") from None
            except OSError as error:
                raise StorageFailed(
                    f"{file} cannot be written: {error.strerror}", next_step="name another file"
                ) from error
        except asyncio.CancelledError:
            raise Stopped("stopped; not all was exported", next_step="repeat the command") from None
    return count


async def _exported(client: Client) -> AsyncIterator[WholeMemoryObject]:
    """Page by page, so that neither side has all of them at hand."""
    request = memory.Memories()
    while True:
        page: MemoriesObject = await client.call(request)
        for each in page["memories"]:
            yield each
        if not page["kind"]:
            return
        request = memory.Memories(kind=page["kind"], after=page["after"])


def _forgotten(taken: DocumentObject) -> str:
    count = taken["forgotten"]
    parts = f"{count} part{'' if count == 1 else 's'}"
    if taken["state"] == "replaced":
        return f"  {parts} of what it was had been forgotten: what the file still says of that is remembered again"
    return f"  {parts} of it had been forgotten, and {'is' if count == 1 else 'are'} not read again"
