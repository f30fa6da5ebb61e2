"""An image of every earlier format becomes one of this, whole, with the old one kept; or stays as it was."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from a4ps.clock import SystemClock
from a4ps.errors import DiskFull, IntegrityError, KeyLost
from a4ps.image.image_file import FORMAT
from a4ps.image.keys import KeyFolder
from a4ps.image.migrations import MIGRATIONS
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from a4ps.image.store import Store
from tests.faults.faulty import Faults, disk_error

FORMATS = Path(__file__).parent.parent / "data" / "formats"
OLD = sorted(FORMATS.glob("image-*"))
MOODS = [f"mood {number}" for number in range(1, 25)]


def placed(old: Path, folder: Path) -> tuple[Path, KeyFolder]:
    shutil.copytree(old, folder, dirs_exist_ok=True)
    return folder / "image.a4ps", KeyFolder(folder / "keys")


def version_of(image: Path) -> int:
    with closing(sqlite3.connect(image)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def check_content(manager: ProtoManager) -> None:
    """What the fixtures hold: see the change log that `history` gives."""
    brick = manager.get_proto("BRICK")
    assert brick.state["mood"] == "mood 24"
    assert brick.twice(4) == 8
    changes = manager.history("BRICK")
    moods = [change for change in changes if change.reason.startswith("mood ")]
    assert [change.reason for change in moods] == MOODS
    assert [change.at.isoformat() for change in moods[:2]] == ["2026-11-22T12:00:03+00:00", "2026-11-22T12:00:04+00:00"]
    assert manager.names() == ["BRICK", "base"]
    assert [(each.before, each.after) for each in manager.diff(moods[3])] == [("mood 3", "mood 4")]
    assert [match.key for match in manager.store.search("drawer", kind="reply", limit=5)] == ["2"]


def test_there_is_a_fixture_of_every_earlier_format() -> None:
    assert [path.name for path in OLD] == [f"image-{number}" for number in range(1, FORMAT)]
    assert [step.to for step in MIGRATIONS] == list(range(2, FORMAT + 1))
    assert all(step.dated and step.description for step in MIGRATIONS)


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_an_older_image_is_kept_and_brought_up(old: Path, tmp_path: Path) -> None:
    """Opening it is all that it takes; the content, the history and the times are what they were."""
    image, keys = placed(old, tmp_path)
    came_from = version_of(old / "image.a4ps")
    with ProtoManager.open(image, keys=keys) as manager:
        check_content(manager)
        assert manager.verify(deep=True).ok
        assert manager.store.past("migrated", str(FORMAT))
        with manager.transaction() as change:
            change.edit("BRICK").state["mood"] = "new"
        assert manager.revert(manager.history("BRICK")[-1])
        assert manager.get_proto("BRICK").state["mood"] == "mood 24"
    assert version_of(image) == FORMAT
    kept = tmp_path / f"image-format-{came_from}.a4ps"
    assert version_of(kept) == came_from
    assert kept.read_bytes() == (old / "image.a4ps").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {"image.a4ps", "image.a4ps.lock", "keys", kept.name}


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_what_an_older_image_holds_is_as_old_as_it_was(old: Path, tmp_path: Path) -> None:
    image, keys = placed(old, tmp_path)
    with ProtoManager.open(image, keys=keys) as manager:
        assert [row.at.isoformat() for row in manager.store.newest("turn", limit=1)] == ["2026-11-22T12:00:30+00:00"]


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_a_backup_of_an_earlier_format_is_restored(old: Path, tmp_path: Path) -> None:
    image, keys = placed(old, tmp_path)
    backup = tmp_path / "backup.a4ps"
    image.rename(backup)
    restore(image, backup, keys, SystemClock(), author="architect")
    with ProtoManager.open(image, keys=keys) as manager:
        check_content(manager)
    assert version_of(backup) == version_of(old / "image.a4ps")


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_a_damaged_older_image_stays_as_it_was(old: Path, tmp_path: Path) -> None:
    image, keys = placed(old, tmp_path)
    with closing(sqlite3.connect(image)) as connection, connection:
        connection.execute("UPDATE rows SET key = 'ROBIN' WHERE place = (SELECT min(place) FROM rows)")
    damaged = image.read_bytes()
    with pytest.raises(IntegrityError, match="not brought to format"):
        Store.open(image, keys, SystemClock())
    assert image.read_bytes() == damaged
    assert sorted(path.name for path in tmp_path.glob("image*")) == ["image.a4ps", "image.a4ps.lock"]


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_an_older_image_behind_its_witness_is_not_brought_up(old: Path, tmp_path: Path) -> None:
    """I2: a migration is no way around the witness."""
    image, keys = placed(old, tmp_path)
    with closing(sqlite3.connect(image)) as connection, connection:
        newest = connection.execute("SELECT max(generation) FROM commits").fetchone()[0]
        connection.execute("DELETE FROM commits WHERE generation = ?", (newest,))
        connection.execute("DELETE FROM rows WHERE place >= ?", (newest << 20,))
    with pytest.raises(IntegrityError, match="1 commit is missing"):
        Store.open(image, keys, SystemClock())
    assert version_of(image) == version_of(old / "image.a4ps")


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_a_migration_that_the_disk_refuses_can_be_done_again(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even its record fits, the image is as it was and nobody's."""
    image, keys = placed(old, tmp_path)
    faults = Faults(monkeypatch)
    faults.fail_once("before", "COMMIT", disk_error(sqlite3.SQLITE_FULL))
    with pytest.raises(DiskFull):
        Store.open(image, keys, SystemClock())
    assert image.read_bytes() == (old / "image.a4ps").read_bytes()
    assert sorted(path.name for path in tmp_path.glob("image*")) == ["image.a4ps", "image.a4ps.lock"]
    with ProtoManager.open(image, keys=keys) as manager:
        check_content(manager)


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_an_older_image_with_a_foreign_trigger_is_refused(old: Path, tmp_path: Path) -> None:
    image, keys = placed(old, tmp_path)
    with closing(sqlite3.connect(image)) as connection, connection:
        connection.execute("CREATE TRIGGER evil AFTER INSERT ON rows BEGIN DELETE FROM commits; END")
    with pytest.raises(IntegrityError, match="tables"):
        Store.open(image, keys, SystemClock())


