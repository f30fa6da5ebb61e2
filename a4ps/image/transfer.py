"""An image's whole content as one value, and what makes such a value the content of another image.

What is taken over becomes one commit: the Protos that differ, the other rows from the first that differs on, so that
their order is that of the value, and marks for what is gone. The rows keep their times. What was changed before cannot
be changes of today, so the last rows keep that:

    loaded-history   key: a Proto's name; payload: its changes before, as JSON
    loaded           ends them. In an image of format 1 its payload has the times of the other rows in their order,
                     MessagePack, microseconds since 1970, because rows had none of their own

Both, and rows of the kinds `restored` (see restore.py) and `command` (see commands.py), tell of an image's course; they are
no part of its content, and nor is that something was forgotten.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]

from a4ps.errors import CallerError, Conflict
from a4ps.image.changes import Change
from a4ps.image.codex import Codex
from a4ps.image.commands import COMMAND
from a4ps.image.content import Content, Record, Slot, unpack_record
from a4ps.image.draft_state import check_name
from a4ps.image.heads import Heads
from a4ps.image.methods import Method
from a4ps.image.migrations import MIGRATED
from a4ps.image.proposal import GONE, KIND, Upon
from a4ps.image.rows import GONE_SUFFIX, MAX_ROWS, PackedRow, Row, StoredRow, from_us, pack
from a4ps.image.snapshot import MethodSnapshot, PortableImage, PortableRecord, ProtoSnapshot
from a4ps.image.store import Store
from a4ps.image.tombstones import FORGETTING_KINDS, FORGOTTEN
from a4ps.image.writer import Judged

LOADED = "loaded"
LOADED_HISTORY = "loaded-history"
RESTORED = "restored"

_NO_CONTENT = frozenset({KIND, GONE, LOADED, LOADED_HISTORY, RESTORED, MIGRATED, COMMAND, *FORGETTING_KINDS})
"""Kinds of rows that a value may not bring along as records: a stranger could write anything into them."""


class Whole(NamedTuple):
    """An image's content after the commit `generation`."""

    image: PortableImage
    generation: int


@dataclass(frozen=True, slots=True)
class Takeover:
    """A judgement: the Protos' own, and `rows` besides, if nothing was committed after `seen`."""

    judging: Upon
    rows: tuple[PackedRow, ...]
    seen: int

    def __call__(self, heads: Heads, generation: int, at: datetime) -> Judged:
        """Raises Conflict, CycleRefused, UnknownProto; CallerError for more than one commit can hold."""
        if generation != self.seen + 1:
            raise Conflict("something was committed to the image meanwhile", next_step="try again")
        judged = self.judging(heads, generation, at)
        rows = (*judged.rows, *self.rows)
        if len(rows) > MAX_ROWS:
            raise CallerError(
                f"the content has {len(rows):,} rows and one commit at most {MAX_ROWS:,}",
                next_step="restore a backup instead: a4ps image restore FILE",
            )
        return Judged(rows, judged.heads)


def whole_of(store: Store) -> Whole:
    """Read everything, on one snapshot. `created_at` is the time of the newest commit, 1970 where there is none.

    Raises IntegrityError where a row is not what was stored, StorageFailed.
    """
    gathering = Gathering()
    generation, at = 0, from_us(0)
    for row, text in store.walk():
        generation, at = row.generation, row.at
        gathering.put(row, text)
    return Whole(gathering.image(at), generation)


def contents_of(image: PortableImage) -> dict[str, Content]:
    """The Protos as this image would hold them. Raises CallerError, with the Proto's name, where one cannot be held."""
    contents = {}
    for name, proto in image.protos.items():
        try:
            contents[check_name("Proto", name)] = _content(proto)
        except CallerError as error:
            raise CallerError(f"{name} cannot be taken over: {error.message}", next_step=error.next_step) from error
    return contents


def rows_towards(now: PortableImage, wanted: PortableImage) -> tuple[PackedRow, ...]:
    """The rows that make everything but the Protos of `now` that of `wanted`.

    Raises CallerError where a record cannot be held, or names what is no record.
    """
    _check_records(wanted)
    kept = 0
    while kept < min(len(now.records), len(wanted.records)) and now.records[kept] == wanted.records[kept]:
        kept += 1
    new = wanted.records[kept:]
    staying = {(record.kind, record.key) for record in new}
    rows = [
        Row(old.kind + GONE_SUFFIX, old.key, b"") for old in now.records[kept:] if (old.kind, old.key) not in staying
    ]
    rows += [Row(record.kind, record.key, record.payload, record.text, record.at) for record in new]
    rows += [Row(LOADED_HISTORY, name, _json(lines)) for name, lines in wanted.history.items()]
    rows.append(Row(LOADED, "", b""))
    return tuple(pack(row) for row in rows)


