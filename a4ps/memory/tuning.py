"""How an index over vectors is made and searched, as values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["IVF_SQ", "IVF_PQ", "IVF_RQ"]

#: Rows up to which every vector is looked at: an index would be slower to keep than it is to do without.
FLAT_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Options:
    """Which index is made, the recall@10 it is tuned to, and from how many rows on."""

    method: Method = "IVF_SQ"
    target: float = 0.95
    flat_max: int = FLAT_MAX


@dataclass(frozen=True, slots=True)
class Tuning:
    """How an index is searched: cells looked into, candidates compared by their whole vectors for each that is wanted, the
    recall@10 measured with that, and the rows there were then."""

    method: Method
    probes: int
    refine: int
    recall: float
    rows: int
