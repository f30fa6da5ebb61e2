"""A glance at which names an image has, for completing a line that is being typed: also while another process holds it.

Read-only, without keys, lock or verification: what comes of it is shown as a suggestion and trusted by nothing. Never
called in a process that has the image open: closing a file of it drops SQLite's locks of that process.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from a4ps.image.proposal import GONE, KIND

NAMES_MAX = 1_000


def glance_at_names(image: Path, prefix: str) -> list[str]:
    """At most NAMES_MAX names of Protos that begin with `prefix`, sorted; none where the image cannot be read."""
    if not image.is_file():
        return []
    # Without a WAL the file is whole and nobody writes; opened as one that may change it would be given a new WAL.
    unchanging = "" if image.with_name(f"{image.name}-wal").exists() else "&immutable=1"
    try:
        with closing(sqlite3.connect(f"{image.absolute().as_uri()}?mode=ro{unchanging}", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            found = connection.execute(
                "SELECT key FROM (SELECT key, kind, max(place) FROM rows WHERE kind IN (?, ?) AND substr(key, 1, ?) = ? "
                "GROUP BY key) WHERE kind = ? ORDER BY key LIMIT ?",
                (KIND, GONE, len(prefix), prefix, KIND, NAMES_MAX),
            )
            return [str(name) for (name,) in found]
    except (sqlite3.Error, OSError):
        return []
