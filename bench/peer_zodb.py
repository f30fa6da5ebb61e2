"""ZODB with a FileStorage, committing one changed object of 2 kB: `python -m bench.peer_zodb FILE`.

A line on stdin with a number of threads and one of commits has each thread make that many, each durable (FileStorage
syncs by default), each of an object of its own; a line of JSON with the CPU and wall time of the whole block, in ms,
answers. The first line says the version.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from importlib import metadata
from typing import Any

from bench.image_data import two_kb

MOST_THREADS = 64


def main() -> None:
    """Serve blocks until stdin ends."""
    import transaction  # type: ignore[import-not-found]
    import ZODB  # type: ignore[import-not-found]
    import ZODB.FileStorage  # type: ignore[import-not-found]
    from persistent.mapping import PersistentMapping  # type: ignore[import-not-found]

    storage = ZODB.FileStorage.FileStorage(sys.argv[1])
    database: Any = ZODB.DB(storage)
    root = database.open().root()
    for number in range(MOST_THREADS):
        codex, state = two_kb(number)
        root[f"P{number}"] = PersistentMapping({**codex, **state})
    transaction.commit()

    def work(number: int, commits: int, start: int, gate: threading.Barrier | None) -> None:
        manager = transaction.TransactionManager()
        connection = database.open(manager)
        mine = connection.root()[f"P{number}"]
        if gate is not None:
            gate.wait()
        for changed in range(start, start + commits):
            mine["mood"] = changed
            manager.commit()
        connection.close()

    print(json.dumps({"version": metadata.version("ZODB")}), flush=True)
    changed = 1
    for line in sys.stdin:
        threads, commits = map(int, line.split())
        gate = threading.Barrier(threads + 1) if threads > 1 else None
        workers = [
            threading.Thread(target=work, args=(number, commits, changed, gate))
            for number in range(threads if gate else 0)
        ]
        for worker in workers:
            worker.start()
        while gate is not None and gate.n_waiting < threads:
            time.sleep(0.001)
        cpu, wall = time.process_time(), time.perf_counter()
        if gate is None:
            work(0, commits, changed, None)
        else:
            gate.wait()
        for worker in workers:
            worker.join()
        changed += commits
        wall_ms = (time.perf_counter() - wall) * 1000
        print(json.dumps({"cpu_ms": (time.process_time() - cpu) * 1000, "wall_ms": wall_ms}), flush=True)
    database.close()


if __name__ == "__main__":
    main()
