"""Whoever is killed while a file of his lacks its name is in nobody's way: the same is done again, and all of it swept."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.image.drafts import PREFIX
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from tests.faults.killing import ROOT
from tests.faults.powered import CODEX

DYING = """
import os, signal, sys
from pathlib import Path
from tests.faults.test_killed_drafts import again

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

setattr(*{"backup": (os, "link"), "save": (Path, "rename"), "restore": (Path, "rename")}[sys.argv[1]], die)
again(sys.argv[1], Path(sys.argv[2]))
"""


def again(act: str, folder: Path) -> None:
    """What was killed, or is to be."""
    image, keys = folder / "home" / "image.a4ps", KeyFolder(folder / "keys")
    if act == "restore":
        restore(image, folder / "first.a4ps", keys, ManualClock(), author="architect")
        return
    with ProtoManager.open(image, keys=keys, clock=ManualClock()) as manager:
        if act == "backup":
            manager.backup(folder / "out" / "file")
        else:
            manager.save_image(folder / "out" / "file")


@pytest.mark.parametrize("act", ["backup", "save", "restore"])
def test_what_was_killed_can_be_done_again_and_leaves_nothing(tmp_path: Path, act: str) -> None:
    with ProtoManager.open(
        tmp_path / "home" / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=ManualClock()
    ) as manager:
        manager.register_proto(Proto("BRICK", CODEX))
        manager.backup(tmp_path / "first.a4ps")
    where = tmp_path / ("home" if act == "restore" else "out")
    where.mkdir(exist_ok=True)
    before = {path.name for path in where.iterdir()}
    died = subprocess.run([sys.executable, "-c", DYING, act, str(tmp_path)], cwd=ROOT, capture_output=True, check=False)
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()
    assert len(list(where.glob(f"{PREFIX}*"))) == 1
    again(act, tmp_path)
    new = {path.name for path in where.iterdir()} - before
    assert new == ({"image-20261122-120000.a4ps"} if act == "restore" else {"file"})
    assert not list((tmp_path / "keys").glob("*-new"))
