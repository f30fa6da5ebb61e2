"""Under which command of a client a commit is made: kept in the image with it, so that a command is never done twice.

    command  key: the client's key; payload: a byte, the role of the session that it came from

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

    def __init__(self, key: str, role: bytes) -> None:
        self._row = Row(COMMAND, key, role)
        self._left = True
        self._over = False

    def take(self) -> Row | None:
        left, self._left = self._left, False
        return self._row if left and not self._over else None

    def give_back(self) -> None:
        self._left = True

    def end(self) -> None:
        """What goes on in the background after the command is none of its doing."""
        self._over = True


_running: ContextVar[_Mark | None] = ContextVar("a4ps:command", default=None)


@contextmanager
def under_command(key: str, role: bytes = b"") -> Iterator[None]:
    """Within, in this context and those copied from it, the first commit is marked with `key` and `role`."""
    mark = _Mark(key, role)
    token = _running.set(mark)
    try:
        yield
    finally:
        mark.end()
        _running.reset(token)


@contextmanager
def under_no_command() -> Iterator[None]:
    """Within, commits are not marked: for what a command finds to be done first, and others would have done as well."""
    token = _running.set(None)
    try:
        yield
    finally:
        _running.reset(token)


def current_mark() -> _Mark | None:
    """What the next commit of this context is marked with."""
    return _running.get()
