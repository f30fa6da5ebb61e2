"""What is left of a commit, and of the store, when SQLite reports an error at one of its steps."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Generator
from pathlib import Path
from typing import cast

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import A4PSError, DiskFull, StorageFailed
from a4ps.image import connections
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Commit, Row, Store
from tests.faults.faulty import Faults, disk_error

SHARED_HEADER_BYTES = 136
"""What SQLite's shared memory says of the log: two copies of its index's header and how far it was copied."""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "home" / "image.a4ps"


def put(store: Store, key: str) -> Commit:
    return store.commit([Row("turn", key, b"payload")], author="test", reason="because")


@pytest.mark.parametrize(
    ("code", "kind"),
    [(sqlite3.SQLITE_FULL, DiskFull), (sqlite3.SQLITE_IOERR_WRITE, StorageFailed)],
)
def test_a_commit_that_failed_is_not_there(
    image: Path,
    keys: KeyFolder,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    kind: type[A4PSError],
) -> None:
    """I1: a COMMIT that failed and left nothing is rejected; reads go on; the next commit heals the store."""
    faults = Faults(monkeypatch)
    with Store.open(image, keys, clock) as store:
        put(store, "a")
        faults.fail_once("before", "COMMIT", disk_error(code))
        with pytest.raises(kind) as refused:
            put(store, "b")
        assert refused.value.next_step
        assert store.read_only
        assert store.generation == 1
        assert store.head("turn", "a") is not None
        assert store.head("turn", "b") is None
        assert put(store, "c").generation == 2
        assert store.read_only == ""
    with Store.open(image, keys, clock) as store:
        assert store.verify(deep=True).ok
        assert {row.key for row in store.newest("turn", limit=9)} == {"a", "c"}


def test_a_commit_that_failed_late_is_acknowledged(
    image: Path,
    keys: KeyFolder,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """I1: when COMMIT raises but the commit is found in the reopened image, it is acknowledged."""
    faults = Faults(monkeypatch)
    with Store.open(image, keys, clock) as store:
        put(store, "a")
        faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_IOERR_FSYNC))
        assert put(store, "b").generation == 2
        assert store.read_only == ""
        assert put(store, "c").generation == 3
        assert store.verify(deep=True).ok


@pytest.mark.parametrize("full", [False, True])
def test_a_commit_that_is_whole_in_the_log_and_was_denied_is_never_found(
    image: Path, keys: KeyFolder, clock: ManualClock, tmp_path: Path, full: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I4: its frames are all written, its fsync failed, and SQLite forgets it; so that the next process does not find it
    there, it must be gone from the log, also where the fsync failed for want of space."""
    faults = Faults(monkeypatch)
    shared = image.with_name(image.name + "-shm")
    monkeypatch.setattr(connections, "_no_space", lambda path: full)
    with Store.open(image, keys, clock) as store:
        put(store, "a")
        assert store.head("turn", "a") is not None  # so that a reader has the log open
        header = shared.read_bytes()[:SHARED_HEADER_BYTES]

        def forget(statement: str) -> None:
            if statement == "COMMIT":
                faults.after = lambda statement: None
                with shared.open("r+b") as file:
                    file.write(header)
                raise disk_error(sqlite3.SQLITE_IOERR_FSYNC)

        faults.after = forget
        with pytest.raises(DiskFull if full else StorageFailed) as refused:
            put(store, "b")
        assert "not known" not in refused.value.message
        killed = tmp_path / "killed"
        killed.mkdir()
        for left in image.parent.glob(f"{image.name}*"):
            if left != shared and not left.name.endswith(".lock"):
                shutil.copyfile(left, killed / left.name)
    with Store.open(killed / image.name, keys, clock) as store:
        assert store.head("turn", "a") is not None
        assert store.head("turn", "b") is None


def test_a_commit_found_late_is_not_built_upon_while_a_reader_keeps_it_from_the_image(
    image: Path, keys: KeyFolder, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its fsync has failed; only when all of it is copied is it durable, and what comes after it can be."""
    faults = Faults(monkeypatch)
    with Store.open(image, keys, clock) as store:
        store.judge_by(dict, lambda versions: None)
        put(store, "a")
        with contextlib.closing(cast(Generator[object, None, None], store.walk())) as walk:
            next(walk)
            faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_FULL))
            with pytest.raises(StorageFailed, match="not known"):
                put(store, "b")
            with pytest.raises(StorageFailed):
                put(store, "c")
        assert put(store, "d").generation == 3
        assert {row.key for row in store.newest("turn", limit=9)} == {"a", "b", "d"}


def test_an_outcome_that_cannot_be_found_out_is_called_unknown(
    image: Path,
    keys: KeyFolder,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A commit whose outcome stays unknown is neither acknowledged nor denied; the next one finds the chain whole."""
    faults = Faults(monkeypatch)

    def refuse() -> None:
        raise disk_error(sqlite3.SQLITE_CANTOPEN, "unable to open database file")

    with Store.open(image, keys, clock) as store:
        put(store, "a")
        faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_IOERR_FSYNC))
        monkeypatch.setattr(faults, "opening", refuse)
        with pytest.raises(StorageFailed, match="not known"):
            put(store, "b")
        with pytest.raises(StorageFailed):
            put(store, "c")
        assert store.read_only
        monkeypatch.undo()
        assert put(store, "d").generation == 3
        assert {row.key for row in store.newest("turn", limit=9)} == {"a", "b", "d"}
        assert store.verify(deep=True).ok


def test_an_error_before_commit_rolls_back(
    image: Path,
    keys: KeyFolder,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An error while rows are inserted rejects the group, leaves nothing, and the next commit works."""
    faults = Faults(monkeypatch)
    with Store.open(image, keys, clock) as store:
        faults.fail_once("before", "RELEASE some", disk_error(sqlite3.SQLITE_FULL))
        with pytest.raises(DiskFull):
            put(store, "a")
        assert store.generation == 0
        assert store.read_only
        assert put(store, "b").generation == 1
        assert store.head("turn", "a") is None


def test_a_bug_in_the_writer_is_answered(
    image: Path,
    keys: KeyFolder,
    clock: ManualClock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the writer's thread meets, whoever waits gets an answer, and the next commit works."""
    faults = Faults(monkeypatch)
    with Store.open(image, keys, clock) as store:

        def burst(statement: str) -> None:
            faults.before = lambda statement: None
            raise ZeroDivisionError("a bug")

        faults.before = burst
        with pytest.raises(StorageFailed, match="a bug"):
            put(store, "a")
        assert put(store, "b").generation == 1
