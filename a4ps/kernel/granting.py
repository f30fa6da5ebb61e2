"""Folders that are to be granted to a tool: what is refused whoever asks for it, and links followed once and for all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from a4ps.errors import PromotionRefused, UsageError
from a4ps.places import Places


def granted_folders(given: Iterable[tuple[str, bool]], places: Places) -> tuple[list[str], list[str]]:
    """Of (absolute path, writable): all folders, and those to be written to; one that is given twice is as the last says.

    Raises UsageError for one that is not there, PromotionRefused for one that holds A4PS's own files, or lies among them:
    whoever writes there writes the image and its keys.
    """
    modes: dict[str, bool] = {}
    for name, writable in given:
        if not name.startswith("/"):
            raise UsageError(f"{name or 'a folder'} is no absolute path", next_step="give the whole path")
        try:
            folder = Path(name).resolve(strict=True)
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
        modes[str(folder)] = writable
    return list(modes), [folder for folder, writable in modes.items() if writable]
