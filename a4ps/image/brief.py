"""A value as a short text, for people: bounded, and without running the code of any object.

What a value of an unknown class would say of itself only its own code knows; such a one is shown by its class.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from types import BuiltinFunctionType, FunctionType
from typing import Any, Final

from a4ps.image.codec import Opaque, Placeholder
from a4ps.image.draft_state import DraftState
from a4ps.image.plain import is_array
from a4ps.image.readonly import ReadOnlyDict, ReadOnlyList, ReadOnlySet
from a4ps.log_file import without_secrets

BRIEF_CHARS: Final = 200
_DEPTH_MAX: Final = 6
_MORE: Final = "…"
_VALUE_MODULES: Final = frozenset({"datetime", "decimal", "uuid", "zoneinfo"})
_ATOMS: Final = (type(None), bool, int, float, complex, range)
_MAPPINGS: Final = (ReadOnlyDict, DraftState)


class _Full(Exception):
    """There is room for nothing more."""


class _Written:
    """A text in the making, of at most `limit` characters."""

    def __init__(self, limit: int) -> None:
        self.parts: list[str] = []
        self.room = limit

    def put(self, text: str) -> None:
        self.parts.append(text[: self.room])
        if len(text) > self.room:
            self.parts.append(_MORE)
            raise _Full
        self.room -= len(text)


def brief(value: object, limit: int = BRIEF_CHARS) -> str:
    """`value` much as Python writes it, in `limit` characters and a mark where that is not all."""
    written = _Written(limit)
    with suppress(_Full):
        _write(value, written, 0)
    return "".join(written.parts)


def brief_locals(found: Mapping[str, object], most: int = 30) -> dict[str, str]:
    """The names of a frame with their values as short texts; what is a secret by its name or shape is not shown."""
    shown: dict[str, str] = {}
    for name, value in found.items():
        if name.startswith("__"):
            continue
        if len(shown) == most:
            break
        shown[name] = "[secret]" if _is_secret(name) else without_secrets(brief(value))
    return shown


def kind_of(value: object) -> str:
    """The name of a value's type; that of what a read-only view shows."""
    for view, name in ((ReadOnlyDict, "dict"), (ReadOnlyList, "list"), (ReadOnlySet, "set")):
        if isinstance(value, view):
            return name
    return "None" if value is None else type(value).__name__


def fields_of(record: Any) -> list[tuple[str, object]]:
    """A dataclass instance's fields as they are kept; one that was not made whole lacks some."""
    found = []
    for field in dataclasses.fields(record):
        with suppress(AttributeError):
            found.append((field.name, object.__getattribute__(record, field.name)))
    return found


def _is_secret(name: str) -> bool:
    low = name.lower()
    return any(word in low for word in ("password", "passwd", "secret", "token", "api_key", "apikey", "credential"))


def _write(value: Any, written: _Written, depth: int) -> None:
    kind = type(value)  # not isinstance: that asks an object for its __class__
    if kind in (str, bytes, bytearray):
        written.put(repr(value[: written.room + 1]))
    elif kind is dict or issubclass(kind, _MAPPINGS):
        _write_items("{", value.items(), "}", written, depth, _write_pair)
    elif kind is list or issubclass(kind, ReadOnlyList):
        _write_items("[", value, "]", written, depth, _write)
    elif kind is tuple:
        _write_items("(", value, ",)" if len(value) == 1 else ")", written, depth, _write)
    elif kind in (set, frozenset) or issubclass(kind, ReadOnlySet):
        _write_items("{", value, "}", written, depth, _write)
    elif kind is Placeholder:
        written.put(f"<cannot be read here: {value.why}>")
    elif kind is Opaque:
        written.put(f"<opaque {type(value.value).__qualname__}>")
    elif dataclasses.is_dataclass(kind):
        _write_items(f"{kind.__name__}(", fields_of(value), ")", written, depth, _write_field)
    else:
        written.put(_named(value, kind))


def _write_items(
    opening: str,
    items: Iterable[Any],
    closing: str,
    written: _Written,
    depth: int,
    write: Callable[[Any, _Written, int], None],
) -> None:
    written.put(opening)
    if depth == _DEPTH_MAX:
        written.put(_MORE)
    else:
        for at, item in enumerate(items):
            if at:
                written.put(", ")
            write(item, written, depth + 1)
    written.put(closing)


def _write_pair(pair: tuple[object, object], written: _Written, depth: int) -> None:
    _write(pair[0], written, depth)
    written.put(": ")
    _write(pair[1], written, depth)


def _write_field(pair: tuple[str, object], written: _Written, depth: int) -> None:
    written.put(f"{pair[0]}=")
    _write(pair[1], written, depth)


def _named(value: Any, kind: type) -> str:
    """What has no parts to be walked through. Only what is written by Python's own code, or ours, is asked for its text."""
    if kind in _ATOMS or kind.__module__ in _VALUE_MODULES or kind.__module__.startswith("a4ps.image."):
        try:
            return repr(value)
        except Exception as error:  # noqa: BLE001 - a number of too many digits, a Proto that is gone
            return f"<{kind.__name__} that cannot be written out: {type(error).__name__}>"
    if kind in (type, FunctionType, BuiltinFunctionType):
        return f"<{kind.__name__} {value.__qualname__}>"
    if is_array(value):
        return f"<array of {value.dtype} {value.shape}>"
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"<{module}{kind.__qualname__}>"
