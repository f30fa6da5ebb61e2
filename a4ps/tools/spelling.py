"""Plain values as text that reads back as themselves: Python's own spelling, which a person can read too.

What Python cannot read back so (an infinity, a date, a number of endless digits) is typed JSON behind "json:".
"""

from __future__ import annotations

import ast
import json
from typing import Any

from a4ps.errors import ToolRefused
from a4ps.image.plain import Lacking, Refused
from a4ps.image.typed_json import TooDeep, from_json, to_json

#: Longest spelling of one value: a file's content, every byte of it escaped, fits.
SPELT_MAX = 20_000_000

_JSON = "json:"


def spelt(value: object) -> str:
    """Raises ToolRefused where a value cannot be written down, or is too long."""
    text = _literal(value)
    try:
        text = text or _JSON + json.dumps(to_json(value))
    except (TooDeep, Refused, ValueError, RecursionError) as error:
        raise ToolRefused(
            f"a {type(value).__name__} among the arguments cannot be written down exactly",
            next_step="pass it as a text",
        ) from error
    if len(text) > SPELT_MAX:
        raise ToolRefused(f"an argument of {len(text)} characters is too long", next_step="pass less")
    return text


def read_spelt(text: str) -> Any:
    """The inverse of `spelt`. Raises ToolRefused for anything else."""
    try:
        if text.startswith(_JSON):
            return from_json(json.loads(text.removeprefix(_JSON)))
        return ast.literal_eval(text)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError, Lacking) as error:
        raise ToolRefused(f"{text[:60]!r} is no plain value", next_step="write it as in Python") from error


def _literal(value: object) -> str:
    """Python's spelling where it reads back as an equal value of the same kinds, else ""."""
    try:
        text = repr(value)
        return text if repr(ast.literal_eval(text)) == text else ""
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return ""
