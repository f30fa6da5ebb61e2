"""Restoring a backup: verified first, the old image kept, the witness reset by a commit that says so, kills survived."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, ImageHeld, IntegrityError, KeyLost, StorageFailed
from a4ps.image import restore as restoring
from a4ps.image.exchange import put_in_place
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import Restored, restore
from a4ps.image.rows import Row
from a4ps.image.text_export import content_hash
from a4ps.image.verify import TAIL_COMMITS

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def image(tmp_path: Path, keys: KeyFolder) -> Path:
    """An image with four commits, and a backup of its first beside it."""
    path = tmp_path / "home" / "image.a4ps"
    with ProtoManager.open(path, keys=keys) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        manager.backup(tmp_path / "backup.a4ps")
        for n in (1, 2, 3):
            with manager.transaction() as tx:
                tx.edit("BRICK").state["n"] = n
        assert brick.n == 3
    return path


@pytest.fixture
def backup(image: Path, tmp_path: Path) -> Path:
    return tmp_path / "backup.a4ps"


def restored(image: Path, backup: Path, keys: KeyFolder) -> Restored:
    return restore(image, backup, keys, ManualClock(), author="architect")


def n_of(image: Path, keys: KeyFolder) -> int:
    with ProtoManager.open(image, keys=keys) as manager:
        assert manager.verify(deep=True).ok
        return int(manager.get_proto("BRICK").n)


def test_an_older_image_is_put_in_place_and_opens(image: Path, backup: Path, keys: KeyFolder) -> None:
    done = restored(image, backup, keys)
    with ProtoManager.open(image, keys=keys) as manager:
        assert manager.get_proto("BRICK").n == 0
        report = manager.verify(deep=True)
        assert (report.ok, report.warnings, report.generation) == (True, (), 2)
        rows = manager.store.rows_of(2, "restored")
        assert [row.key for row in rows] == ["1"]
        manager.get_proto("BRICK").define("f", "def f(self): return 1")
    assert n_of(image, keys) == 0
    assert done.aside is not None
    assert done.aside.name == "image-20261122-120000.a4ps"
    assert sorted(path.name for path in image.parent.iterdir()) == [done.aside.name, "image.a4ps", "image.a4ps.lock"]


def test_what_was_kept_aside_can_be_restored_again(image: Path, backup: Path, keys: KeyFolder) -> None:
    done = restored(image, backup, keys)
    assert done.aside is not None
    again = restored(image, done.aside, keys)
    assert n_of(image, keys) == 3
    assert again.aside is not None
    assert again.aside.name == "image-20261122-120000-1.a4ps"


def test_an_image_older_than_its_witness_is_found_and_mended_by_a_restore(
    image: Path, backup: Path, keys: KeyFolder
) -> None:
    """Copying a backup over the image by hand does not open; restoring it does."""
    shutil.copyfile(backup, image)
    with pytest.raises(IntegrityError, match="acknowledged"):
        ProtoManager.open(image, keys=keys)
    restored(image, backup, keys)
    assert n_of(image, keys) == 0


def test_a_damaged_image_and_one_that_is_gone_are_replaced(image: Path, backup: Path, keys: KeyFolder) -> None:
    image.write_bytes(b"nothing of use")
    done = restored(image, backup, keys)
    assert done.aside is not None
    assert done.aside.read_bytes() == b"nothing of use"
    image.unlink()
    assert restored(image, backup, keys).aside is None
    assert n_of(image, keys) == 0


def test_a_log_that_a_crash_left_is_kept_with_the_old_image(
    image: Path, backup: Path, keys: KeyFolder, tmp_path: Path
) -> None:
    """SQLite would replay it into the restored one."""
    with ProtoManager.open(image, keys=keys) as manager:
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 4
        crashed = tmp_path / "crashed"
        crashed.mkdir()
        for path in image.parent.glob("image.a4ps*"):
            shutil.copyfile(path, crashed / path.name)
    assert (crashed / "image.a4ps-wal").stat().st_size > 0
    done = restored(crashed / "image.a4ps", backup, keys)
    assert n_of(crashed / "image.a4ps", keys) == 0
    assert done.aside is not None
    restored(crashed / "image.a4ps", done.aside, keys)
    assert n_of(crashed / "image.a4ps", keys) == 4


def snapshot(*folders: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for folder in folders for path in folder.rglob("*") if path.is_file()}


def flip(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("UPDATE rows SET body = zeroblob(length(body))")
    connection.commit()
    connection.close()


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 4096)


def foreign(path: Path) -> None:
    path.unlink()
    with ProtoManager.open(path, keys=KeyFolder(path.with_name("other keys"))) as other:
        other.register_proto(Proto("BRICK", CODEX))


def no_image(path: Path) -> None:
    path.write_bytes(b"x" * 10_000)


@pytest.mark.parametrize(
    ("harm", "error"), [(flip, IntegrityError), (cut, IntegrityError), (foreign, KeyLost), (no_image, IntegrityError)]
)
def test_a_backup_that_is_of_no_use_changes_nothing(
    image: Path, backup: Path, keys: KeyFolder, harm: Callable[[Path], None], error: type[IntegrityError]
) -> None:
    harm(backup)
    before = snapshot(image.parent, keys.path)
    with pytest.raises(error, match=str(backup)):
        restored(image, backup, keys)
    assert snapshot(image.parent, keys.path) == before
    assert n_of(image, keys) == 3


def test_damage_that_opening_does_not_see_is_found_before_anything_changes(
    image: Path, keys: KeyFolder, tmp_path: Path
) -> None:
    """In a row that lies before the newest commits."""
    with ProtoManager.open(image, keys=keys) as manager:
        for n in range(TAIL_COMMITS):
            manager.store.commit([Row("note", str(n), b"")], author="t", reason="t")
        manager.backup(tmp_path / "later")
    connection = sqlite3.connect(tmp_path / "later")
    connection.execute("UPDATE rows SET body = zeroblob(length(body)) WHERE place = (SELECT min(place) FROM rows)")
    connection.commit()
    connection.close()
    before = snapshot(image.parent, keys.path)
    with pytest.raises(IntegrityError, match="damaged"):
        restored(image, tmp_path / "later", keys)
    assert snapshot(image.parent, keys.path) == before


def test_an_absent_backup_and_the_image_itself_are_refused(image: Path, backup: Path, keys: KeyFolder) -> None:
    for path in (image, backup.with_name("nothing"), backup.parent):
        with pytest.raises(CallerError):
            restored(image, path, keys)
    assert n_of(image, keys) == 3


def test_an_image_that_is_open_is_not_replaced(image: Path, backup: Path, keys: KeyFolder) -> None:
    with ProtoManager.open(image, keys=keys) as manager:
        before = content_hash(manager.content())
        with pytest.raises(ImageHeld):
            restored(image, backup, keys)
        assert content_hash(manager.content()) == before


class Killed(BaseException):
    """The process ends here."""


def crash(image: Path, keys: KeyFolder) -> None:
    """One more commit, which is in the log only, as after a kill."""
    with ProtoManager.open(image, keys=keys) as manager:
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 4
        kept = {path: path.read_bytes() for path in image.parent.glob("image.a4ps*")}
    for path, content in kept.items():
        path.write_bytes(content)
    assert image.with_name("image.a4ps-wal").stat().st_size > 0
    image.with_name("image.a4ps-shm").unlink()


@pytest.mark.parametrize("step", range(8))
def test_a_restore_cut_off_anywhere_can_be_done_again(
    image: Path, backup: Path, keys: KeyFolder, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: what is left opens, as it was or restored, with all that its log held; and a second restore works."""
    crash(image, keys)
    left = -1

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed
            return call(*arguments, **options)

        return counted

    def exchange(*arguments: Any) -> None:
        nonlocal left
        left = step + 1
        put_in_place(*arguments)

    monkeypatch.setattr(restoring, "put_in_place", exchange)
    monkeypatch.setattr(os, "link", dying(os.link))
    for name in ("rename", "unlink"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    with suppress(Killed):
        restored(image, backup, keys)
    monkeypatch.undo()
    assert n_of(image, keys) in (0, 4)
    done = restored(image, backup, keys)
    assert n_of(image, keys) == 0
    assert done.aside is not None
    assert not done.aside.samefile(image)
    assert len({path.stat().st_ino for path in image.parent.glob("*.a4ps")}) == len(list(image.parent.glob("*.a4ps")))
    assert not list(keys.path.glob("*-new"))


@pytest.mark.parametrize("refused", [False, True])
def test_what_a_killed_restore_left_opens_after_another_that_came_to_nothing(
    image: Path, backup: Path, keys: KeyFolder, tmp_path: Path, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I1: the second is killed before its exchange, or finds late that its backup is damaged; the first one's image is in
    place by then, and its witness must not be taken from it."""
    with ProtoManager.open(image, keys=keys) as manager:
        for n in range(TAIL_COMMITS):
            manager.store.commit([Row("note", str(n), b"")], author="t", reason="t")
        manager.backup(tmp_path / "later")
    if refused:
        connection = sqlite3.connect(tmp_path / "later")
        connection.execute("UPDATE rows SET body = zeroblob(length(body)) WHERE place = (SELECT min(place) FROM rows)")
        connection.commit()
        connection.close()

    def die_afterwards(*arguments: Any) -> None:
        put_in_place(*arguments)
        raise Killed

    def die(*arguments: Any) -> None:
        raise Killed

    monkeypatch.setattr(restoring, "put_in_place", die_afterwards)
    with pytest.raises(Killed):
        restored(image, backup, keys)
    monkeypatch.setattr(restoring, "put_in_place", die)
    with pytest.raises(IntegrityError if refused else Killed):
        restored(image, tmp_path / "later", keys)
    monkeypatch.undo()
    assert n_of(image, keys) == 0


def test_a_disk_that_refuses_leaves_the_image(
    image: Path, backup: Path, keys: KeyFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(image.parent, keys.path)

    def refuse(source: object, target: object) -> None:
        raise OSError(5, "Input/output error", str(target))

    monkeypatch.setattr(shutil, "copyfile", refuse)
    with pytest.raises(StorageFailed):
        restored(image, backup, keys)
    monkeypatch.undo()
    assert snapshot(image.parent, keys.path) == before
