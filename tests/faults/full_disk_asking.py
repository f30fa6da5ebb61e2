"""Fills a tiny disk under a living backend. Run by test_living.py, as `unshare -m python -m … FOLDER NS`; see full_disk.py.

Prints what it saw as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.doubles.household import Household
from tests.doubles.standing import backend_of, standing
from tests.faults.full_disk import NOT_PERMITTED, fill


def play(folder: Path, disk: Path) -> dict[str, Any]:
    person = Household(folder, {"A4PS_HOME": str(disk / "home"), "A4PS_ENGINE": "rehearsal"})
    try:
        with standing(person):
            first = person.json("ask", "Is clay soil good for tomatoes?")
            before = backend_of(person)
            fill(disk / "ballast")
            done = person.run("ask", "--json", "And peat, or sand?")
            full = backend_of(person)
            read = person.json("ask", "--turn", "1") == first
            (disk / "ballast").unlink()
            after = person.json("ask", "And loam, or gravel?")
            healed = backend_of(person)
    finally:
        person.end_backends()
    return {
        "code": done.returncode,
        "error": json.loads(done.stdout)["error"],
        "alive": before["epoch"] == full["epoch"] == healed["epoch"],
        "read only": full["image"]["read_only"] != "" and healed["image"]["read_only"] == "",
        "readable while full": read,
        "answered later": after["question"] == "And loam, or gravel?",
    }


def main(folder: str, outer_namespace: str) -> int:
    if str(Path("/proc/self/ns/mnt").readlink()) == outer_namespace:
        print("not in a mount namespace of its own", file=sys.stderr)
        return 1
    disk = Path(folder) / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        return NOT_PERMITTED
    print(json.dumps(play(Path(folder), disk)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
