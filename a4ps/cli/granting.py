"""Folders as they are given to `tools promote`: "DIR", "DIR:ro" or "DIR:rw", made absolute, links followed once and here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from a4ps.errors import PromotionRefused, UsageError
from a4ps.places import Places


def read_folders(given: Sequence[str], places: Places) -> tuple[list[str], list[str]]:
    """All folders, and those of them to be written to; a folder that is given twice is as the last one says.

    Raises UsageError for one that is not there, PromotionRefused for one that holds A4PS's own files, or lies among them:
    whoever writes there writes the image and its keys.
    """
    modes: dict[str, bool] = {}
    for text in given:
        name, mode = _split(text)
        if not name:
            raise UsageError("a folder has a name", next_step="for the one you are in write --folder .")
        try:
            folder = Path(name).expanduser().resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else "it cannot be followed"
            raise UsageError(f"{name} is no folder: {why}", next_step="name a folder that is there") from error
        if not folder.is_dir():
            raise UsageError(f"{name} is no folder", next_step="name the folder that it lies in")
        for own in (places.home.resolve(), places.state.resolve()):
            if own.is_relative_to(folder) or folder.is_relative_to(own):
                raise PromotionRefused(
                    f"{folder} holds A4PS's own files, or lies among them", next_step="grant another folder"
                )
        modes[str(folder)] = mode
    return list(modes), [folder for folder, writable in modes.items() if writable]


def _split(text: str) -> tuple[str, bool]:
    for suffix, writable in ((":rw", True), (":ro", False)):
        if text.endswith(suffix) and text != suffix:
            return text[: -len(suffix)], writable
    return text, False
