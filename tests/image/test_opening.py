"""What opens as an image, what is refused, and what is left behind by either."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import ImageTooNew, IntegrityError, StorageFailed
from a4ps.image.connections import Readers
from a4ps.image.image_file import FORMAT
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Commit, Row, Store


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return tmp_path / "home" / "image.a4ps"


@pytest.fixture
def store(image: Path, keys: KeyFolder, clock: ManualClock) -> Iterator[Store]:
    with Store.open(image, keys, clock) as opened:
        yield opened


def put(store: Store, key: str) -> Commit:
    return store.commit([Row("turn", key, b"payload")], author="test", reason="because")


def tamper(image: Path, *statements: str) -> None:
    """Change a closed image with plain SQLite."""
    connection = sqlite3.connect(image, isolation_level=None)
    try:
        connection.execute("PRAGMA writable_schema = ON")
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


def test_files_are_private(image: Path, store: Store) -> None:
    """New folders are 0700, the image and what lies beside it 0600."""
    put(store, "a")
    assert stat.S_IMODE(image.parent.stat().st_mode) == 0o700
    for file in image.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_an_open_image_is_tightened(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """An image that others may read is tightened at opening."""
    Store.open(image, keys, clock).close()
    image.chmod(0o644)
    Store.open(image, keys, clock).close()
    assert stat.S_IMODE(image.stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"garbage" * 1000, b"SQLite format 3\x00" + bytes(5000)], ids=len)
def test_what_is_no_image_is_refused(image: Path, keys: KeyFolder, clock: ManualClock, content: bytes) -> None:
    """I2: a file that is not an image is refused and left as it is."""
    image.parent.mkdir()
    image.write_bytes(content)
    with pytest.raises(IntegrityError):
        Store.open(image, keys, clock)
    assert image.read_bytes() == content


def test_another_programs_database_is_refused(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """I2: some other SQLite file is refused and left as it is."""
    image.parent.mkdir()
    tamper(image, "CREATE TABLE meta (x)", "INSERT INTO meta VALUES (1)")
    before = image.read_bytes()
    with pytest.raises(IntegrityError, match="not an A4PS image"):
        Store.open(image, keys, clock)
    assert image.read_bytes() == before


def test_a_newer_format_is_refused(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """A newer format is refused by its number, whatever else it may contain."""
    Store.open(image, keys, clock).close()
    tamper(image, f"PRAGMA user_version = {FORMAT + 1}", "CREATE TABLE news (x)")
    with pytest.raises(ImageTooNew) as refused:
        Store.open(image, keys, clock)
    assert refused.value.next_step


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON rows BEGIN DELETE FROM rows; END",
        "CREATE VIEW v AS SELECT 1",
        "DROP INDEX rows_by_kind",
        "UPDATE sqlite_schema SET sql = replace(sql, 'NOT NULL', '') WHERE name = 'rows'",
        "UPDATE meta SET created_at = created_at + 1",
        "UPDATE meta SET mac = zeroblob(32)",
        "UPDATE meta SET image_id = 'x'",
        "DELETE FROM meta",
        "PRAGMA user_version = 0",
        "UPDATE sqlite_schema SET sql = CAST(x'43524541544520c7' AS TEXT) WHERE name = 'rows'",
    ],
)
def test_a_changed_frame_is_refused(image: Path, keys: KeyFolder, clock: ManualClock, statement: str) -> None:
    """I2: foreign triggers and views, changed tables and a changed meta row are refused at opening."""
    Store.open(image, keys, clock).close()
    if "'x'" in statement:
        statement = "UPDATE meta SET image_id = zeroblob(16)"
    tamper(image, statement)
    with pytest.raises(IntegrityError):
        Store.open(image, keys, clock)


def test_a_log_without_its_image_is_refused(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """I1: a log whose image is gone is not replayed into a new image."""
    image.parent.mkdir()
    image.with_name(image.name + "-wal").write_bytes(b"old log")
    with pytest.raises(IntegrityError, match="log"):
        Store.open(image, keys, clock)


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "fifo"])
def test_what_is_no_file_is_refused_and_left_as_it_was(
    image: Path, keys: KeyFolder, clock: ManualClock, make: Callable[[Path], None]
) -> None:
    image.parent.mkdir()
    make(image)
    image.chmod(0o755)
    with pytest.raises(IntegrityError, match="is not a file"):
        Store.open(image, keys, clock)
    assert stat.S_IMODE(image.stat().st_mode) == 0o755


def test_a_link_that_leads_to_itself_is_refused(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    image.parent.mkdir()
    image.symlink_to(image)
    with pytest.raises(StorageFailed):
        Store.open(image, keys, clock)


@pytest.mark.parametrize("instead", [None, b"another"])
def test_nothing_is_acknowledged_once_the_image_has_lost_its_name(
    image: Path, store: Store, instead: bytes | None
) -> None:
    put(store, "a")
    away = image.rename(image.with_name("away"))
    if instead is not None:
        image.write_bytes(instead)
    with pytest.raises(StorageFailed, match="removed or replaced"):
        put(store, "b")
    away.replace(image)
    assert put(store, "c").generation == 2


def test_a_close_that_was_interrupted_is_gone_on_with(
    image: Path, keys: KeyFolder, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store.open(image, keys, clock)
    with monkeypatch.context() as patch:
        patch.setattr(Readers, "close", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.close()
    store.close()
    store.close()
    Store.open(image, keys, clock).close()


def interrupted(_readers: Readers) -> None:
    raise KeyboardInterrupt


def test_a_close_that_was_interrupted_waits_for_the_writer_all_the_same(image: Path, keys: KeyFolder) -> None:
    """Python 3.11 takes a thread for ended whose join was interrupted; its files would be closed under it."""
    reached, go = threading.Event(), threading.Event()

    class Held(ManualClock):
        def now(self) -> datetime:
            if store is not None:
                reached.set()
                go.wait()
            return super().now()

    store: Store | None = None
    opened = Store.open(image, keys, Held())
    store = opened
    outcome: list[int] = []
    committing = threading.Thread(target=lambda: outcome.append(put(opened, "a").generation))
    committing.start()
    reached.wait()

    def interrupt() -> None:
        while not opened._writer._closed:
            pass
        os.kill(os.getpid(), signal.SIGINT)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    with pytest.raises(KeyboardInterrupt):
        store.close()
    closing = threading.Thread(target=store.close)
    closing.start()
    go.set()
    for thread in (closing, committing, interrupting):
        thread.join()
    assert outcome == [1]


def test_a_forked_child_is_refused_where_it_would_wait_for_ever(tmp_path: Path) -> None:
    """In a process of its own: a fork of this one would carry every other thread's locks along."""
    code = """
import os, signal, sys
from pathlib import Path
from a4ps.clock import ManualClock
from a4ps.errors import CallerError
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Row, Store
store = Store.open(Path(sys.argv[1], "image.a4ps"), KeyFolder(Path(sys.argv[1], "keys")), ManualClock())
child = os.fork()
if child == 0:
    signal.alarm(30)
    try:
        store.commit([Row("turn", "a", b"")], author="test", reason="")
    except CallerError:
        try:
            store.close()
        except CallerError:
            os._exit(7)
    os._exit(1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
store.commit([Row("turn", "a", b"")], author="test", reason="")
store.close()
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_nothing_stays_locked_after_a_refusal(image: Path, keys: KeyFolder, clock: ManualClock) -> None:
    """A refused opening gives the lock back."""
    image.parent.mkdir()
    image.write_bytes(b"garbage" * 1000)
    for _ in range(2):
        with pytest.raises(IntegrityError):
            Store.open(image, keys, clock)
    image.unlink()
    Store.open(image, keys, clock).close()


def test_times_are_whole_microseconds_in_utc(store: Store, clock: ManualClock) -> None:
    """A commit's time is the clock's, in UTC, to the microsecond."""
    clock.at = datetime(1969, 7, 20, 20, 17, 40, 123_457, tzinfo=UTC)
    assert put(store, "a").at == clock.at
    head = store.head("turn", "a")
    assert head is not None
    assert head.at == clock.at
