"""A part on disk: whose it is, what of it survives, and that it becomes a file only whole."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import DiskFull, DownloadHeld, WorldError
from a4ps.inference.local_models import Record, read_record
from a4ps.inference.part_file import PartFile, Whole

KNOWN = Whole(url="https://x.invalid/a.gguf", validator='"one"', total_bytes=10, sha256="5" * 64)
UNKNOWN = KNOWN.model_copy(update={"sha256": ""})


def opened(target: Path) -> PartFile:
    part = PartFile(target)
    while part.hash_more():
        pass
    return part


def begun(target: Path, whole: Whole, *data: bytes) -> PartFile:
    part = opened(target)
    part.restart(whole)
    for piece in data:
        part.append(piece)
    return part


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "a.gguf"


def test_what_was_written_is_there_again_with_its_hash(target: Path) -> None:
    begun(target, KNOWN, b"hello").close()
    again = opened(target)
    assert (again.size_bytes, again.whole) == (5, KNOWN)
    again.append(b"world")
    assert again.sha256() == hashlib.sha256(b"helloworld").hexdigest()
    again.close()


def test_a_part_without_bytes_leaves_nothing(target: Path) -> None:
    opened(target).close()
    begun(target, KNOWN).close()
    assert list(target.parent.iterdir()) == []


def test_bytes_without_a_note_are_not_used(target: Path) -> None:
    target.with_name("a.gguf.part").write_bytes(b"from whom?")
    for note in (None, b"{}", b"\xff"):
        if note is not None:
            target.with_name("a.gguf.part.json").write_bytes(note)
        part = opened(target)
        assert (part.size_bytes, part.whole) == (0, None)
        part.close()
        target.with_name("a.gguf.part").write_bytes(b"from whom?")


@pytest.mark.parametrize(("whole", "usable"), [(KNOWN, 8), (UNKNOWN, 4)])
def test_after_a_crash_unsynced_bytes_count_only_where_a_hash_would_betray_them(
    target: Path, whole: Whole, usable: int
) -> None:
    begun(target, whole, b"1234").close()
    program = (
        "import os, sys, pathlib\n"
        "from a4ps.inference.part_file import PartFile\n"
        "part = PartFile(pathlib.Path(sys.argv[1]))\n"
        "while part.hash_more(): pass\n"
        "part.append(b'5678')\n"
        "os.kill(os.getpid(), 9)\n"
    )
    assert subprocess.run([sys.executable, "-c", program, str(target)]).returncode == -9
    part = opened(target)
    assert part.size_bytes == usable
    assert part.sha256() == hashlib.sha256(b"12345678"[:usable]).hexdigest()
    part.close()


def test_a_part_has_one_owner(target: Path) -> None:
    first = begun(target, KNOWN, b"12345")
    with pytest.raises(DownloadHeld):
        PartFile(target)
    first.close()
    opened(target).close()


def test_a_part_that_was_placed_while_its_lock_was_waited_for_is_not_written_to(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between opening and locking, the other download may end; what was opened is then the model itself."""
    begun(target, KNOWN, b"helloworld").close()
    real = fcntl.flock

    def placed_first(descriptor: int, how: int) -> None:
        if not target.exists():
            target.with_name("a.gguf.part").rename(target)
            target.with_name("a.gguf.part.json").unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", placed_first)
    part = begun(target, KNOWN, b"other")
    assert target.read_bytes() == b"helloworld"
    assert target.with_name("a.gguf.part").read_bytes() == b"other"
    part.close()


def test_a_placed_file_is_whole_private_and_recorded(target: Path) -> None:
    part = begun(target, KNOWN, b"helloworld")
    record = Record(source="x", sha256=part.sha256(), size_bytes=10)
    part.place(record)
    part.close()
    assert target.read_bytes() == b"helloworld"
    assert target.stat().st_mode & 0o777 == 0o600
    assert read_record(target) == record
    assert {path.name for path in target.parent.iterdir()} == {"a.gguf", "a.gguf.json"}


def test_a_file_that_came_meanwhile_is_not_replaced(target: Path) -> None:
    part = begun(target, KNOWN, b"helloworld")
    target.write_bytes(b"the user's own")
    with pytest.raises(WorldError, match="File exists"):
        part.place(Record(source="x", sha256=part.sha256(), size_bytes=10))
    part.close()
    assert target.read_bytes() == b"the user's own"


def test_a_full_disk_keeps_what_fitted(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = begun(target, KNOWN, b"12345")

    class Full:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: memoryview) -> int:
            if len(data) < 3:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return int(self._file.write(data[:2]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    with monkeypatch.context() as patched:
        patched.setattr(part, "_file", Full(part._file))
        with pytest.raises(DiskFull):
            part.append(b"6789")
        assert part.size_bytes == 7
    part.close()
    again = opened(target)
    assert again.size_bytes == 7
    assert again.sha256() == hashlib.sha256(b"1234567").hexdigest()
    again.close()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorldError, match="cannot be written"):
        PartFile(tmp_path / "file" / "a.gguf")


def test_a_part_that_is_a_link_is_not_followed(target: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_bytes(b"precious")
    target.with_name("a.gguf.part").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WorldError):
        PartFile(target)
    assert (tmp_path / "elsewhere").read_bytes() == b"precious"
