"""Plain data as JSON that a person can read and that reads back as the same values.

JSON types stand for themselves. Anything else is an object with one name that begins with `$` ($tuple, $datetime,
$record …); a dict whose keys are not texts, or begin with `$`, is a $dict of pairs. A container that is met twice gets
an "$id" where it is first written, and is a "$ref" from then on, so aliases and cycles are kept; a cycle through a
tuple comes back one tuple longer. Sets are ordered by their members' text, so equal values give equal text.

Values nested deeper than MAX_DEPTH are refused (`TooDeep`): a JSON parser is recursive.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from a4ps.image import plain

MAX_DEPTH: Final = 60
_WIDE_BITS = 63


class TooDeep(Exception):
    """The value is nested deeper than MAX_DEPTH."""


def to_json(value: object) -> object:
    """JSON data for a value that `codec.decode_slot` returned. Raises TooDeep, and plain.Refused for other values."""
    return _json_of(value, {})


def from_json(node: object) -> object:
    """The value of such JSON data; a record that is not registered becomes a plain.Stranger.

    Raises ValueError, KeyError or TypeError where `to_json` did not write it, and plain.Lacking.
    """
    return _Reader().value(node)


def _json_of(value: object, texts: dict[int, str]) -> object:
    writer = _Writer(texts)
    writer.survey(value, 0)
    return writer.node(value)


class _Writer:
    """`texts` are those of members of sets, by id: without them, sets in sets would be written over and over."""

    def __init__(self, texts: dict[int, str]) -> None:
        self._texts = texts
        self._seen: set[int] = set()
        self._open: set[int] = set()
        self._shared: set[int] = set()
        self._numbers: dict[int, int] = {}

    def survey(self, value: object, depth: int) -> None:
        """Find the containers that are met more than once.

        A tuple that is met inside itself is not: it cannot be referred to before it is made. The cycle goes through
        something that can.
        """
        if not _is_container(value):
            return
        if depth > MAX_DEPTH:
            raise TooDeep
        marker = id(value)
        reopened = marker in self._open
        if marker in self._seen and not (reopened and _is_made_last(value)):
            self._shared.add(marker)
            return
        self._seen.add(marker)
        self._open.add(marker)
        for part in _parts(value):
            self.survey(part, depth + 1)
        if not reopened:
            self._open.discard(marker)

    def node(self, value: object) -> object:
        marker = id(value)
        if not _is_container(value):
            return _leaf(value)
        if marker in self._numbers:
            return {"$ref": self._numbers[marker]}
        if marker not in self._shared or marker in self._open:
            return self._container(value, numbered=False)
        if not _is_made_last(value):
            number = self._numbers[marker] = len(self._numbers)
            return {"$id": number, **self._container(value, numbered=True)}
        self._open.add(marker)
        content = self._container(value, numbered=True)
        number = self._numbers[marker] = len(self._numbers)
        return {"$id": number, **content}

    def _container(self, value: Any, *, numbered: bool) -> Any:
        kind = type(value)
        if kind is list:
            items = [self.node(item) for item in value]
            return {"$list": items} if numbered else items
        if kind is dict:
            if not numbered and all(type(key) is str and not key.startswith("$") for key in value):
                return {key: self.node(item) for key, item in value.items()}
            return {"$dict": [[self.node(key), self.node(item)] for key, item in value.items()]}
        if kind is tuple:
            return {"$tuple": [self.node(item) for item in value]}
        if kind is set or kind is frozenset:
            return {f"${kind.__name__}": [self.node(member) for member in sorted(value, key=self._text)]}
        if kind is bytearray:
            return {"$bytearray": _base64(value)}
        schema = plain.schema_of(value)
        if schema is not None:
            fields = zip(schema.fields, schema.values(value), strict=True)
            return {"$record": schema.name, "fields": {field: self.node(item) for field, item in fields}}
        descriptor, shape, order, content = plain.array_parts(value)
        return {"$array": _base64(content), "dtype": to_json(descriptor), "shape": list(shape), "order": order}

    def _text(self, member: object) -> str:
        text = self._texts.get(id(member))
        if text is None:
            text = self._texts[id(member)] = json.dumps(_json_of(member, self._texts))
        return text


class _Reader:
    def __init__(self) -> None:
        self._numbered: dict[int, object] = {}

    def value(self, node: object) -> object:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        tag = next((key for key in node if key.startswith("$") and key != "$id"), "")
        if not tag:
            return {key: self.value(item) for key, item in node.items()}
        if tag == "$ref":
            return self._numbered[node["$ref"]]
        if tag in _MADE_FIRST:
            return self._made_first(tag, node)
        made = self._made_last(tag, node)
        self._keep(node, made)
        return made

    def _made_first(self, tag: str, node: dict[str, Any]) -> object:
        """What exists before its content, so that this may refer to it."""
        content = node[tag]
        if tag == "$list":
            items: list[object] = []
            self._keep(node, items)
            items.extend(self.value(item) for item in content)
            return items
        if tag == "$dict":
            pairs: dict[object, object] = {}
            self._keep(node, pairs)
            for key, item in content:
                made = self.value(key)
                pairs[made] = self.value(item)
            return pairs
        if tag == "$set":
            members: set[object] = set()
            self._keep(node, members)
            members.update(self.value(item) for item in content)
            return members
        fields: dict[str, object] = node["fields"]
        record, fill = plain.blank_record(str(content), tuple(map(str, fields)))
        self._keep(node, record)
        fill(tuple(self.value(item) for item in fields.values()))
        return record

    def _made_last(self, tag: str, node: dict[str, Any]) -> object:
        content = node[tag]
        if tag == "$tuple":
            return tuple([self.value(item) for item in content])
        if tag == "$frozenset":
            return frozenset([self.value(item) for item in content])
        if tag == "$array":
            return plain.make_array(from_json(node["dtype"]), tuple(node["shape"]), node["order"], _bytes(content))
        if tag in ("$datetime", "$time"):
            kind = datetime if tag == "$datetime" else time
            zone = self.value(node["tz"]) if "tz" in node else None
            if not isinstance(zone, tzinfo | None):
                raise TypeError("tz is not a time zone")
            return kind.fromisoformat(content).replace(tzinfo=zone, fold=node.get("fold", 0))
        if tag == "$timezone":
            return (
                UTC if content == "UTC" else timezone(timedelta(*content), *([node["name"]] if "name" in node else []))
            )
        return _LEAVES[tag](content)

    def _keep(self, node: dict[str, Any], made: object) -> None:
        if "$id" in node:
            self._numbered[node["$id"]] = made


_MADE_FIRST: Final = frozenset(("$list", "$dict", "$set", "$record"))
_LEAVES: Final[dict[str, Callable[[Any], object]]] = {
    "$bytes": lambda content: _bytes(content),
    "$bytearray": lambda content: bytearray(_bytes(content)),
    "$int": lambda content: int(content, 16),
    "$float": float,
    "$complex": lambda content: complex(*map(float, content)),
    "$date": date.fromisoformat,
    "$timedelta": lambda content: timedelta(*content),
    "$zone": plain.make_zone,
    "$decimal": Decimal,
    "$uuid": UUID,
}


def _leaf(value: Any) -> object:
    """What holds nothing that could be shared."""
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if value.bit_length() <= _WIDE_BITS else {"$int": hex(value)}
    if kind is float:
        return value if math.isfinite(value) else {"$float": repr(value)}
    if kind is complex:
        return {"$complex": [repr(value.real), repr(value.imag)]}
    if kind is bytes:
        return {"$bytes": _base64(value)}
    if kind is datetime or kind is time:
        leaf: dict[str, object] = {f"${kind.__name__}": value.replace(tzinfo=None, fold=0).isoformat()}
        if value.fold:
            leaf["fold"] = 1
        if value.tzinfo is not None:
            leaf["tz"] = _leaf(value.tzinfo)
        return leaf
    if kind is timezone:
        return _timezone(value)
    if kind is timedelta:
        return {"$timedelta": [value.days, value.seconds, value.microseconds]}
    if kind is ZoneInfo:
        return {"$zone": value.key}
    if kind is date:
        return {"$date": value.isoformat()}
    if kind is Decimal or kind is UUID:
        return {f"${kind.__name__.lower()}": str(value)}
    if kind is tuple or kind is frozenset:
        return {f"${kind.__name__}": []}
    raise plain.Refused(value)


def _timezone(zone: timezone) -> dict[str, object]:
    if zone is UTC:
        return {"$timezone": "UTC"}
    offset, *name = zone.__getinitargs__()  # type: ignore[attr-defined]
    leaf: dict[str, object] = {"$timezone": [offset.days, offset.seconds, offset.microseconds]}
    return {**leaf, "name": name[0]} if name else leaf


def _is_container(value: object) -> bool:
    kind = type(value)
    if kind is tuple or kind is frozenset:
        return bool(value)
    return kind in (list, dict, set, bytearray) or plain.schema_of(value) is not None or plain.is_array(value)


def _is_made_last(value: object) -> bool:
    return type(value) in (tuple, frozenset)


def _parts(value: Any) -> Iterable[object]:
    if isinstance(value, dict):
        return (part for pair in value.items() for part in pair)
    schema = plain.schema_of(value)
    if schema is not None:
        return schema.values(value)
    return () if isinstance(value, bytearray) or plain.is_array(value) else value


def _base64(content: bytes | bytearray) -> str:
    return base64.b64encode(content).decode()


def _bytes(content: str) -> bytes:
    return base64.b64decode(content, validate=True)