@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_an_older_image_without_its_key_stays_as_it_was(old: Path, tmp_path: Path) -> None:
    image, keys = placed(old, tmp_path)
    shutil.rmtree(keys.path)
    with pytest.raises(KeyLost):
        Store.open(image, keys, SystemClock())
    assert version_of(image) == version_of(old / "image.a4ps")


_DIES_AT = """
import os, signal, sys
from pathlib import Path
from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
seen = 0
def at(event, arguments):
    global seen
    if event in ("os.rename", "os.link", "os.remove", "sqlite3.connect", "open", "os.chmod"):
        seen += 1
        if seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(at)
folder = Path(sys.argv[1])
Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), SystemClock()).close()
"""


@pytest.mark.slow
@pytest.mark.parametrize("old", OLD, ids=lambda path: path.name)
def test_killed_at_any_step_the_next_opening_goes_on(old: Path, tmp_path: Path) -> None:
    """I1: whatever step of a migration is cut off, the image opens with all that it held and with the record of what was
    done to it, and nothing is left over."""
    step = 0
    died = True
    while died:
        step += 1
        folder = tmp_path / str(step)
        image, keys = placed(old, folder)
        done = subprocess.run([sys.executable, "-c", _DIES_AT, str(folder), str(step)], check=False, timeout=60)
        died = done.returncode == -9
        with ProtoManager.open(image, keys=keys) as manager:
            check_content(manager)
            assert manager.verify(deep=True).ok
            assert len(manager.store.past("migrated", str(FORMAT))) == 1
        names = {path.name for path in folder.iterdir()}
        assert names == {"image.a4ps", "image.a4ps.lock", "keys", f"image-format-{version_of(old / 'image.a4ps')}.a4ps"}
        assert image.stat().st_mode & 0o777 == 0o600
    assert step > 12
