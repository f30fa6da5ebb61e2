"""One LanceDB table of vectors in a folder of its own: made, added to, searched, never mended.

For: the calls of LanceDB and what they need. Not for: when a table is made or followed (`vector_index.py`), and what its
ids mean. It holds ids and vectors, no words. Whatever LanceDB raises where files are damaged reaches the caller as
`IndexDamaged`: it has no error of its own for that.

LanceDB takes a second to import, so that waits for the first table. It never syncs, and so a table may be lost with the
power; its caller makes it anew. It sends nothing anywhere; its own log is switched off, as it would write to the terminal.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from a4ps.memory.tuning import Method, Tuning
from a4ps.memory.vectors import Vectors

#: Rows in a cell of the index, about.
CELL_ROWS = 400

#: Candidates for each wanted that are compared by their whole vectors: what a cell keeps of a vector is coarse.
REFINE: dict[Method, int] = {"IVF_SQ": 2, "IVF_PQ": 8, "IVF_RQ": 8}

#: Vectors of the table itself that the probes are tuned with, neighbours of each, and how far above the target they must
#: come, as so few tell a recall to a hundredth.
SAMPLE, NEIGHBOURS, MARGIN = 128, 10, 0.01

#: What LanceDB may keep in memory of its indexes and of its files' descriptions.
CACHE_BYTES, METADATA_BYTES = 96_000_000, 16_000_000

#: Versions older than this are removed: no search that is under way reads one.
OLD_VERSIONS = timedelta(minutes=10)

_TABLE = "vectors"


class IndexDamaged(Exception):
    """LanceDB could not do it. The table may be damaged; it is rebuildable."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some rows: ids, places in the image's log, and vectors of length 1, (len(ids), dimensions)."""

    ids: Sequence[str]
    places: Sequence[int]
    vectors: Vectors


