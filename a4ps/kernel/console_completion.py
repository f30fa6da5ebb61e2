"""Completion of names, without running anything: attributes are looked up where they are kept, and never asked for.

Not covered: what only a property, a slot or a call would give. After such, nothing is completed.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import (
    BuiltinFunctionType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    ModuleType,
)
from typing import Any, Final

from a4ps.errors import A4PSError
from a4ps.image.codex import Codex
from a4ps.kernel.console_protos import ConsoleImage, ConsoleProto, ConsoleState

COMPLETIONS_MAX: Final = 500

_DOTTED = re.compile(r"(?<![\w.)\]}'\"])((?:[^\W\d]\w*\.)*)((?:[^\W\d]\w*)?)$")
_LOOKED_AT = 1000  # characters; no name that is worth completing is longer
_OWN: Final = (ConsoleProto, ConsoleImage, ConsoleState)
_KNOWN: Final[Mapping[str, type]] = {"codex": Codex, "state": ConsoleState}
_UNKNOWN: Any = object()


@dataclass(frozen=True, slots=True)
class _InstanceOf:
    """An object that is not at hand, but whose class is known."""

    kind: type


def completions(before: str, namespace: Mapping[str, object]) -> list[str]:
    """The names that begin as the one at the end of `before`, sorted, at most COMPLETIONS_MAX."""
    found = _DOTTED.search(before[-_LOOKED_AT:])
    if found is None:
        return []
    path = found[1].split(".")[:-1]
    begun = found[2]
    if path:
        try:
            names = _attributes(path, namespace)
        except A4PSError:  # a Proto that was removed, or cannot be read
            return []
    else:
        # Copied at once: an expression may add names meanwhile.
        names = (*tuple(namespace), *(vars(builtins) if begun else ()), *(keyword.kwlist if begun else ()))
    fitting = {name for name in names if name.startswith(begun) and (begun.startswith("_") or not name.startswith("_"))}
    return sorted(name for name in fitting if name.isidentifier())[:COMPLETIONS_MAX]


def _attributes(path: list[str], namespace: Mapping[str, object]) -> Iterable[str]:
    value: Any = namespace.get(path[0], getattr(builtins, path[0], _UNKNOWN))
    for name in path[1:]:
        value = _attribute(value, name)
        if value is _UNKNOWN:
            break
    return () if value is _UNKNOWN else _names_of(value)


def _attribute(value: Any, name: str) -> Any:
    """What is kept under this name, _UNKNOWN where that would have to be computed."""
    if type(value) is ConsoleProto:
        # Not what is in a slot: it may have to be unpickled.
        return _InstanceOf(_KNOWN[name]) if name in _KNOWN else _UNKNOWN
    if type(value) is _InstanceOf:
        return _UNKNOWN
    found = _stored(value, name)
    kind = type(found)  # not isinstance: that asks an object for its __class__
    if issubclass(kind, staticmethod | classmethod):
        return found.__func__
    if issubclass(kind, type | ModuleType | FunctionType | BuiltinFunctionType | MethodDescriptorType):
        return found
    # Of a descriptor nothing is known before it is asked, and asking is running it.
    return _UNKNOWN if _has(kind, "__get__") else found


def _stored(value: Any, name: str) -> Any:
    """Where Python would find it, but for what a class computes. Not inspect.getattr_static, which asks metaclasses."""
    by_class = _in_lineage(type(value), name)
    if by_class is not _UNKNOWN and (_has(type(by_class), "__set__") or _has(type(by_class), "__delete__")):
        return by_class
    own = _in_lineage(value, name) if issubclass(type(value), type) else _own_dict(value).get(name, _UNKNOWN)
    return by_class if own is _UNKNOWN else own


def _in_lineage(kind: type, name: str) -> Any:
    return next((held[name] for each in _lineage(kind) if name in (held := _vars_of_class(each))), _UNKNOWN)


def _has(kind: type, name: str) -> bool:
    return _in_lineage(kind, name) is not _UNKNOWN


def _names_of(value: Any) -> set[str]:
    if type(value) in _OWN:
        return set(dir(value))
    if type(value) is _InstanceOf:
        return _of_class(value.kind)
    own = _of_class(value) if issubclass(type(value), type) else set(_texts(_own_dict(value)))
    return own | _of_class(type(value))


def _of_class(kind: type) -> set[str]:
    return {name for each in _lineage(kind) for name in _texts(_vars_of_class(each))}


def _own_dict(value: Any) -> Mapping[str, Any]:
    """An object's own dict; none where its class computes that."""
    if type(_in_lineage(type(value), "__dict__")) not in (GetSetDescriptorType, MemberDescriptorType):
        return {}
    own = object.__getattribute__(value, "__dict__")
    return own if type(own) is dict else {}


def _lineage(kind: type) -> tuple[type, ...]:
    return type.__dict__["__mro__"].__get__(kind)  # type: ignore[no-any-return]


def _vars_of_class(kind: type) -> Mapping[str, object]:
    return type.__dict__["__dict__"].__get__(kind)  # type: ignore[no-any-return]


def _texts(names: Iterable[object]) -> list[str]:
    return [name for name in list(names) if type(name) is str]
