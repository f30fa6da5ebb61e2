"""Serves the requests about memory.

Whatever holds memory for long opens the society first where there is one, so that a question does not have to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from a4ps.errors import DocumentUnreadable
from a4ps.governance.roles import Role
from a4ps.governance.taint import ARCHITECTS_WORDS, FILES, as_plain
from a4ps.image.commands import under_no_command
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.working import Tell, working
from a4ps.memory.consolidation import Consolidation, Night
from a4ps.memory.documents import TakenIn, files_of, take_in
from a4ps.memory.notes import checked_note
from a4ps.memory.records import MEMORY, REPLY, Memory, Records
from a4ps.memory.scrapbook import Scrapbook
from a4ps.protocol import steps
from a4ps.protocol.requests import memory
from a4ps.protocol.requests.base import Request

#: Memories of one page, and characters of text after which it ends.
PAGE, PAGE_CHARS = 200, 1_000_000

#: How often it is told how far embedding is.
_TELL_S = 0.2


async def remember(backend: Backend, call: Call[memory.Remember]) -> Mapping[str, Any]:
    """`remember`. One commit."""
    texts = [checked_note(text) for text in call.request.texts]
    untrusted = set(call.request.untrusted) if call.role >= Role.CLIENT else set(range(len(texts)))
    records = backend.records

    def add(_: Tell) -> list[str]:
        notes = [
            records.note(text, taint=FILES if place in untrusted else ARCHITECTS_WORDS)
            for place, text in enumerate(texts)
        ]
        records.add(notes)
        return [note.id for note in notes]

    ids = await working(call, add)
    await _woken(backend)
    return {"memories": ids}


async def read_in(backend: Backend, call: Call[memory.ReadIn]) -> Mapping[str, Any]:
    """`read_in`. Each file is durable before the next; of one that is stopped, the parts that were read."""
    files = await working(call, lambda _: [each for path in call.request.files for each in files_of(Path(path))])
    await backend.kernel_if_any()
    async with backend.reading, backend.memory() as scrapbook:  # memory is held: nothing is forgotten meanwhile
        try:
            return await working(call, lambda tell: _read_in(scrapbook.records, files, tell, call))
        finally:
            scrapbook.wake()


def _read_in(records: Records, files: Sequence[Path], tell: Tell, call: Call[memory.ReadIn]) -> Mapping[str, Any]:
    documents: list[TakenIn] = []
    failed: list[dict[str, str]] = []
    known = records.documents()
    for number, path in enumerate(files, 1):
        label = f"{number}/{len(files)} {path.name}"
        tell(label, 0, 1)
        try:
            for step in take_in(records, path, known):
                if isinstance(step, TakenIn):
                    documents.append(step)
                else:
                    tell(label, *step)
        except DocumentUnreadable as error:
            if len(files) == 1:
                raise
            failed.append({"path": str(path), "why": error.message})
            call.tell(steps.Noted(text=f"{error.message}; {error.next_step}").model_dump())
        else:
            tell(label, 1, 1)
    return {"documents": [_document(each) for each in documents], "failed": failed}


async def embed(backend: Backend, call: Call[memory.Embed]) -> Mapping[str, Any]:
    """`embed`."""
    await backend.kernel_if_any()
    async with backend.memory() as scrapbook:
        await _embedded(call, scrapbook)
        return {"embeds": scrapbook.embeds, "fault": scrapbook.fault}


async def search(backend: Backend, call: Call[memory.Search]) -> Mapping[str, Any]:
    """`search`. Without a society full text and what embeds serve."""
    log = backend.log
    async with backend.memory() as scrapbook:
        with under_no_command():
            await scrapbook.ready()
        newest = await asyncio.to_thread(log.latest, 1)
        found = await scrapbook.recall(
            call.request.query,
            backend.store.clock.now().astimezone(),
            limit=call.request.limit,
            floor=backend.env.settings.recall_floor,
            rehearsed=bool(newest) and newest[0][0].engine == "rehearsal",
        )
    return {
        "results": [
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
    }


async def pin(backend: Backend, call: Call[memory.Pin]) -> Mapping[str, Any]:
    """`pin`."""
    records, wanted = backend.records, call.request
    pinned = await working(call, lambda _: records.pin(wanted.id, None) if wanted.off else records.pin(wanted.id))
    return {"id": pinned.id, "importance": pinned.importance}


async def vouch(backend: Backend, call: Call[memory.Vouch]) -> Mapping[str, Any]:
    """`vouch`. `texts` are what was vouched for: a memory's words, a document's path."""
    records, wanted = backend.records, call.request

    def done(_: Tell) -> Mapping[str, Any]:
        records.vouch(wanted.ids, off=wanted.off)
        documents = {document.id: document for document in records.documents().values()}
        ids = list(dict.fromkeys(wanted.ids))
        texts = [documents[id_].path if id_ in documents else records.get(id_).text for id_ in ids]
        return {"vouched": not wanted.off, "ids": ids, "texts": texts}

    return await working(call, done)


async def memories(backend: Backend, call: Call[memory.Memories]) -> Mapping[str, Any]:
    """`memories`: a page ends where it has enough of them, or of their texts."""
    records, wanted = backend.records, call.request

    def page(_: Tell) -> Mapping[str, Any]:
        found: list[dict[str, Any]] = []
        chars = 0
        rows = backend.store.heads_after(wanted.kind, wanted.after, limit=PAGE)
        for row in rows:
            one = records.read(row.key, row.payload)
            if one is not None:
                found.append(_whole(one))
                chars += len(one.text)
            if chars >= PAGE_CHARS:
                return {"memories": found, "kind": wanted.kind, "after": row.place}
        if len(rows) == PAGE:
            return {"memories": found, "kind": wanted.kind, "after": rows[-1].place}
        return {"memories": found, "kind": MEMORY if wanted.kind == REPLY else "", "after": -1}

    return await working(call, page)


async def rebuild(backend: Backend, call: Call[memory.Rebuild]) -> Mapping[str, Any]:
    """`rebuild`."""
    await backend.kernel_if_any()
    async with backend.memory() as scrapbook:
        await working(call, lambda _: backend.store.rebuild_search())
        await _embedded(call, scrapbook)
        with under_no_command():
            rebuilt = await scrapbook.rebuild()
        count = await asyncio.to_thread(backend.records.count)
        embedder, fault = scrapbook.embedder, scrapbook.fault
    tuning = None if rebuilt is None else rebuilt.tuning
    return {
        "memories": count,
        "embedder": embedder,
        "fault": fault,
        "vectors": 0 if rebuilt is None else rebuilt.rows,
        "vectors_per_s": 0.0 if rebuilt is None else round(rebuilt.rows / max(rebuilt.seconds, 1e-9), 1),
        "method": "none" if rebuilt is None else "flat" if tuning is None else tuning.method,
        "probes": 0 if tuning is None else tuning.probes,
        "recall": None if tuning is None else tuning.recall,
    }


async def sleep(backend: Backend, call: Call[memory.Sleep]) -> Mapping[str, Any]:
    """`sleep`. A night that the society has begun by itself gives way to this one."""
    async with backend.working() as kernel:
        night = await kernel.sleep_now()
    return await working(call, lambda _: _night(backend.records, night, undone=False))


async def undo_night(backend: Backend, call: Call[memory.UndoNight]) -> Mapping[str, Any]:
    """`undo_night`. Needs no society."""
    night = await working(call, lambda _: Consolidation(backend.records).undo())
    await _woken(backend)
    return _night(backend.records, night, undone=True)


async def _woken(backend: Backend) -> None:
    """Whoever follows the memories looks for what is new: where memory is open, and not else."""
    if backend.remembers:
        async with backend.memory() as scrapbook:
            scrapbook.wake()


async def _embedded(call: Call[Any], scrapbook: Scrapbook) -> None:
    """Wait until all is embedded, telling how far that is and how fast; not where nothing embeds."""
    if not scrapbook.embeds:
        return
    with under_no_command():  # it is the memories' own to be embedded, whoever waits for it
        scrapbook.start()
    scrapbook.wake()
    even = asyncio.create_task(scrapbook.even())
    try:
        while not even.done():
            following = scrapbook.following
            call.tell_work("embedding", following.done, following.done + following.left, following.per_s)
            await asyncio.wait([even], timeout=_TELL_S)
        following = scrapbook.following
        call.tell_work("embedding", 1, 1, following.per_s)
    finally:
        even.cancel()


def _night(records: Records, night: Night | None, *, undone: bool) -> Mapping[str, Any]:
    facts = [] if night is None or undone else [records.get(id_) for id_ in night.facts]
    return {
        "night": night.id if night else "",
        "undone": undone,
        "merged": {} if night is None else dict(night.merged),
        "facts": [{"id": fact.id, "text": fact.text, "sources": list(fact.links)} for fact in facts],
        "episodes": 0 if night is None else len(night.episodes),
        "made": 0 if night is None else len(night.facts),
        "origins": [fact.origin for fact in facts],
    }


def _whole(one: Memory) -> dict[str, Any]:
    fields = {name: getattr(one, name) for name in Memory.__slots__}
    return {**fields, "at": one.at.isoformat(), "taint": sorted(one.taint), "links": list(one.links)}


def _document(taken: TakenIn) -> dict[str, Any]:
    return {
        "id": taken.id,
        "path": taken.path,
        "state": taken.state,
        "parts": len(taken.memories),
        "new": taken.new,
        "forgotten": taken.forgotten,
    }


HANDLERS: Mapping[type[Request], Handler] = {
    memory.Remember: remember,
    memory.ReadIn: read_in,
    memory.Embed: embed,
    memory.Search: search,
    memory.Pin: pin,
    memory.Vouch: vouch,
    memory.Memories: memories,
    memory.Rebuild: rebuild,
    memory.Sleep: sleep,
    memory.UndoNight: undo_night,
}
