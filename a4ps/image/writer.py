"""The writer: one thread that owns the one connection which writes, and makes what waits for it durable in groups.

All commits that wait go into one SQLite transaction and share one fsync; only then are they acknowledged. One that
SQLite refuses is taken back by its savepoint and harms no other. What is in memory (the tip of the chain, the heads)
changes only when the outcome on the disk is known.

A commit may be a judgement instead of rows: it is asked for its rows when its turn has come, is shown the heads as the
commits before it will leave them, and may refuse. So conflicts are judged in the order of the queue without a lock, and
a whole group still shares its fsync. Heads of a group that fails are forgotten with it.

After any error of the disk the writer refuses (`read_only` says why) until the next request, which first opens the
image anew and checks it; so the store heals by itself when space or disk return.
"""

from __future__ import annotations

import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from a4ps.clock import Clock
from a4ps.errors import A4PSError, CallerError, IntegrityError, StorageFailed
from a4ps.image import search_index, verify
from a4ps.image.connections import Readers, closed_error, concerns_one_statement, is_full, is_worlds, translate
from a4ps.image.heads import Heads, Versions
from a4ps.image.image_file import Attached, attach
from a4ps.image.keys import KeyFolder, Mark, Witness, fsync_folder
from a4ps.image.redaction import Redaction, forget
from a4ps.image.rows import Commit, PackedRow, place_of
from a4ps.image.signed import SignedCommit, insert, sign

MAX_GROUP = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """What a judgement comes to: the rows to write, and the heads once they are durable."""

    rows: tuple[PackedRow, ...]
    heads: Heads


Judge = Callable[[Heads, int, datetime], Judged]
"""Called by the writer's thread with the heads so far, the generation and the time of the commit it will be.

Must be quick, must not block, and must not change anything; raises A4PSError to refuse.
"""


@dataclass(frozen=True, slots=True)
class CommitJob:
    """A commit that waits. `settle` is called once, from the writer's thread, with the commit or why there is none."""

    rows: tuple[PackedRow, ...] | Judge
    author: str
    reason: str
    settle: Callable[[Commit | A4PSError], None]


@dataclass(frozen=True, slots=True)
class RebuildJob:
    """A request to make the full-text index anew; `settle` gets None or why it could not be done."""

    settle: Callable[[A4PSError | None], None]


@dataclass(frozen=True, slots=True)
class ForgetJob:
    """A request to forget what `redaction` names, as one commit; `settle` as that of a CommitJob."""

    redaction: Redaction
    author: str
    reason: str
    settle: Callable[[Commit | A4PSError], None]


@dataclass(frozen=True, slots=True)
class ScrubJob:
    """A request to write the log back and empty it; `settle` gets None or why it could not be done."""

    settle: Callable[[A4PSError | None], None]


Job = CommitJob | RebuildJob | ForgetJob | ScrubJob


@dataclass(slots=True)
class _Group:
    """What the jobs of a group have come to so far: nothing of it counts before the group's COMMIT."""

    tip: Mark
    heads: Heads
    outcomes: list[Commit | A4PSError] = field(default_factory=list)
    texts: list[tuple[int, str]] = field(default_factory=list)

    def copied(self) -> _Group:
        return _Group(self.tip, self.heads, list(self.outcomes), list(self.texts))


