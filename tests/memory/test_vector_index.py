"""The index over the image's vectors: it says what the image says, whatever became of its files."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from a4ps.clock import ManualClock
from a4ps.image.keys import KeyFolder
from a4ps.image.rows import GONE_SUFFIX, Row
from a4ps.image.store import Store
from a4ps.image.transfer import LOADED
from a4ps.memory import lance_build
from a4ps.memory.records import VECTOR, Records
from a4ps.memory.tuning import Options
from a4ps.memory.vector_index import QUARANTINE, STATE, VectorIndex
from tests.memory.books import DIMENSIONS, IDENTITY, book_of, remembers, vectors

#: Small enough for a test, and more than the least that LanceDB trains on.
SMALL = Options(flat_max=500)


@pytest.fixture
def records(store: Store) -> Records:
    return book_of(store)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "scrapbook"


Opens = Callable[..., VectorIndex]


@pytest.fixture
def opens(records: Records, folder: Path) -> Iterator[Opens]:
    """Opens an index over the records; a second call opens it anew, as another process would."""
    opened: list[VectorIndex] = []

    def open_(identity: str = IDENTITY, options: Options = SMALL) -> VectorIndex:
        while opened:
            opened.pop().close()
        index = VectorIndex(folder, records, identity, DIMENSIONS, options)
        opened.append(index)
        index.open().result()
        return index

    yield open_
    for index in opened:
        index.close()


def tables(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.isdecimal())


def quarantined(folder: Path) -> list[Path]:
    return sorted((folder / QUARANTINE).iterdir()) if (folder / QUARANTINE).is_dir() else []


def nearest(index: VectorIndex, row: np.ndarray) -> str:
    found = index.near(row, 1)
    assert found is not None
    return found[0][0]


def finds_all(index: VectorIndex, ids: list[str], rows: np.ndarray) -> bool:
    return [nearest(index, row) for row in rows] == ids


def test_it_finds_each_by_its_own_vector_with_its_cosine(records: Records, opens: Opens) -> None:
    rows = vectors(20)
    ids = remembers(records, rows)
    index = opens()
    assert finds_all(index, ids, rows)
    found = index.near(rows[0], 20)
    assert found is not None
    truth = sorted(((float(rows[0] @ row), id_) for id_, row in zip(ids, rows, strict=True)), reverse=True)
    assert [id_ for id_, _ in found] == [id_ for _, id_ in truth]
    assert [cosine for _, cosine in found] == pytest.approx([cosine for cosine, _ in truth], abs=2e-3)


def test_an_image_without_vectors_has_an_empty_index_that_follows(records: Records, opens: Opens) -> None:
    index = opens()
    assert index.near(vectors(1)[0], 5) == []
    rows = vectors(3)
    ids = remembers(records, rows)
    index.follow().result()
    assert finds_all(index, ids, rows)


def test_opened_anew_it_goes_on_where_it_was(records: Records, opens: Opens, folder: Path) -> None:
    rows = vectors(30)
    ids = remembers(records, rows[:20])
    opens()
    ids += remembers(records, rows[20:])
    index = opens()
    assert finds_all(index, ids, rows)
    assert tables(folder) == ["0001"], "it was not made anew"


def test_what_is_gone_from_the_image_is_not_found(records: Records, opens: Opens, store: Store) -> None:
    rows = vectors(5)
    ids = remembers(records, rows)
    index = opens()
    store.commit([Row(VECTOR + IDENTITY + GONE_SUFFIX, ids[2], b"")], author="architect", reason="gone")
    index.follow().result()
    found = index.near(rows[2], 5)
    assert found is not None
    assert {id_ for id_, _ in found} == {*ids} - {ids[2]}


def test_what_is_no_vector_of_this_embedder_is_passed_over(records: Records, opens: Opens, folder: Path) -> None:
    """An import can bring what we never wrote; it costs no index."""
    rows = vectors(3)
    ids = remembers(records, rows)
    bad = {"m8": b"short", "m9": np.full(DIMENSIONS, np.nan, "<f2").tobytes()}
    records.keep_vectors(IDENTITY, bad)
    index = opens()
    ids += remembers(records, more := vectors(2, seed=5))
    records.keep_vectors(IDENTITY, {"m10": b""})
    index.follow().result()
    assert finds_all(index, ids, np.concatenate([rows, more]))
    assert finds_all(opens(), ids, np.concatenate([rows, more]))
    assert tables(folder) == ["0001"], "it was not made anew"


@pytest.mark.slow
class TestFromFlatToIvf:
    def test_many_rows_are_indexed_and_tuned_to_the_recall(self, records: Records, opens: Opens) -> None:
        rows = vectors(600)
        ids = remembers(records, rows)
        index = opens()
        state = index.state
        assert state is not None
        assert state.tuning is not None
        assert state.tuning.recall >= 0.95
        assert (state.tuning.method, state.rows) == ("IVF_SQ", 600)
        assert sum(nearest(index, row) == id_ for id_, row in zip(ids, rows, strict=True)) >= 0.95 * 600

    def test_few_rows_are_not(self, records: Records, opens: Opens) -> None:
        remembers(records, vectors(500))
        state = opens().state
        assert state is not None
        assert state.tuning is None

    def test_it_is_indexed_when_it_grows_and_new_rows_are_found_at_once(
        self, records: Records, opens: Opens, folder: Path
    ) -> None:
        rows = vectors(620)
        ids = remembers(records, rows[:500])
        index = opens()
        ids += remembers(records, rows[500:600])
        index.follow().result()
        assert index.state is not None
        assert index.state.tuning is not None
        assert len(tables(folder)) == 1, "the old table is removed"
        ids += remembers(records, rows[600:])
        index.follow().result()
        assert finds_all(index, ids[600:], rows[600:])

    @pytest.mark.parametrize("method", ["IVF_RQ", "IVF_PQ"])
    def test_other_methods_are_settings(self, method: str, records: Records, opens: Opens) -> None:
        rows = vectors(600)
        ids = remembers(records, rows)
        index = opens(options=Options(method=method, flat_max=500))  # type: ignore[arg-type]
        assert index.state is not None
        assert index.state.tuning is not None
        assert index.state.tuning.method == method
        assert sum(nearest(index, row) == id_ for id_, row in zip(ids, rows, strict=True)) >= 0.9 * 600


class TestMadeAnew:
    """What is missing, stale or damaged is made anew from the image; what is damaged is kept aside."""

    def test_missing(self, records: Records, opens: Opens, folder: Path) -> None:
        rows = vectors(5)
        ids = remembers(records, rows)
        opens().close()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        assert finds_all(opens(), ids, rows)

    def test_of_another_embedder(self, records: Records, opens: Opens, folder: Path) -> None:
        remembers(records, vectors(5))
        opens()
        rows = vectors(4, seed=2)
        ids = remembers(records, rows, "another")
        index = opens("another")
        assert finds_all(index, ids, rows)
        assert tables(folder) == ["0002"]

    def test_of_another_content(self, records: Records, opens: Opens, folder: Path, store: Store) -> None:
        remembers(records, vectors(5))
        opens()
        store.commit([Row(LOADED, "", b"")], author="architect", reason="another content was loaded")
        opens()
        assert tables(folder) == ["0002"]

    def test_with_other_rows_than_it_is_known_to_have(self, records: Records, opens: Opens, folder: Path) -> None:
        """A kill between writing the table and writing down what it holds."""
        rows = vectors(5)
        ids = remembers(records, rows)
        opens().close()
        state = folder / "0001" / STATE
        state.write_text(json.dumps({**json.loads(state.read_text()), "rows": 4}))
        assert finds_all(opens(), ids, rows)
        assert tables(folder) == ["0002"]

    def test_one_that_was_never_whole(self, records: Records, opens: Opens, folder: Path) -> None:
        rows = vectors(5)
        ids = remembers(records, rows)
        opens().close()
        (folder / "0001" / STATE).unlink()
        assert finds_all(opens(), ids, rows)
        assert quarantined(folder) == []

    @pytest.mark.parametrize("what", ["manifest", "data", "state"])
    def test_damaged(self, what: str, records: Records, opens: Opens, folder: Path) -> None:
        rows = vectors(5)
        ids = remembers(records, rows)
        opens().close()
        pattern = {"manifest": "*.manifest", "data": "data/*.lance", "state": STATE}[what]
        damaged = [path for path in (folder / "0001").rglob(pattern) if path.is_file()]
        assert damaged
        for path in damaged:
            path.write_bytes(bytes(path.stat().st_size))
        index = opens()
        assert finds_all(index, ids, rows)
        (kept,) = quarantined(folder)
        assert list(kept.rglob(pattern if what != "manifest" else "*.manifest")), "what was damaged is still there"

    def test_damaged_while_it_is_open(self, records: Records, opens: Opens, folder: Path) -> None:
        """A search that fails finds nothing and raises nothing; the index then makes itself anew."""
        rows = vectors(5)
        ids = remembers(records, rows)
        index = opens()
        for path in (folder / "0001").rglob("*.lance"):
            if path.is_file():
                path.unlink()
        found = index.near(rows[0], 5)
        index.follow().result()  # after whatever the search had done
        assert found is None or {id_ for id_, _ in found} == {*ids}
        assert finds_all(index, ids, rows)

    def test_where_nothing_can_be_written_it_says_so_and_full_text_serves(self, records: Records, folder: Path) -> None:
        remembers(records, vectors(5))
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where the folder should be")
        index = VectorIndex(folder, records, IDENTITY, DIMENSIONS, SMALL)
        with pytest.raises(Exception, match="vector index"):
            index.open().result()
        assert index.near(vectors(1)[0], 3) is None
        assert index.fault
        index.close()


def test_purged_ids_leave_no_byte_and_no_older_version(records: Records, opens: Opens, folder: Path) -> None:
    rows = vectors(30)
    ids = remembers(records, rows)
    opens().close()
    (folder / "0001" / STATE).write_bytes(b"damage")
    index = opens()
    assert len(quarantined(folder)) == 1
    needle = rows[7].astype(np.float32).tobytes()[:16]
    assert index.purge([ids[7]]).result() == 1
    assert quarantined(folder) == []
    whole = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert needle not in whole
    assert ids[7].encode() + b"m" not in whole
    found = index.near(rows[7], 30)
    assert found is not None
    assert {id_ for id_, _ in found} == {*ids} - {ids[7]}


def test_rebuild_tells_what_it_came_to(records: Records, opens: Opens) -> None:
    rows = vectors(2_100)
    ids = remembers(records, rows)
    index = opens(options=Options(flat_max=5_000))
    rebuilt = index.rebuild().result()
    assert (rebuilt.rows, rebuilt.tuning) == (2_100, None)
    assert finds_all(index, ids[::100], rows[::100])


def test_closed_in_mid_work_it_ends(tmp_path: Path) -> None:
    """Whatever was queued is given up, and the store can be closed after it."""
    with Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock()) as store:
        records = book_of(store)
        remembers(records, vectors(600))
        index = VectorIndex(tmp_path / "index", records, IDENTITY, DIMENSIONS, SMALL)
        index.open()
        index.close()
        assert index.near(vectors(1)[0], 3) is None


@pytest.mark.slow
def test_where_it_cannot_be_indexed_all_vectors_are_looked_at(
    records: Records, opens: Opens, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Until there are twice as many, or the next process has more."""
    rows = vectors(600)
    ids = remembers(records, rows)
    started: list[int] = []

    def fails(*_: object) -> subprocess.Popen[bytes]:
        started.append(1)
        return subprocess.Popen([sys.executable, "-c", "print('no room'); raise SystemExit(1)"], stdout=subprocess.PIPE)

    monkeypatch.setattr(lance_build, "start", fails)
    index = opens()
    assert index.state is not None
    assert index.state.tuning is None
    assert finds_all(index, ids[:20], rows[:20])
    assert "no room" in caplog.text
    remembers(records, vectors(20, seed=7))
    index.follow().result()
    assert len(started) == 1
    monkeypatch.undo()
    remembers(records, vectors(20, seed=8))
    index = opens()
    assert index.state is not None
    assert index.state.tuning is not None
