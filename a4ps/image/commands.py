"""Under which command of a client a commit is made: kept in the image with it, so that a command is never done twice.

    command  key: the client's key; payload: none

The row is in the first commit that the command makes. After a restart it tells that what was sent again was done, and where.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from a4ps.image.rows import Row

COMMAND: Final = "command"


class _Mark:
    """The row, until a commit has taken it; back again where that commit was refused."""

    def __init__(self, key: str) -> None:
        self._key = key
        self._left = True

    def take(self) -> Row | None:
        left, self._left = self._left, False
        return Row(COMMAND, self._key, b"") if left else None

    def give_back(self) -> None:
        self._left = True


_running: ContextVar[_Mark | None] = ContextVar("a4ps:command", default=None)


@contextmanager
def under_command(key: str) -> Iterator[None]:
    """Within, in this context and those copied from it, the first commit is marked with `key`."""
    token = _running.set(_Mark(key))
    try:
        yield
    finally:
        _running.reset(token)


def current_mark() -> _Mark | None:
    """What the next commit of this context is marked with."""
    return _running.get()
