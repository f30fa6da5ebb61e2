"""What one thread writes to stdout and stderr, kept apart from the process's own streams, and bounded.

While anything is kept apart, `sys.stdout` and `sys.stderr` are objects that ask at each use which thread it is. Threads
that an expression begins are not its own: what they write goes where the process writes.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_STREAMS: Final = ("stdout", "stderr")


class Output(io.TextIOBase):
    """A text that takes `limit` characters and drops the rest; `cut` says whether there was any."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._text = io.StringIO()
        self._room = limit
        self._taking = True
        self.cut = False

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base has it as None, which libraries stumble over
        return "utf-8"

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"a text is written here, not {type(text).__name__}")
        if self._taking and text:
            kept = text[: self._room]
            self._text.write(kept)
            self._room -= len(kept)
            self.cut = self.cut or len(kept) < len(text)
        return len(text)

    def end(self) -> str:
        """What was written; whatever comes later is dropped."""
        self._taking = False
        return self._text.getvalue()


class _Divided:
    """A stream that is, for a thread whose output is kept apart, that output."""

    def __init__(self, original: Any) -> None:
        self._original = original
        self._elsewhere = Output(0) if original is None else original

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(_here, "output", None) or self._elsewhere, name)


_here = threading.local()
_gate = threading.Lock()
_apart: set[Output] = set()


@contextmanager
def kept_apart(output: Output) -> Iterator[None]:
    """A block whose thread writes to `output`."""
    with _gate:
        _apart.add(output)
        for name in _STREAMS:
            stream = getattr(sys, name)
            if not isinstance(stream, _Divided):
                setattr(sys, name, _Divided(stream))
    _here.output = output
    try:
        yield
    finally:
        _here.output = None
        with _gate:
            _apart.discard(output)
            for name in _STREAMS:
                stream = getattr(sys, name)
                if not _apart and isinstance(stream, _Divided):
                    setattr(sys, name, stream._original)
