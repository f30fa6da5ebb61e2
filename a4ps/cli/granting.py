"""Folders as they are given to `tools promote`: "DIR", "DIR:ro" or "DIR:rw", made absolute."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a4ps.errors import UsageError
from a4ps.protocol.requests.tools import Folder


def read_folders(given: Sequence[str]) -> list[Folder]:
    """What is asked of the backend, which looks whether they are there. Raises UsageError for what names none."""
    return [_folder(text) for text in given]


def _folder(text: str) -> Folder:
    name, writable = _split(text)
    if not name:
        raise UsageError("a folder has a name", next_step="for the one you are in write --folder .")
    try:
        path = Path(name).expanduser().absolute()
    except (OSError, RuntimeError) as error:
        raise UsageError(
            f"{name} is no folder: it cannot be followed", next_step="name a folder that is there"
        ) from error
    return Folder(path=str(path), writable=writable)


def _split(text: str) -> tuple[str, bool]:
    for suffix, writable in ((":rw", True), (":ro", False)):
        if text.endswith(suffix) and text != suffix:
            return text[: -len(suffix)], writable
    return text, False
