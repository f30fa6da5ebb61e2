"""The floor: a turn's text as one row of a table in SQLite (WAL, synchronous FULL), by hand. No graph, no search."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

from bench.meter import TakeTurn
from bench.texts import TurnText


@asynccontextmanager
async def by_hand(home: Path) -> AsyncIterator[TakeTurn]:
    """One durable commit a turn, on the event loop's thread."""
    with closing(sqlite3.connect(home / "turns.sqlite", isolation_level=None)) as connection:
        connection.executescript(
            "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            "CREATE TABLE turns (id INTEGER PRIMARY KEY, question TEXT NOT NULL, contributions TEXT NOT NULL)"
        )

        async def take(text: TurnText) -> None:
            row = (text.number, text.question, json.dumps(text.contributions))
            connection.execute("INSERT INTO turns VALUES (?, ?, ?)", row)

        yield take
