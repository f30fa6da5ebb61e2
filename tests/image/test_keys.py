"""Keys and witnesses: private, complete, and never silently wrong."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import IntegrityError, KeyLost, StorageFailed
from a4ps.image.keys import KEY_BYTES, KeyFolder, Mark
from a4ps.image.seal import Seal
from a4ps.image.store import Row, Store

IMAGE_ID = bytes(range(16))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def fill(image: Path, keys: KeyFolder, count: int) -> None:
    with Store.open(image, keys, ManualClock()) as store:
        for _ in range(count):
            store.commit([Row("turn", "a", b"")], author="a", reason="b")


class TestKeys:
    def test_a_key_is_private_and_random(self, tmp_path: Path) -> None:
        """A key is 32 random bytes in a 0600 file of a 0700 folder, and is found again."""
        keys = KeyFolder(tmp_path / "state" / "keys")
        key = keys.create(IMAGE_ID)
        other = keys.create(bytes(16))
        assert len(key) == KEY_BYTES
        assert key != other
        assert keys.load(IMAGE_ID) == key
        assert mode(keys.path) == 0o700
        assert {mode(file) for file in keys.path.iterdir()} == {0o600}
        assert {file.name for file in keys.path.iterdir()} == {f"{IMAGE_ID.hex()}.key", f"{bytes(16).hex()}.key"}

    def test_loose_permissions_are_tightened_and_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """What others may read is tightened, and the log says so."""
        keys = KeyFolder(tmp_path / "keys")
        keys.create(IMAGE_ID)
        file = keys.path / f"{IMAGE_ID.hex()}.key"
        file.chmod(0o644)
        keys.path.chmod(0o755)
        keys.load(IMAGE_ID)
        assert (mode(file), mode(keys.path)) == (0o600, 0o700)
        assert len(caplog.records) == 2

    def test_a_lost_key_is_named(self, tmp_path: Path) -> None:
        """An image whose key is gone does not open: KeyLost names the file and the folder."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 1)
        (key,) = keys.path.glob("*.key")
        key.unlink()
        with pytest.raises(KeyLost) as refused:
            Store.open(image, keys, ManualClock())
        assert key.name in refused.value.message
        assert refused.value.exit_code == 4

    @pytest.mark.parametrize("content", [b"", bytes(31), bytes(33)])
    def test_a_file_that_is_no_key(self, tmp_path: Path, content: bytes) -> None:
        """A key of a wrong length is an integrity fault, not a key."""
        keys = KeyFolder(tmp_path / "keys")
        keys.create(IMAGE_ID)
        (keys.path / f"{IMAGE_ID.hex()}.key").write_bytes(content)
        with pytest.raises(IntegrityError):
            keys.load(IMAGE_ID)

    def test_another_key_opens_nothing(self, tmp_path: Path) -> None:
        """I2: an image that another key has signed is refused."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 3)
        (key,) = keys.path.glob("*.key")
        key.write_bytes(bytes(32))
        with pytest.raises(IntegrityError):
            Store.open(image, keys, ManualClock())

    def test_a_folder_that_cannot_be_made(self, tmp_path: Path) -> None:
        """A key folder that is a file is the world's fault, and no image is made."""
        (tmp_path / "keys").write_text("")
        with pytest.raises(StorageFailed):
            Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), ManualClock())
        assert not (tmp_path / "image.a4ps").exists()


class TestWitness:
    def test_it_returns_what_was_written(self, tmp_path: Path) -> None:
        """A witness is empty, then holds the last mark; it is private."""
        keys = KeyFolder(tmp_path / "keys")
        seal = Seal(keys.create(IMAGE_ID), IMAGE_ID)
        for expected in (None, Mark(1, bytes(32)), Mark(2, b"\xff" * 32)):
            witness = keys.witness(IMAGE_ID, seal)
            assert witness.read() == expected
            witness.write(Mark(expected.generation + 1 if expected else 1, b"\xff" * 32 if expected else bytes(32)))
            witness.close()
        assert mode(keys.path / f"{IMAGE_ID.hex()}.witness") == 0o600

    def test_an_older_image_does_not_open(self, tmp_path: Path) -> None:
        """I1: an image that lacks acknowledged commits is refused with their number and the next step, exit 4."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 2)
        shutil.copy(image, tmp_path / "old")
        fill(image, keys, 3)
        shutil.copy(tmp_path / "old", image)
        with pytest.raises(IntegrityError, match="3 commits are missing") as refused:
            Store.open(image, keys, ManualClock())
        assert "restore a backup" in refused.value.next_step
        assert refused.value.exit_code == 4

    def test_another_course_does_not_open(self, tmp_path: Path) -> None:
        """I1: an image whose commits are as many or more, but not those that were acknowledged, is refused."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 2)
        shutil.copytree(tmp_path, tmp_path / "fork")
        fill(image, keys, 1)
        for extra in (1, 1):
            fill(tmp_path / "fork" / "image.a4ps", KeyFolder(tmp_path / "fork" / "keys"), extra)
            shutil.copy(tmp_path / "fork" / "image.a4ps", image)
            with pytest.raises(IntegrityError, match="not the one that was acknowledged"):
                Store.open(image, keys, ManualClock())

    def test_a_witness_behind_the_image_is_fine(self, tmp_path: Path) -> None:
        """A witness that is older than the image, as after a power cut, is no fault and is brought up to date."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 100)
        (file,) = keys.path.glob("*.witness")
        old = file.read_bytes()
        fill(image, keys, 100)
        new = file.read_bytes()
        file.write_bytes(old)
        with Store.open(image, keys, ManualClock()) as store:
            assert store.verify().warnings == ()
        assert file.read_bytes() == new

    @pytest.mark.parametrize("damage", ["flip", "cut", "remove", "other image"])
    def test_an_unreadable_witness_warns(self, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture) -> None:
        """A witness that is gone, torn or foreign is reported as a warning, and written anew."""
        image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
        fill(image, keys, 2)
        (file,) = keys.path.glob("*.witness")
        whole = file.read_bytes()
        if damage == "flip":
            file.write_bytes(whole[:20] + bytes([whole[20] ^ 4]) + whole[21:])
        elif damage == "cut":
            file.write_bytes(whole[:-1])
        elif damage == "remove":
            file.unlink()
        else:
            fill(tmp_path / "other.a4ps", keys, 5)
            (other,) = (path for path in keys.path.glob("*.witness") if path != file)
            shutil.copy(other, file)
        with Store.open(image, keys, ManualClock()) as store:
            report = store.verify()
            assert report.ok
            assert any("witness" in warning for warning in report.warnings)
        assert any("witness" in record.message for record in caplog.records)
        assert file.read_bytes() == whole
        with Store.open(image, keys, ManualClock()) as store:
            assert store.verify().warnings == ()
