"""Images that A4PS has kept beside the present one: before a load, a restore, a salvage, a migration.

What is sought is found in them whatever key or format they have, and one that holds it is removed whole: it is a copy of
how things were, and only as good as it is complete.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from a4ps.errors import A4PSError, StorageFailed
from a4ps.holders import TextPlace
from a4ps.image.content import unpack_record
from a4ps.image.exchange import beside
from a4ps.image.forgetting import row_holds
from a4ps.image.keys import fsync_folder
from a4ps.image.proposal import KIND
from a4ps.image.proto_bars import parts_of_record
from a4ps.image.rows import unpack_unverified
from a4ps.image.treatments import IMAGE_TREATMENTS, ODD, TURN, Treatments
from a4ps.sought import Sought

_KEPT = re.compile(r"-(?:\d{8}-\d{6}|format-\d+)(?:-\d+)?")
"""backup.dated and migrations name them so."""

BESIDE = ("", "-wal", "-shm", "-journal", ".lock")
"""What follows the name of an image in those of the files that belong to it."""


class KeptImages:
    """A HolderOfText over the images beside `image`."""

    name = "earlier images"

    def __init__(self, image: Path, treatments: Treatments = IMAGE_TREATMENTS) -> None:
        self._image = image
        self._treatments = treatments

    def holds_file(self, path: Path) -> bool:
        return any(path == beside(kept, suffix) for kept in kept_beside(self._image) for suffix in BESIDE)

    def find(self, sought: Sought) -> list[TextPlace]:
        places = []
        for kept in kept_beside(self._image):
            held = image_holds(kept, sought, self._treatments)
            if held is None:
                step = f"if it is not needed any more: rm {kept}"
                places.append(TextPlace(self.name, f"{kept.name}, which cannot be read", "named", step))
            elif held:
                places.append(TextPlace(self.name, f"{kept.name}, which is removed whole", "holds"))
        return places

    def remove(self, sought: Sought) -> None:
        for kept in kept_beside(self._image):
            if image_holds(kept, sought, self._treatments):
                try:
                    # The image last: while it is there, a killed removal is found to be unfinished.
                    for suffix in reversed(BESIDE):
                        beside(kept, suffix).unlink(missing_ok=True)
                    fsync_folder(kept.parent)
                except OSError as error:
                    raise StorageFailed(
                        f"{kept} cannot be removed: {error.strerror}", next_step="check the folder's permissions"
                    ) from error


def kept_beside(image: Path) -> list[Path]:
    """The images that A4PS has kept or not finished beside `image`, by name. Links are none."""
    unfinished = {beside(image, ".migrating"), beside(image, ".new")}
    found = [path for path in image.parent.glob(f"{image.stem}*") if path in unfinished or _is_kept(path, image)]
    return sorted(path for path in found if path.is_file() and not path.is_symlink())


def _is_kept(path: Path, image: Path) -> bool:
    """By its name, which A4PS gives; a backup that a person has put beside the image is called otherwise."""
    return path.suffix == image.suffix and _KEPT.fullmatch(path.stem.removeprefix(image.stem)) is not None


def image_holds(image: Path, sought: Sought, treatments: Treatments = IMAGE_TREATMENTS) -> bool | None:
    """Whether an image file, which nobody vouches for, holds what is sought; None where it cannot be read."""
    try:
        log = beside(image, "-wal")
        # Without a log to read, nothing shall appear beside a file that is only looked into.
        mode = "mode=ro" if log.exists() and log.stat().st_size else "immutable=1"
        with closing(sqlite3.connect(f"{image.as_uri()}?{mode}", uri=True)) as connection:
            return any(_holding(connection, sought, treatments))
    except (sqlite3.Error, OSError):
        return None


def _holding(connection: sqlite3.Connection, sought: Sought, treatments: Treatments) -> Iterator[bool]:
    for kind, key, body in connection.execute("SELECT kind, key, body FROM rows"):
        yield _unverified_holds(kind, key, body, sought, treatments)
    for words in connection.execute("SELECT author, reason FROM commits"):
        yield any(sought.in_text(str(each)) for each in words)


def _unverified_holds(kind: str, key: str, body: bytes, sought: Sought, treatments: Treatments) -> bool:
    payload = body
    try:
        payload, text = unpack_unverified(body)
        if kind == KIND:
            unpack_record(payload)
            return sought.in_text(key) or any(_any(parts_of_record(payload, sought)))
        asked = kind == TURN and any(words in sought.whole for words in treatments[TURN].words_in(payload))
        return asked or row_holds(kind, key, payload, text, treatments, sought)
    except (A4PSError, *ODD):
        # Anything at all may be wrong with it; its bytes are there to be searched all the same.
        return sought.in_bytes(payload)


def _any(parts: Iterable[object]) -> Iterator[bool]:
    yield from (True for _ in parts)
