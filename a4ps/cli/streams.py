"""The three standard streams as a program finds them: any may be closed, and output may lack most characters."""

from __future__ import annotations

import codecs
import io
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from a4ps.errors import UsageError


def prepare_output() -> None:
    """Make stdout and stderr writable with any text: characters they lack become "?", and a closed one leads nowhere."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - for good
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def standard_input() -> BinaryIO:
    """Standard input as bytes. Raises `UsageError` where it is closed."""
    if sys.stdin is None:
        raise UsageError("standard input is closed", next_step='give the question as text: a4ps ask "..."')
    return sys.stdin.buffer


def is_typed() -> bool:
    """Whether standard input is a person's keyboard, and no pipe or file, which may bring anybody's words."""
    return sys.stdin is not None and sys.stdin.isatty()


def somebody_is_there() -> bool:
    """Whether a person can be asked: both ends are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def json_line(value: Mapping[str, Any]) -> str:
    """`value` as JSON in one line; escaped where stdout is not UTF-8, so that no character is lost."""
    utf8 = codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
    return json.dumps(value, ensure_ascii=not utf8)
