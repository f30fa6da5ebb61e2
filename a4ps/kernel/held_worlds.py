"""The worlds of the window as a holder of words: notes, workspaces, and whatever else was written into a script.

Window and backend write the same files: each does so with the folder's lock, and the window writes none that another has
changed since it read it (`a4ps.ui.worlds`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from a4ps.errors import StorageFailed
from a4ps.holders import TextPlace
from a4ps.image.drafts import draft_of
from a4ps.image.keys import fsync_folder
from a4ps.log_file import locked
from a4ps.places import WORLDS_LOCK
from a4ps.sought import Sought

#: Of a morph, what is the program's word and nobody's: also where the same word is to be forgotten.
_OF_THE_PROGRAM = frozenset({"kind", "pane"})
#: What a world is called whose name is forgotten.
_NAMELESS = "forgotten"


class WorldTexts:
    """A HolderOfText over the scripts of one folder, with those that were set aside, and their names."""

    name = "worlds"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds_file(self, path: Path) -> bool:
        return path == self._folder or self._folder in path.parents

    def find(self, sought: Sought) -> list[TextPlace]:
        return [
            TextPlace(self.name, path.name, "holds")
            for path in self._files()
            if sought.in_text(path.name) or (text := _text(path)) != _barred(text, sought)
        ]

    def remove(self, sought: Sought) -> None:
        if not self.find(sought):
            return
        try:
            with self._alone():
                # Whoever was killed while it wrote one has left it; the living write with the lock.
                for draft in self._folder.glob(".draft-*"):
                    draft.unlink()
                for path in self._files():
                    self._forget(path, sought)
                fsync_folder(self._folder)
        except OSError as error:
            raise StorageFailed(
                f"the worlds in {self._folder} cannot be written: {error.strerror}",
                next_step="check its permissions and its disk",
            ) from error

    def _forget(self, path: Path, sought: Sought) -> None:
        text = _text(path)
        left = _barred(text, sought)
        if left != text:
            with draft_of(path) as draft:
                descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(left.encode("utf-8", "surrogateescape"))
                    file.flush()
                    os.fsync(file.fileno())
                draft.rename(path)
        if sought.in_text(path.name):
            path.rename(self._free(path.suffix))

    def _free(self, suffix: str) -> Path:
        number, path = 1, self._folder / f"{_NAMELESS}{suffix}"
        while path.exists():
            number += 1
            path = self._folder / f"{_NAMELESS} {number}{suffix}"
        return path

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.is_file() and path.name != WORLDS_LOCK)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _cannot_read(self._folder, error) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No window writes for the block."""
        descriptor = os.open(self._folder / WORLDS_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with locked(descriptor) as held:
                if not held:
                    raise StorageFailed(
                        f"somebody writes to {self._folder} and does not end",
                        next_step="close the windows, and forget it again",
                    )
                yield
        finally:
            os.close(descriptor)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "surrogateescape")
    except FileNotFoundError:  # a window has just renamed it
        return ""
    except OSError as error:
        raise _cannot_read(path, error) from error


def _cannot_read(path: Path, error: OSError) -> StorageFailed:
    return StorageFailed(f"{path} cannot be read: {error.strerror}", next_step="check its permissions and its disk")


def _barred(text: str, sought: Sought) -> str:
    """`text` as it was where it holds nothing of it. A script stays one; what is none is barred as it stands."""
    try:
        script = json.loads(text)
        left = _script_barred(script, sought)
    except (ValueError, RecursionError):
        return sought.barred(text)
    if left == script:
        return text
    written = json.dumps(left, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    return written.encode("utf-8", "backslashreplace").decode()


def _script_barred(script: Any, sought: Sought) -> Any:
    if not isinstance(script, Mapping):
        return sought.barred_value(script)
    return _values_barred(
        script,
        sought,
        state=lambda state: _values_barred(state, sought),
        morphs=lambda entries: [_morph_barred(each, sought) for each in entries],
    )


def _morph_barred(morph: Any, sought: Sought) -> Any:
    return _values_barred(morph, sought, state=lambda state: _values_barred(state, sought))


def _values_barred(fields: Any, sought: Sought, **within: Callable[[Any], Any]) -> Any:
    """Keys of a script, a morph and a state are the program's; what lies deeper is anybody's."""
    if not isinstance(fields, Mapping):
        return sought.barred_value(fields)
    left = {}
    for key, value in fields.items():
        if key in _OF_THE_PROGRAM and isinstance(value, str):
            left[key] = value
        elif key in within and isinstance(value, list | dict):
            left[key] = within[key](value)
        else:
            left[key] = sought.barred_value(value)
    return left
