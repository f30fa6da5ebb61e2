"""Text into vectors that can be compared, and cosines into relevance.

An embedder is known by its identity: its name in the settings and, where it is a model, the digest of its weights. What a
cosine says differs from one to the next: of two texts that have nothing to do with each other, one embedder says 0.1 and
another 0.6. So its *background* is measured once, on sentences that are unrelated (`unrelated.txt`): the cosine that 95 of
100 of their pairs stay under. Relevance is how far a cosine is from there to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Protocol

import numpy as np

from a4ps.errors import EngineGarbled, PromptTooLong
from a4ps.memory.records import Records
from a4ps.memory.vectors import Vectors, unit

#: Of a longer memory only the beginning is embedded: what follows hardly moves a mean over all of it.
EMBED_CHARS = 2_000

#: A text that the model finds too long is halved, down to this.
SHORTEST_CHARS = 200

_PERCENTILE = 95


class Embeds(Protocol):
    """What turns texts into vectors: the model manager."""

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """One vector a text, by the embedder of the settings where `model` is ""."""
        ...

    async def embedder_identity(self) -> str:
        """Name and weights of the embedder of the settings."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """An embedder as it was measured when it was first used."""

    identity: str
    dimensions: int
    background: float

    def relevance(self, cosine: float) -> float:
        """In [0, 1]."""
        return min(1.0, max(0.0, (cosine - self.background) / (1.0 - self.background)))


class Embedder:
    """One embedder over the image that remembers how it was measured. `prefixes` stand before a question, a memory."""

    def __init__(self, engine: Embeds, records: Records, prefixes: tuple[str, str] = ("", "")) -> None:
        self._engine = engine
        self._records = records
        self._question_prefix, self._memory_prefix = prefixes

    async def known(self) -> Known:
        """What is known of the embedder of the settings; measured, and kept in the image, when it is first used.

        Raises `PeerError` where it cannot embed, and what `Store.commit` raises.
        """
        identity = await self._engine.embedder_identity()
        found = self._records.embedder(identity)
        if found is None:
            memories = await self.memories(unrelated())
            questions = await self._embed([self._question_prefix + text for text in unrelated()])
            found = memories.shape[1], background_of(questions, memories)
            self._records.keep_embedder(identity, *found)
        return Known(identity, *found)

    async def question(self, text: str) -> Vectors:
        """(dimensions,), of length 1. Raises `PeerError`."""
        vector: Vectors = (await self._embed([self._question_prefix + text]))[0]
        return vector

    async def memories(self, texts: Sequence[str]) -> Vectors:
        """(len(texts), dimensions), each row of length 1. Raises `PeerError`."""
        return await self._embed([self._memory_prefix + text for text in texts])

    async def _embed(self, texts: Sequence[str]) -> Vectors:
        cut = [text[:EMBED_CHARS] for text in texts]
        try:
            rows = await self._engine.embed("", cut)
        except PromptTooLong:
            rows = tuple([await self._shortened(text) for text in cut])
        vectors = np.asarray(rows, np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise EngineGarbled("the embedder gave vectors that are none", next_step="a4ps config set embedder lexical")
        return unit(vectors)

    async def _shortened(self, text: str) -> tuple[float, ...]:
        while True:
            try:
                return (await self._engine.embed("", [text]))[0]
            except PromptTooLong:
                if len(text) <= SHORTEST_CHARS:
                    raise
                text = text[: len(text) // 2]


def background_of(questions: Vectors, memories: Vectors) -> float:
    """The cosine that 95 of 100 pairs of a question and another's memory stay under, in [0, 0.95]."""
    cosines = (questions @ memories.T)[~np.eye(len(memories), dtype=bool)]
    return float(np.clip(np.percentile(cosines, _PERCENTILE), 0.0, 0.95))


@cache
def unrelated() -> tuple[str, ...]:
    """Sentences of which no two have anything to do with each other."""
    return tuple(resources.files(__package__).joinpath("unrelated.txt").read_text(encoding="utf-8").splitlines())
