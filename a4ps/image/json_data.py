"""JSON data as a value: what a codex's `extra` and a change's evidence may hold, checked before it is written. Pure.

None, bool, int of at most 64 bits, finite float, str, lists (or tuples) and mappings whose keys are texts. Whatever else
MessagePack might take could be written and not be read again, or not be shown as JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from a4ps.errors import CallerError

MAX_NESTED: Final = 100
"""Containers in one another; MessagePack and the exports walk them by recursion."""

_INTEGERS = range(-(2**63), 2**64)


def frozen(value: object, path: str, nested: int = 0) -> object:
    """An unchangeable copy. Raises CallerError, naming the place below `path`, where it is not JSON data."""
    if isinstance(value, Mapping):
        _need(nested < MAX_NESTED, path)
        for key in value:
            _need(isinstance(key, str), f"{path}.{key!r:.60}")
        return MappingProxyType({key: frozen(item, f"{path}.{key}", nested + 1) for key, item in value.items()})
    if isinstance(value, list | tuple):
        _need(nested < MAX_NESTED, path)
        return tuple(frozen(item, path, nested + 1) for item in value)
    if isinstance(value, float):
        _need(math.isfinite(value), path)
    elif isinstance(value, int):
        _need(value in _INTEGERS, path)
    else:
        _need(value is None or isinstance(value, str), path)
    return value


def thawed(value: object) -> object:
    """A copy of JSON data that may be changed: dicts and lists."""
    if isinstance(value, Mapping):
        return {key: thawed(item) for key, item in value.items()}
    return [thawed(item) for item in value] if isinstance(value, list | tuple) else value


def canonical(value: object) -> str:
    """One spelling of JSON data, the same only where types are too: 1, 1.0 and True differ, as they do on the disk."""
    return json.dumps(thawed(value), sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def _need(holds: bool, path: str) -> None:
    if not holds:
        raise CallerError(
            f"{path} is not JSON data",
            next_step=f"give texts, numbers, lists and dicts with texts as keys, at most {MAX_NESTED} in one another",
        )
