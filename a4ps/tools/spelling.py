"""Plain values as text that reads back as themselves: Python's own spelling, which a person can read too."""

from __future__ import annotations

import ast
from typing import Any

from a4ps.errors import ToolRefused

#: Longest spelling of one value: a file's content, every byte of it escaped, fits.
SPELT_MAX = 20_000_000


def spelt(value: object) -> str:
    """Raises ToolRefused where a value has no spelling that reads back: an infinity, a number of endless digits."""
    try:
        text = repr(value)
        if len(text) <= SPELT_MAX and ast.literal_eval(text) == value:
            return text
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        pass
    raise ToolRefused(
        f"a {type(value).__name__} among the arguments cannot be written down exactly",
        next_step="pass it as a text",
    )


def read_spelt(text: str) -> Any:
    """The inverse of `spelt`. Raises ToolRefused for anything else."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ToolRefused(f"{text[:60]!r} is no plain value", next_step="write it as in Python") from error
