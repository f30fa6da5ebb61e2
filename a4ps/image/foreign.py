"""What comes with an unsigned content is anybody's words, whatever labels it names (I13). Pure.

A turn, a reply, a memory, an effect and a tool have their labels in themselves. All that an import brings is given those of
a file, but for what the image that it comes into has to the letter: that was written here.

Not meant: what a persona *is*. An imported codex speaks as one's own would.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from a4ps.errors import IntegrityError
from a4ps.governance.taint import FILES, as_plain, union
from a4ps.image.codec import decode_slot, encode_slot
from a4ps.image.snapshot import PortableImage, PortableRecord, ProtoSnapshot
from a4ps.image.treatments import packed_json

LABELLED: Final = frozenset({"turn", "reply", "memory", "effect"})
"""Kinds of records whose payload names their labels."""

SLOT: Final = "taint"
"""The slot in which a Proto, such as a tool, lists its labels."""


def distrusted(image: PortableImage, ours: PortableImage) -> PortableImage:
    """`image` with the labels of files on all that names labels and is not in `ours` as it stands."""
    known = {(record.kind, record.key): record for record in ours.records}
    records = (
        record if known.get((record.kind, record.key)) == record else _record(record, _with_files)
        for record in image.records
    )
    protos = {
        name: proto if ours.protos.get(name) == proto else _proto(proto, _with_files)
        for name, proto in image.protos.items()
    }
    return replace(image, protos=protos, records=tuple(records))


def unlabelled(image: PortableImage) -> PortableImage:
    """`image` without any labels: what it says, whoever brought it."""
    protos = {name: _proto(proto, _none) for name, proto in image.protos.items()}
    return replace(image, protos=protos, records=tuple(_record(record, _none) for record in image.records))


_Relabel = Callable[[object], list[str]]


def _with_files(labels: object) -> list[str]:
    named = [label for label in labels if isinstance(label, str)] if isinstance(labels, list | tuple) else []
    return as_plain(union(named, FILES))


def _none(labels: object) -> list[str]:
    del labels
    return []


def _record(record: PortableRecord, relabel: _Relabel) -> PortableRecord:
    if record.kind not in LABELLED:
        return record
    try:
        fields = json.loads(record.payload)
    except (ValueError, RecursionError):
        return record
    if not isinstance(fields, dict):
        return record  # nobody can read it as what it says it is
    said = fields.get("contributions")
    for labelled in (fields, *(said if isinstance(said, list) else ())):
        if isinstance(labelled, dict):
            labelled["taint"] = relabel(labelled.get("taint"))
    return replace(record, payload=packed_json(fields))


def _proto(proto: ProtoSnapshot, relabel: _Relabel) -> ProtoSnapshot:
    data = proto.slots.get(SLOT)
    if data is None:
        return proto
    path = f"{proto.name}.state[{SLOT!r}]"
    try:
        labels = decode_slot(data, path)
    except IntegrityError:
        return proto
    if not isinstance(labels, list | tuple):
        return proto
    return replace(proto, slots={**proto.slots, SLOT: encode_slot(relabel(labels), path)})
