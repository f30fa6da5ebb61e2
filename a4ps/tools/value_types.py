"""The types that a tool's signature may name, and what they mean: which values fit, which are equal, how JSON says them.

    None  bool  int  float  str  bytes  date  datetime  time  timedelta  Decimal  UUID  Any
    list[T]  set[T]  dict[K, T]  tuple[T, U]  tuple[T, ...]  T | U

Those of state that a person, ALFRED and a plan can write down; arrays and records are for methods. What JSON has no kind
for is a text: bytes in UTF-8, or as "hex:00ff"; dates and times in ISO 8601; a timedelta is a number of seconds.

Read from the text of an annotation, never evaluated. Pure.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from a4ps.errors import ToolRefused

_PLAIN: Mapping[str, tuple[type, ...]] = {
    "None": (type(None),),
    "bool": (bool,),
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bytes": (bytes,),
    "date": (date,),
    "datetime": (datetime,),
    "time": (time,),
    "timedelta": (timedelta,),
    "Decimal": (Decimal,),
    "UUID": (UUID,),
}
_MODULES = {"datetime": ("date", "datetime", "time", "timedelta"), "decimal": ("Decimal",), "uuid": ("UUID",)}
PLAIN_TYPES = frozenset(kind for kinds in _PLAIN.values() for kind in kinds)
_ALIASES = {"List": "list", "Dict": "dict", "Set": "set", "Tuple": "tuple", "Optional": "Optional", "Union": "Union"}
_HOLDERS = ("list", "set", "dict", "tuple", "Optional", "Union")

#: How deep an annotation may nest.
DEPTH_MAX = 6

#: Numbers are equal when they agree to this: what two right ways of computing a float may differ by.
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class ValueType:
    """`head` is a plain name, "Any", "list", "set", "dict", "tuple", "tuple..." or "|"; `inner` are its parts."""

    head: str
    inner: tuple[ValueType, ...] = ()

    def __str__(self) -> str:
        parts = [str(part) for part in self.inner]
        if self.head == "|":
            return " | ".join(parts)
        if self.head == "tuple...":
            return f"tuple[{parts[0]}, ...]"
        return f"{self.head}[{', '.join(parts)}]" if parts else self.head

    def fits(self, value: object) -> bool:
        """Whether `value` is of this type. A bool is no int, an int is a float."""
        inner = self.inner
        match self.head:
            case "Any":
                return True
            case "|":
                return any(part.fits(value) for part in inner)
            case "list":
                return type(value) is list and all(inner[0].fits(each) for each in value)
            case "set":
                return isinstance(value, set | frozenset) and all(inner[0].fits(each) for each in value)
            case "dict":
                return type(value) is dict and all(inner[0].fits(k) and inner[1].fits(v) for k, v in value.items())
            case "tuple...":
                return type(value) is tuple and all(inner[0].fits(each) for each in value)
            case "tuple":
                return (
                    type(value) is tuple
                    and len(value) == len(inner)
                    and all(part.fits(each) for part, each in zip(inner, value, strict=True))
                )
        return type(value) in _PLAIN[self.head]

    def shaped(self, value: object, *, texts: bool = False) -> object:
        """`value` with the containers that JSON lacks put back: a list where a tuple or set belongs becomes one.

        With `texts`, so are the values that JSON says as texts or numbers; that is for what was typed, or written by a
        model, and not for what a function gave. What does not fit is returned as it is.
        """
        inner = self.inner

        def put(part: ValueType, each: object) -> object:
            return part.shaped(each, texts=texts)

        match self.head:
            case "|" if not any(part.fits(value) for part in inner):
                options = [put(part, value) for part in inner]
                return next((one for part, one in zip(inner, options, strict=True) if part.fits(one)), value)
            case "list" if isinstance(value, list | tuple):
                return [put(inner[0], each) for each in value]
            case "set" if isinstance(value, list | tuple | set | frozenset):
                try:
                    return {put(inner[0], each) for each in value}
                except TypeError:
                    return value
            case "tuple..." if isinstance(value, list | tuple):
                return tuple(put(inner[0], each) for each in value)
            case "tuple" if isinstance(value, list | tuple) and len(value) == len(inner):
                return tuple(put(part, each) for part, each in zip(inner, value, strict=True))
            case "dict" if isinstance(value, dict):
                try:
                    return {_key(inner[0], k, texts=texts): put(inner[1], v) for k, v in value.items()}
                except TypeError:
                    return value
            case head if texts and head in _SAID and type(value) is not bool:
                said, read = _SAID[head]
                if isinstance(value, said):
                    try:
                        return read(value)
                    except (ValueError, InvalidOperation, OverflowError):
                        return value
        return value

    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of a value, for constrained output; tuples and sets are arrays, bytes and dates are texts."""
        inner = self.inner
        match self.head:
            case "Any":
                return {}
            case "|":
                return {"anyOf": [part.json_schema() for part in inner]}
            case "list" | "set" | "tuple...":
                return {"type": "array", "items": inner[0].json_schema()}
            case "tuple":
                size = len(inner)
                return {
                    "type": "array",
                    "prefixItems": [part.json_schema() for part in inner],
                    "minItems": size,
                    "maxItems": size,
                }
            case "dict":
                return {"type": "object", "additionalProperties": inner[1].json_schema()}
        names = {"None": "null", "bool": "boolean", "int": "integer", "float": "number", "timedelta": "number"}
        return {"type": names.get(self.head, "string")}


def parse_type(annotation: str) -> ValueType:
    """The type that a text names. Raises ToolRefused where it is none of those above."""
    return _parsed(_tree(annotation, annotation), annotation, 0)


