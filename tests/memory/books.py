"""What the tests of memory start from: records in an open image, vectors of their own choice, an embedder that is told."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from a4ps.clock import Clock
from a4ps.errors import EngineRefused
from a4ps.image.store import Store
from a4ps.image.turns import Contribution, Reply, Turn, TurnLog
from a4ps.memory.following import Means
from a4ps.memory.records import Records
from a4ps.memory.tuning import Options
from a4ps.memory.vectors import Vectors, to_payloads, unit

IDENTITY = "of-the-test"
DIMENSIONS = 32


def vectors(count: int, seed: int = 1, dimensions: int = DIMENSIONS) -> Vectors:
    """As many directions at random."""
    return unit(np.random.default_rng(seed).standard_normal((count, dimensions), dtype=np.float32))


def remembers(records: Records, rows: Vectors, identity: str = IDENTITY) -> list[str]:
    """A note and its vector for each row; returns the ids."""
    notes = [records.note(f"note {number}") for number in range(len(rows))]
    records.add(notes)
    ids = [note.id for note in notes]
    records.keep_vectors(identity, dict(zip(ids, to_payloads(rows), strict=True)))
    return ids


async def heard(log: TurnLog, clock: Clock, question: str, answer: str, engine: str = "ollama") -> str:
    """An answered turn."""
    turn = await log.accept(Turn("", question, clock.now(), engine, {}, {}))
    said = Contribution("ALFRED", "synthesis", answer, "m", 1, 1, 1.0)
    await log.answer(turn, Reply((said,), None, False, 1, 1.0, 0.0))
    return turn.id


class Meanings:
    """An embedder that knows what it is told: words of one topic have one direction, whatever they are."""

    def __init__(self, *topics: str, name: str = "meanings", dimensions: int = 16) -> None:
        self.topics = [frozenset(topic.split()) for topic in topics]
        self.name = name
        self.dimensions = dimensions
        self.asked: list[str] = []
        self.refuses: set[str] = set()
        self.gate: asyncio.Event | None = None

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if self.gate is not None:
            await self.gate.wait()
        self.asked += texts
        if refused := [text for text in texts if any(word in text for word in self.refuses)]:
            raise EngineRefused(f"not {refused[0]!r}")
        return tuple(self._of(text) for text in texts)

    async def embedder_identity(self) -> str:
        return self.name

    def _of(self, text: str) -> tuple[float, ...]:
        words = {word.strip(".,:?!·").lower() for word in text.split()}
        row = np.random.default_rng(list(text.encode("utf-8", "replace"))).standard_normal(self.dimensions) * 0.05
        for number, topic in enumerate(self.topics):
            row[number] += len(topic & words)
        return tuple(float(value) for value in row)


def means(engine: Meanings, folder: Path, clock: Clock, options: Options | None = None) -> Means:
    return Means(engine, folder, clock, 0.25, options=options or Options())


def book_of(store: Store) -> Records:
    return Records(store, TurnLog(store))
