"""Memories for the bench: seeded text of Zipf's frequencies, and vectors in overlapping clusters, as those of texts are.

Vectors lie near a manifold of 32 dimensions, in 200 clusters that are as wide as they are apart, with a little noise in all
384: so the neighbours of many are in several clusters, and no cell of an index has them all. A question is a memory's vector
with noise, and some of that memory's words.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from a4ps.memory.vectors import Vectors, unit

DIMENSIONS, LATENT, CLUSTERS = 384, 32, 200
VOCABULARY, WORDS = 30_000, 60
QUERIES, NEIGHBOURS = 200, 10


def vectors_of(count: int, seed: int = 7) -> Vectors:
    rng = np.random.default_rng(seed)
    project = np.random.default_rng(1).standard_normal((LATENT, DIMENSIONS), dtype=np.float32)
    centres = np.random.default_rng(2).standard_normal((CLUSTERS, LATENT), dtype=np.float32)
    latent = centres[rng.integers(0, CLUSTERS, count)] + rng.standard_normal((count, LATENT), dtype=np.float32)
    return unit(latent @ project / LATENT**0.5 + 0.1 * rng.standard_normal((count, DIMENSIONS), dtype=np.float32))


def texts_of(count: int) -> Iterator[str]:
    rng = random.Random(3)
    words = [f"w{number}" for number in range(VOCABULARY)]
    weights = list(accumulate(1 / (number + 3) for number in range(VOCABULARY)))
    for _ in range(count):
        yield " ".join(rng.choices(words, cum_weights=weights, k=WORDS))


def questions_of(texts: Sequence[str], vectors: Vectors) -> tuple[list[str], Vectors]:
    """Five words of a memory each, not of the hundred commonest, and a vector near its own."""
    rng = random.Random(4)
    chosen = rng.sample(range(len(texts)), QUERIES)
    questions = []
    for number in chosen:
        rare = [word for word in dict.fromkeys(texts[number].split()) if int(word[1:]) >= 100]
        questions.append(" ".join(rng.sample(rare, min(5, len(rare)))))
    noise = np.random.default_rng(5).standard_normal((QUERIES, DIMENSIONS), dtype=np.float32)
    return questions, unit(vectors[chosen] + 0.02 * noise)


def truth_of(queries: Vectors, vectors: Vectors) -> list[list[int]]:
    """The true nearest of each, by looking at all."""
    best = np.argpartition(-(queries @ vectors.T), NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
    return [[int(place) for place in row] for row in best]


def recall_of(found: Sequence[Sequence[int]], truth: Sequence[Sequence[int]]) -> float:
    hits = sum(len({*near[:NEIGHBOURS]} & {*true}) for near, true in zip(found, truth, strict=True))
    return hits / (NEIGHBOURS * len(truth))


def kept(folder: Path, name: str) -> Vectors:
    loaded: Vectors = np.load(folder / f"{name}.npy")
    return loaded
