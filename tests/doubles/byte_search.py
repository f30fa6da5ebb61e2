"""Where a text is in a folder, in any file and any case: in the bytes of the files, and in what is packed in images."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from a4ps.image.rows import unpack_unverified

_SQLITE = b"SQLite format 3\x00"


def found_in(folder: Path, text: str) -> list[str]:
    """The files under `folder` that have `text`, and "FILE: TABLE" for what is in the values of a database."""
    wanted = text.casefold()
    found: list[str] = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        name = str(path.relative_to(folder))
        if wanted in _folded(data):
            found.append(name)
        if data.startswith(_SQLITE):
            found += [f"{name}: {table}" for table, value in _values(path) if wanted in value]
    return list(dict.fromkeys(found))


def _values(path: Path) -> Iterator[tuple[str, str]]:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table == "search":  # its words are in its own tables
                continue
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                for value in row:
                    if isinstance(value, bytes):
                        yield table, _folded(value)
                    elif isinstance(value, str):
                        yield table, value.casefold()
                if table == "rows":
                    payload, text = unpack_unverified(row[-1])
                    yield table, _folded(payload)
                    yield table, text.casefold()


def _folded(data: bytes) -> str:
    return data.decode("utf-8", "replace").casefold()
