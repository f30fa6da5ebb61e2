"""The lexical embedding: a vector made of a text's words alone, where no embedding model is to be had.

Each word and each pair of neighbouring words (folded to lower case, marks of accents kept) is hashed to one of
`DIMENSIONS` places and a sign; its weight there is 1 + ln(count). The vector is scaled to length 1, so a dot product is
a cosine. The hashing trick: Weinberger et al., "Feature Hashing for Large Scale Multitask Learning", 2009.

It finds texts that share words, not texts that mean the same. Pure, and the same on every machine and in every process:
vectors may be stored. What is stored should carry the embedder's name, `NAME`; a change of the rule needs another name.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from hashlib import blake2b
from itertools import pairwise

NAME = "lexical"
DIMENSIONS = 512

_WORD = re.compile(r"\w+")


def embed(text: str) -> tuple[float, ...]:
    """A vector of `DIMENSIONS` numbers and length 1. Texts without any word all get one and the same vector."""
    words = _WORD.findall(text.casefold())
    grams = Counter([*words, *(f"{first} {second}" for first, second in pairwise(words))])
    vector = [0.0] * DIMENSIONS
    for gram, count in grams.items():
        place, sign = _slot(gram)
        vector[place] += sign * (1.0 + math.log(count))
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:
        # Nothing to hash, or all that was hashed cancelled out.
        place, _ = _slot("")
        return tuple(1.0 if index == place else 0.0 for index in range(DIMENSIONS))
    return tuple(value / length for value in vector)


def embed_all(texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """One vector a text, in their order."""
    return tuple(embed(text) for text in texts)


def _slot(gram: str) -> tuple[int, float]:
    number = int.from_bytes(blake2b(gram.encode("utf-8", "replace"), digest_size=8).digest(), "big")
    return (number >> 1) % DIMENSIONS, 1.0 if number & 1 else -1.0
