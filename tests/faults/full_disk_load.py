"""Loads a saved image on a tiny disk of its own that is full. Run by tests/image/test_transfer.py, as full_disk.py is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from a4ps.errors import DiskFull
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.text_export import content_hash
from tests.faults.full_disk import NOT_PERMITTED, fill

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


def play(disk: Path, keys: KeyFolder, saved: Path) -> None:
    with ProtoManager.open(saved.with_name("larger.a4ps"), keys=keys) as larger:
        larger.register_proto(Proto("BRICK", CODEX, state={"raw": os.urandom(2_000_000)}))
        larger.save_image(saved)
        wanted = content_hash(larger.content())
    with ProtoManager.open(disk / "image.a4ps", keys=keys) as manager:
        manager.register_proto(Proto("BRICK", CODEX, state={"raw": os.urandom(100_000)}))
        before, files = content_hash(manager.content()), sorted(disk.iterdir())
        # Room for no backup; then room for the backup, but not for the commit that follows it.
        for spared in (0, 1_000_000):
            fill(disk / "ballast")
            os.truncate(disk / "ballast", max(0, (disk / "ballast").stat().st_size - spared))
            try:
                manager.load(saved)
            except DiskFull:
                print("refused")
            (disk / "ballast").unlink()
            if content_hash(manager.content()) == before and sorted(disk.iterdir()) == files:
                print("same")
        manager.load(saved)
        if content_hash(manager.content()) == wanted and manager.verify(deep=True).ok:
            print("loaded")


def main(folder: str, outer_namespace: str) -> int:
    if str(Path("/proc/self/ns/mnt").readlink()) == outer_namespace:
        print("not in a mount namespace of its own", file=sys.stderr)
        return 1
    disk = Path(folder) / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return NOT_PERMITTED
    play(disk, KeyFolder(Path(folder) / "keys"), Path(folder) / "saved")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
