"""Vectors as arrays, and as the bytes that a row of the image keeps. Imports numpy, so what starts does not import this."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

#: One vector, (dimensions,), or a row for each, (n, dimensions).
Vectors: TypeAlias = NDArray[np.float32]

_HALF = "<f2"


def unit(vectors: Vectors) -> Vectors:
    """Each row scaled to length 1; one of nothing but zeros stays."""
    scaled: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return scaled


def to_payloads(vectors: Vectors) -> list[bytes]:
    """float16, little-endian, a row each."""
    return [row.tobytes() for row in vectors.astype(_HALF)]


def of_payloads(payloads: Sequence[bytes], dimensions: int) -> Vectors:
    """(len(payloads), dimensions), of length 1 again after the rounding; what is no number counts as 0.

    Raises ValueError for other dimensions.
    """
    halves = np.frombuffer(b"".join(payloads), _HALF).reshape(len(payloads), dimensions)
    return unit(np.nan_to_num(halves.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0))


def payload_bytes(dimensions: int) -> int:
    """How long a payload of that many dimensions is."""
    return 2 * dimensions
