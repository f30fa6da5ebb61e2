"""What a night leaves of memory: duplicates merged, episodes distilled into facts. Each night is a row, and can be undone.

    night   key: a number; payload: JSON, {"merged": {id: into}, "facts": [id, …], "episodes": [turn, …], "undone": bool}
    slept   key: a turn's number: it was distilled, whatever came of it

Merged memories are out of sight, not gone: `merged` rows (`records.py`) say what stands for them. A fact links to what it
was made of. Undoing takes both back, and what was kept apart once is not merged again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a4ps.image.rows import GONE_SUFFIX, Row
from a4ps.memory.records import MEMORY, MERGED, PINNED, REPLY, Memory, Records, row

NIGHT = "night"
SLEPT = "slept"

_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Night:
    """What one night did: duplicate → what stands for it, the facts it made, the turns they are from."""

    id: str
    merged: Mapping[str, str]
    facts: tuple[str, ...]
    episodes: tuple[str, ...]
    undone: bool = False


class Consolidation:
    """The nights of one image. Reads and writes it; what is worth a fact is somebody else's to say."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def duplicates(self) -> dict[str, str]:
        """Memories that say word for word what another one says → that other one: the most important, else the oldest.

        Only what has the same taint and kind of origin stands for another; what is pinned is never merged away.
        """
        apart = {id_ for night in self.nights() if night.undone for id_ in night.merged}
        first: dict[tuple[object, ...], Memory] = {}
        merged: dict[str, str] = {}
        for memory in self._records.walk():
            if memory.id in apart or self._records.merged_into(memory.id):
                continue
            said = memory.taint, memory.engine == "rehearsal", *_WORD.findall(memory.text.casefold())
            kept = first.setdefault(said, memory)
            if kept is memory or memory.kind != kept.kind:
                continue
            if memory.importance > kept.importance:
                first[said], kept, memory = memory, memory, kept
            if memory.importance < PINNED:
                merged[memory.id] = kept.id
        return {id_: _end_of(merged, into) for id_, into in merged.items()}

    def episodes(self, limit: int) -> list[Memory]:
        """Turns of a real engine that no night has looked at, the oldest first."""
        found: list[Memory] = []
        for key in self._records.store.keys_without(REPLY, SLEPT):
            memory = self._records.find(key)
            if memory is not None and memory.engine != "rehearsal":
                found.append(memory)
            if len(found) == limit:
                break
        return found

    def keep(self, merged: Mapping[str, str], facts: Sequence[Memory], episodes: Sequence[str]) -> Night | None:
        """One commit for the whole night; None, and no commit, where nothing was done."""
        if not merged and not episodes:
            return None
        number = max((int(key) for key in self._records.store.heads(NIGHT)), default=0) + 1
        night = Night(str(number), dict(merged), tuple(fact.id for fact in facts), tuple(episodes))
        rows = [Row(MERGED, id_, json.dumps({"into": into}).encode()) for id_, into in merged.items()]
        rows += [row(fact) for fact in facts]
        rows += [Row(SLEPT, turn, b"{}") for turn in episodes]
        self._records.store.commit([*rows, _row(night)], author="ALFRED", reason="memory was consolidated")
        return night

    def nights(self) -> list[Night]:
        """The oldest first."""
        rows = self._records.rows(NIGHT)
        return sorted((_night(each.key, each.payload) for each in rows), key=lambda night: int(night.id))

    def undo(self) -> Night | None:
        """Take back the newest night that has not been; None where there is none."""
        night = next((night for night in reversed(self.nights()) if not night.undone), None)
        if night is None:
            return None
        gone = [(MERGED, id_) for id_ in night.merged]
        gone += [(kind, id_) for id_ in night.facts for kind in (MEMORY, *self._records.vector_kinds(id_))]
        undone = Night(night.id, night.merged, night.facts, night.episodes, undone=True)
        rows = [Row(kind + GONE_SUFFIX, id_, b"") for kind, id_ in gone]
        self._records.store.commit([*rows, _row(undone)], author="architect", reason="a night was undone")
        return undone


def _end_of(merged: Mapping[str, str], id_: str) -> str:
    while id_ in merged:
        id_ = merged[id_]
    return id_


def _row(night: Night) -> Row:
    plain = {
        "merged": dict(night.merged),
        "facts": list(night.facts),
        "episodes": list(night.episodes),
        "undone": night.undone,
    }
    return Row(NIGHT, night.id, json.dumps(plain).encode())


def _night(key: str, payload: bytes) -> Night:
    plain = json.loads(payload)
    return Night(key, plain["merged"], tuple(plain["facts"]), tuple(plain["episodes"]), plain["undone"])
