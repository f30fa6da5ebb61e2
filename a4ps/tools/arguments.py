"""A tool's arguments as a person types them, and its values for people and as JSON. Pure: what files hold is given."""

from __future__ import annotations

import ast
import base64
import json
import math
from collections.abc import Mapping, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID

from a4ps.errors import UsageError
from a4ps.tools.specification import Parameter, Specification
from a4ps.tools.value_types import SAID_AS_TEXT

#: Python writes numbers of up to 4,300 digits in tens.
INT_BITS = 14_000

#: The name of a file as it was typed → what it holds, or what is wrong with it ("cannot be read: ...").
Files: TypeAlias = Mapping[str, bytes | str]


def read_arguments(
    given: Sequence[str], specification: Specification, files: Files
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by place and by name ("text=..."). Raises UsageError for a file that cannot be read.

    For a parameter of type str, and for dates and the like, the text itself; else a Python or JSON value. "@FILE" is a
    file's content, "@@x" is "@x".
    """
    by_name = {parameter.name: parameter for parameter in specification.parameters}
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if equals and name in by_name:
            kwargs[name] = _value(value, by_name[name], files)
        else:
            place = len(args)
            parameter = specification.parameters[place] if place < len(specification.parameters) else None
            args.append(_value(text, parameter, files))
    return args, kwargs


def read_value(text: str, files: Files) -> str | bytes:
    """A text as it is, or with "@FILE" that file's bytes; "@@x" is "@x". Raises UsageError."""
    if text.startswith("@@"):
        return text[1:]
    return _file(text[1:], files) if text.startswith("@") else text


def as_json(value: Any) -> Any:
    """A tool's value for `--json`: tuples and sets as lists, bytes in base64; as texts dates, odd floats, odd keys and
    numbers too long to be written in tens.
    """
    match value:
        case date() | time():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case Decimal() | UUID():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case float() if not math.isfinite(value):
            return str(value)
        case int() if value.bit_length() > INT_BITS:
            return hex(value)
        case list() | tuple():
            return [as_json(each) for each in value]
        case set() | frozenset():
            return sorted((as_json(each) for each in value), key=repr)
        case dict():
            return {_key(key): as_json(each) for key, each in value.items()}
    return value


def spelt(value: Any) -> str:
    """A value as Python spells it; numbers that Python refuses to write in tens, in sixteens."""
    try:
        return repr(value)
    except ValueError:
        return repr(as_json(value))


def shown(value: Any) -> str:
    """A result for a person: a text as it is, anything else as Python spells it."""
    return value if isinstance(value, str) else spelt(value)


def _key(key: Any) -> str:
    said = as_json(key)
    return said if isinstance(said, str) else repr(key)


def _value(text: str, parameter: Parameter | None, files: Files) -> Any:
    wants_text = parameter is not None and parameter.type.head in SAID_AS_TEXT
    if text.startswith("@@"):
        text = text[1:]
    elif text.startswith("@"):
        content = _file(text[1:], files)
        if parameter is not None and parameter.type.fits(b""):
            return content
        text = _decoded(content, text[1:])
        if parameter is None or parameter.type.fits(""):
            return text
    if wants_text:
        return text
    for read in (ast.literal_eval, json.loads):
        try:
            return read(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _file(name: str, files: Files) -> bytes:
    content = files.get(name, "was not sent along")
    if isinstance(content, str):
        raise UsageError(f"{name} {content}", next_step="for a text that begins with @ write @@")
    return content


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is not UTF-8 text", next_step="convert it, for example with iconv") from error
