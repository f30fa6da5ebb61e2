"""What can be read of an image file that nothing vouches for: its key is lost, or it is damaged, or a stranger's.

Runs in a process of its own with limited memory and time (salvage.py starts it), which guards the one that asked from a
crash, a file made to eat memory, and waiting for ever. It is no sandbox. What is read is written as a text export, so that
what comes back to the other process is a stranger's text.

The rows are read one by one. One that SQLite cannot read, or that holds what nobody can have written, is counted and left
out, so the row before it with the same name stays the newest; a version that rests on a lost one is left out with it.
Nothing is unpickled, nothing opaque is loaded.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, NamedTuple

from a4ps.errors import A4PSError, ImageTooNew, IntegrityError, StorageFailed
from a4ps.image import turns
from a4ps.image.changes import Change
from a4ps.image.connections import connect_reader, is_worlds, translate
from a4ps.image.content import Content, Record
from a4ps.image.draft_state import check_name
from a4ps.image.image_file import APPLICATION_ID, FORMAT
from a4ps.image.rows import MAX_BODY_BYTES, StoredRow, from_us, generation_of, ordinal_of, unpack_unverified
from a4ps.image.snapshot import PortableImage
from a4ps.image.text_export import MAX_FILE_BYTES, export_text, exportable
from a4ps.image.transfer import Gathering

EXPORT: Final = "export"
REPORT: Final = "report.json"
MAX_NOTES: Final = 100

_RECURSION_LIMIT = 600
"""Lower than usual: what can be read here can be read by whoever asked, who is deeper in calls already."""

# Every way to the rows, from both ends: where a page of one is damaged, another leads to what lies behind it.
_WALKS = (
    "SELECT place FROM rows NOT INDEXED ORDER BY place",
    "SELECT place FROM rows NOT INDEXED ORDER BY place DESC",
    "SELECT place FROM rows INDEXED BY rows_by_key ORDER BY kind, key",
    "SELECT place FROM rows INDEXED BY rows_by_key ORDER BY kind DESC, key DESC",
    "SELECT place FROM rows INDEXED BY rows_by_kind ORDER BY kind",
    "SELECT place FROM rows INDEXED BY rows_by_kind ORDER BY kind DESC",
)
_COMMITS = (
    "SELECT generation, at FROM commits ORDER BY generation",
    "SELECT generation, at FROM commits ORDER BY generation DESC",
)


@dataclass(frozen=True, slots=True)
class Found:
    """`rows` were read, `skipped` could not be; `notes` name what else is missing. `image_id` is hex, "" if unknown."""

    image_id: str
    rows: int
    skipped: int
    notes: tuple[str, ...]


class _Layout(NamedTuple):
    """What one format's tables must have for us, and how a row is asked for: place, kind, key, body, time or NULL."""

    columns: Mapping[str, frozenset[str]]
    row: str


_TABLES: Final = {
    "meta": frozenset(("image_id",)),
    "commits": frozenset(("generation", "at")),
    "rows": frozenset(("place", "kind", "key", "body")),
}
_TIMED: Final = _Layout(
    {**_TABLES, "rows": _TABLES["rows"] | {"at"}}, "SELECT place, kind, key, body, at FROM rows WHERE place = ?"
)
_LAYOUTS: Final = {
    1: _Layout(_TABLES, "SELECT place, kind, key, body, NULL FROM rows WHERE place = ?"),
    2: _TIMED,
    3: _TIMED,
}
"""By format, all there ever were; the newest is image_file.FORMAT."""


def read(path: Path) -> tuple[PortableImage, Found]:
    """All that can be read of the image at `path`, a copy that is the caller's own.

    Raises IntegrityError where it is no image or its tables cannot be reached, ImageTooNew, StorageFailed.
    """
    try:
        with closing(connect_reader(path)) as connection:
            # SQLite would refuse a file that was cut short, or of which another table's definition is damaged.
            connection.execute("PRAGMA writable_schema = ON")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_BODY_BYTES + 1024)
            return _read(connection, _layout(connection, path))
    except sqlite3.Error as error:
        raise translate(error, path, "reading what is left") from error


def _layout(connection: sqlite3.Connection, path: Path) -> _Layout:
    if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise IntegrityError(f"{path} is a database, but not an A4PS image", next_step="name another file")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > FORMAT:
        raise ImageTooNew(f"{path} has format {version}; this A4PS knows up to {FORMAT}", next_step="update A4PS")
    layout = _LAYOUTS.get(version)
    if layout is None or not all(_is_table(connection, name, columns) for name, columns in layout.columns.items()):
        raise IntegrityError(f"the tables of {path} are not those of an A4PS image", next_step="name another file")
    return layout


def _is_table(connection: sqlite3.Connection, name: str, columns: frozenset[str]) -> bool:
    """Whether `name` is a table with pages of its own (no view or virtual table) that stores `columns`."""
    found = connection.execute("SELECT type, rootpage > 0 FROM sqlite_schema WHERE name = ?", (name,)).fetchall()
    stored = {each[1] for each in connection.execute(f"PRAGMA table_xinfo({name})") if each[6] == 0}
    return found == [("table", 1)] and columns <= stored


