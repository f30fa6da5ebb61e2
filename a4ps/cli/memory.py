"""`a4ps memory`: what the society remembers beside its conversations, and how it is found."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from a4ps.cli.forgetting import forget
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import json_line, standard_input
from a4ps.errors import DocumentUnreadable, Stopped, StorageFailed, UsageError
from a4ps.governance.taint import ARCHITECTS_WORDS, FILES, Taint, as_plain, is_tainted
from a4ps.kernel.wiring import open_records, open_scrapbook
from a4ps.memory.consolidation import Consolidation, Night
from a4ps.memory.documents import SUFFIXES, TakenIn, files_of, take_in
from a4ps.memory.records import Document, Memory, Records
from a4ps.memory.scrapbook import Scrapbook

#: A longer text is a document: write it into a file.
NOTE_CHARS = 20_000

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
    return asyncio.run(_add(frame, what))


@command.command("search")
@click.argument("query")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 100), help="Results at most.")
@framed
def search(frame: Frame, query: str, limit: int) -> None:
    """Find what belongs to QUERY, as a turn would: each with its score, in [0, 1], and how it was found."""
    results = asyncio.run(_search(frame, query, limit))
    if frame.as_json:
        frame.print_object({"results": results})
        return
    for found in results:
        marked = " · untrusted" if is_tainted(found["taint"]) else ""
        click.echo(f"{click.style(found['id'], bold=True)}  {found['score']:.2f}  {plain(found['source'])}{marked}")
        click.echo(f"  {plain(' '.join(found['text'].split()))}")
    if not results:
        click.echo("Nothing that is remembered belongs to it.")


@command.command("pin")
@click.argument("id_", metavar="ID")
@click.option("--off", is_flag=True, help="Let it weigh again what it weighs by itself.")
@framed
def pin(frame: Frame, id_: str, off: bool) -> None:
    """Mark a memory as important: it comes before others that are as relevant, and is never merged away."""
    with open_records(frame.env) as records:
        memory = records.pin(id_, None) if off else records.pin(id_)
    if frame.as_json:
        frame.print_object({"id": memory.id, "importance": memory.importance})
    else:
        click.echo(f"{plain(memory.id)} has the importance {memory.importance:g} now.")


@command.command("vouch")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--off", is_flag=True, help="Take it back: it is untrusted again.")
@framed
def vouch(frame: Frame, ids: tuple[str, ...], off: bool) -> None:
    """Vouch for memories, or for whole documents (d1), that are marked as untrusted: nothing in them leads a model astray.

    It is your word alone that clears the mark, and it counts for what is recalled from now on. What was made of them before
    stays marked; it can be vouched for as well. A file that changes is another document.
    """
    with open_records(frame.env) as records:
        records.vouch(ids, off=off)
        documents = {document.id: document for document in records.documents().values()}
        said = {id_: documents[id_].path if id_ in documents else records.get(id_).text for id_ in dict.fromkeys(ids)}
    if frame.as_json:
        frame.print_object({"vouched": not off, "ids": list(said)})
        return
    for id_, text in said.items():
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
    with open_records(frame.env) as records:
        count = _export(records, file)
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
    result = asyncio.run(_rebuild(frame))
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
    if undo:
        with open_records(frame.env) as records:
            night = Consolidation(records).undo()
    else:
        night = asyncio.run(_sleep(frame))
    with open_records(frame.env) as records:
        made = [] if night is None or undo else [records.get(id_) for id_ in night.facts]
    if frame.as_json:
        facts = [{"id": fact.id, "text": fact.text, "sources": list(fact.links)} for fact in made]
        shown = {} if night is None else dict(night.merged)
        frame.print_object({"night": night.id if night else "", "undone": undo, "merged": shown, "facts": facts})
        return
    if night is None:
        click.echo("There was nothing to undo." if undo else "There was nothing to consolidate.")
        return
    count = len(night.merged)
    done = "is undone" if undo else f"looked at {len(night.episodes)} turns"
    click.echo(f"Night {night.id} {done}: {count} merged, {len(night.facts)} facts.")
    for fact in made:
        click.echo(f"{click.style(fact.id, bold=True)}  {plain(fact.text)}  ({plain(fact.origin)})")


async def _sleep(frame: Frame) -> Night | None:
    from a4ps.cli.session import opened_kernel  # LangGraph takes a second to import; the other commands do without

    async with opened_kernel(frame) as kernel:
        try:
            return await kernel.sleep()
        except asyncio.CancelledError:
            raise Stopped("woken; nothing was changed", next_step="a4ps memory sleep") from None


async def _add(frame: Frame, what: Sequence[str]) -> int:
    texts, files = _sorted_out(what)
    added: list[Memory] = []
    documents: list[TakenIn] = []
    failed: list[dict[str, str]] = []
    async with open_scrapbook(frame.env) as scrapbook:
        records = scrapbook.records
        if texts:
            added = [records.note(text, taint=taint) for text, taint in texts]
            records.add(added)
        known = await asyncio.to_thread(records.documents) if files else {}
        try:
            for number, path in enumerate(files, 1):
                try:
                    documents.append(await _taken_in(records, path, known, f"{number}/{len(files)} {path.name}"))
                except DocumentUnreadable as error:
                    if len(files) == 1 and not texts:
                        raise
                    failed.append({"path": str(path), "why": error.message})
                    click.secho(f"{plain(error.message)}; {plain(error.next_step)}", fg="yellow", err=True)
            await _embedded(scrapbook)
        except asyncio.CancelledError:
            raise Stopped(
                "stopped; what was read so far is remembered", next_step="repeat the command to go on"
            ) from None
    if frame.as_json:
        ids = [memory.id for memory in added]
        frame.print_object({"memories": ids, "documents": [_document(each) for each in documents], "failed": failed})
    else:
        for memory in added:
            click.echo(f"Remembered as {memory.id}.")
        for taken in documents:
            parts = len(taken.memories)
            click.echo(f"{plain(taken.path)}: {taken.state}, {parts} part{'' if parts == 1 else 's'}, as {taken.id}")
            if taken.forgotten:
                click.secho(_forgotten(taken), fg="yellow")
    return 1 if failed else 0


async def _taken_in(records: Records, path: Path, known: dict[str, Document], label: str) -> TakenIn:
    steps = take_in(records, path, known)
    taken: TakenIn | None = None
    with click.progressbar(length=1000, label=plain(label), file=sys.stderr) as bar:
        while (step := await asyncio.to_thread(next, steps, None)) is not None:
            if isinstance(step, TakenIn):
                taken = step
            else:
                bar.update(1000 * step[0] // step[1] - bar.pos)
        bar.update(1000 - bar.pos)
    assert taken is not None
    return taken


async def _embedded(scrapbook: Scrapbook) -> None:
    """Wait until all is embedded, telling how far that is and how fast; not where nothing embeds."""
    if not scrapbook.embeds:
        return
    even = asyncio.create_task(scrapbook.even())
    try:
        with click.progressbar(
            length=1000, label="embedding", file=sys.stderr, show_eta=False, item_show_func=_rate
        ) as bar:
            while not even.done():
                following = scrapbook.following
                whole = following.done + following.left
                bar.update(max(0, 1000 * following.done // whole - bar.pos) if whole else 0, following.per_s)
                await asyncio.wait([even], timeout=0.2)
            bar.update(1000 - bar.pos, scrapbook.following.per_s)
        if scrapbook.fault:
            note = f"There are no vectors: {scrapbook.fault}. Full text serves."
            click.secho(plain(note), fg="yellow", err=True)
    finally:
        even.cancel()


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"


def _rate(per_s: float | None) -> str:
    return f"{per_s:.0f} a second" if per_s else ""


async def _search(frame: Frame, query: str, limit: int) -> list[dict[str, Any]]:
    async with open_scrapbook(frame.env) as scrapbook:
        await scrapbook.ready()
        newest = scrapbook.records.log.latest(1)
        found = await scrapbook.recall(
            query,
            scrapbook.records.store.clock.now().astimezone(),
            limit=limit,
            floor=frame.env.settings.recall_floor,
            rehearsed=bool(newest) and newest[0][0].engine == "rehearsal",
        )
    return [
        {
            "id": each.id,
            "text": each.text,
            "score": each.score,
            "source": each.source,
            "taint": as_plain(each.taint),
            "vouched": each.vouched,
        }
        for each in found
    ]


async def _rebuild(frame: Frame) -> dict[str, Any]:
    async with open_scrapbook(frame.env) as scrapbook:
        records = scrapbook.records
        await asyncio.to_thread(records.store.rebuild_search)
        await _embedded(scrapbook)
        rebuilt = await scrapbook.rebuild()
        result: dict[str, Any] = {"memories": records.count(), "embedder": scrapbook.embedder, "fault": scrapbook.fault}
    tuning = None if rebuilt is None else rebuilt.tuning
    return {
        **result,
        "vectors": 0 if rebuilt is None else rebuilt.rows,
        "vectors_per_s": 0.0 if rebuilt is None else round(rebuilt.rows / max(rebuilt.seconds, 1e-9), 1),
        "method": "none" if rebuilt is None else "flat" if tuning is None else tuning.method,
        "probes": 0 if tuning is None else tuning.probes,
        "recall": None if tuning is None else tuning.recall,
    }


def _sorted_out(what: Sequence[str]) -> tuple[list[tuple[str, Taint]], list[Path]]:
    """Texts with their labels, and files. Raises UsageError for what looks like a file and is none, and for no text at all.

    What comes through a pipe may be anybody's words.
    """
    texts: list[tuple[str, Taint]] = []
    files: list[Path] = []
    for each in what:
        text = standard_input().read(4 * NOTE_CHARS).decode("utf-8", "surrogateescape") if each == "-" else each
        path = None if each == "-" or not each else _path(each)
        if path is not None:
            files += files_of(path)
            continue
        if not text.strip():
            raise UsageError("there is nothing to remember", next_step='a4ps memory add "The key is under the mat"')
        if len(text) > NOTE_CHARS:
            raise UsageError(
                f"the text has {len(text):,} characters; a note has {NOTE_CHARS:,} at most",
                next_step="add it as a file",
            )
        if "\x00" in text or text.encode("utf-8", "replace").decode() != text:
            raise UsageError("this is no text (NUL or undecodable bytes)", next_step="give it as text")
        texts.append((text.strip(), FILES if each == "-" else ARCHITECTS_WORDS))
    return texts, files


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


def _export(records: Records, file: Path | None) -> int:
    count = 0
    if file is None:
        for line in _exported(records):
            click.echo(line)
            count += 1
        return count
    try:
        with file.open("x", encoding="utf-8", errors="surrogatepass") as out:
            for line in _exported(records):
                out.write(line + "\n")
                count += 1
    except FileExistsError:
        raise UsageError(f"{file} is there already", next_step="name another file") from None
    except OSError as error:
        raise StorageFailed(f"{file} cannot be written: {error.strerror}", next_step="name another file") from error
    return count


def _exported(records: Records) -> Iterator[str]:
    for memory in records.walk():
        fields = {name: getattr(memory, name) for name in Memory.__slots__}
        plain_fields = {
            **fields,
            "at": memory.at.isoformat(),
            "taint": sorted(memory.taint),
            "links": list(memory.links),
        }
        yield json_line(plain_fields)


def _forgotten(taken: TakenIn) -> str:
    parts = f"{taken.forgotten} part{'' if taken.forgotten == 1 else 's'}"
    if taken.state == "replaced":
        return f"  {parts} of what it was had been forgotten: what the file still says of that is remembered again"
    return f"  {parts} of it had been forgotten, and {'is' if taken.forgotten == 1 else 'are'} not read again"


def _document(taken: TakenIn) -> dict[str, Any]:
    return {
        "id": taken.id,
        "path": taken.path,
        "state": taken.state,
        "parts": len(taken.memories),
        "new": taken.new,
        "forgotten": taken.forgotten,
    }
