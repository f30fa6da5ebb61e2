"""The lexical embedding: unit vectors, the same everywhere, near where words are shared."""

from __future__ import annotations

import hashlib
import math
import struct

from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference.lexical import DIMENSIONS, embed, embed_all


def cosine(first: str, second: str) -> float:
    return sum(a * b for a, b in zip(embed(first), embed(second), strict=True))


@given(st.text(max_size=200))
def test_every_text_has_a_vector_of_length_one(text: str) -> None:
    vector = embed(text)
    assert len(vector) == DIMENSIONS
    assert math.isclose(sum(value * value for value in vector), 1.0)


def test_shared_words_are_near_and_case_does_not_matter() -> None:
    assert cosine("The bridge over the RIVER", "the bridge over the river") > 0.999
    assert cosine("should we build a bridge over the river", "a bridge over the river is dear") > 0.4
    assert abs(cosine("should we build a bridge", "cats sleep all afternoon")) < 0.2


def test_word_order_counts() -> None:
    assert cosine("dog bites man", "man bites dog") < 0.999


def test_stored_vectors_stay_valid() -> None:
    """The rule is a format: these bytes are in images. Another rule needs another name."""
    packed = struct.pack(f"<{DIMENSIONS}f", *embed("A bridge over the river, 2 lanes; zweite Brücke."))
    assert hashlib.sha256(packed).hexdigest() == "e778bda62cd76b4151ff040d8b4262595ad0e7ffe6a9bc8d1a3ae87cf27f63e9"


def test_many_are_each_by_itself() -> None:
    assert embed_all(["a", "b"]) == (embed("a"), embed("b"))
    assert embed_all([]) == ()
