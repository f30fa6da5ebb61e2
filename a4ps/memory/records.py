"""What is remembered, as the image keeps it: rows, each of which can be found, and taken out, by the id of its memory.

    reply         key: a turn's number. An answered turn *is* a memory: its words are here and nowhere else.
    memory        key: the id; payload: JSON, the fields of `Memory` but its id. What was added, or distilled from others.
    document      key: "d5"; payload: JSON, {"path", "sha256", "parts", "whole"}; its parts are the memories "d5.1", "d5.2"
    pin           key: the id; payload: JSON, {"importance"}: the Architect's own word on it
    vouched       key: the id of a memory or document; payload: "{}": the Architect's own word that nothing in it was written
                  to lead a model astray. Only he clears taint (I13), and only of what is recalled from then on
    merged        key: the id of a memory that says what another one says; payload: JSON, {"into"}
    embedder      key: an embedder's identity; payload: JSON, {"dimensions", "background"}
    vector:NAME   key: the id; payload: the vector by the embedder of that identity, float16, little-endian, of length 1

A memory's words never change under its id, so neither does its vector. Taking a row out of sight is a `-gone` row, as
everywhere in the image. Numbers are never used again.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from textwrap import shorten
from typing import Any

from a4ps.errors import NoSuchMemory, UsageError
from a4ps.governance.taint import ARCHITECTS_WORDS, FILES, UNTRUSTED, Taint, is_tainted, union
from a4ps.image.rows import GONE_SUFFIX, Row, StoredRow
from a4ps.image.snapshot import VOUCHED
from a4ps.image.store import Store
from a4ps.image.tombstones import FORGOTTEN
from a4ps.image.transfer import LOADED
from a4ps.image.turns import ARCHITECT, Turn, TurnLog, answer_of

_log = logging.getLogger(__name__)

MEMORY = "memory"
DOCUMENT = "document"
PIN = "pin"
MERGED = "merged"
EMBEDDER = "embedder"
VECTOR = "vector:"
REPLY = "reply"

#: What a memory is, and how much it weighs where nobody said otherwise.
IMPORTANCE: Mapping[str, float] = {"turn": 0.5, "note": 0.6, "fact": 0.6, "document": 0.4}
PINNED = 1.0

#: A question is cut here where its turn is recalled, so that a long one does not push its answer out of the prompt.
QUESTION_CHARS = 120

#: Rows read at a time.
BATCH = 2_000


@dataclass(frozen=True, slots=True)
class Memory:
    """One thing remembered. `importance` is in [0, 1]; `taint` says whose words it must not be taken for.

    `kind` is "turn", "note", "document" or "fact"; `origin` where it is from, in words; `turn` the number of the turn it
    comes from, `persona` who made it, `links` the memories it was made of. `vouched`: it would be untrusted, had the
    Architect not vouched for it.
    """

    id: str
    text: str
    kind: str
    at: datetime
    origin: str = ""
    persona: str = ""
    turn: str = ""
    importance: float = 0.5
    taint: Taint = ARCHITECTS_WORDS
    links: tuple[str, ...] = ()
    engine: str = ""
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Document:
    """A file that was taken in. `whole` once all its parts are in the image."""

    id: str
    path: str
    sha256: str
    parts: int
    whole: bool


class Records:
    """The memories of one open store. Safe to use from any thread; writing raises what `Store.commit` raises."""

    def __init__(self, store: Store, log: TurnLog) -> None:
        self.store = store
        self.log = log
        self._writing = threading.Lock()
        self._numbers: dict[str, int] = {}
        self._loaded: Mapping[str, int] = {}

    # Reading

    def get(self, id_: str) -> Memory:
        """Raises `NoSuchMemory`."""
        found = self.find(id_)
        if found is None:
            named = id_ if id_.isprintable() else ascii(id_)
            raise NoSuchMemory(f"there is no memory {named}", next_step='a4ps memory search "..." shows ids')
        return found

    def find(self, id_: str) -> Memory | None:
        """The memory of an id, None where there is none (any more)."""
        row = self.store.head(REPLY if _is_turns(id_) else MEMORY, id_)
        return None if row is None else self.read(id_, row.payload)

    def read(self, id_: str, payload: bytes) -> Memory | None:
        """The memory of an id whose row has this payload, None where that cannot be read."""
        if _is_turns(id_):
            return self._with_word(_turn_memory(self.log.turn(id_), *answer_of(payload)))
        try:
            return self._with_word(_memory(id_, payload))
        except (ValueError, TypeError, KeyError) as error:  # an import can bring what we never wrote
            _log.warning("memory %s cannot be read: %s", id_, error)
            return None

    def was_before(self, id_: str, turn: int) -> bool:
        """Whether a memory that is no turn was there before a turn was accepted."""
        memory, accepted = self.store.head(MEMORY, id_), self.store.head("turn", str(turn))
        return memory is None or accepted is None or memory.place < accepted.place

    def out_of_sight(self, id_: str) -> Memory | None:
        """What was remembered under an id before its file changed or its night was undone; None where it was forgotten."""
        rows = self.store.past(MEMORY, id_, limit=1)
        try:
            return _memory(id_, rows[0].payload) if rows else None
        except (ValueError, TypeError, KeyError):
            return None

    def latest_turns(self, limit: int, *, after: datetime | None, before: datetime | None) -> list[Memory]:
        """Answered turns within the times given, the newest first."""
        latest = self.log.latest(limit, after=after, before=before)
        return [self._with_word(_turn_memory(turn, reply.answer, reply.taint)) for turn, reply in latest]

    def merged_into(self, id_: str) -> str:
        """The id of the memory that says the same in this one's place, "" for none, or none that is still there."""
        row = self.store.head(MERGED, id_)
        into = "" if row is None else str(json.loads(row.payload)["into"])
        return into if into and self.find(into) is not None else ""

    def walk(self) -> Iterator[Memory]:
        """Every memory, the oldest first within each kind of row."""
        for kind in (REPLY, MEMORY):
            for row in self.rows(kind):
                found = self.find(row.key)
                if found is not None:
                    yield found

    def rows(self, kind: str, after: int = -1) -> Iterator[StoredRow]:
        """The heads of a kind beyond a place, the oldest first. Commits go on meanwhile."""
        while rows := self.store.heads_after(kind, after, limit=BATCH):
            yield from rows
            after = rows[-1].place

    def documents(self) -> dict[str, Document]:
        """Path → the newest document of that path."""
        rows = (self.store.head(DOCUMENT, key) for key in self._live(DOCUMENT))
        found = (Document(row.key, **json.loads(row.payload)) for row in rows if row is not None)
        return {each.path: each for each in sorted(found, key=lambda each: int(each.id[1:]))}

    # Writing

    def note(self, text: str, *, kind: str = "note", **fields: Any) -> Memory:
        """A new memory that is not in the image yet: give its `row` to a commit. `fields` are those of `Memory`.

        The first one of a process looks through all keys: not on an event loop.
        """
        with self._writing:
            number = self._next(MEMORY)
        given = {"at": self.store.clock.now(), "importance": IMPORTANCE[kind], **fields}
        return Memory(f"m{number}", text, kind, **given)

    def add(self, memories: Sequence[Memory], *, author: str = ARCHITECT, reason: str = "remembered") -> None:
        """One commit for all of them."""
        self.store.commit([row(memory) for memory in memories], author=author, reason=reason)

    def begin_document(self, path: str, sha256: str, parts: int) -> Document:
        """A document of a new number, whose parts are still to come. The earlier one of this path is left as it is."""
        with self._writing:
            document = Document(f"d{self._next(DOCUMENT)}", path, sha256, parts, whole=False)
            self.store.commit([_document_row(document)], author=ARCHITECT, reason="a document is read")
        return document

    def add_parts(self, document: Document, texts: Sequence[str], begin: int, *, last: bool) -> list[Memory]:
        """The parts of a document from number `begin` on, which counts from 1; with the last ones it is whole."""
        at = self.store.clock.now()
        parts = [
            Memory(
                f"{document.id}.{number}",
                text,
                "document",
                at,
                origin=f"{document.path}, part {number} of {document.parts}",
                importance=IMPORTANCE["document"],
                taint=FILES,
            )
            for number, text in enumerate(texts, begin)
        ]
        rows = [row(part) for part in parts]
        if last:
            rows.append(_document_row(replace(document, whole=True)))
        self.store.commit(rows, author=ARCHITECT, reason="a document is read")
        return parts

    def parts_of(self, document: Document) -> list[str]:
        """The ids of those parts of a document that are there."""
        ids = (f"{document.id}.{number}" for number in range(1, document.parts + 1))
        return [id_ for id_ in ids if self.store.head(MEMORY, id_) is not None]

    def reached(self, document: Document) -> int:
        """The greatest number of a part of a document that ever was in the image, forgotten ones included."""
        if document.whole:
            return document.parts
        numbers = range(document.parts, 0, -1)
        return next((number for number in numbers if self._was_there(f"{document.id}.{number}")), 0)

    def drop_document(self, document: Document) -> int:
        """Take a document and its parts out of sight: another version of the file took its place. Returns how many."""
        parts = self.parts_of(document)
        gone = [Row(MEMORY + GONE_SUFFIX, id_, b"") for id_ in parts]
        gone += [Row(name + GONE_SUFFIX, id_, b"") for id_ in parts for name in self.vector_kinds(id_)]
        gone.append(Row(DOCUMENT + GONE_SUFFIX, document.id, b""))
        self.store.commit(gone, author=ARCHITECT, reason="a document was replaced")
        return len(parts)

    def pin(self, id_: str, importance: float | None = PINNED) -> Memory:
        """Say how important a memory is, None for what it is by itself. Raises `NoSuchMemory`."""
        self.get(id_)
        if importance is not None:
            payload = json.dumps({"importance": importance}).encode()
            self.store.commit([Row(PIN, id_, payload)], author=ARCHITECT, reason=f"memory {id_} was pinned")
        elif self.store.head(PIN, id_) is not None:
            self.store.commit([Row(PIN + GONE_SUFFIX, id_, b"")], author=ARCHITECT, reason=f"memory {id_} was unpinned")
        return self.get(id_)

    def vouch(self, ids: Sequence[str], *, off: bool = False) -> None:
        """Vouch for memories or whole documents, by their ids, in one commit; `off` takes it back.

        The Architect's alone: nothing that a turn can call leads here. It counts for what is recalled from now on, and not
        for what was made of it before. Raises `NoSuchMemory`, and `UsageError` where there is nothing to vouch for or to
        take back; nothing was done then.
        """
        rows = [self._vouching(id_, off=off) for id_ in dict.fromkeys(ids)]
        if rows:
            what = f"{'no longer ' if off else ''}vouched for: {', '.join(row.key for row in rows)}"
            self.store.commit(rows, author=ARCHITECT, reason=shorten(what, 200, placeholder=" …"))

    # Vectors

    def embedder(self, identity: str) -> tuple[int, float] | None:
        """Dimensions and background of an embedder that has been used, None for one that has not."""
        row = self.store.head(EMBEDDER, identity)
        if row is None:
            return None
        plain = json.loads(row.payload)
        return int(plain["dimensions"]), float(plain["background"])

    def keep_embedder(self, identity: str, dimensions: int, background: float) -> None:
        payload = json.dumps({"dimensions": dimensions, "background": round(background, 4)}).encode()
        self.store.commit([Row(EMBEDDER, identity, payload)], author="package", reason="an embedder is used first")

    def without_vector(self, identity: str) -> list[str]:
        """The ids of the memories that this embedder has not seen: the newest turns first, then what was added last."""
        kinds = (REPLY, MEMORY)
        return [id_ for kind in kinds for id_ in reversed(self.store.keys_without(kind, VECTOR + identity))]

    def count(self) -> int:
        """How many memories there are."""
        return self.store.count(REPLY) + self.store.count(MEMORY)

    def vector_count(self, identity: str) -> int:
        return self.store.count(VECTOR + identity)

    def keep_vectors(self, identity: str, payloads: Mapping[str, bytes]) -> None:
        """One commit for all of them: id → the vector as `vectors.to_payloads` makes it."""
        rows = [Row(VECTOR + identity, id_, payload) for id_, payload in payloads.items()]
        self.store.commit(rows, author="package", reason="memories were embedded")

    def vector_kinds(self, id_: str) -> list[str]:
        """The kinds of row that hold a vector of this memory."""
        kinds = (VECTOR + identity for identity in self.store.heads(EMBEDDER))
        return [kind for kind in kinds if self.store.head(kind, id_) is not None]

    # For whoever has to forget one

    def held_by(self, id_: str) -> list[tuple[str, str]]:
        """(kind, key) of each row of the image that holds a memory's words, or a number or word derived from them.

        Those of a turn (`reply` and its like) are the turn log's to name. A document's row is listed with its last part.
        """
        kinds = [MEMORY, PIN, VOUCHED, MERGED, *self.vector_kinds(id_)]
        held = [(kind, id_) for kind in kinds if self.store.head(kind, id_) is not None]
        document, dot, _ = id_.partition(".")
        row = self.store.head(DOCUMENT, document) if dot else None
        if row is not None and self.parts_of(Document(row.key, **json.loads(row.payload))) in ([], [id_]):
            held.append((DOCUMENT, document))
        return held

    def derived_from(self, id_: str) -> list[str]:
        """The ids of the memories that were made of this one."""
        return [row.key for row in self.rows(MEMORY) if id_ in json.loads(row.payload)["links"]]

    # Inside

    def _with_word(self, memory: Memory) -> Memory:
        """A memory with what the Architect himself has said of it."""
        pin = self.store.head(PIN, memory.id)
        if pin is not None:
            memory = replace(memory, importance=float(json.loads(pin.payload)["importance"]))
        if is_tainted(memory.taint) and self._voucher_of(memory.id):
            memory = replace(memory, taint=memory.taint - {UNTRUSTED}, vouched=True)
        return memory

    def _voucher_of(self, id_: str) -> str:
        """The id under which a memory is vouched for, its own or its document's; "" for none."""
        document, dot, _ = id_.partition(".")
        ids = (id_, document) if dot else (id_,)
        return next((each for each in ids if self.store.head(VOUCHED, each) is not None), "")

    def _was_there(self, id_: str) -> bool:
        return self.store.head(MEMORY, id_) is not None or self.store.head(FORGOTTEN, f"{MEMORY} {id_}") is not None

    def _vouching(self, id_: str, *, off: bool) -> Row:
        is_document = self.store.head(DOCUMENT, id_) is not None
        memory = None if is_document else self.get(id_)
        if not off:
            if memory is not None and not memory.vouched and not is_tainted(memory.taint):
                raise UsageError(f"{id_} is not untrusted", next_step="leave it out: there is nothing to vouch for")
            return Row(VOUCHED, id_, b"{}")
        by = self._voucher_of(id_)
        if by != id_:
            step = f"a4ps memory vouch {by} --off" if by else "a4ps memory search shows what is vouched for"
            what = f"{id_} is vouched for with its document" if by else f"nobody vouched for {id_}"
            raise UsageError(what, next_step=step)
        return Row(VOUCHED + GONE_SUFFIX, id_, b"")

    def _live(self, kind: str) -> dict[str, int]:
        gone = self.store.heads(kind + GONE_SUFFIX)
        return {key: at for key, at in self.store.heads(kind).items() if gone.get(key, -1) < at}

    def _next(self, kind: str) -> int:
        """A number that no row of the kind ever had, nor was given out in this process."""
        loaded = self.store.heads(LOADED)
        if loaded != self._loaded:
            self._numbers.clear()
            self._loaded = loaded
        if kind not in self._numbers:
            prefix = "m" if kind == MEMORY else "d"
            forgotten = (key.removeprefix(f"{kind} {prefix}") for key in self.store.heads(FORGOTTEN))
            greatest = (int(number) for number in forgotten if number.isdecimal())
            self._numbers[kind] = max(self.store.greatest_number(kind, prefix), *greatest, 0)
        self._numbers[kind] += 1
        return self._numbers[kind]


