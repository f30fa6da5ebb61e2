"""What one version of a Proto consists of, and the bytes that a store row keeps of it.

A row is a full snapshot, so reading a version needs one row. Its slots are encoded one by one; a new version takes over
the bytes of those that did not change, and their decoded values with them.

A record is a MessagePack map:

    format      1
    gone        true where the Proto was removed; then nothing but the change follows
    codex       map: role, model_name, system_prompt, voice, pillars, temperature, extra
    parents     list of names
    methods     map: name → [source, author, reads, writes, reason]
    slots       map: name → bytes of codec.encode_slot
    base        generation of the version before, 0 where there was none
    act         "register", "swap", "transaction", "define", "forget", "call", "revert", …
    author, reason, evidence   of the change
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack  # type: ignore[import-untyped]

from a4ps.errors import CallerError, ImageTooNew, Unstorable
from a4ps.image.codec import Opaque, Placeholder, decode_slot, encode_slot
from a4ps.image.codex import Codex
from a4ps.image.methods import Method
from a4ps.image.readonly import Path, holds_view, readonly

RECORD_FORMAT = 1

_PLAIN = frozenset({bool, int, float, str, bytes, type(None), Placeholder})


class Slot:
    """The bytes of one slot and, once somebody has read it, its value. Immutable; shared by versions and threads."""

    __slots__ = ("_value", "data")

    _value: object

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def of(cls, value: object, path: str) -> Slot:
        """Raises Unstorable naming the object that cannot be kept."""
        try:
            return cls(encode_slot(value, path))
        except Unstorable:
            # A value taken from something committed may hold read-only views; copying makes them plain again.
            if not holds_view(value):
                raise
            return cls(encode_slot(copy.deepcopy(value), path))

    def fresh(self, path: str) -> Any:
        """A copy of the value that is the caller's own."""
        # Its bytes came from a verified row or from this process.
        return decode_slot(self.data, path, trusted=True)

    def shown(self, path: str) -> Any:
        """The value, read-only at every depth; of an opaque one a copy, since nothing is known about its inside."""
        try:
            value = self._value
        except AttributeError:
            value = self.fresh(path)
            if isinstance(value, Opaque):
                return value
            # Two threads may decode at once; either result will do.
            self._value = value
        if type(value) in _PLAIN:
            return value
        return readonly(value, Path(path))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Slot) and self.data == other.data)

    def __hash__(self) -> int:
        return hash(self.data)


def slot_path(proto: str, slot: str) -> str:
    """How errors name a slot: BRICK.state["mood"]."""
    return f"{proto}.state[{json.dumps(slot, ensure_ascii=False)}]"


@dataclass(frozen=True, slots=True)
class Content:
    """Codex, parents, methods and own slots. Never changed; the mappings are nobody's to write."""

    codex: Codex
    parents: tuple[str, ...] = ()
    methods: Mapping[str, Method] = field(default_factory=dict)
    slots: Mapping[str, Slot] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Record:
    """One row's meaning. `content` is None where the Proto was removed."""

    content: Content | None
    base: int
    act: str
    author: str
    reason: str
    evidence: object = None


def pack_record(record: Record) -> bytes:
    """Raises CallerError where the evidence or an `extra` of the codex is not plain data."""
    fields: dict[str, object] = {"format": RECORD_FORMAT}
    content = record.content
    if content is None:
        fields["gone"] = True
    else:
        fields["codex"] = content.codex.to_mapping()
        fields["parents"] = content.parents
        fields["methods"] = {
            method.name: (method.source, method.author, method.reads, method.writes, method.reason)
            for method in content.methods.values()
        }
        fields["slots"] = {name: slot.data for name, slot in content.slots.items()}
    fields["base"] = record.base
    fields["act"] = record.act
    fields["author"] = record.author
    fields["reason"] = record.reason
    fields["evidence"] = record.evidence
    try:
        return msgpack.packb(fields, unicode_errors="surrogatepass")  # type: ignore[no-any-return]
    except (TypeError, ValueError, OverflowError) as error:
        raise CallerError(
            f"the change cannot be written down: {error}", next_step="give evidence and codex as plain JSON data"
        ) from error


def unpack_record(payload: bytes) -> Record:
    """The inverse, for a payload whose row was verified. Raises ImageTooNew."""
    fields: dict[str, Any] = msgpack.unpackb(payload, unicode_errors="surrogatepass", strict_map_key=False)
    if fields["format"] > RECORD_FORMAT:
        raise ImageTooNew(
            f"a Proto was written in format {fields['format']}; this A4PS knows up to {RECORD_FORMAT}",
            next_step="update A4PS",
        )
    content = None
    if not fields.get("gone"):
        methods = {
            name: Method(name, source, author, tuple(reads), tuple(writes), reason)
            for name, (source, author, reads, writes, reason) in fields["methods"].items()
        }
        slots = {name: Slot(data) for name, data in fields["slots"].items()}
        content = Content(Codex.from_mapping(fields["codex"]), tuple(fields["parents"]), methods, slots)
    return Record(content, fields["base"], fields["act"], fields["author"], fields["reason"], fields["evidence"])
