"""One owner at a time, whoever it is and however it ended."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import ImageHeld, StorageFailed
from a4ps.image.keys import KeyFolder
from a4ps.image.lock import OwnerLock
from a4ps.image.store import Row, Store

HOLDER = """
import sys
from pathlib import Path
from a4ps.image.lock import OwnerLock
lock = OwnerLock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def test_two_stores_in_one_process(tmp_path: Path) -> None:
    """A second store on one image is refused in the same process too, by any name of the file, and harms nothing."""
    image, keys = tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys")
    with Store.open(image, keys, ManualClock()) as store:
        link = tmp_path / "link.a4ps"
        link.symlink_to(image)
        for name in (image, link, tmp_path / "." / "image.a4ps"):
            with pytest.raises(ImageHeld) as refused:
                Store.open(name, keys, ManualClock())
            assert refused.value.pid == os.getpid()
            assert str(os.getpid()) in refused.value.message
            assert refused.value.next_step
        assert store.commit([Row("turn", "a", b"")], author="a", reason="b").generation == 1
    Store.open(link, keys, ManualClock()).close()


def test_another_process_is_named(tmp_path: Path) -> None:
    """While another process has the image, its pid is named; when it is killed, the image is free at once."""
    image = tmp_path / "image.a4ps"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(image)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ImageHeld) as refused:
            Store.open(image, KeyFolder(tmp_path / "keys"), ManualClock())
        assert refused.value.pid == holder.pid
        assert str(holder.pid) in refused.value.message
        holder.kill()
    Store.open(image, KeyFolder(tmp_path / "keys"), ManualClock()).close()


def test_an_unreadable_pid_is_zero(tmp_path: Path) -> None:
    """Where the owner's pid cannot be told, it is 0 and the message says so in words."""
    image = tmp_path / "image.a4ps"
    lock = OwnerLock(image)
    (tmp_path / "image.a4ps.lock").write_text("no number")
    with pytest.raises(ImageHeld, match="another process") as refused:
        OwnerLock(image)
    assert refused.value.pid == 0
    lock.release()
    OwnerLock(image).release()


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that is not there, or a lock file that is a link, is the world's fault, with the next step."""
    with pytest.raises(StorageFailed) as refused:
        OwnerLock(tmp_path / "missing" / "image.a4ps")
    assert refused.value.next_step
    (tmp_path / "image.a4ps.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageFailed):
        OwnerLock(tmp_path / "image.a4ps")
