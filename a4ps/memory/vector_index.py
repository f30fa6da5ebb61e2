"""The index over the image's vectors: opened, followed, made anew when it is missing, stale or damaged, and searched.

    cache/scrapbook/0007/      one LanceDB table, and state.json, written last: without it the table is not whole
    cache/scrapbook/quarantine/  tables that could not be read; never deleted by us, but by `purge`

One thread, this index's own, does all but searching, and in the order it was asked: there is one writer. The image is the
truth: what the table holds is known by the place in the image's log up to which it was read. Up to 10,000 rows all are
looked at; then, and again at each doubling, a new table is made beside, indexed by a process at low priority
(`lance_build`), and taken in the old one's place: no search waits for any of it.

Nothing here raises because of damage: a search that fails finds nothing, and the table is made anew from the image.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from a4ps.errors import StorageFailed
from a4ps.image.rows import GONE_SUFFIX, StoredRow
from a4ps.image.transfer import LOADED, RESTORED
from a4ps.memory import lance_build
from a4ps.memory.lance_index import Batch, IndexDamaged, LanceTable, remove
from a4ps.memory.records import VECTOR, Records
from a4ps.memory.tuning import Options, Tuning
from a4ps.memory.vectors import Vectors, of_payloads, payload_bytes

_log = logging.getLogger(__name__)

STATE = "state.json"
QUARANTINE = "quarantine"

#: Rows added since files were last joined, at which they are joined again.
TIDY_ROWS = 5_000

#: Rows read from the image and written to the table at a time.
BATCH_ROWS = 2_000

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class IndexState:
    """What is known of a table: whose vectors, of which image, up to which place of its log, how many, and how searched.

    `skipped` rows of the image are no vectors of that embedder, whatever they say.
    """

    identity: str
    dimensions: int
    image: str
    place: int
    rows: int
    tuning: Tuning | None
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What making the index anew came to: rows, seconds, and how it is searched now (None: all rows are looked at)."""

    rows: int
    seconds: float
    tuning: Tuning | None


