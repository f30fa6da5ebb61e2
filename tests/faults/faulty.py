"""A connection that fails on demand, for errors that no test can get out of a healthy disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from a4ps.image import connections, image_file


def disk_error(code: int, text: str = "disk I/O error") -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class FaultyConnection:
    """Passes everything to a real connection; `before` and `after` may raise around each statement."""

    def __init__(self, inner: sqlite3.Connection, faults: Faults) -> None:
        self._inner = inner
        self._faults = faults

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        self._faults.statements.append(statement)
        self._faults.before(statement)
        cursor = self._inner.execute(statement, *values)
        self._faults.after(statement)
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Faults:
    """What happens around the statements of every writer's connection that is opened from now on."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.statements: list[str] = []
        self.row_limit_bytes = 0
        self.before: Callable[[str], None] = lambda statement: None
        self.after: Callable[[str], None] = lambda statement: None
        self.opening: Callable[[], None] = lambda: None
        patch.setattr(image_file, "connect_writer", self._connect)

    def _connect(self, path: Path) -> FaultyConnection:
        self.opening()
        connection = connections.connect_writer(path)
        if self.row_limit_bytes:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, self.row_limit_bytes)
        return FaultyConnection(connection, self)

    def fail_once(self, when: str, statement: str, error: sqlite3.Error) -> None:
        """Raise `error` "before" or "after" the next `statement` that is executed."""

        def fault(executed: str) -> None:
            if executed == statement:
                setattr(self, when, lambda executed: None)
                raise error

        setattr(self, when, fault)