def same(expected: object, got: object) -> bool:
    """Whether a result is the expected one: equal, of one kind (True is not 1), floats to within `TOLERANCE`."""
    if isinstance(expected, bool) or isinstance(got, bool):
        return expected is got
    if isinstance(expected, int | float) and isinstance(got, int | float):
        if isinstance(expected, float) or isinstance(got, float):
            return _close(expected, got)
        return expected == got
    if isinstance(expected, list | tuple) and isinstance(got, list | tuple):
        return len(expected) == len(got) and all(same(one, other) for one, other in zip(expected, got, strict=True))
    if isinstance(expected, dict) and isinstance(got, dict):
        return expected.keys() == got.keys() and all(same(expected[key], got[key]) for key in expected)
    if isinstance(expected, set | frozenset) and isinstance(got, set | frozenset):
        return expected == got
    return type(expected) is type(got) and expected == got


def is_plain(value: object, depth: int = 0) -> bool:
    """Whether `value` consists of the types above alone."""
    if depth > 40:
        return False
    if isinstance(value, list | tuple | set | frozenset):
        return all(is_plain(each, depth + 1) for each in value)
    if isinstance(value, dict):
        return all(is_plain(k, depth + 1) and is_plain(v, depth + 1) for k, v in value.items())
    return type(value) in PLAIN_TYPES


def _close(one: float, other: float) -> bool:
    try:
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:
        return one == other


def _tree(text: str, whole: str) -> ast.expr:
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _unknown(whole) from None


def _parsed(tree: ast.expr, whole: str, depth: int) -> ValueType:
    if depth > DEPTH_MAX:
        raise _unknown(whole)
    match tree:
        case ast.Constant(value=None):
            return ValueType("None")
        case ast.Constant(value=str() as quoted):
            return _parsed(_tree(quoted, whole), whole, depth + 1)
        case ast.Name(id=name) if name in _PLAIN or name == "Any":
            return ValueType(name)
        case ast.Attribute(value=ast.Name(id=module), attr=name) if name in _MODULES.get(module, ()):
            return ValueType(name)
        case ast.Name(id=name) if (_ALIASES.get(name) or name) in ("list", "set"):
            return ValueType(_ALIASES.get(name) or name, (ValueType("Any"),))
        case ast.Name(id=name) if (_ALIASES.get(name) or name) == "dict":
            return ValueType("dict", (ValueType("Any"), ValueType("Any")))
        case ast.Name(id=name) if (_ALIASES.get(name) or name) == "tuple":
            return ValueType("tuple...", (ValueType("Any"),))
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([_parsed(left, whole, depth + 1), _parsed(right, whole, depth + 1)])
        case ast.Subscript(value=ast.Name(id=name), slice=index) if (_ALIASES.get(name) or name) in _HOLDERS:
            return _held(_ALIASES.get(name) or name, index, whole, depth)
    raise _unknown(whole)


def _held(name: str, index: ast.expr, whole: str, depth: int) -> ValueType:
    given = index.elts if isinstance(index, ast.Tuple) else [index]
    endless = name == "tuple" and len(given) == 2 and isinstance(given[1], ast.Constant) and given[1].value is Ellipsis
    inner = tuple(_parsed(each, whole, depth + 1) for each in (given[:1] if endless else given))
    if endless:
        return ValueType("tuple...", inner)
    if name == "Union":
        return _union(list(inner))
    wanted = {"list": 1, "set": 1, "dict": 2, "Optional": 1}.get(name, len(inner))
    if len(inner) != wanted or not inner:
        raise _unknown(whole)
    return _union([*inner, ValueType("None")]) if name == "Optional" else ValueType(name, inner)


def _union(parts: list[ValueType]) -> ValueType:
    flat = [each for part in parts for each in (part.inner if part.head == "|" else (part,))]
    unique = tuple(dict.fromkeys(flat))
    return unique[0] if len(unique) == 1 else ValueType("|", unique)


def _unknown(annotation: str) -> ToolRefused:
    return ToolRefused(
        f"{annotation.strip()[:60]!r} is no type that a tool can take or give",
        next_step=(
            "take None, bool, int, float, str, bytes, date, datetime, time, timedelta, Decimal, UUID, list[T], set[T], "
            "dict[K, T], tuple[T, ...], T | U, or Any"
        ),
    )


def _key(part: ValueType, key: object, *, texts: bool) -> object:
    """A JSON object's key as the type wants it: JSON has texts only."""
    if part.head in ("int", "float") and isinstance(key, str):
        try:
            return int(key) if part.head == "int" else float(key)
        except ValueError:
            return key
    return part.shaped(key, texts=texts)


def _bytes(text: str) -> bytes:
    return bytes.fromhex(text[4:]) if text.startswith("hex:") else text.encode()


def _decimal(said: object) -> Decimal:
    value = Decimal(str(said))
    if value.is_snan():
        raise ValueError("no number")
    return value


#: Types whose values are typed as texts.
SAID_AS_TEXT = frozenset({"str", "date", "datetime", "time", "Decimal", "UUID"})

#: Type → the JSON kinds that say a value of it, and how they are read.
_SAID: Mapping[str, tuple[tuple[type, ...], Callable[[Any], object]]] = {
    "bytes": ((str,), _bytes),
    "date": ((str,), date.fromisoformat),
    "datetime": ((str,), datetime.fromisoformat),
    "time": ((str,), time.fromisoformat),
    "timedelta": ((int, float), lambda seconds: timedelta(seconds=seconds)),
    "Decimal": ((str, int, float), _decimal),
    "UUID": ((str,), UUID),
}