class Writer:
    """Made and started by the store, which holds the image's lock; `readers` are those of the same store."""

    def __init__(self, path: Path, keys: KeyFolder, clock: Clock) -> None:
        """Attach to the image and check its tail and its witness before anything is used.

        Raises what `attach` raises, and IntegrityError where the chain's tail or the witness are wrong; then nothing
        stays open.
        """
        self._path = path
        self._keys = keys
        self._clock = clock
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._closed = False
        self._pid = os.getpid()
        self._file: os.stat_result | None = None
        self._readers: Readers | None = None
        self._witness: Witness | None = None
        self._attached: Attached | None = None
        self._ended = threading.Event()
        self.tip = Mark(0, b"")
        self.heads = Heads({})
        self.flip: Callable[[Versions], None] | None = None
        self.reload: Callable[[], Versions] | None = None
        self.moved: Callable[[], None] | None = None
        self.read_only = ""
        self.index_stale = False
        self.warnings: tuple[str, ...] = ()
        try:
            self._open()
        except BaseException:
            self._close_files()
            raise
        self._shown = self.tip

    @property
    def attached(self) -> Attached:
        """The image as it was last opened. Raises StorageFailed while it could not be opened again."""
        if self._attached is None:
            raise StorageFailed(f"the image {self._path} could not be opened again", next_step="free space, try again")
        return self._attached

    def start(self, readers: Readers) -> None:
        self._readers = readers
        threading.Thread(target=self._run, name="a4ps-image-writer", daemon=True).start()

    def enqueue(self, job: Job) -> None:
        """Hand a job over; never blocks. Raises CallerError after `close`, and in a forked child, which has no writer."""
        self._need_own_process()
        with self._gate:
            if self._closed:
                raise closed_error(self._path)
            self._jobs.put(job)

    def close(self) -> None:
        """Serve what is queued, and end; idempotent. Raises CallerError in a forked child, never for the disk."""
        self._need_own_process()
        with self._gate:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        # Not the thread's own join: one that Ctrl-C ended makes Python 3.11 take the thread for ended.
        if self._readers is not None:
            self._ended.wait()

    def checkpoint_and_close(self) -> None:
        """The last step of closing, when the readers are closed as well."""
        if self._attached is not None:
            try:
                self._attached.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            except sqlite3.Error as error:
                # The log stays beside the image and is read at the next opening.
                _log.warning("the log of %s could not be written back: %s", self._path, error)
        self._close_files()

    def _need_own_process(self) -> None:
        if os.getpid() != self._pid:
            raise CallerError(
                f"the image {self._path} was opened by another process, of which this is a fork",
                next_step="open images after forking, or start processes afresh (spawn)",
            )

    def _run(self) -> None:
        try:
            stop = False
            while not stop:
                group, stop = self._next_group()
                if group:
                    self._serve(group)
        finally:
            self._ended.set()

    def _next_group(self) -> tuple[list[Job], bool]:
        group: list[Job] = []
        job = self._jobs.get()
        while job is not None:
            group.append(job)
            if len(group) == MAX_GROUP:
                return group, False
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _serve(self, group: list[Job]) -> None:
        before = self.tip
        commits = [job for job in group if isinstance(job, CommitJob)]
        if commits:
            outcomes: list[Commit | A4PSError]
            try:
                outcomes = self._commit(commits)
            except A4PSError as error:
                outcomes = [error] * len(commits)
            except Exception as error:  # noqa: BLE001 - the thread's edge: whoever waits must be answered
                _log.exception("the image's writer failed")
                self.read_only = f"the writer failed: {error}"
                unknown = "whether this commit is durable is not known: " if self.tip != self._shown else ""
                failed = StorageFailed(f"{unknown}the image's writer failed: {error}", next_step="look into the log")
                outcomes = [failed] * len(commits)
            for commit_job, outcome in zip(commits, outcomes, strict=True):
                commit_job.settle(outcome)
        for job in group:
            if isinstance(job, RebuildJob):
                job.settle(self._rebuild())
            elif isinstance(job, ForgetJob):
                job.settle(self._forgotten(job))
            elif isinstance(job, ScrubJob):
                job.settle(self._scrubbed())
        if self.moved is not None and self.tip != before:
            self.moved()

    # Committing

    def _commit(self, jobs: list[CommitJob]) -> list[Commit | A4PSError]:
        self._need_file()
        if self.read_only:
            self._reopen(everything=False)
        if self.tip != self._shown:
            self._take_up()
        connection = self.attached.connection
        try:
            outcomes, tip, heads = self._insert(connection, jobs)
        except BaseException as error:
            self._abandon(connection)
            if isinstance(error, sqlite3.Error):
                refusal = translate(error, self._path, "writing")
                self._refuse(refusal)
                raise refusal from error
            raise
        if tip.generation == self.tip.generation:
            self._abandon(connection)
            return outcomes
        self._make_durable(connection, tip, outcomes)
        if heads is not self.heads:
            self._show(heads.merged())
        # Last: where showing it fails, for want of memory say, the next group takes it up and is not judged past it.
        self._shown = tip
        return outcomes

    def _make_durable(self, connection: sqlite3.Connection, tip: Mark, outcomes: Sequence[Commit | A4PSError]) -> None:
        """COMMIT what leads to `tip`. Raises where it is not durable, and where that is not known."""
        try:
            connection.execute("COMMIT")
        except (sqlite3.Error, MemoryError) as error:
            everything = not is_full(error)
            self._settle_unknown(translate(error, self._path, "committing"), outcomes, everything=everything)
        self.tip = tip
        if self._witness is not None:
            self._witness.write(tip)

    def _need_file(self) -> None:
        """Nothing is acknowledged that lies in a file which has lost its name. Raises StorageFailed."""
        try:
            gone = self._file is not None and not os.path.samestat(self._path.stat(), self._file)
        except OSError:
            gone = True
        if gone:
            refusal = StorageFailed(
                f"the image {self._path} was removed or replaced while it was open",
                next_step="move it back under its name, or close it and restore a backup: a4ps image restore FILE",
            )
            self._refuse(refusal)
            raise refusal

    def _take_up(self) -> None:
        """A group whose outcome could not be learnt is there after all: make it durable, judge upon it, not past it.

        Raises StorageFailed, DiskFull, IntegrityError; the next group tries again.
        """
        try:
            # Its fsync has failed, and another one of the log would prove nothing: copying it into the image does.
            ((_, in_log, copied),) = self.attached.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            if copied != in_log:
                raise sqlite3.OperationalError("a reader holds the log")
        except sqlite3.Error as error:
            refusal = translate(error, self._path, "writing the log back")
            self._refuse(refusal)
            raise refusal from error
        if self.reload is not None:
            self._show(self.reload())
        self._shown = self.tip

    def _show(self, versions: Versions) -> None:
        self.heads = Heads(versions)
        if self.flip is not None:
            self.flip(versions)

    def _insert(
        self, connection: sqlite3.Connection, jobs: list[CommitJob]
    ) -> tuple[list[Commit | A4PSError], Mark, Heads]:
        connection.execute("BEGIN IMMEDIATE")
        group = self._written(connection, jobs, _Group(self.tip, self.heads))
        if group.texts:
            self._index(connection, group.texts)
        return group.outcomes, group.tip, group.heads

    def _written(self, connection: sqlite3.Connection, jobs: list[CommitJob], group: _Group) -> _Group:
        """Judge `jobs` and insert their rows after those of `group`; returns `group` with them.

        All of them in one savepoint, since one each costs two statements a commit. Only where SQLite does not take what
        one of them brings, each is taken, or taken back, by itself.
        """
        after = group.copied()
        commits: list[SignedCommit] = []
        for job in jobs:
            at = self._clock.now()
            try:
                generation = after.tip.generation + 1
                judged = job.rows(after.heads, generation, at) if callable(job.rows) else Judged(job.rows, after.heads)
            except A4PSError as refusal:
                after.outcomes.append(refusal)
                continue
            signed = sign(self.attached.seal, after.tip, judged.rows, at=at, author=job.author, reason=job.reason)
            commits.append(signed)
            after.outcomes.append(signed.commit)
            after.tip = signed.tip
            after.heads = judged.heads
            place = place_of(generation, 0)
            after.texts.extend((place + ordinal, row.text) for ordinal, row in enumerate(judged.rows) if row.text)
        if not commits:
            return after
        connection.execute("SAVEPOINT some")
        try:
            insert(connection, commits)
        except sqlite3.Error as error:
            if not concerns_one_statement(error):
                raise
            connection.execute("ROLLBACK TO some")
            after = group
            if len(jobs) == 1:
                why = CallerError(f"SQLite does not take these rows: {error}", next_step="make them smaller")
                after.outcomes.append(why)
            else:
                for job in jobs:
                    after = self._written(connection, [job], after)
        connection.execute("RELEASE some")
        return after

    def _index(self, connection: sqlite3.Connection, texts: list[tuple[int, str]]) -> None:
        # A damaged index must not keep rows from being written: they go in without, and the index is made anew later.
        connection.execute("SAVEPOINT indexing")
        try:
            connection.execute("SAVEPOINT gathering")
            search_index.add(connection, texts)
            connection.execute("RELEASE gathering")  # here FTS5 writes what it has gathered, and may fail
        except sqlite3.Error as error:
            if is_worlds(error):
                raise
            _log.warning("the full-text index of %s is damaged: %s", self._path, error)
            connection.execute("ROLLBACK TO indexing")
            self.index_stale = True
        connection.execute("RELEASE indexing")

    # Forgetting

    def _forgotten(self, job: ForgetJob) -> Commit | A4PSError:
        try:
            return self._forget(job)
        except A4PSError as error:
            return error
        except Exception as error:  # noqa: BLE001 - the thread's edge: whoever waits must be answered
            _log.exception("the image's writer failed")
            self.read_only = f"the writer failed: {error}"
            return StorageFailed(f"the image's writer failed: {error}", next_step="look into the log")

    def _forget(self, job: ForgetJob) -> Commit:
        self._need_file()
        # On a new connection: FTS5 remembers what it has read of the index, which is made anew.
        self._reopen(everything=False)
        if self.tip != self._shown:
            self._take_up()
        attached = self.attached
        connection = attached.connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            at = self._clock.now()
            done = forget(
                connection, attached.seal, self.tip, job.redaction, at=at, author=job.author, reason=job.reason
            )
            search_index.rebuild(connection, verify.texts(connection, attached.seal))
            faults = verify.check_pages(connection)
            if faults:
                raise IntegrityError(
                    f"the image {self._path} is damaged: {faults[0]}",
                    next_step="restore a backup: a4ps image restore FILE",
                )
            self._make_durable(connection, done.tip, [done.commit])
        except sqlite3.Error as error:
            raise translate(error, self._path, "forgetting") from error
        finally:
            self._abandon(connection)
        self.index_stale = False
        if self.reload is not None:
            # What readers had of the old rows is let go.
            self._show(self.reload())
        self._shown = self.tip
        return done.commit

    def _scrubbed(self) -> A4PSError | None:
        """Have no page of what was forgotten left in the log: it is written back, when no reader needs it, and emptied."""
        try:
            readers = self._readers
            with readers.paused() if readers is not None else nullcontext():
                busy = self.attached.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if busy:
                raise StorageFailed(
                    f"the log of the image {self._path} is in use by another program",
                    next_step="close whatever else has the file open, for example sqlite3",
                )
        except sqlite3.Error as error:
            return translate(error, self._path, "writing the log back")
        except A4PSError as error:
            return error
        return None

    # When the disk fails

    def _refuse(self, error: A4PSError) -> None:
        self.read_only = error.message
        _log.error("the image %s takes no writes for now: %s", self._path, error.message)

    def _abandon(self, connection: sqlite3.Connection) -> None:
        # SQLite has already rolled back after some errors; a connection that cannot roll back is closed by _reopen.
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _settle_unknown(self, error: A4PSError, outcomes: Sequence[Commit | A4PSError], *, everything: bool) -> None:
        """After a failed COMMIT: return when the group is durable all the same, raise when it is not.

        SQLite may have written a complete commit to the log and failed later (at the fsync, say). This process would not
        see it, a later one would: so `everything` is closed and SQLite reads the log anew. Only a write that met a full
        disk is certain to have left an incomplete one; readers then stay open, for it might not let them open again.
        """
        self._refuse(error)
        last = next(outcome for outcome in reversed(outcomes) if isinstance(outcome, Commit))
        try:
            self._reopen(everything=everything)
            connection = self.attached.connection
            found = connection.execute("SELECT id FROM commits WHERE generation = ?", (last.generation,)).fetchone()
            present = found is not None and found[0] == last.id
            # What was found may be in the page cache only, its fsync having failed: copying it into the image syncs it.
            if present and connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] != 0:
                raise sqlite3.OperationalError("the log is in use")
        except (A4PSError, sqlite3.Error) as unsettled:
            self.read_only = self.read_only or error.message
            raise StorageFailed(
                f"whether this commit is durable is not known: {error.message}",
                next_step="repair the disk; the next commit or opening finds out",
            ) from unsettled
        if not present:
            self.read_only = error.message
            raise error

    def _reopen(self, *, everything: bool) -> None:
        """Close the connection (`everything`: the readers too) and open and check the image anew.

        Raises what opening raises; then `read_only` holds the reason and the next job tries again.
        """
        readers = self._readers
        with readers.paused() if everything and readers is not None else nullcontext():
            self._close_files()
            try:
                self._open()
            except A4PSError as error:
                self._refuse(error)
                raise

    def _open(self) -> None:
        known = self.tip
        attached = attach(self._path, self._keys)
        self._attached = attached
        try:
            self._file = self._path.stat()
            check = verify.check_chain(attached.connection, attached.seal, attached.meta_mac, deep=False)
            if check.faults:
                raise IntegrityError(
                    f"the image {self._path} is damaged: {check.faults[0]}",
                    next_step="restore a backup: a4ps image restore FILE",
                )
            if check.tip.generation < known.generation:
                raise IntegrityError(
                    f"the image {self._path} lost commits while it was open",
                    next_step="restore a backup: a4ps image restore FILE",
                )
            self._witness = self._keys.witness(attached.image_id, attached.seal)
            warning = verify.check_witness(attached.connection, check.tip, self._witness)
            index_stale = check.texts_missing or not search_index.is_of_this_form(attached.connection)
        except sqlite3.Error as error:
            raise translate(error, self._path, "checking the newest commits") from error
        except OSError as error:
            raise StorageFailed(
                f"the image {self._path} cannot be read: {error.strerror}", next_step="check the path"
            ) from error
        if warning:
            _log.warning("%s", warning)
            self.warnings = (*self.warnings, warning)
        if check.tip.generation > 0:
            self._sync_log()
            self._witness.write(check.tip)
        self.tip = check.tip
        self.index_stale = index_stale
        self.read_only = ""

    def _sync_log(self) -> None:
        """What a killed process has left may be in the page cache only, and no witness may outlive it."""
        log = self._path.with_name(self._path.name + "-wal")
        try:
            if log.exists():
                with log.open("rb") as file:
                    os.fsync(file.fileno())
                fsync_folder(log.parent)
        except OSError as error:
            raise StorageFailed(
                f"the log of the image {self._path} cannot be synced: {error.strerror}", next_step="check the disk"
            ) from error

    def _close_files(self) -> None:
        if self._attached is not None:
            with suppress(sqlite3.Error):
                self._attached.connection.close()
            self._attached = None
        if self._witness is not None:
            self._witness.close()
            self._witness = None

    # The full-text index

    def _rebuild(self) -> A4PSError | None:
        """Make the index anew, unless the image would not be whole afterwards."""
        try:
            # On a new connection: FTS5 remembers what it has read of the old index.
            self._reopen(everything=False)
            attached = self.attached
            connection = attached.connection
            try:
                connection.execute("BEGIN IMMEDIATE")
                search_index.rebuild(connection, verify.texts(connection, attached.seal))
                faults = verify.check_pages(connection)
                if faults:
                    raise IntegrityError(
                        f"the image {self._path} is damaged: {faults[0]}",
                        next_step="restore a backup: a4ps image restore FILE",
                    )
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                raise translate(error, self._path, "making the full-text index anew") from error
            finally:
                self._abandon(connection)
        except A4PSError as error:
            return error
        self.index_stale = False
        _log.warning("the full-text index of %s was made anew", self._path)
        return None
