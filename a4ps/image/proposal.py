"""What a transaction asks for, and the judgement on it in the order of the queue. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from a4ps.errors import Conflict, CycleRefused, UnknownProto
from a4ps.image.changes import Change, merge, part_name
from a4ps.image.content import Content, Record, depth_after, pack_record
from a4ps.image.delegation import linearise
from a4ps.image.heads import Heads, Versions
from a4ps.image.json_data import frozen, thawed
from a4ps.image.rows import GONE_SUFFIX, PackedRow, Row, pack
from a4ps.image.versions import ProtoVersion
from a4ps.image.writer import Judged

KIND = "proto"
"""The kind of the store's rows that hold Protos; the key is the name."""

GONE = KIND + GONE_SUFFIX
"""Rows of this kind mark a removal, so that opening knows the names without reading a Proto."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What is to become of one Proto: from `base` (None: it is new) to `content` (None: it is removed).

    A `strict` delta wants to meet exactly its base; any other is rebased where nobody else changed the same parts.
    `packed` is the row, made by the caller's thread for the case that the base is still the newest.
    """

    name: str
    base: ProtoVersion | None
    content: Content | None
    strict: bool
    packed: PackedRow
    record: Record


class Judging:
    """Judges the deltas of one transaction, at most one a name; keeps its last decision for the one who waits."""

    def __init__(self, deltas: tuple[Delta, ...]) -> None:
        self._deltas = deltas
        self.changes: tuple[Change, ...] = ()
        self.versions: Mapping[str, ProtoVersion | None] = {}

    def __call__(self, heads: Heads, generation: int, at: datetime) -> Judged:
        """Raises Conflict, CycleRefused, UnknownProto."""
        rows: list[PackedRow] = []
        changes: list[Change] = []
        versions: dict[str, ProtoVersion | None] = {}
        for delta in self._deltas:
            record, row = _rebased(delta, heads.get(delta.name))
            rows.append(row)
            if record.content is None:
                rows.append(pack(Row(GONE, delta.name, b"")))
            changes.append(Change.of(delta.name, generation, record, at))
            gone = record.content is None
            versions[delta.name] = None if gone else ProtoVersion.of(delta.name, generation, record, at)
        after = heads.replaced(versions)
        for delta in self._deltas:
            _check_descent(delta, heads, after)
        self.changes = tuple(changes)
        self.versions = versions
        return Judged(tuple(rows), after)


@dataclass(frozen=True, slots=True)
class Upon:
    """A judgement that holds of all Protos, also of those that it leaves as they are: only upon the heads it was made from.

    Those may be behind what the store shows already, since they follow a commit's fsync.
    """

    versions: Versions
    judging: Judging

    def __call__(self, heads: Heads, generation: int, at: datetime) -> Judged:
        """Raises Conflict, CycleRefused, UnknownProto."""
        if not heads.are(self.versions):
            raise Conflict("something was committed to the image meanwhile", next_step="try again")
        return self.judging(heads, generation, at)


def delta_of(
    name: str,
    base: ProtoVersion | None,
    content: Content | None,
    *,
    act: str,
    author: str,
    reason: str,
    evidence: object = None,
    strict: bool = False,
) -> Delta:
    """Raises CallerError where the evidence is not JSON data, or the row cannot be written."""
    record = _record_upon(base, content, act, author, reason, thawed(frozen(evidence, "evidence")))
    return Delta(name, base, content, strict, _row(name, record, base), record)


def _record_upon(
    base: ProtoVersion | None, content: Content | None, act: str, author: str, reason: str, evidence: object
) -> Record:
    generation, before = (0, None) if base is None else (base.generation, base.record)
    return Record(content, generation, act, author, reason, evidence, depth_after(before, content))


def _row(name: str, record: Record, base: ProtoVersion | None) -> PackedRow:
    return pack(Row(KIND, name, pack_record(record, base.content if base is not None and record.depth else None)))


def _rebased(delta: Delta, head: ProtoVersion | None) -> tuple[Record, PackedRow]:
    base, record = delta.base, delta.record
    if head is base or (head is not None and base is not None and head.generation == base.generation):
        return record, delta.packed
    if delta.strict or head is None or base is None or delta.content is None:
        raise Conflict(_story(delta, head), base=base, current=head, next_step="begin again from the current version")
    merged = merge(base.content, delta.content, head.content)
    if merged.content is None:
        names = tuple(part_name(delta.name, part) for part in merged.clashes)
        raise Conflict(
            f"{', '.join(names)} changed since version {base.generation}, in {head.generation} at the latest",
            base=base,
            current=head,
            parts=names,
            next_step="begin again from the current version",
        )
    rebased = _record_upon(head, merged.content, record.act, record.author, record.reason, record.evidence)
    return rebased, _row(delta.name, rebased, head)


def _story(delta: Delta, head: ProtoVersion | None) -> str:
    if head is None:
        return f"{delta.name} was removed meanwhile"
    if delta.base is None:
        return f"there is a {delta.name} already, version {head.generation}"
    return f"{delta.name} is at version {head.generation}, this was made from {delta.base.generation}"


def _check_descent(delta: Delta, before: Heads, after: Heads) -> None:
    """Parents exist and have an order, for the Proto itself and for all that descend from it."""
    old, new = before.get(delta.name), after.get(delta.name)
    was = () if old is None or new is None else old.content.parents
    parents = () if new is None else new.content.parents
    if new is not None and parents == was:
        return

    def parents_of(name: str) -> tuple[str, ...]:
        version = after.get(name)
        if version is None:
            raise UnknownProto(f"{name} is to be a parent, but is not in the image", next_step="register it first")
        return version.content.parents

    if new is not None:
        linearise(delta.name, parents_of)
    if old is None:
        return
    for name in after.names():
        if new is None and delta.name in parents_of(name):
            raise CycleRefused(f"{delta.name} is a parent of {name}", next_step=f"change the parents of {name} first")
        if parents_of(name):
            linearise(name, parents_of)
