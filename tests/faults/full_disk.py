"""Fills a tiny disk of its own under an open store. Run by test_disk_full.py, as `unshare -m python -m … FOLDER NS`.

NS is the mount namespace of whoever started it: this program ends at once if it finds itself in the same one, so that
nothing is ever mounted outside. Exit 77 means that mounting is not permitted here. Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from a4ps.clock import SystemClock
from a4ps.errors import DiskFull
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Row, Store

NOT_PERMITTED = 77


def fill(ballast: Path) -> None:
    with ballast.open("ab", buffering=0) as file:
        for size in (65_536, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def put(store: Store, key: str, payload: bytes) -> None:
    store.commit([Row("turn", key, payload, f"text {key}")], author="test", reason="test")


def play(disk: Path, keys: KeyFolder) -> dict[str, Any]:
    seen: dict[str, Any] = {"refusals": []}
    image = disk / "image.a4ps"
    acknowledged: dict[str, bytes] = {}
    rejected: list[str] = []

    def attempt(store: Store, key: str) -> None:
        payload = os.urandom(20_000)
        try:
            put(store, key, payload)
        except DiskFull as error:
            rejected.append(key)
            seen["refusals"].append([error.message, error.next_step, store.read_only])
        else:
            acknowledged[key] = payload

    def all_there(store: Store) -> bool:
        heads = {row.key: row.payload for row in store.newest("turn", limit=1000)}
        return heads == acknowledged and all(store.head("turn", key) is None for key in rejected)

    with Store.open(image, keys, SystemClock()) as store:
        for number in range(5):
            attempt(store, f"before {number}")
        fill(disk / "ballast")
        for number in range(20):
            attempt(store, f"full {number}")
        seen["refused"] = len(rejected)
        seen["readable while full"] = all_there(store)
        seen["searchable while full"] = len(store.search("before", kind="turn", limit=99)) == 5
        (disk / "ballast").unlink()
        for number in range(5):
            attempt(store, f"after {number}")
        seen["healed"] = store.read_only == "" and "after 0" in acknowledged
        seen["whole"] = store.verify(deep=True).faults == () and all_there(store)
        fill(disk / "ballast")
        attempt(store, "at the end")
    # Closed on a full disk: the log may have to stay, and is read at the next opening.
    (disk / "ballast").unlink()
    with Store.open(image, keys, SystemClock()) as store:
        seen["whole after reopening"] = store.verify(deep=True).faults == () and all_there(store)
    fill(disk / "ballast")
    try:
        Store.open(disk / "other.a4ps", keys, SystemClock()).close()
    except DiskFull as error:
        seen["creation refused"] = error.next_step != ""
    (disk / "ballast").unlink()
    Store.open(disk / "other.a4ps", keys, SystemClock()).close()
    seen["created later"] = True
    return seen


def main(folder: str, outer_namespace: str) -> int:
    if str(Path("/proc/self/ns/mnt").readlink()) == outer_namespace:
        print("not in a mount namespace of its own", file=sys.stderr)
        return 1
    disk = Path(folder) / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1536k,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return NOT_PERMITTED
    print(json.dumps(play(disk, KeyFolder(Path(folder) / "keys"))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
