"""The store: an append-only log of signed rows, grouped in commits; the newest row of a (kind, key) is its head.

For: durable commits, heads, full-text search, verification. Not for: what a payload means, who may write, undoing.

What holds (I1, I2): an acknowledged commit survives the death of the process and of the machine; a rejected one is not
there; a row is verified each time before its payload is returned; an image that is older than its witness does not
open; once its file is removed or replaced, nothing more is acknowledged. Not covered: an image that was deleted with all
that lies beside it (a new, empty one is made); a copy of an image, opened with the same key folder, that goes on by
itself: both have one witness, and the one that is behind does not open; a head whose newest row was taken out of
SQLite by hand behind the last commits (`verify(deep=True)` finds it; reading finds the row before it).

Nothing is deleted in the course of things: a later row of the kind `<kind>-gone` under the same key takes what is there
out of sight. `forget` is the exception: of what it forgets, a signed tombstone is left (tombstones.py), and no byte of the
rest once `scrub` has returned.

One process owns an image at a time. A process that has it open must not fork without exec: the child would share the
lock and SQLite's files; its commits and `close` raise CallerError.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import copy
import itertools
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from a4ps.clock import Clock
from a4ps.errors import A4PSError, CallerError, IntegrityError, StorageFailed
from a4ps.image import search_index, verify
from a4ps.image.backup import copy_image
from a4ps.image.commands import current_mark
from a4ps.image.connections import Readers, translate
from a4ps.image.heads import Heads, Versions
from a4ps.image.image_file import OlderFormat, create
from a4ps.image.keys import KeyFolder, make_folder
from a4ps.image.lock import OwnerLock
from a4ps.image.migrations import migrate
from a4ps.image.redaction import Redaction
from a4ps.image.rows import (
    MAX_GENERATION,
    MAX_ROWS,
    Commit,
    PackedRow,
    Row,
    StoredRow,
    check_text,
    generation_of,
    is_text,
    pack,
    place_of,
    to_us,
)
from a4ps.image.seal import Seal
from a4ps.image.tombstones import FORGETTING, FORGOT, SCRUBBED
from a4ps.image.verify import Tell, VerifyReport, tell_nobody
from a4ps.image.writer import CommitJob, ForgetJob, Judge, Judged, RebuildJob, ScrubJob, Writer

__all__ = ["Commit", "Row", "Store", "StoreStatistics", "StoredRow", "VerifyReport"]


_ROW = "SELECT place, kind, key, salt, mac, body, at FROM rows AS r "

# What stands for the row in question is ROW; `-gone` is GONE_SUFFIX.
_NOT_GONE = "NOT EXISTS (SELECT 1 FROM rows AS g WHERE g.kind = ROW.kind || '-gone' AND g.key = ROW.key "
_NOT_GONE += "AND g.place > ROW.place) "
_STAYS = _NOT_GONE.replace("ROW", "r")
_IS_HEAD = "NOT EXISTS (SELECT 1 FROM rows AS n WHERE n.kind = r.kind AND n.key = r.key AND n.place > r.place) "
_IS_HEAD += "AND " + _STAYS
_IS_FIRST = "NOT EXISTS (SELECT 1 FROM rows AS e WHERE e.kind = r.kind AND e.key = r.key AND e.place < r.place AND "
_IS_FIRST += _NOT_GONE.replace("ROW", "e") + ") AND " + _STAYS
_IS_OPEN = "NOT EXISTS (SELECT 1 FROM rows AS c WHERE c.kind = ? AND c.key = r.key AND "
_IS_OPEN += _NOT_GONE.replace("ROW", "c") + ") "
_COUNT = "SELECT count(*) FROM rows AS r WHERE kind = ? AND "
_COUNT += _IS_HEAD


@dataclass(frozen=True, slots=True)
class StoreStatistics:
    """An open image: its newest commit and how many were made since it was opened, the bytes of its file and of its log, and
    why the disk refuses writes ("" where it does not).
    """

    generation: int
    commits: int
    file_bytes: int
    wal_bytes: int
    read_only: str


class Match(NamedTuple):
    """A row that full-text search found: its key, its score, its text, and the payload that was verified with it."""

    key: str
    score: float
    text: str
    kind: str
    payload: bytes


Then = Callable[[Commit], None]
_Ranking = Callable[[sqlite3.Connection], Callable[[int, int], list[tuple[int, float]]]]


class Store:
    """One open image. Every method may be called from any thread; reads never wait for writes.

    Reading raises IntegrityError where a row is not what was stored, StorageFailed or DiskFull where the disk refuses,
    CallerError after `close`. The store stays usable after any of them.
    """

    def __init__(
        self, path: Path, writer: Writer, readers: Readers, lock: OwnerLock, keys: KeyFolder, clock: Clock
    ) -> None:
        """Use `open`."""
        self._path = path
        self.keys = keys
        self.clock = clock
        self.image_id = writer.attached.image_id
        self._writer = writer
        self._readers = readers
        self._lock = lock
        self._seal = writer.attached.seal
        self._meta_mac = writer.attached.meta_mac
        self._opened_at = writer.tip.generation
        self._closing = threading.Lock()
        self._closed = False

    @classmethod
    def open(cls, path: Path, keys: KeyFolder, clock: Clock) -> Store:
        """Open the image at `path`, or make an empty one (parents 0700, file 0600), and check its newest commits.

        One of an earlier format is backed up beside itself, verified whole, and brought to this one first.

        Raises ImageHeld while somebody else has it; IntegrityError where it is damaged, foreign or older than what was
        acknowledged; KeyLost; ImageTooNew; DiskFull; StorageFailed. Nothing stays open or locked then.
        """
        try:
            path = path.resolve()
        except (OSError, RuntimeError) as error:
            raise StorageFailed(f"{path} leads nowhere: {error}", next_step="name another path") from error
        _make_parents(path)
        with ExitStack() as undo:
            lock = OwnerLock(path)
            undo.callback(lock.release)
            if not path.exists():
                create(path, keys, clock)
            try:
                writer = Writer(path, keys, clock)
            except OlderFormat:
                migrate(path, keys, clock)
                writer = Writer(path, keys, clock)
            undo.callback(writer.checkpoint_and_close)
            try:
                readers = Readers(path)
            except sqlite3.Error as error:
                raise translate(error, path, "opening the image for reading") from error
            writer.start(readers)
            undo.pop_all()
        return cls(path, writer, readers, lock, keys, clock)

    @property
    def path(self) -> Path:
        return self._path

    @property
    def seal(self) -> Seal:
        """What signs for this image; for what is kept beside it."""
        return self._seal

    @property
    def generation(self) -> int:
        """The newest durable commit's number; 0 in an empty image."""
        return self._writer.tip.generation

    @property
    def read_only(self) -> str:
        """Why the last write was refused by the disk, or "". The next commit tries again whatever it says."""
        return self._writer.read_only

    def statistics(self) -> StoreStatistics:
        """How it is now. Asks the disk for two sizes and reads nothing; also after `close`."""
        generation = self.generation
        wal = self._path.with_name(f"{self._path.name}-wal")
        return StoreStatistics(
            generation, generation - self._opened_at, _size(self._path), _size(wal), self._writer.read_only
        )

    def judge_by(self, load: Callable[[], Versions], flip: Callable[[Versions], None]) -> None:
        """Say how the heads that judgements start from are read, and who is told what they are.

        `flip` is called now, and then by the writer's thread, once for each group of commits that changed the heads:
        after its fsync and before any of it is acknowledged. `load` is called again where commits turn out to be durable
        whose outcome was not known. Neither may write. Call this before the first judgement.
        """
        self._writer.reload = load
        self._writer.flip = flip
        versions = load()
        self._writer.heads = Heads(versions)
        flip(versions)

    def call_on_commits(self, moved: Callable[[], None]) -> None:
        """Have `moved` called, by the writer's thread, after commits have become durable; `commits_after` has them."""
        self._writer.moved = moved

    def commit(self, rows: Sequence[Row] | Judge, *, author: str, reason: str, then: Then | None = None) -> Commit:
        """Make `rows` durable as one commit: all or none. Blocks until that is so; there is no deadline but the disk's.

        In the place of rows, a judgement is asked for them when the commit's turn has come; what it raises is raised
        here. `then` is called in the writer's thread, after the acknowledgement of a durable commit.

        Raises CallerError (no rows, text that cannot be stored, closed store), DiskFull, StorageFailed, IntegrityError.
        The store survives; after an error of the disk the next commit opens the image anew and tries again. When
        StorageFailed says that the outcome is not known, the rows may be found later; else they are not there.
        """
        outcome = _Outcome()
        self._writer.enqueue(_job(rows, author, reason, outcome.settle, then))
        return _raise_or_return(outcome.wait())

    async def commit_async(
        self, rows: Sequence[Row] | Judge, *, author: str, reason: str, then: Then | None = None
    ) -> Commit:
        """`commit` without blocking the event loop.

        Cancelled before the rows are handed over, nothing is written. Cancelled later, it first waits for the outcome
        and then lets the cancellation go on; the rows may then be there.
        """
        # A cancellation that is already on its way arrives here, before anything is handed over.
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Commit | A4PSError] = loop.create_future()

        def settle(result: Commit | A4PSError) -> None:
            # A loop that was closed in the meantime has nobody left who waits.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(outcome.set_result, result)

        self._writer.enqueue(_job(rows, author, reason, settle, then))
        cancelled: asyncio.CancelledError | None = None
        while not outcome.done():
            try:
                await asyncio.wait([outcome])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            raise cancelled
        return _raise_or_return(outcome.result())

    def forget(self, redaction: Redaction, *, author: str, reason: str) -> Commit:
        """Put in place of each row and commit what `redaction` leaves of it, in one commit: all or none. Blocks.

        Commits wait meanwhile; it takes as long as reading the image and making its full-text index anew. What it took
        out may still be read from the log by who has its file: see `scrub`. Raises as `commit`, and IntegrityError where
        something is not what was stored.
        """
        check_text("author", author)
        check_text("reason", reason)
        outcome = _Outcome()
        self._writer.enqueue(ForgetJob(redaction, author, reason, outcome.settle))
        return _raise_or_return(outcome.wait())

    def scrub(self) -> None:
        """Empty the log, so that no page is left of how the image was. Waits for whoever reads.

        Raises StorageFailed, also where another program has the image open, DiskFull.
        """
        outcome: concurrent.futures.Future[A4PSError | None] = concurrent.futures.Future()
        self._writer.enqueue(ScrubJob(outcome.set_result))
        failed = outcome.result()
        if failed is not None:
            raise failed

    def head(self, kind: str, key: str) -> StoredRow | None:
        """The newest row of (`kind`, `key`), or None where there is none or it is gone."""
        if not is_text(key):
            return None
        with self._readers.lend("reading a row") as connection:
            found = connection.execute(
                _ROW + f"WHERE kind = ? AND key = ? AND {_STAYS}ORDER BY place DESC LIMIT 1", (kind, key)
            ).fetchone()
            return None if found is None else verify.verified_row(self._seal, found)[0]

    def heads(self, kind: str) -> dict[str, int]:
        """Each key of `kind` and the generation of its newest row, gone or not, in the order of the keys.

        No row is read, so none is verified: reading one of them is what proves it.
        """
        with self._readers.lend("listing keys") as connection:
            found = connection.execute(
                "SELECT key, max(place) FROM rows WHERE kind = ? GROUP BY key", (kind,)
            ).fetchall()
            return {str(key): generation_of(place) for key, place in found}

    def kinds(self) -> list[str]:
        """Every kind that there are rows of."""
        with self._readers.lend("listing kinds") as connection:
            return [str(kind) for (kind,) in connection.execute("SELECT DISTINCT kind FROM rows ORDER BY kind")]

    def past(self, kind: str, key: str, *, upto: int | None = None, limit: int = -1) -> list[StoredRow]:
        """The rows of (`kind`, `key`), gone or not, newest first: of generation `upto` or before, at most `limit`."""
        if not is_text(key):
            return []
        beyond = MAX_GENERATION if upto is None else min(max(upto, 0) + 1, MAX_GENERATION)
        query = _ROW + "WHERE kind = ? AND key = ? AND place < ? ORDER BY place DESC LIMIT ?"
        with self._readers.lend("reading rows") as connection:
            found = connection.execute(query, (kind, key, place_of(beyond, 0), limit)).fetchall()
            return [verify.verified_row(self._seal, row)[0] for row in found]

    def count(self, kind: str) -> int:
        """How many heads of `kind` there are. None is read, so none is verified."""
        with self._readers.lend("counting rows") as connection:
            return int(connection.execute(_COUNT, (kind,)).fetchone()[0])

    def greatest_number(self, kind: str, prefix: str) -> int:
        """The greatest n of the keys `prefix` + n that rows of `kind` ever had, 0 where there is none."""
        numbered = "SELECT max(CAST(substr(key, ?) AS INTEGER)) FROM rows WHERE kind = ? AND key GLOB ?"
        with self._readers.lend("listing keys") as connection:
            found = connection.execute(numbered, (len(prefix) + 1, kind, f"{prefix}[0-9]*")).fetchone()[0]
            return int(found or 0)

    def heads_after(self, kind: str, place: int, *, limit: int) -> list[StoredRow]:
        """Up to `limit` heads of `kind` beyond a place of the log, oldest first: for whoever reads on where it stopped."""
        query = _ROW + "WHERE kind = ? AND place > ? AND " + _IS_HEAD + "ORDER BY place LIMIT ?"
        with self._readers.lend("reading rows") as connection:
            found = connection.execute(query, (kind, place, limit)).fetchall()
            return [verify.verified_row(self._seal, row)[0] for row in found]

    def rows_of(self, generation: int, kind: str) -> list[StoredRow]:
        """The rows of `kind` in one commit, in its order; none where there is no such commit."""
        with self._readers.lend("reading a commit") as connection:
            if not 0 < generation < MAX_GENERATION:
                return []
            rows = [verify.verified_row(self._seal, row)[0] for row in verify.rows_of(connection, generation)]
            return [row for row in rows if row.kind == kind]

    def walk(self) -> Iterator[tuple[StoredRow, str]]:
        """Every row, gone or not, with its text, in the order of the log, on one snapshot; commits go on meanwhile.

        A reader is lent until the end: `close` waits for it.
        """
        with self._readers.lend("reading the image") as connection:
            connection.execute("BEGIN")
            try:
                for found in connection.execute(_ROW + "ORDER BY place"):
                    yield verify.verified_row(self._seal, found)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def commits(self) -> Iterator[Commit]:
        """Every commit in the order of the log, on one snapshot; each is proved by its rows. As `walk` otherwise."""
        with self._readers.lend("reading the image") as connection:
            connection.execute("BEGIN")
            try:
                for found in verify.commits_from(connection, 1):
                    yield verify.verified_commit(connection, self._seal, found)
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def commits_after(self, generation: int, *, limit: int) -> list[tuple[Commit, tuple[tuple[str, str], ...]]]:
        """Up to `limit` commits after that number, oldest first, each proved, with kind and key of its rows in order."""
        with self._readers.lend("reading commits") as connection:
            found = verify.commits_from(connection, min(max(generation, 0), MAX_GENERATION - 2) + 1)
            some: list[tuple[Commit, tuple[tuple[str, str], ...]]] = []
            for each in itertools.islice(found, limit):
                commit = verify.verified_commit(connection, self._seal, each)
                rows = tuple((row[1], row[2]) for row in verify.rows_of(connection, commit.generation))
                some.append((commit, rows))
            return some

    def newest(
        self, kind: str, *, limit: int, before: datetime | None = None, after: datetime | None = None
    ) -> list[StoredRow]:
        """Up to `limit` heads of `kind`, last committed first, whose time is in [`after`, `before`)."""
        query = _ROW + "WHERE kind = ? AND " + _IS_HEAD
        values: list[object] = [kind]
        if before is not None:
            query += "AND at < ? "
            values.append(to_us(before))
        if after is not None:
            query += "AND at >= ? "
            values.append(to_us(after))
        with self._readers.lend("reading rows") as connection:
            found = connection.execute(query + "ORDER BY place DESC LIMIT ?", (*values, max(0, limit))).fetchall()
            return [verify.verified_row(self._seal, row)[0] for row in found]

    def keys_without(self, kind: str, closing: str) -> list[str]:
        """Keys of `kind` that have no row of kind `closing`, in the order of their first rows: what is still open.

        Rows that are gone do not count.
        """
        query = _ROW + "WHERE kind = ? AND " + _IS_OPEN + "AND " + _IS_FIRST + "ORDER BY place"
        with self._readers.lend("reading rows") as connection:
            found = connection.execute(query, (kind, closing)).fetchall()
            return [verify.verified_row(self._seal, row)[0].key for row in found]

    def search(self, match: str, *, kind: str | tuple[str, ...], limit: int) -> list[Match]:
        """The heads of `kind`, one or several, whose text matches the FTS5 expression `match`, best first.

        A score is SQLite's bm25 with the sign turned: above 0, more is better; comparable within one search only. A
        damaged index is made anew first. Raises CallerError where `match` is not an FTS5 expression.
        """
        return self._found(lambda connection: search_index.Ranked(connection, match), kind, limit)

    def search_words(
        self, words: Sequence[str | Sequence[str]], *, kind: str | tuple[str, ...], limit: int
    ) -> list[Match]:
        """The heads of `kind` that have some of the words, those with the most and rarest first, the newest of equals.

        Where a word has several forms, any of them counts as that word. Of many words the rarest are searched for. Many
        times as fast as `search` for all of them, which looks up how long each text is. A score is comparable within one
        search only. A damaged index is made anew first.
        """
        return self._found(lambda connection: search_index.Weighed(connection, words), kind, limit)

    def _found(self, ranking: _Ranking, kind: str | tuple[str, ...], limit: int) -> list[Match]:
        kinds = (kind,) if isinstance(kind, str) else kind
        if self._writer.index_stale:
            self._rebuild_index()
        try:
            return self._search(ranking, kinds, limit)
        except search_index.IndexDamaged:
            self._rebuild_index()
        try:
            return self._search(ranking, kinds, limit)
        except search_index.IndexDamaged as error:
            raise IntegrityError(
                f"the full-text index of {self._path} is damaged", next_step="run: a4ps image verify --deep"
            ) from error

    def rebuild_search(self) -> None:
        """Make the full-text index anew from the rows. Raises IntegrityError where the image would not be whole after it."""
        self._rebuild_index()

    def verify(self, *, deep: bool = False, tell: Tell = tell_nobody) -> VerifyReport:
        """Check the newest commits, or (`deep`) every commit, row, page and the full-text index.

        Damage is reported, not raised. A damaged index is made anew, with a warning, if all else is whole. A deep check
        reads the whole image on one snapshot; commits go on meanwhile. `tell` hears how far it is. Raises CallerError after
        `close`.
        """
        index_ok, report = self._verify(deep=deep, tell=tell)
        if index_ok or not deep:
            return report
        rebuilt = self._rebuilt()
        if rebuilt is not None:
            return VerifyReport(
                deep, report.generation, report.commits, report.rows, (*report.faults, rebuilt.message), report.warnings
            )
        _, again = self._verify(deep=True, tell=tell)
        warnings = (*again.warnings, "the full-text index was damaged, or of an earlier form, and has been made anew")
        return VerifyReport(deep, again.generation, again.commits, again.rows, again.faults, warnings)

    def backup(self, path: Path, *, tell: Tell = tell_nobody) -> VerifyReport:
        """Copy the image, as it is now, to `path`, which must not exist, and check every row of the copy.

        Commits go on meanwhile. The copy appears under its name when it is complete, verified and durable. Raises
        CallerError (the path is taken), IntegrityError (the image is damaged), DiskFull, StorageFailed; nothing is left
        at `path` then.
        """
        with self._readers.lend("backing up") as connection:
            return copy_image(connection, path, self._seal, self._meta_mac, tell)

    def close(self) -> None:
        """Serve the commits that wait, write the log back into the image, release the lock; idempotent.

        A second caller waits for the first. Reads and commits raise CallerError from now on. Where Ctrl-C ends it early,
        the next call goes on from there.
        """
        with self._closing:
            if self._closed:
                return
            self._writer.close()
            self._readers.close()
            self._writer.checkpoint_and_close()
            self._lock.release()
            self._closed = True

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _search(self, ranking: _Ranking, kinds: Sequence[str], limit: int) -> list[Match]:
        # The index ranks first and alone; joining it would look up every match before the limit. Rows of other kinds and
        # rows that are no longer heads are few, so the next ranks are fetched only where too many were such.
        query = _ROW + "WHERE place = ? AND kind IN (" + ", ".join("?" * len(kinds)) + ") AND " + _IS_HEAD
        matches: list[Match] = []
        offset = 0
        with self._readers.lend("searching") as connection:
            rank = ranking(connection)
            while len(matches) < limit:
                ranked = rank(limit, offset)
                for place, score in ranked:
                    found = connection.execute(query, (place, *kinds)).fetchone()
                    if found is not None and len(matches) < limit:
                        row, text = verify.verified_row(self._seal, found)
                        matches.append(Match(row.key, score, text, row.kind, row.payload))
                if len(ranked) < limit:
                    break
                offset += limit
        return matches

    def _verify(self, *, deep: bool, tell: Tell) -> tuple[bool, VerifyReport]:
        warnings = (*self._writer.warnings, *self._cut_off())
        with self._readers.lend("verifying") as connection:
            return verify.check_image(connection, self._seal, self._meta_mac, warnings, deep=deep, tell=tell)

    def _cut_off(self) -> list[str]:
        """A warning where a forgetting was begun and not finished."""
        with suppress(IntegrityError):  # the check tells of it
            if self.heads(FORGETTING) or self.heads(FORGOT).keys() - self.heads(SCRUBBED).keys():
                return ["a forgetting was cut off, and what was to be forgotten may be there: a4ps memory forget"]
        return []

    def _rebuilt(self) -> A4PSError | None:
        outcome: concurrent.futures.Future[A4PSError | None] = concurrent.futures.Future()
        self._writer.enqueue(RebuildJob(outcome.set_result))
        return outcome.result()

    def _rebuild_index(self) -> None:
        failed = self._rebuilt()
        if failed is not None:
            raise failed


