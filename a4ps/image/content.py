"""What one version of a Proto consists of, and the bytes that a store row keeps of it.

Slots are encoded one by one; a new version takes over the bytes of those that did not change, and their decoded values
with them. A row holds what its change changed: reading a version folds the Proto's rows from the last whole one on, which
is at most MAX_DEPTH rows back.

A record is a MessagePack map:

    format      2 (1 was the same without deltas)
    gone        true where the Proto was removed; then nothing but the change follows
    depth       how many rows back the last whole one is; absent in a whole one. Then what follows is only what differs
                from the Proto's row before, and a method or slot that is gone is nil
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
import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgpack  # type: ignore[import-untyped]

from a4ps.errors import CallerError, ImageTooNew, IntegrityError, Unstorable
from a4ps.image.codec import Opaque, Placeholder, decode_slot, encode_slot
from a4ps.image.codex import Codex
from a4ps.image.methods import Method
from a4ps.image.readonly import Path, holds_view, readonly

RECORD_FORMAT = 2
MAX_DEPTH = 32
"""How many rows a version may rest on: a longer chain is slower to read first, and more is lost with one damaged row."""

_Part = TypeVar("_Part")
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


@functools.lru_cache(maxsize=4096)
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
    """One change of a Proto and what it made of it. `content` is None where the Proto was removed.

    `depth` is how many rows back the last whole one is.
    """

    content: Content | None
    base: int
    act: str
    author: str
    reason: str
    evidence: object = None
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Written:
    """One row as it was decoded: the change, and as much of the content as the row holds."""

    base: int
    act: str
    author: str
    reason: str
    evidence: object
    depth: int
    _fields: Mapping[str, Any]

    def record(self, before: Content | None) -> Record:
        """The whole of it, upon what the Proto's rows before come to. Raises IntegrityError where they come to nothing."""
        content = None if self._fields.get("gone") else self._content(before if self.depth else None)
        return Record(content, self.base, self.act, self.author, self.reason, self.evidence, self.depth)

    def _content(self, before: Content | None) -> Content:
        fields = self._fields
        if before is None and self.depth:
            raise IntegrityError(
                "what a change of a Proto rests on is not there",
                next_step="run: a4ps image verify --deep, then: a4ps image restore FILE",
            )
        return Content(
            before.codex if before is not None and "codex" not in fields else Codex.from_mapping(fields["codex"]),
            before.parents if before is not None and "parents" not in fields else tuple(fields["parents"]),
            _laid_over(None if before is None else before.methods, fields["methods"], _method),
            _laid_over(None if before is None else before.slots, fields["slots"], lambda _, data: Slot(data)),
        )


def depth_after(before: Record | None, content: Content | None) -> int:
    """The depth of a row that makes `content` of what the record `before` is: 0 where it has to be whole.

    A row that only says what differs cannot say that names have changed places.
    """
    if before is None or before.content is None or content is None or before.depth >= MAX_DEPTH:
        return 0
    old = before.content
    keeps = _keeps_order(old.slots, content.slots) and _keeps_order(old.methods, content.methods)
    return before.depth + 1 if keeps else 0


def pack_record(record: Record, before: Content | None = None) -> bytes:
    """`before` is the content of the row before, for a record with a depth.

    Raises CallerError where the evidence or an `extra` of the codex is not plain data.
    """
    fields: dict[str, object] = {"format": RECORD_FORMAT}
    content = record.content
    if content is None:
        fields["gone"] = True
    else:
        since = before if record.depth else None
        if since is not None:
            fields["depth"] = record.depth
        if since is None or since.codex != content.codex:
            fields["codex"] = content.codex.to_mapping()
        if since is None or since.parents != content.parents:
            fields["parents"] = content.parents
        methods = _differing(None if since is None else since.methods, content.methods)
        slots = _differing(None if since is None else since.slots, content.slots)
        fields["methods"] = {name: method and method.parts() for name, method in methods.items()}
        fields["slots"] = {name: slot and slot.data for name, slot in slots.items()}
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


def unpack_record(payload: bytes) -> Written:
    """The inverse, for a payload whose row was verified. Raises ImageTooNew."""
    fields: dict[str, Any] = msgpack.unpackb(payload, unicode_errors="surrogatepass", strict_map_key=False)
    if fields["format"] > RECORD_FORMAT:
        raise ImageTooNew(
            f"a Proto was written in format {fields['format']}; this A4PS knows up to {RECORD_FORMAT}",
            next_step="update A4PS",
        )
    return Written(
        fields["base"],
        fields["act"],
        fields["author"],
        fields["reason"],
        fields["evidence"],
        fields.get("depth", 0),
        fields,
    )


def _method(name: str, given: Any) -> Method:
    source, author, reads, writes, reason = given
    return Method(name, source, author, tuple(reads), tuple(writes), reason)


def _differing(before: Mapping[str, _Part] | None, after: Mapping[str, _Part]) -> Mapping[str, _Part | None]:
    if before is None:
        return after
    changed: dict[str, _Part | None] = {name: part for name, part in after.items() if before.get(name) != part}
    changed.update((name, None) for name in before if name not in after)
    return changed


def _laid_over(
    before: Mapping[str, _Part] | None, changed: Mapping[str, Any], made_of: Callable[[str, Any], _Part]
) -> dict[str, _Part]:
    parts = {} if before is None else dict(before)
    for name, given in changed.items():
        if given is None:
            parts.pop(name, None)
        else:
            parts[name] = made_of(name, given)
    return parts


def _keeps_order(before: Mapping[str, object], after: Mapping[str, object]) -> bool:
    names = list(after)
    return names == list(before) or names == [
        *(name for name in before if name in after),
        *(name for name in names if name not in before),
    ]
