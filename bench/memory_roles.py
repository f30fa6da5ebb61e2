"""What one process of the memory bench does; each prints one JSON object. `python -m bench.memory_roles ROLE FOLDER`"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.rows import Row
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.memory.following import Means
from a4ps.memory.records import EMBEDDER, VECTOR, Memory, Records, row
from a4ps.memory.scrapbook import Scrapbook
from a4ps.memory.tuning import Options
from a4ps.memory.vector_index import VectorIndex
from a4ps.memory.vectors import Vectors, to_payloads
from bench.memory_data import DIMENSIONS, NEIGHBOURS, kept, recall_of, texts_of, vectors_of

IDENTITY = "bench"
AT_ONCE = 2_000
ADDED = 2_000
Found = dict[str, Any]


class Given:
    """An embedder that has its answers: what it costs is not ours to measure."""

    def __init__(self, vectors: dict[str, Vectors]) -> None:
        self.vectors = vectors

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        del model
        return tuple(tuple(self.vectors[text].tolist()) for text in texts)

    async def embedder_identity(self) -> str:
        return IDENTITY


def store_of(folder: Path) -> Store:
    return Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), SystemClock())


def records_of(store: Store) -> Records:
    return Records(store, TurnLog(store))


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def fill(folder: Path) -> Found:
    """Write every memory and its vector into a new image."""
    vectors = kept(folder, "vectors")
    began_s = time.perf_counter()
    with store_of(folder) as store:
        plain = json.dumps({"dimensions": DIMENSIONS, "background": 0.5}).encode()
        store.commit([Row(EMBEDDER, IDENTITY, plain)], author="package", reason="bench")
        at = datetime.now(UTC)
        rows: list[Row] = []
        for number, text in enumerate(texts_of(len(vectors)), 1):
            rows.append(row(Memory(f"m{number}", text, "note", at, importance=0.5)))
            if len(rows) == AT_ONCE or number == len(vectors):
                first = number - len(rows)
                payloads = to_payloads(vectors[first:number])
                held = [Row(VECTOR + IDENTITY, f"m{first + place}", each) for place, each in enumerate(payloads, 1)]
                store.commit([*rows, *held], author="package", reason="bench")
                rows = []
    return {"seconds": time.perf_counter() - began_s, "bytes": (folder / "image.a4ps").stat().st_size}


def rebuild(folder: Path) -> Found:
    """Make the index from the image: first without, then with IVF."""
    with store_of(folder) as store:
        flat = VectorIndex(folder / "flat", records_of(store), IDENTITY, DIMENSIONS, Options(flat_max=10**9))
        plain = flat.rebuild().result()
        flat.close()
        index = VectorIndex(folder / "index", records_of(store), IDENTITY, DIMENSIONS, Options())
        built = index.rebuild().result()
        index.close()
    tuning = built.tuning
    assert tuning is not None
    return {
        "rows": plain.rows,
        "flat_s": plain.seconds,
        "ivf_s": built.seconds,
        "probes": tuning.probes,
        "tuned_recall": tuning.recall,
        "resident_mb": resident_mb(),
    }


def _timed(ask: Callable[[int], object], count: int) -> list[float]:
    """Milliseconds of each, after some that are not counted."""
    for number in range(20):
        ask(number)
    taken = []
    for number in range(count):
        began_s = time.perf_counter()
        ask(number)
        taken.append((time.perf_counter() - began_s) * 1000)
    return taken


def serve(folder: Path) -> Found:
    """Open what is there and answer: vectors alone, full text alone, and the whole hybrid query as a turn makes it."""
    return asyncio.run(_serve(folder))


async def _serve(folder: Path) -> Found:
    questions: list[str] = json.loads((folder / "questions.json").read_text())
    queries = kept(folder, "queries")
    truth: list[list[int]] = json.loads((folder / "truth.json").read_text())
    engine = Given(dict(zip(questions, queries, strict=True)))
    with store_of(folder) as store:
        records = records_of(store)
        scrapbook = Scrapbook(records, Means(engine, folder / "index", SystemClock(), 0.25))
        alone = Scrapbook(records)
        now = datetime.now(UTC)
        began_s = time.perf_counter()
        await scrapbook.ready()
        opening_s = time.perf_counter() - began_s
        index = scrapbook._follower.opened.index  # type: ignore[union-attr]
        found = [index.near(query, NEIGHBOURS) for query in queries]
        recall = recall_of([[int(id_[1:]) - 1 for id_, _ in near or ()] for near in found], truth)
        near_ms = _timed(lambda number: index.near(queries[number], 30), len(queries))

        async def asked(book: Scrapbook) -> list[float]:
            taken = []
            for number, question in enumerate((*questions[:20], *questions)):
                began_s = time.perf_counter()
                await book.recall(question, now, limit=3, floor=0.34, rehearsed=False)
                if number >= 20:
                    taken.append((time.perf_counter() - began_s) * 1000)
            return taken

        hybrid_ms, words_ms = await asked(scrapbook), await asked(alone)
        resident = resident_mb()
        await scrapbook.aclose()
    return {
        "recall": recall,
        "near_ms": near_ms,
        "hybrid_ms": hybrid_ms,
        "words_ms": words_ms,
        "opening_s": opening_s,
        "resident_mb": resident,
    }


def add(folder: Path) -> Found:
    """How late an event loop is, which is what a turn waits for, while memories are embedded and indexed; and without."""
    return asyncio.run(_add(folder))


async def _add(folder: Path) -> Found:
    vectors = vectors_of(ADDED, seed=11)
    texts = [f"an added memory number {number}" for number in range(ADDED)]
    engine = Given(dict(zip(texts, vectors, strict=True)))
    with store_of(folder) as store:
        records = records_of(store)
        scrapbook = Scrapbook(records, Means(engine, folder / "index", SystemClock(), 0.25))
        await scrapbook.even()
        seconds = 0.0

        def noted(some: Sequence[str]) -> list[Memory]:
            return [records.note(text) for text in some]

        async def adding() -> None:
            nonlocal seconds
            began_s = time.perf_counter()
            for first in range(0, ADDED, 50):
                some = texts[first : first + 50]
                notes = await asyncio.to_thread(noted, some)
                await store.commit_async([row(note) for note in notes], author="bench", reason="bench")
                scrapbook.wake()
                await scrapbook.even()
            seconds = time.perf_counter() - began_s

        still_ms = await _lateness(asyncio.create_task(asyncio.sleep(5)))
        adding_ms = await _lateness(asyncio.create_task(adding()))
        await scrapbook.aclose()
    return {"still_ms": still_ms, "adding_ms": adding_ms, "seconds": seconds, "threads": threading.active_count()}


async def _lateness(work: asyncio.Task[Any]) -> list[float]:
    """How much later than asked for a timer of 1 ms comes, while `work` is under way."""
    late = []
    while not work.done():
        began_s = time.perf_counter()
        await asyncio.sleep(0.001)
        late.append((time.perf_counter() - began_s) * 1000 - 1)
    await work
    return late


def hnsw(folder: Path) -> Found:
    import hnswlib

    vectors, before = kept(folder, "vectors"), resident_mb()
    index = hnswlib.Index("cosine", DIMENSIONS)
    index.init_index(len(vectors), M=16, ef_construction=200)
    began_s = time.perf_counter()
    index.add_items(vectors)
    build_s = time.perf_counter() - began_s
    index.set_num_threads(1)
    queries, truth = _asked(folder)
    for ef in (16, 32, 64, 128, 256, 512):
        index.set_ef(ef)
        recall = recall_of([index.knn_query(query, NEIGHBOURS)[0][0].tolist() for query in queries], truth)
        if recall >= 0.95:
            break
    taken = _timed(lambda number: index.knn_query(queries[number], NEIGHBOURS), len(queries))
    grown = resident_mb() - before
    return {"recall": recall, "near_ms": taken, "build_s": build_s, "resident_mb": grown, "how": f"M 16, ef {ef}"}


def faiss_ivf(folder: Path) -> Found:
    import faiss

    vectors, before = kept(folder, "vectors"), resident_mb()
    cells = max(16, len(vectors) // 400)
    index: Any = faiss.index_factory(DIMENSIONS, f"IVF{cells},SQ8", faiss.METRIC_INNER_PRODUCT)
    began_s = time.perf_counter()
    index.train(vectors)
    index.add(vectors)
    build_s = time.perf_counter() - began_s
    queries, truth = _asked(folder)
    faiss.omp_set_num_threads(1)
    for probes in (2, 4, 8, 16, 32, 64, 128, 256):
        index.nprobe = min(probes, cells)
        recall = recall_of([index.search(query[None], NEIGHBOURS)[1][0].tolist() for query in queries], truth)
        if recall >= 0.95:
            break
    taken = _timed(lambda number: index.search(queries[number][None], NEIGHBOURS), len(queries))
    grown = resident_mb() - before
    return {
        "recall": recall,
        "near_ms": taken,
        "build_s": build_s,
        "resident_mb": grown,
        "how": f"IVF{cells},SQ8, {probes} probes",
    }


def _lance(folder: Path, name: str, *, indexed: bool) -> Found:
    """LanceDB by itself, as its documentation has it: rows of ids and vectors."""
    import lancedb
    import pyarrow as pa

    vectors = kept(folder, "vectors")
    schema = pa.schema([("id", pa.int64()), ("vector", pa.list_(pa.float32(), DIMENSIONS))])
    place = folder / name
    began_s = time.perf_counter()
    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSIONS)
    rows = pa.table([pa.array(np.arange(len(vectors))), values], schema=schema)
    table = lancedb.connect(place).create_table("bare", data=rows, schema=schema)
    if indexed:
        from lancedb.index import IvfSq

        table.create_index("vector", config=IvfSq(distance_type="cosine"))
    build_s = time.perf_counter() - began_s
    queries, truth = _asked(folder)

    def ask(query: Vectors, probes: int) -> list[int]:
        search: Any = table.search(query)
        search = search.distance_type("cosine").limit(NEIGHBOURS).select(["id", "_distance"])
        if indexed:
            search = search.nprobes(probes)
        return list(search.to_arrow()["id"].to_pylist())

    for probes in (20, 64, 256) if indexed else (0,):
        recall = recall_of([ask(query, probes) for query in queries], truth)
        if recall >= 0.95:
            break
    taken = _timed(lambda number: ask(queries[number], probes), len(queries))
    how = f"its own cells, {probes} probes, no refining" if indexed else "every row"
    return {"recall": recall, "near_ms": taken, "build_s": build_s, "resident_mb": resident_mb(), "how": how}


def lance_ivf(folder: Path) -> Found:
    return _lance(folder, "bare-ivf", indexed=True)


def lance_flat(folder: Path) -> Found:
    return _lance(folder, "bare-flat", indexed=False)


def _asked(folder: Path) -> tuple[Vectors, list[list[int]]]:
    truth: list[list[int]] = json.loads((folder / "truth.json").read_text())
    return kept(folder, "queries"), truth


ROLES: dict[str, Callable[[Path], Found]] = {
    each.__name__: each for each in (fill, rebuild, serve, add, hnsw, faiss_ivf, lance_ivf, lance_flat)
}

if __name__ == "__main__":
    os.environ.setdefault("LANCEDB_LOG", "off")
    print(json.dumps(ROLES[sys.argv[1]](Path(sys.argv[2]))))