class _Outcome:
    """What one thread waits for and the writer's settles once. A bare lock costs half of a future."""

    __slots__ = ("_outcome", "_settled")

    _outcome: Commit | A4PSError

    def __init__(self) -> None:
        self._settled = threading.Lock()
        self._settled.acquire()

    def settle(self, outcome: Commit | A4PSError) -> None:
        self._outcome = outcome
        self._settled.release()

    def wait(self) -> Commit | A4PSError:
        self._settled.acquire()
        return self._outcome


def _job(
    rows: Sequence[Row] | Judge,
    author: str,
    reason: str,
    settle: Callable[[Commit | A4PSError], None],
    then: Then | None,
) -> CommitJob:
    mark = current_mark()
    marked = None if mark is None else mark.take()

    def settle_then(outcome: Commit | A4PSError) -> None:
        if mark is not None and marked is not None and isinstance(outcome, A4PSError):
            mark.give_back()
        settle(outcome)
        if then is not None and not isinstance(outcome, A4PSError):
            then(outcome)

    if callable(rows):
        check_text("author", author)
        check_text("reason", reason)
        judge = rows if marked is None else _with(rows, pack(marked))
        return CommitJob(judge, author, reason, settle_then)
    together = rows if marked is None else [*rows, marked]
    return CommitJob(_packed(together, author, reason), author, reason, settle_then)


def _with(judge: Judge, row: PackedRow) -> Judge:
    """A judgement whose commit has one row more."""

    def judged(heads: Heads, generation: int, at: datetime) -> Judged:
        found = judge(heads, generation, at)
        return Judged((*found.rows, row), found.heads)

    return judged


def _packed(rows: Sequence[Row], author: str, reason: str) -> tuple[PackedRow, ...]:
    if not 0 < len(rows) <= MAX_ROWS:
        raise CallerError(f"a commit has 1 to {MAX_ROWS} rows, not {len(rows)}", next_step="split or drop the commit")
    check_text("author", author)
    check_text("reason", reason)
    return tuple(pack(row) for row in rows)


def _raise_or_return(outcome: Commit | A4PSError) -> Commit:
    if isinstance(outcome, A4PSError):
        # One error may answer a whole group; each of its callers needs one of its own to hang a traceback on.
        raise copy.copy(outcome) from outcome.__cause__
    return outcome


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _make_parents(path: Path) -> None:
    try:
        make_folder(path.parent)
    except OSError as error:
        raise StorageFailed(
            f"the folder {path.parent} cannot be made: {error.strerror}", next_step="name another folder"
        ) from error
