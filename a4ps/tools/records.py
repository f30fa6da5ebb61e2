"""Registered records on their way into a sandbox and back: there they are `wire_kinds.Record`, as no class of ours is there.

On the way back a record is made anew by its class's own constructor, so that what its `__post_init__` refuses does not
come in; only names that were registered here count.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from a4ps.errors import CallerError
from a4ps.image import plain
from a4ps.sandbox.wire import DEPTH_MAX
from a4ps.sandbox.wire_kinds import Record, name_and_fields


def sendable(value: object) -> object:
    """`value` with each registered record in it as a Record; what the wire does not carry stays as it is."""
    return _mapped(value, _taken_apart, 0)


def received(value: object) -> object:
    """The inverse, for what came out of a sandbox. Raises CallerError for a record that cannot be made here."""
    return _mapped(value, _put_together, 0)


def _taken_apart(value: object, depth: int) -> object:
    schema = None if type(value) is plain.Stranger else plain.schema_of(value)
    if schema is None:
        return value
    fields = zip(schema.fields, schema.values(value), strict=True)
    return Record(schema.name, {name: _mapped(each, _taken_apart, depth + 1) for name, each in fields})


def _put_together(value: object, depth: int) -> object:
    if type(value) is not Record:
        return value
    name, fields = name_and_fields(value)
    fields = {field: _mapped(each, _put_together, depth + 1) for field, each in fields.items()}
    try:
        return plain.record_of(name, fields)
    except Exception as error:  # the class is somebody else's, and so are the values
        raise CallerError(
            f"{name[:80]} cannot be made: {error}", next_step="give its fields as its class wants them"
        ) from error


def _mapped(value: Any, each: Callable[[object, int], object], depth: int) -> object:
    kind = type(value)
    if kind in plain.ATOMS or depth > DEPTH_MAX:
        return value
    if kind in (list, tuple, set, frozenset):
        return kind(_mapped(item, each, depth + 1) for item in value)
    if kind is dict:
        return {_mapped(key, each, depth + 1): _mapped(item, each, depth + 1) for key, item in value.items()}
    return each(value, depth)