def _read(connection: sqlite3.Connection, layout: _Layout) -> tuple[PortableImage, Found]:
    gathering = _Gathering()
    times = {generation: at for walk in _COMMITS for generation, at in _walk(connection, walk)}
    rows, skipped, at_us = 0, 0, 0
    for place in sorted({place for walk in _WALKS for (place,) in _walk(connection, walk) if place >= 0}):
        try:
            found = connection.execute(layout.row, (place,)).fetchone()
            _, kind, key, body, own_us = found
            at_us = times.get(generation_of(place), at_us) if own_us is None else own_us
            payload, text = unpack_unverified(body)
            row = StoredRow(kind, key, payload, generation_of(place), from_us(at_us), ordinal_of(place))
            gathering.put(row, text)
            rows += 1
        except MemoryError:
            raise
        except Exception as error:
            if isinstance(error, sqlite3.Error) and is_worlds(error):
                raise
            skipped += 1
    image, lost = exportable(gathering.image(from_us(at_us)))
    image, alone = _consistent(image)
    notes = (*lost, *alone)
    if len(notes) > MAX_NOTES:
        notes = (*notes[:MAX_NOTES], f"{len(notes) - MAX_NOTES:,} parts more")
    return image, Found(_image_id(connection), rows, skipped, notes)


def _walk(connection: sqlite3.Connection, statement: str) -> Iterator[tuple[int, ...]]:
    """The numbers that a statement gives, up to where SQLite meets damage. Raises sqlite3.Error for the disk's errors."""
    try:
        for found in connection.execute(statement):
            if all(type(number) is int for number in found):
                yield found
    except sqlite3.Error as error:
        if is_worlds(error):
            raise


def _image_id(connection: sqlite3.Connection) -> str:
    try:
        found = connection.execute("SELECT image_id FROM meta").fetchone()
    except sqlite3.Error:
        return ""
    return found[0].hex() if found and isinstance(found[0], bytes) and len(found[0]) == 16 else ""


class _Gathering(Gathering):
    """Takes only what an image can hold; raises, and keeps what it had, for anything else."""

    def __init__(self) -> None:
        super().__init__()
        self._newest: dict[str, int] = {}

    def put(self, row: StoredRow, text: str) -> None:
        _need_texts(row.kind, row.key)
        if row.kind in turns.TURN_KINDS:
            turns.check_row(row)
        super().put(row, text)

    def record_of(self, row: StoredRow) -> Record:
        record = super().record_of(row)
        if record.depth and record.base != self._newest.get(row.key):
            raise IntegrityError(f"the version of {row.key} that this one rests on is lost")
        return record

    def put_proto(self, name: str, content: Content | None, change: Change) -> None:
        check_name("Proto", name)
        _need_texts(change.act, change.author, change.reason)
        if content is not None:
            for parent in content.parents:
                check_name("Proto", parent)
            for method in content.methods.values():
                _need_texts(method.name, method.source, method.author, method.reason, *method.reads, *method.writes)
            for slot, kept in content.slots.items():
                check_name("slot", slot)
                if type(kept.data) is not bytes:
                    raise IntegrityError(f"the slot {slot} of {name} is no bytes")
        super().put_proto(name, content, change)
        self._newest[name] = change.generation

    def put_history(self, name: str, lines: list[Mapping[str, object]]) -> None:
        if type(lines) is not list or not all(type(line) is dict for line in lines):
            raise IntegrityError(f"the history of {name} is none")
        super().put_history(check_name("Proto", name), lines)


def _need_texts(*texts: object) -> None:
    if not all(type(text) is str for text in texts) or "" in texts[:1]:
        raise IntegrityError("a row holds what is no text")


def _consistent(image: PortableImage) -> tuple[PortableImage, list[str]]:
    """Without what refers to something that is lost: parents, and what was said in a turn whose question is gone."""
    notes = []
    protos = {}
    for name, proto in image.protos.items():
        parents = tuple(parent for parent in proto.parents if parent in image.protos)
        notes += [f"{name} has lost its parent {parent}" for parent in proto.parents if parent not in parents]
        protos[name] = replace(proto, parents=parents)
    asked = {record.key for record in image.records if record.kind == "turn"}
    records = []
    for record in image.records:
        if record.kind in turns.TURN_KINDS and record.key not in asked:
            notes.append(f"the {record.kind} of turn {record.key}: its question is lost")
        else:
            records.append(record)
    return replace(image, protos=protos, records=tuple(records)), notes


def main(image: str, folder: str, memory_bytes: str, cpu_s: str) -> None:
    """Read `image`; put an export and a report into `folder`. Errors that are foreseen are in the report."""
    os.umask(0o077)
    sys.setrecursionlimit(_RECURSION_LIMIT)
    for what, most in (
        (resource.RLIMIT_AS, int(memory_bytes)),
        (resource.RLIMIT_CPU, int(cpu_s)),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, 64),
        (resource.RLIMIT_CORE, 0),
    ):
        _limit(what, most)
    try:
        content, found = read(Path(image))
        export_text(Path(folder, EXPORT), content)
        report: dict[str, Any] = {"found": asdict(found)}
    except MemoryError:
        report = _told(StorageFailed(f"reading it takes more than {int(memory_bytes):,} bytes of memory"))
    except A4PSError as error:
        report = _told(error)
    Path(folder, REPORT).write_text(json.dumps(report), "utf-8")


def _told(error: A4PSError) -> dict[str, Any]:
    return {"error": {"kind": type(error).__name__, "message": error.message, "next_step": error.next_step}}


def _limit(what: int, most: int) -> None:
    hard = resource.getrlimit(what)[1]
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))