def row(memory: Memory) -> Row:
    """What a commit takes to keep a memory: alone, or with the turn that made it."""
    plain = {
        "text": memory.text,
        "kind": memory.kind,
        "at": memory.at.isoformat(),
        "origin": memory.origin,
        "persona": memory.persona,
        "turn": memory.turn,
        "importance": memory.importance,
        "taint": sorted(memory.taint),
        "links": list(memory.links),
    }
    payload = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Row(MEMORY, memory.id, payload, memory.text.encode("utf-8", "replace").decode())


def _is_turns(id_: str) -> bool:
    return id_.isascii() and id_.isdecimal()


def _turn_memory(turn: Turn, answer: str, taint: Iterable[str]) -> Memory:
    """An earlier turn as one line: what was asked, shortened, and what was answered."""
    asked = " ".join(turn.question.split())
    if len(asked) > QUESTION_CHARS:
        asked = f"{asked[: QUESTION_CHARS - 1].rsplit(' ', 1)[0]} …"
    text, labels = f"asked: {asked} · answered: {answer}", union(ARCHITECTS_WORDS, turn.taint, taint)
    return Memory(turn.id, text, "turn", turn.asked_at, turn=turn.id, engine=turn.engine, taint=labels)


def _memory(id_: str, payload: bytes) -> Memory:
    plain = json.loads(payload)
    at = datetime.fromisoformat(plain["at"])
    fields = {**plain, "at": at, "taint": frozenset(plain["taint"]), "links": tuple(plain["links"]), "vouched": False}
    return Memory(id_, **fields)


def _document_row(document: Document) -> Row:
    plain = {"path": document.path, "sha256": document.sha256, "parts": document.parts, "whole": document.whole}
    return Row(DOCUMENT, document.id, json.dumps(plain).encode())
