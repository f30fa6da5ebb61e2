"""A process that remembers until it is killed: says which notes are durable, and follows them into the index."""

from __future__ import annotations

import sys
from pathlib import Path

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.memory.tuning import Options
from a4ps.memory.vector_index import VectorIndex
from tests.memory.books import DIMENSIONS, IDENTITY, book_of, remembers, vectors

folder = Path(sys.argv[1])
with Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), SystemClock()) as store:
    records = book_of(store)
    index = VectorIndex(folder / "index", records, IDENTITY, DIMENSIONS, Options(flat_max=400))
    index.open().result()
    while True:
        known = records.vector_count(IDENTITY)
        remembers(records, vectors(20, seed=known))
        print(known + 20, flush=True)
        index.follow()
