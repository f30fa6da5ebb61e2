"""Tombstones: what stands in the image for what was forgotten. Pure; redaction.py puts them there.

A forgotten row keeps its place, its time and the MAC that it had, which the chain rests on. Its kind, key and body are
what is left of it: of one that is forgotten whole, the kind FORGOTTEN and nothing else. In the place of its salt it has

    forgotten   8 bytes, big-endian: the generation of the commit that forgot it
    MAC         32 bytes, over all of it (see seal.py)

The commit that forgets has a row of the kind FORGOT, whose payload is JSON: {"rows": [place, …], "commits": [generation,
…]}. So a deep check knows a tombstone that nobody ordered, and a forgotten row that somebody has put back.

All of one forgetting is one transaction of SQLite, the full-text index included.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from a4ps.image.rows import StoredRow, generation_of
from a4ps.image.seal import MAC_BYTES

FORGOTTEN: Final = "forgotten"
"""The kind of a row that was forgotten whole. Its key is the kind and the key that it had, or less."""

FORGOT: Final = "forgot"

FORGETTING: Final = "forgetting"
"""A forgetting that has begun: what is sought, until it is found and forgotten, and this row with it."""

SCRUBBED: Final = "scrubbed"
"""Under the key of a FORGOT row: nothing of what that forgot is left in the image's file or its log."""

FORGETTING_KINDS: Final = frozenset({FORGOTTEN, FORGOT, FORGETTING, SCRUBBED})

_TOMBSTONE = struct.Struct(f">Q{MAC_BYTES}s")
TOMBSTONE_BYTES: Final = _TOMBSTONE.size


@dataclass(frozen=True, slots=True)
class Tombstone:
    """Of a row: the commit that forgot it, and its MAC."""

    forgotten: int
    mac: bytes

    @classmethod
    def of(cls, salt: bytes) -> Tombstone | None:
        """What stands in the place of a row's salt; None where it is a salt."""
        return cls(*_TOMBSTONE.unpack(salt)) if len(salt) == TOMBSTONE_BYTES else None

    def packed(self) -> bytes:
        return _TOMBSTONE.pack(self.forgotten, self.mac)


@dataclass(slots=True)
class Orders:
    """What a check of the whole chain has met: the tombstones that are there, and those that were ordered."""

    there: dict[int, int] = field(default_factory=dict)
    ordered: dict[int, int] = field(default_factory=dict)
    words_there: dict[int, int] = field(default_factory=dict)
    words_ordered: dict[int, int] = field(default_factory=dict)

    def meet(self, row: StoredRow) -> None:
        """Called with each row in the order of the log."""
        if row.forgotten:
            self.there[row.place] = row.forgotten
        elif row.kind == FORGOT:
            order = json.loads(row.payload)
            self.ordered.update(dict.fromkeys(order["rows"], row.generation))
            self.words_ordered.update(dict.fromkeys(order["commits"], row.generation))

    def faults(self) -> Iterator[str]:
        for place, forgotten in self._unlike(self.there, self.ordered):
            yield f"a row of commit {generation_of(place)} {forgotten}"
        for generation, forgotten in self._unlike(self.words_there, self.words_ordered):
            yield f"the reason of commit {generation} {forgotten}"

    @staticmethod
    def _unlike(there: Mapping[int, int], ordered: Mapping[int, int]) -> Iterator[tuple[int, str]]:
        for each in sorted(there.keys() | ordered.keys()):
            if each not in there:
                yield each, f"was forgotten by commit {ordered[each]} and is there again"
            elif there[each] != ordered.get(each):
                yield each, f"is said to be forgotten by commit {there[each]}, which does not say so"
