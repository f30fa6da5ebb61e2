"""Views of committed values that can be read like the values and written nowhere, at any depth.

Each view wraps one container and makes views of what is taken out of it, so showing a large slot costs nothing until
it is walked. Writing raises NotInTransaction with the place of the value. `copy.deepcopy` gives a plain copy that may be
changed.

Limits: this is a guard against mistakes, not against intent. A numpy array is marked unwritable and raises numpy's own
ValueError. A value of an unknown class (an opaque slot) is not wrapped: `a4ps.image.content` hands out a copy of it.
"""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, NoReturn

from a4ps.errors import NotInTransaction
from a4ps.image import plain

_VALUE_MODULES = frozenset({"datetime", "decimal", "uuid", "zoneinfo"})
_LEAVES = (str, int, float, bool, bytes, complex, type(None), frozenset, range)


class Path:
    """The place of a value, spelt out only when an error needs it."""

    __slots__ = ("_key", "_parent")

    def __init__(self, parent: Path | str, key: object = None) -> None:
        self._parent = parent
        self._key = key

    def __str__(self) -> str:
        keys: list[str] = []
        place: Path | str = self
        while isinstance(place, Path):
            if place._key is not None:
                keys.append(_spelt(place._key))
            place = place._parent
        return place + "".join(reversed(keys))

    def item(self, key: object) -> Path:
        return Path(self, key)

    def attribute(self, name: str) -> Path:
        return Path(self, _Attribute(name))


@dataclasses.dataclass(frozen=True, slots=True)
class _Attribute:
    name: str


def _spelt(key: object) -> str:
    if isinstance(key, _Attribute):
        return f".{key.name}"
    return f"[{json.dumps(key, ensure_ascii=False) if type(key) is str else repr(key)}]"


def readonly(value: object, path: Path) -> Any:
    """`value` as it may be shown: leaves as they are, containers as views, arrays unwritable."""
    if isinstance(value, _LEAVES):
        return value
    view = _VIEWS.get(type(value))
    if view is not None:
        return view(value, path)
    if _immutable(value):
        return value
    if isinstance(value, tuple):
        items = [readonly(item, path.item(at)) for at, item in enumerate(value)]
        return tuple(items) if type(value) is tuple else tuple.__new__(type(value), items)
    if isinstance(value, bytearray):
        return bytes(value)
    for kind, base in ((dict, ReadOnlyDict), (list, ReadOnlyList), (set, ReadOnlySet)):
        if isinstance(value, kind):
            return base(value, path)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _readonly_record(value, path)
    set_flags = getattr(value, "setflags", None)
    if set_flags is not None:
        set_flags(write=False)
    return value


def holds_view(value: object) -> bool:
    """Whether a read-only view is, or lies somewhere in, a plain value."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, _View):
            return True
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, dict):
            waiting.extend(each.values())
        elif isinstance(each, list | tuple):
            waiting.extend(each)
        elif dataclasses.is_dataclass(each) and not isinstance(each, type):
            waiting.extend(getattr(each, field.name, None) for field in dataclasses.fields(each))
    return False


def owned(value: Any) -> Any:
    """What `readonly` has shown, as a plain copy that may be changed; any other value as it is."""
    if isinstance(value, dict | list):
        return value  # a holder's own: only what was put into it may be of a version
    flags = getattr(value, "flags", None)
    if not getattr(flags, "writeable", True):
        return copy.deepcopy(value)
    return copy.deepcopy(value) if holds_view(value) else value


def _immutable(value: object) -> bool:
    """Whether there is nothing in `value` that could be written, so that it needs no views."""
    # A stack of our own: records may be chained by the thousand.
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, tuple):
            waiting.extend(each)
        elif dataclasses.is_dataclass(each) and not isinstance(each, type):
            waiting.extend(getattr(each, field.name) for field in dataclasses.fields(each))
        elif not isinstance(each, _LEAVES) and type(each).__module__ not in _VALUE_MODULES:
            return False
    return True


def _readonly_record(value: Any, path: Path) -> object:
    fields = dataclasses.fields(value)
    shown = {field.name: readonly(getattr(value, field.name), path.attribute(field.name)) for field in fields}
    if all(shown[field.name] is getattr(value, field.name) for field in fields):
        return value
    record = object.__new__(type(value))
    for name, item in shown.items():
        object.__setattr__(record, name, item)
    return record


def _refused(*names: str) -> Callable[[type], type]:
    """Class decorator: each of these methods raises NotInTransaction."""

    def refuse(self: Any, *_args: object, **_kwargs: object) -> NoReturn:
        raise NotInTransaction(str(self._path))

    def refuse_item(self: Any, key: object, *_args: object) -> NoReturn:
        raise NotInTransaction(str(self._path.item(key)))

    def decorate(cls: type) -> type:
        for name in names:
            setattr(cls, name, refuse_item if name in ("__setitem__", "__delitem__") else refuse)
        return cls

    return decorate


class _View:
    __slots__ = ("_path", "_value")

    _value: Any

    def __init__(self, value: object, path: Path) -> None:
        self._value = value
        self._path = path

    def __len__(self) -> int:
        return len(self._value)

    def __contains__(self, item: object) -> bool:
        return item in self._value

    def __repr__(self) -> str:
        return repr(self._value)

    def __eq__(self, other: object) -> bool:
        return bool(self._value == (other._value if isinstance(other, _View) else other))

    __hash__ = None  # type: ignore[assignment]

    def __copy__(self) -> object:
        return copy.copy(self._value)

    def __deepcopy__(self, memo: dict[int, object]) -> object:
        try:
            return copy.deepcopy(self._value, memo)
        except RecursionError:
            return plain.loads(plain.dumps(self._value), 0)

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self._path} is a read-only view; pickle a copy: copy.deepcopy(...)")


@_refused("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update")
class ReadOnlyDict(_View, Mapping[Any, Any]):
    """A dict that cannot be written."""

    __slots__ = ()

    def __getitem__(self, key: Any) -> Any:
        return readonly(self._value[key], self._path.item(key))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return {**copy.deepcopy(self._value), **other}


@_refused(
    "__setitem__",
    "__delitem__",
    "__iadd__",
    "__imul__",
    "append",
    "clear",
    "extend",
    "insert",
    "pop",
    "remove",
    "reverse",
    "sort",
)
class ReadOnlyList(_View, Sequence[Any]):
    """A list that cannot be written."""

    __slots__ = ()

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return [readonly(self._value[each], self._path.item(each)) for each in range(*at.indices(len(self)))]
        return readonly(self._value[at], self._path.item(at))

    def __add__(self, other: Sequence[Any]) -> list[Any]:
        return [*copy.deepcopy(self._value), *other]


@_refused(
    "__iand__",
    "__ior__",
    "__isub__",
    "__ixor__",
    "add",
    "clear",
    "difference_update",
    "discard",
    "intersection_update",
    "pop",
    "remove",
    "symmetric_difference_update",
    "update",
)
class ReadOnlySet(_View, Set[Any]):
    """A set that cannot be written. Its elements are hashable, so there is nothing in them to write."""

    __slots__ = ()

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)

    @classmethod
    def _from_iterable(cls, items: Any) -> Any:
        return set(items)


_VIEWS: dict[type, Callable[[Any, Path], _View]] = {dict: ReadOnlyDict, list: ReadOnlyList, set: ReadOnlySet}
