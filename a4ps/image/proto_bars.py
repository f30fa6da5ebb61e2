"""A Proto's rows and its present without certain words: bars stand for them, and everything else stays where it is. Pure.

A row tells only what differs from the row before, so none can be taken out. What is sought is barred in each part that a
row holds, in every row alike: equal parts stay equal, and rows fold as they did.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]

from a4ps.errors import IntegrityError, Unstorable
from a4ps.image.changes import Part
from a4ps.image.codec import Opaque, Placeholder, decode_slot, encode_slot
from a4ps.image.codex import Codex
from a4ps.image.content import Content, Slot
from a4ps.image.methods import Method
from a4ps.image.treatments import barred_author
from a4ps.sought import BAR, Sought

_BAR_BYTES = BAR.encode()


def barred_slot(data: bytes, sought: Sought) -> bytes:
    """The bytes of a slot without what is sought; of one that cannot be looked into, a bar in its place."""
    if not sought.in_bytes(data):
        return data
    try:
        value = decode_slot(data, "state")
        if not isinstance(value, Opaque | Placeholder):
            barred = encode_slot(sought.barred_value(value), "state")
            if not sought.in_bytes(barred):
                return barred
    except (IntegrityError, Unstorable, RecursionError, TypeError):
        pass
    return encode_slot(BAR, "state")


def barred_record(payload: bytes, sought: Sought) -> bytes:
    """A row's payload, which was verified, without what is sought."""
    fields = _unpacked(payload)
    fields["author"] = barred_author(fields["author"], sought)
    for name in ("parents", "reason", "evidence"):
        if name in fields:
            fields[name] = sought.barred_value(fields[name])
    if "codex" in fields:
        fields["codex"] = _barred_codex(fields["codex"], sought)
    if "methods" in fields:
        fields["methods"] = {
            sought.barred(name): method and _barred_method(method, sought) for name, method in fields["methods"].items()
        }
    if "slots" in fields:
        fields["slots"] = {
            sought.barred(name): data and barred_slot(data, sought) for name, data in fields["slots"].items()
        }
    return msgpack.packb(fields, unicode_errors="surrogatepass")  # type: ignore[no-any-return]


def barred_content(content: Content, sought: Sought) -> Content:
    """A version without what is sought; `content` itself where it holds nothing of it."""
    if not any(True for _ in holding_parts(content, sought)):
        return content
    methods = {}
    for method in content.methods.values():
        source, author, reads, writes, reason = _barred_method(method.parts(), sought)
        name = sought.barred(method.name)
        methods[name] = Method(name, source, author, tuple(reads), tuple(writes), reason)
    slots = {sought.barred(name): Slot(barred_slot(slot.data, sought)) for name, slot in content.slots.items()}
    codex = Codex.from_mapping(_barred_codex(content.codex.to_mapping(), sought))
    return Content(codex, content.parents, methods, slots)


def holding_parts(content: Content, sought: Sought) -> Iterator[Part]:
    """The parts of a version that hold what is sought."""
    if _in_value(list(content.codex.to_mapping().values()), sought):
        yield "codex", ""
    for method in content.methods.values():
        if sought.in_text(method.name) or _in_method(method.parts(), sought):
            yield "method", method.name
    for name, slot in content.slots.items():
        if sought.in_text(name) or sought.in_bytes(slot.data):
            yield "slot", name


def parts_of_record(payload: bytes, sought: Sought) -> Iterator[Part]:
    """The parts that hold what is sought in a row, which was verified; ("change", "") is the change's own words."""
    fields = _unpacked(payload)
    by_name = barred_author(fields["author"], sought) != fields["author"]
    if by_name or any(_in_value(fields.get(name), sought) for name in ("parents", "reason", "evidence")):
        yield "change", ""
    if "codex" in fields and _in_value(list(fields["codex"].values()), sought):
        yield "codex", ""
    for name, method in fields.get("methods", {}).items():
        if sought.in_text(name) or (method and _in_method(method, sought)):
            yield "method", name
    for name, data in fields.get("slots", {}).items():
        if sought.in_text(name) or (data and sought.in_bytes(data)):
            yield "slot", name


def is_barred(part: object) -> bool:
    """Whether a part of a version was forgotten, or something in it."""
    if isinstance(part, Slot):
        return _BAR_BYTES in part.data
    if isinstance(part, Method):
        return BAR in part.source
    return isinstance(part, Codex) and BAR in json.dumps(part.to_mapping(), ensure_ascii=False)


def _unpacked(payload: bytes) -> dict[str, Any]:
    return msgpack.unpackb(payload, unicode_errors="surrogatepass", strict_map_key=False)  # type: ignore[no-any-return]


def _barred_codex(codex: Mapping[str, Any], sought: Sought) -> dict[str, Any]:
    return {name: sought.barred_value(value) for name, value in codex.items()}


def _barred_method(parts: Sequence[Any], sought: Sought) -> list[Any]:
    source, author, reads, writes, reason = parts
    rest = (sought.barred_value(list(each)) for each in (reads, writes))
    return [sought.barred(source), barred_author(author, sought), *rest, sought.barred(reason)]


def _in_method(parts: Sequence[Any], sought: Sought) -> bool:
    return _barred_method(parts, sought) != [list(each) if isinstance(each, tuple) else each for each in parts]


def _in_value(value: object, sought: Sought) -> bool:
    if isinstance(value, str):
        return sought.in_text(value)
    if isinstance(value, Mapping):
        return any(_in_value(each, sought) for each in (*value.keys(), *value.values()))
    return isinstance(value, list | tuple) and any(_in_value(each, sought) for each in value)