class Gathering:
    """What the rows so far, in the order of the log, come to."""

    def __init__(self) -> None:
        self.protos: dict[str, Content] = {}
        self.history: dict[str, list[Mapping[str, object]]] = {}
        self.records: dict[tuple[str, str], PortableRecord] = {}
        self.loaded: dict[str, list[Mapping[str, object]]] = {}

    def put(self, row: StoredRow, text: str) -> None:
        """Raises, of a row that was not verified, whatever reading it may raise."""
        if row.kind == KIND:
            record = self.record_of(row)
            self.put_proto(row.key, record.content, Change.of(row.key, row.generation, record, row.at))
        elif row.kind == LOADED_HISTORY:
            self.put_history(row.key, json.loads(row.payload))
        elif row.kind == LOADED:
            self.put_loaded(msgpack.unpackb(row.payload) if row.payload else None)
        elif row.kind.endswith(GONE_SUFFIX):
            kind = row.kind.removesuffix(GONE_SUFFIX)
            self.records.pop((kind, row.key), None)
            self.records.pop((FORGOTTEN, f"{kind} {row.key}"), None)
        elif row.kind == FORGOTTEN:
            # It had a place in the order, which the times of an old takeover count on.
            self.put_record(PortableRecord(FORGOTTEN, row.key, b"", row.at))
        elif row.kind not in _NO_CONTENT:
            self.put_record(PortableRecord(row.kind, row.key, row.payload, row.at, text))

    def image(self, at: datetime) -> PortableImage:
        """All of it; `at` is the time of the newest commit."""
        return PortableImage(
            at,
            {name: _snapshot(name, content) for name, content in sorted(self.protos.items())},
            {name: tuple(lines) for name, lines in sorted(self.history.items())},
            tuple(record for record in self.records.values() if record.kind != FORGOTTEN),
        )

    def record_of(self, row: StoredRow) -> Record:
        """A Proto's row, upon those of it that came before. Raises IntegrityError where they come to nothing."""
        return unpack_record(row.payload).record(self.protos.get(row.key))

    def put_proto(self, name: str, content: Content | None, change: Change) -> None:
        self.protos.pop(name, None)
        if content is not None:
            self.protos[name] = content
        self.history.setdefault(name, []).append(_line(change))

    def put_record(self, record: PortableRecord) -> None:
        # Taken out first: a record's place in the order is that of its newest row.
        self.records.pop((record.kind, record.key), None)
        self.records[record.kind, record.key] = record

    def put_history(self, name: str, lines: list[Mapping[str, object]]) -> None:
        self.loaded[name] = lines

    def put_loaded(self, times_us: list[int] | None) -> None:
        """The last row of a takeover: what came before it is now what the value said."""
        self.history, self.loaded = self.loaded, {}
        if times_us is None:
            return
        if len(times_us) != len(self.records) and any(kind == FORGOTTEN for kind, _ in self.records):
            # A record's name was forgotten with it, and nothing says which time was whose.
            return
        timed = zip(self.records.items(), times_us, strict=True)
        self.records = {key: replace(record, at=from_us(at_us)) for (key, record), at_us in timed}


def _line(change: Change) -> dict[str, object]:
    line: dict[str, object] = {
        "change": change.generation,
        "base": change.base,
        "act": change.act,
        "author": change.author,
        "reason": change.reason,
        "at": change.at.astimezone(UTC).isoformat(),
    }
    return line if change.evidence is None else {**line, "evidence": change.evidence}


def _snapshot(name: str, content: Content) -> ProtoSnapshot:
    methods = {
        method.name: MethodSnapshot(method.source, method.author, method.reason, method.reads, method.writes)
        for method in content.methods.values()
    }
    slots = {slot: kept.data for slot, kept in content.slots.items()}
    return ProtoSnapshot(name, content.codex.to_mapping(), content.parents, methods, slots)


def _content(proto: ProtoSnapshot) -> Content:
    # A text that does not compile (under this Python) is kept; calling it is what will be refused.
    methods = {
        name: Method(name, given.source, given.author, given.reads, given.writes, given.reason)
        for name, given in proto.methods.items()
    }
    slots = {check_name("slot", name): Slot(data) for name, data in proto.slots.items()}
    return Content(Codex.from_mapping(proto.codex), proto.parents, methods, slots)


def _check_records(image: PortableImage) -> None:
    seen = set()
    for record in image.records:
        name = (record.kind, record.key)
        if name in seen or record.kind in _NO_CONTENT or record.kind.endswith(GONE_SUFFIX) or not record.kind:
            why = "is there twice" if name in seen else "is none that can be taken over"
            raise CallerError(f"the record {record.kind} {record.key} {why}", next_step="take it out of the export")
        seen.add(name)


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=dict).encode("utf-8", "surrogatepass")