class LanceTable:
    """Search from any thread; everything else from one thread."""

    def __init__(self, table: Any, dimensions: int, tuning: Tuning | None = None) -> None:
        """Use `create` or `open`."""
        self._table = table
        self.dimensions = dimensions
        self.tuning = tuning

    @classmethod
    def create(cls, folder: Path, batches: Iterable[Batch], dimensions: int) -> LanceTable:
        """A new table in `folder`, which must not exist. Raises IndexDamaged; the caller removes the folder then."""
        import pyarrow as pa

        schema = _schema(dimensions)
        data = pa.RecordBatchReader.from_batches(schema, (_arrow(batch, schema) for batch in batches))
        with _lance("making"):
            return cls(_connect(folder).create_table(_TABLE, data=data, schema=schema), dimensions)

    @classmethod
    def open(cls, folder: Path, dimensions: int, tuning: Tuning | None) -> LanceTable:
        """The table of `folder`, which is searched once. Raises IndexDamaged where it cannot be, or has another shape."""
        with _lance("opening"):
            found = cls(_connect(folder).open_table(_TABLE), dimensions, tuning)
            if found._table.schema != _schema(dimensions):
                raise IndexDamaged("the table has other columns")
        found.near(np.full(dimensions, dimensions**-0.5, np.float32), 1)
        return found

    def add(self, batch: Batch) -> None:
        with _lance("adding to"):
            self._table.add(_arrow(batch, _schema(self.dimensions)))

    def delete(self, ids: Sequence[str]) -> None:
        listed = ", ".join("'" + id_.replace("'", "''") + "'" for id_ in ids)
        with _lance("deleting from"):
            self._table.delete(f"id IN ({listed})")

    def count(self) -> int:
        with _lance("counting"):
            return int(self._table.count_rows())

    def near(self, vector: Vectors, limit: int) -> list[tuple[str, float]]:
        """The ids of the nearest rows and their cosines, the nearest first. Rows that no index has are searched too."""
        tuning = self.tuning
        with _lance("searching"):
            query = self._table.search(vector, vector_column_name="vector").distance_type("cosine").limit(limit)
            if tuning is not None:
                query = query.nprobes(tuning.probes).refine_factor(tuning.refine)
            found = query.select(["id", "_distance"]).to_arrow()
            return [
                (id_, 1.0 - distance)
                for id_, distance in zip(found["id"].to_pylist(), found["_distance"].to_pylist(), strict=True)
            ]

    def tidy(self) -> None:
        """Join small files, take new rows into the index, remove old versions."""
        with _lance("tidying"):
            self._table.optimize(cleanup_older_than=OLD_VERSIONS)

    def build(self, method: Method, target: float) -> Tuning:
        """Make the IVF index, in the place of one that is there, and find with how few probes it has the recall.

        Searches go on meanwhile, as before.
        """
        from lancedb.index import IvfPq, IvfRq, IvfSq

        rows = self.count()
        cells = max(16, rows // CELL_ROWS)
        made = {"IVF_SQ": IvfSq, "IVF_PQ": IvfPq, "IVF_RQ": IvfRq}[method]
        with _lance("indexing"):
            self._table.create_index("vector", config=made(distance_type="cosine", num_partitions=cells))
        sample, truth = self._truth(rows)
        probes, recall = 2, 0.0
        while recall < min(1.0, target + MARGIN) and probes < cells:
            probes = min(2 * probes, cells)
            self.tuning = Tuning(method, probes, REFINE[method], recall, rows)
            recall = self._recall(sample, truth)
        self.tuning = Tuning(method, probes, REFINE[method], round(recall, 4), rows)
        return self.tuning

    def _batches(self) -> Iterator[tuple[list[str], Vectors]]:
        with _lance("reading"):
            for batch in self._table.search().select(["id", "vector"]).to_batches(batch_size=4096):
                vectors = batch.column("vector").flatten().to_numpy().reshape(batch.num_rows, self.dimensions)
                yield batch.column("id").to_pylist(), vectors

    def _truth(self, rows: int) -> tuple[list[tuple[str, Vectors]], list[set[str]]]:
        """Vectors spread over the table, with their ids, and the ids of the true neighbours of each."""
        step = max(1, rows // SAMPLE)
        sample: list[tuple[str, Vectors]] = []
        seen = 0
        for ids, vectors in self._batches():
            sample += [(ids[at], vectors[at].copy()) for at in range(-seen % step, len(ids), step)]
            seen += len(ids)
        queries = np.stack([vector for _, vector in sample])
        best: list[list[tuple[float, str]]] = [[] for _ in sample]
        for ids, vectors in self._batches():
            cosines = queries @ vectors.T
            top = np.argpartition(-cosines, min(NEIGHBOURS, len(ids) - 1), axis=1)[:, : NEIGHBOURS + 1]
            for number, places in enumerate(top):
                best[number] += [(float(cosines[number, place]), ids[place]) for place in places]
                best[number] = sorted(best[number], reverse=True)[: NEIGHBOURS + 1]
        truth = [
            {id_ for _, id_ in [pair for pair in near if pair[1] != own][:NEIGHBOURS]}
            for (own, _), near in zip(sample, best, strict=True)
        ]
        return sample, truth

    def _recall(self, sample: Sequence[tuple[str, Vectors]], truth: Sequence[set[str]]) -> float:
        hits = wanted = 0
        for (own, vector), neighbours in zip(sample, truth, strict=True):
            found = [id_ for id_, _ in self.near(vector, NEIGHBOURS + 1) if id_ != own][:NEIGHBOURS]
            hits += len(neighbours.intersection(found))
            wanted += len(neighbours)
        return hits / wanted if wanted else 1.0


def remove(folder: Path) -> None:
    """A table with all its versions. One that is not there is no fault."""
    shutil.rmtree(folder, ignore_errors=True)


def _schema(dimensions: int) -> Any:
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("place", pa.int64()), ("vector", pa.list_(pa.float32(), dimensions))])


def _arrow(batch: Batch, schema: Any) -> Any:
    import pyarrow as pa

    values = pa.array(np.ascontiguousarray(batch.vectors, np.float32).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(values, batch.vectors.shape[1])
    return pa.record_batch(
        [pa.array(batch.ids, pa.string()), pa.array(batch.places, pa.int64()), vectors], schema=schema
    )


def _connect(folder: Path) -> Any:
    os.environ.setdefault("LANCEDB_LOG", "off")  # read when it is imported
    import lancedb

    session = lancedb.Session(index_cache_size_bytes=CACHE_BYTES, metadata_cache_size_bytes=METADATA_BYTES)
    return lancedb.connect(folder, session=session)


@contextmanager
def _lance(doing: str) -> Iterator[None]:
    """LanceDB raises whatever its layers raise: RuntimeError, OSError, ValueError, Arrow's own."""
    try:
        yield
    except IndexDamaged:
        raise
    except Exception as error:
        raise IndexDamaged(f"{doing} the vector index failed: {error}") from error
