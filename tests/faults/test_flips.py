"""I2: a bit that flips, a file that is cut, a row that somebody moved: found, mended, or provably harmless."""

from __future__ import annotations

import random
import shutil
import sqlite3
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import IntegrityError
from a4ps.image.keys import KeyFolder
from a4ps.image.rows import PackedRow, StoredRow, pack
from a4ps.image.store import Row, Store
from a4ps.image.tombstones import FORGOTTEN, SCRUBBED
from tests.faults.damage import IMAGE, LOG, Original, Rows, campaign, damaging, examine, flipped_at, rows_in
from tests.faults.killing import LONG, killer

FLIPS = 10_000 if LONG else 1_000
CUTS = 1_000 if LONG else 100
WORDS = 20


def close_image(folder: Path, commits: int) -> Rows:
    """A closed image of some pages with text, in `folder`; returns its rows."""
    words = Path(__file__).read_text(encoding="utf-8").split()
    with Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), ManualClock()) as store:
        for number in range(commits):
            text = " ".join(random.Random(number).choices(words, k=WORDS))
            batch = [Row("turn", f"key {number % 70}", text.encode(), text), Row("log", f"{number}", b"note")]
            store.commit(batch, author="test", reason="a reason")
        return rows_in(store)


@pytest.mark.timeout(3600)
def test_flips_and_cuts_of_a_closed_image(memory_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I2: each bit flip or cut of a closed image is found at open, at read or by verify, or changes no row; and nothing
    but our own errors is raised."""
    folder = memory_path / "original"
    original = Original(folder, IMAGE, close_image(folder, 90))
    flips, cuts = campaign(original, flips=FLIPS, cuts=CUTS)
    assert cuts["harmless"] == 0
    with capsys.disabled():
        print(f"\nclosed image: {FLIPS} flips {dict(flips)}, {cuts.total()} cuts {dict(cuts)}")


class EveryTenth:
    """A redaction: of some turns nothing is left, of some notes another text, and commits say nothing of themselves."""

    def row(self, row: StoredRow, text: str) -> PackedRow | None:
        del text
        if row.kind == "turn" and row.generation % 10 == 0:
            return pack(Row(FORGOTTEN, f"turn {row.key}", b""))
        return pack(Row(row.kind, row.key, b"barred")) if row.kind == "log" and row.generation % 10 == 1 else None

    def words(self, author: str, reason: str) -> tuple[str, str]:
        return author, reason.replace("a reason", "")


def forgotten_image(folder: Path) -> Original:
    close_image(folder, 90)
    with Store.open(folder / IMAGE, KeyFolder(folder / "keys"), ManualClock()) as store:
        done = store.forget(EveryTenth(), author="test", reason="forgotten")
        store.scrub()
        store.commit([Row(SCRUBBED, str(done.generation), b"")], author="test", reason="forgotten")
        return Original(folder, IMAGE, rows_in(store))


@pytest.mark.timeout(3600)
def test_flips_and_cuts_of_an_image_with_tombstones(memory_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I2: as of one without."""
    original = forgotten_image(memory_path / "original")
    flips, cuts = campaign(original, flips=FLIPS // 2, cuts=CUTS // 2)
    assert cuts["harmless"] == 0
    with capsys.disabled():
        print(f"\nimage with tombstones: {FLIPS // 2} flips {dict(flips)}, {cuts.total()} cuts {dict(cuts)}")


@pytest.mark.timeout(3600)
def test_every_flip_of_a_tombstone_is_found(memory_path: Path) -> None:
    """I2: of what stands in the place of a salt, of what is left of a row, and of what stands for a commit's words."""
    original = forgotten_image(memory_path / "original")
    with closing(sqlite3.connect(memory_path / "original" / IMAGE)) as connection:
        stones = [salt for (salt,) in connection.execute("SELECT salt FROM rows WHERE length(salt) <> 16")]
        stones += [mac for (mac,) in connection.execute("SELECT mac FROM tombstones")]
    content = (memory_path / "original" / IMAGE).read_bytes()
    assert len(stones) == 9 + 9 + 90
    chance = random.Random(12)
    bits = [8 * (content.index(stone) + chance.randrange(len(stone))) + chance.randrange(8) for stone in stones]
    with damaging() as pool:
        outcomes = Counter(pool.map(partial(flipped_at, original), bits, chunksize=20))
    assert outcomes.keys() <= {"at open", "at read", "by verify"}


@pytest.mark.timeout(3600)
def test_flips_and_cuts_of_a_live_log(memory_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1, I2: each bit flip or cut of the write-ahead log of a killed process is found, or changes no row: SQLite takes
    a damaged log for its end, and the witness tells that commits are missing."""
    live = memory_path / "live"
    with killer() as deaths:
        deaths.die(live / IMAGE, live / "keys", seed=8, acks=30)
    (live / f"{IMAGE}-shm").unlink()
    intact = memory_path / "intact"
    shutil.copytree(live, intact)
    with Store.open(intact / IMAGE, KeyFolder(intact / "keys"), ManualClock()) as store:
        original = Original(live, LOG, rows_in(store))
    flips, cuts = campaign(original, flips=FLIPS, cuts=CUTS)
    assert flips["at open"] > 0
    (live / LOG).unlink()
    assert examine(live, original.expected) == "at open"
    with capsys.disabled():
        print(f"\nlive log: {FLIPS} flips {dict(flips)}, {cuts.total()} cuts {dict(cuts)}")


def edit(image: Path, *statements: str) -> None:
    """What somebody with the sqlite3 program could do to a closed image."""
    connection = sqlite3.connect(image, isolation_level=None)
    try:
        for statement in statements:
            connection.execute(statement)
    finally:
        connection.close()


OLD_ROW = "place >> 20 = 20 AND kind = 'turn'"
OTHER_ROW = "place >> 20 = 21 AND kind = 'turn'"


@pytest.mark.parametrize(
    "statements",
    [
        (f"DELETE FROM rows WHERE {OLD_ROW}",),
        ("DELETE FROM rows WHERE place >> 20 = 20",),
        ("DELETE FROM commits WHERE generation = 20",),
        ("DELETE FROM commits WHERE generation = 20", "DELETE FROM rows WHERE place >> 20 = 20"),
        ("DELETE FROM commits WHERE generation <= 20", "DELETE FROM rows WHERE place >> 20 <= 20"),
        (f"UPDATE rows SET body = (SELECT body FROM rows WHERE {OTHER_ROW}) WHERE {OLD_ROW}",),
        (f"UPDATE rows SET (body, salt, mac) = (SELECT body, salt, mac FROM rows WHERE {OTHER_ROW}) WHERE {OLD_ROW}",),
        (
            "UPDATE rows SET place = -5 WHERE place = 20 << 20",
            "UPDATE rows SET place = 20 << 20 WHERE place = (20 << 20) + 1",
            "UPDATE rows SET place = (20 << 20) + 1 WHERE place = -5",
        ),
        (f"UPDATE rows SET place = place + 500 WHERE {OLD_ROW}",),
        (f"UPDATE rows SET key = 'other' WHERE {OLD_ROW}",),
        (f"UPDATE rows SET kind = 'other' WHERE {OLD_ROW}",),
        ("UPDATE commits SET at = at + 1 WHERE generation = 20",),
        ("UPDATE commits SET author = 'somebody' WHERE generation = 20",),
        ("UPDATE commits SET reason = '' WHERE generation = 20",),
        ("UPDATE commits SET id = zeroblob(16) WHERE generation = 20",),
        ("UPDATE commits SET previous_mac = zeroblob(32) WHERE generation = 20",),
        ("UPDATE commits SET generation = -20 WHERE generation = 20",),
        (f"INSERT INTO rows SELECT -5, kind, key, at, salt, mac, body FROM rows WHERE {OLD_ROW}",),
        (f"INSERT INTO rows SELECT place + 100, kind, key, at, salt, mac, body FROM rows WHERE {OLD_ROW}",),
    ],
    ids=str,
)
def test_edits_far_behind_are_found_by_a_deep_check(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """I2: rows and commits that were removed, changed, moved, swapped or added behind the tail are found by
    verify(deep=True), and no changed payload is ever returned."""
    expected = close_image(tmp_path, 150)
    edit(tmp_path / "image.a4ps", *statements)
    with Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock()) as store:
        assert store.verify().ok
        report = store.verify(deep=True)
        assert report.faults
        for way, kind, key in expected:
            with suppress(IntegrityError):
                head = store.head(kind, key)
                assert head is None or head.payload == expected[way, kind, key]


@pytest.mark.parametrize(
    "statements",
    [
        (
            "DELETE FROM rows WHERE place >> 20 = (SELECT max(generation) FROM commits)",
            "DELETE FROM commits WHERE generation = (SELECT max(generation) FROM commits)",
        ),
        ("DELETE FROM commits WHERE generation = (SELECT max(generation) FROM commits)",),
        ("DELETE FROM rows WHERE place = (SELECT max(place) FROM rows)",),
        ("DELETE FROM commits", "DELETE FROM rows"),
        ("UPDATE commits SET generation = 1 << 45 WHERE generation = 150",),
        ("UPDATE commits SET generation = 9223372036854775807 WHERE generation = 150",),
        ("INSERT INTO rows SELECT 9223372036854775807, kind, key, at, salt, mac, body FROM rows LIMIT 1",),
        ("UPDATE rows SET body = zeroblob(5) WHERE place = (SELECT max(place) FROM rows)",),
        ("UPDATE rows SET at = at - 1 WHERE place = (SELECT max(place) FROM rows)",),
    ],
    ids=str,
)
def test_edits_of_the_newest_commits_are_found_at_open(tmp_path: Path, statements: tuple[str, ...]) -> None:
    """I1, I2: newest commits that were taken out or changed are found at opening, by the chain or by the witness."""
    close_image(tmp_path, 150)
    edit(tmp_path / "image.a4ps", *statements)
    with pytest.raises(IntegrityError) as refused:
        Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock())
    assert refused.value.next_step


def test_a_changed_row_is_found_when_it_is_read(tmp_path: Path) -> None:
    """I2: a row that is not what was stored raises IntegrityError from every way of reading, before it is unpacked."""
    close_image(tmp_path, 150)
    edit(tmp_path / "image.a4ps", f"UPDATE rows SET body = x'01ff' WHERE {OLD_ROW.replace('turn', 'log')}")
    with Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock()) as store:
        with pytest.raises(IntegrityError):
            store.head("log", "19")
        with pytest.raises(IntegrityError):
            store.newest("log", limit=1000)
        with pytest.raises(IntegrityError):
            store.keys_without("log", "nothing")
        assert store.head("log", "18") is not None