class VectorIndex:
    """The index of one embedder over one open image. Every method may be called from any thread."""

    def __init__(self, folder: Path, records: Records, identity: str, dimensions: int, options: Options) -> None:
        """Touches nothing yet."""
        self._folder = folder
        self._records = records
        self._kind = VECTOR + identity
        self._identity = identity
        self._dimensions = dimensions
        self._options = options
        self._thread = ThreadPoolExecutor(1, "a4ps-vector-index")
        self._table: LanceTable | None = None
        self._state: IndexState | None = None
        self._at: Path | None = None
        self._looked_at = 0
        self._untidied = 0
        self._child: subprocess.Popen[bytes] | None = None
        self._closing = False
        self.fault = ""

    # Asking for work; each returns when it will be done

    def open(self) -> Future[None]:
        """Open what is there and catch up with the image; make it anew where it is missing, stale or damaged."""
        return self._soon(self._open)

    def follow(self) -> Future[None]:
        """Take in what was committed since."""
        return self._soon(self._follow)

    def rebuild(self) -> Future[Rebuilt]:
        """Make it anew from the image, whatever is there."""
        return self._soon(self._rebuild)

    def purge(self, ids: Iterable[str]) -> Future[int]:
        """Make it anew without these, and remove every older table and version, those in quarantine included.

        Returns how many tables were in quarantine. Whether the image still holds the ids does not matter.
        """
        excluded = frozenset(ids)
        return self._soon(lambda: self._purge(excluded))

    # Searching

    @property
    def ready(self) -> bool:
        return self._table is not None

    @property
    def state(self) -> IndexState | None:
        """What is searched now, None while nothing is."""
        return self._state

    def near(self, vector: Vectors, limit: int) -> list[tuple[str, float]] | None:
        """Ids and cosines of the nearest memories, the nearest first; None while there is no index to ask."""
        table = self._table
        if table is None:
            return None
        try:
            return table.near(vector, limit)
        except IndexDamaged as damage:
            why = str(damage)
            _log.warning("%s", why)
            with suppress(RuntimeError):  # closed meanwhile
                self._soon(lambda: self._replace(table, why))
            return None

    def close(self) -> None:
        """End what is under way; an index that is being built is given up. Idempotent."""
        self._closing = True
        child = self._child
        if child is not None:
            child.kill()
        self._thread.shutdown(wait=True, cancel_futures=True)
        self._table = None

    # The thread's work

    def _soon(self, work: Callable[[], T]) -> Future[T]:
        return self._thread.submit(self._guarded, work)

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Exception as error:
            self.fault = str(error)
            if not self._closing:
                _log.exception("the vector index failed")
            raise

    def _open(self) -> None:
        found = self._newest()
        if found is None:
            self._rebuild()
            return
        folder, state = found
        if state.identity != self._identity or state.image != self._image() or state.dimensions != self._dimensions:
            self._rebuild()
            return
        try:
            table = LanceTable.open(folder, state.dimensions, state.tuning)
            if table.count() != state.rows:
                _log.info("the vector index lags behind what is known of it")
                self._rebuild()
                return
        except IndexDamaged as damage:
            self._quarantine(folder, str(damage))
            self._rebuild()
            return
        self._use(folder, table, state)
        self._follow()
        assert self._state is not None
        if self._state.rows + self._state.skipped != self._records.vector_count(self._identity):
            self._rebuild()

    def _follow(self) -> None:
        table, state = self._table, self._state
        if table is None or state is None:
            return
        try:
            passed = _Passed(self._dimensions, frozenset(), state.place)
            for batch in _batched(passed.over(self._records.rows(self._kind, state.place))):
                table.add(self._batch(batch))
            gone = list(self._records.rows(self._kind + GONE_SUFFIX, state.place))
            for some in _batched(gone):
                table.delete([row.key for row in some])
            if passed.place == state.place and not gone:
                return
            self._untidied += passed.rows + len(gone)
            if self._untidied >= TIDY_ROWS:
                table.tidy()
                self._untidied = 0
            place = max([passed.place, *(row.place for row in gone)])
            skipped = state.skipped + passed.skipped
            self._know(replace(state, place=place, rows=table.count(), skipped=skipped))
        except IndexDamaged as damage:
            self._replace(table, str(damage))
            return
        indexed = self._options.flat_max if state.tuning is None else 2 * state.tuning.rows
        if self._state is not None and self._state.rows > max(indexed, self._looked_at):
            self._rebuild()

    def _replace(self, table: LanceTable, why: str) -> None:
        """Put a damaged table aside and make a new one, unless somebody has meanwhile."""
        if table is not self._table:
            return
        folder, self._table, self._state = self._at, None, None
        if folder is not None:
            self._quarantine(folder, why)
        self._rebuild()

    def _rebuild(self, excluded: frozenset[str] = frozenset()) -> Rebuilt:
        began_s = time.monotonic()
        folder = self._folder / f"{self._last_number() + 1:04d}"
        image = self._image()
        passed = _Passed(self._dimensions, excluded)
        try:
            folder.mkdir(parents=True, mode=0o700)
            rows = passed.over(self._records.rows(self._kind))
            table = LanceTable.create(folder, (self._batch(batch) for batch in _batched(rows)), self._dimensions)
            tuning = None
            if passed.rows > self._options.flat_max:
                tuning = self._index(folder, passed.rows)
                table = LanceTable.open(folder, self._dimensions, tuning)
        except OSError as error:
            remove(folder)
            raise StorageFailed(
                f"the vector index cannot be written: {error.strerror}", next_step="check the disk"
            ) from (error)
        except BaseException:
            remove(folder)
            raise
        state = IndexState(self._identity, self._dimensions, image, passed.place, passed.rows, tuning, passed.skipped)
        self._use(folder, table, state)
        self._know(state)
        self._untidied = 0
        self.fault = ""
        for other in self._tables():
            if other != folder:
                remove(other)
        return Rebuilt(passed.rows, time.monotonic() - began_s, tuning)

    def _index(self, folder: Path, rows: int) -> Tuning | None:
        """How to search the table of `folder` from now on; None where no index could be made: all rows are looked at then,
        and it is tried again at twice as many, or once the next process has more.
        """
        self._child = lance_build.start(folder, self._dimensions, self._options.method, self._options.target)
        try:
            if self._closing:
                self._child.kill()
            return lance_build.outcome(self._child)
        except IndexDamaged:
            if not self._closing:
                _log.exception("all vectors are looked at, as they could not be indexed")
            self._looked_at = 2 * rows
            return None
        finally:
            self._child = None

    def _purge(self, excluded: frozenset[str]) -> int:
        self._table, self._state = None, None
        quarantined = remove_all(self._folder)
        self._rebuild(excluded)
        return quarantined

    def _batch(self, rows: Sequence[StoredRow]) -> Batch:
        vectors = of_payloads([row.payload for row in rows], self._dimensions)
        return Batch([row.key for row in rows], [row.place for row in rows], vectors)

    # Files

    def _use(self, folder: Path, table: LanceTable, state: IndexState) -> None:
        self._at, self._state, self._table = folder, state, table

    def _know(self, state: IndexState) -> None:
        """Write down what the table holds: atomically, unsynced as the table itself."""
        assert self._at is not None
        self._state = state
        draft = self._at / f"{STATE}.new"
        draft.write_text(json.dumps(asdict(state)), encoding="utf-8")
        draft.replace(self._at / STATE)

    def _newest(self) -> tuple[Path, IndexState] | None:
        for folder in reversed(self._tables()):
            try:
                plain: dict[str, Any] = json.loads((folder / STATE).read_bytes())
                tuning = None if plain["tuning"] is None else Tuning(**plain["tuning"])
                return folder, IndexState(**{**plain, "tuning": tuning})
            except FileNotFoundError:
                remove(folder)  # it never was whole
            except (OSError, ValueError, TypeError, KeyError) as error:
                self._quarantine(folder, f"its {STATE} cannot be read: {error}")
        return None

    def _tables(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return sorted(path for path in self._folder.iterdir() if path.name.isdecimal())

    def _last_number(self) -> int:
        return max((int(path.name) for path in self._tables()), default=0)

    def _quarantine(self, folder: Path, why: str) -> None:
        _log.warning("the vector index %s is put into quarantine: %s", folder.name, why)
        quarantine = self._folder / QUARANTINE
        with suppress(OSError):
            quarantine.mkdir(mode=0o700, exist_ok=True)
            number = len(list(quarantine.iterdir())) + 1
            folder.rename(quarantine / f"{number:04d}-{self._records.store.clock.now():%Y%m%d-%H%M%S}")

    def _image(self) -> str:
        """Which content of which image: another one was loaded or restored where this differs."""
        store = self._records.store
        told = [store.image_id.hex(), store.heads(LOADED), store.heads(RESTORED)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def remove_all(folder: Path) -> int:
    """Every table, with those in quarantine, of which the number is returned. For whoever has no index open here."""
    quarantine = folder / QUARANTINE
    quarantined = len(list(quarantine.iterdir())) if quarantine.is_dir() else 0
    remove(folder)
    return quarantined


class _Passed:
    """Counts the rows that pass, and knows the place of the last. What is no vector of these dimensions does not."""

    def __init__(self, dimensions: int, excluded: frozenset[str], place: int = -1) -> None:
        self._bytes = payload_bytes(dimensions)
        self._excluded = excluded
        self.place = place
        self.rows = 0
        self.skipped = 0

    def over(self, rows: Iterable[StoredRow]) -> Iterator[StoredRow]:
        for row in rows:
            self.place = row.place
            if len(row.payload) != self._bytes:
                self.skipped += 1
            elif row.key not in self._excluded:
                self.rows += 1
                yield row


def _batched(rows: Iterable[StoredRow]) -> Iterator[list[StoredRow]]:
    batch: list[StoredRow] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
