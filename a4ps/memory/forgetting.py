"""How memories are forgotten: a memory with its vectors, pins and what it was merged into; what was made of it, as well.

What was merged says the same, so who means one means both; so it is with documents of one path, the earlier state of which
is out of sight, or of the same bytes. A turn's vectors and pins are part of the turn. A document's parts go with it, a
fact with the memories it links to.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from a4ps.errors import StorageFailed
from a4ps.holders import TextPlace
from a4ps.image.snapshot import VOUCHED
from a4ps.image.treatments import TURN, Treatment, Treatments, no_words, remembered, turn_of
from a4ps.memory.consolidation import NIGHT, SLEPT
from a4ps.memory.records import DOCUMENT, EMBEDDER, MEMORY, MERGED, PIN, VECTOR
from a4ps.sought import Sought, Thing

_DOCUMENT_ID = re.compile(r"d\d+")


def _part(id_: str, payload: bytes) -> list[Thing]:
    del payload
    document, dot, _ = id_.partition(".")
    return [(DOCUMENT, document)] if dot else []


def _vouched(id_: str) -> Thing:
    return (DOCUMENT, id_) if _DOCUMENT_ID.fullmatch(id_) else remembered(id_)


def _sources(id_: str, payload: bytes) -> Iterable[Thing]:
    del id_
    plain = json.loads(payload)
    if plain["turn"]:
        yield TURN, str(plain["turn"])
    yield from (remembered(str(link)) for link in plain["links"])


def _merged(id_: str, payload: bytes) -> list[Thing]:
    """Two turns with one question and answer were argued each in its own words; their question finds both."""
    return [] if id_.isdecimal() else [remembered(str(json.loads(payload)["into"]))]


def _one_file(id_: str, payload: bytes) -> list[Thing]:
    del id_
    plain = json.loads(payload)
    return [("path", str(plain["path"])), ("sha256", str(plain["sha256"]))]


def _said(payload: bytes) -> list[str]:
    plain = json.loads(payload)
    return [plain["text"], plain["origin"]]


def _text(payload: bytes) -> list[str]:
    return [json.loads(payload)["text"]]


MEMORY_TREATMENTS: Final[Treatments] = {
    MEMORY: Treatment("a memory", remembered, _said, _sources, _text, addressed=True, part_of=_part),
    DOCUMENT: Treatment("a document", addressed=True, same=_one_file),
    PIN: Treatment("its pin", remembered, no_words),
    VOUCHED: Treatment("that it was vouched for", _vouched, no_words),
    MERGED: Treatment("what it was merged into", remembered, no_words, same=_merged),
    SLEPT: Treatment("that it was slept on", turn_of, no_words),
    VECTOR: Treatment("its vector", remembered, no_words),
    NIGHT: Treatment("a night", words=no_words),
    EMBEDDER: Treatment("an embedder", words=no_words),
}


class VectorTexts:
    """A HolderOfText over the vector index, which is made of the image: it goes whole, with its old versions."""

    name = "vector index"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def holds_file(self, path: Path) -> bool:
        return path == self._folder or self._folder in path.parents

    def find(self, sought: Sought) -> list[TextPlace]:  # noqa: ARG002 - vectors do not tell what they are of
        where = "every vector and older version, to be made anew from the image"
        return [TextPlace(self.name, where, "holds")] if self._folder.exists() else []

    def remove(self, sought: Sought) -> None:  # noqa: ARG002
        try:
            shutil.rmtree(self._folder)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StorageFailed(
                f"{self._folder} cannot be removed: {error.strerror}", next_step="check the folder's permissions"
            ) from error
