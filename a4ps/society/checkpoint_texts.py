"""The checkpoints as a holder of words. The file can be rebuilt, so one that holds what is sought is removed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from a4ps.errors import StorageFailed
from a4ps.holders import TextPlace
from a4ps.sought import Sought, Thing

_TURN = "turn"
_TABLES = ("SELECT * FROM checkpoints", "SELECT * FROM writes")
"""All that LangGraph's saver has."""


class CheckpointTexts:
    """A HolderOfText over the checkpoint file, which nobody has open, and what lies beside it."""

    name = "checkpoints"

    def __init__(self, file: Path) -> None:
        self._file = file

    def holds_file(self, path: Path) -> bool:
        return path.parent == self._file.parent and path.name.startswith(f"{self._file.stem}.")

    def find(self, sought: Sought) -> list[TextPlace]:
        held = [path.name for path in self._files() if self._holds(path, sought)]
        where = "the progress of turns that wait to be resumed, which begin anew"
        return [TextPlace(self.name, where, "holds")] if held else []

    def remove(self, sought: Sought) -> None:
        if not self.find(sought):
            return
        for path in self._files():
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise StorageFailed(
                    f"{path} cannot be removed: {error.strerror}", next_step="check the folder's permissions"
                ) from error

    def turns_with(self, things: Iterable[Thing]) -> list[Thing]:
        """The turns under way that recalled one of `things`: only their progress knows of it before they are answered."""
        marks = [_recalled(key) for _, key in things]
        if not marks or not self._file.is_file():
            return []
        found: dict[str, None] = {}
        try:
            with closing(_opened(self._file)) as connection:
                for table in _TABLES:
                    cursor = connection.execute(table)
                    thread = [column[0] for column in cursor.description].index("thread_id")
                    for values in cursor:
                        if any(mark in value for value in values if isinstance(value, bytes) for mark in marks):
                            found[str(values[thread])] = None
        except (sqlite3.Error, ValueError):
            return []  # it goes whole, as `find` says
        return [(_TURN, turn) for turn in found]

    def _files(self) -> list[Path]:
        """The file itself last: while it is there, its log is not left without it."""
        found = [path for path in self._file.parent.glob(f"{self._file.stem}.*") if path.is_file()]
        return sorted(found, key=lambda path: (path == self._file, path.name))

    def _holds(self, path: Path, sought: Sought) -> bool:
        try:
            content = path.read_bytes()
            if sought.in_bytes(content) or any(mark in content for mark in _marks(sought)):
                return True
        except OSError as error:
            raise StorageFailed(
                f"{path} cannot be read: {error.strerror}", next_step="check its permissions"
            ) from error
        return path == self._file and any(_holding(path, sought))


def _holding(file: Path, sought: Sought) -> Iterator[bool]:
    """Value by value, as one may lie across pages. A file that SQLite cannot read is taken to hold it."""
    try:
        with closing(_opened(file)) as connection:
            for table in _TABLES:
                cursor = connection.execute(table)
                threads = [column[0] == "thread_id" for column in cursor.description]
                for values in cursor:
                    yield any(
                        (is_thread and (_TURN, str(value)) in sought.things)
                        or (isinstance(value, str) and sought.in_text(value))
                        or (isinstance(value, bytes) and sought.in_bytes(value))
                        for is_thread, value in zip(threads, values, strict=True)
                    )
    except sqlite3.Error:
        yield True


def _opened(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True)


def _recalled(id_: str) -> bytes:
    """As MessagePack writes the id of a `Remembered`: a string of fewer than 32 bytes has its length in its first one."""
    key = id_.encode()
    return b"\xa2id" + bytes([0xA0 + len(key)]) + key if len(key) < 32 else key


def _marks(sought: Sought) -> list[bytes]:
    """What was deleted, or is in a log that was not folded in, still names what it recalled."""
    return [] if sought.spare_derived else [_recalled(key) for _, key in sought.things]
