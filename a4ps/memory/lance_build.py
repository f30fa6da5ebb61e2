"""The program that indexes one LanceDB table, at low priority: started by `vector_index` with the table's folder.

In a process of its own because building takes all cores and several times the memory of searching, which LanceDB's
allocator does not give back. It answers with one line of JSON: a `Tuning`. It dies with whoever started it.

    python -m a4ps.memory.lance_build FOLDER DIMENSIONS METHOD RECALL
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from a4ps.memory.lance_index import IndexDamaged, LanceTable
from a4ps.memory.tuning import Method, Tuning

_PR_SET_PDEATHSIG = 1
_NICE = 10


def start(folder: Path, dimensions: int, method: Method, target: float) -> subprocess.Popen[bytes]:
    """Begin to index the table of `folder`, to which nobody may write meanwhile."""
    command = [sys.executable, "-P", "-m", __name__, str(folder), str(dimensions), method, str(target)]
    # The package that this process runs, wherever it was started.
    environ = {"PYTHONPATH": str(Path(__file__).parents[2]), "PATH": os.environ.get("PATH", "")}
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environ
    )


def outcome(child: subprocess.Popen[bytes]) -> Tuning:
    """Wait for it. Raises IndexDamaged where it was killed or could not do it."""
    answer, _ = child.communicate()
    if child.returncode != 0:
        why = answer.decode("utf-8", "replace").strip() or f"it ended with {child.returncode}"
        raise IndexDamaged(f"the program that builds the vector index failed: {why}")
    plain: dict[str, Any] = json.loads(answer)
    return Tuning(**plain)


def main() -> None:
    """The whole life of the child."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICE)
    folder, dimensions, method, target = sys.argv[1:]
    try:
        table = LanceTable.open(Path(folder), int(dimensions), None)
        tuning = table.build(cast(Method, method), float(target))
    except IndexDamaged as error:
        sys.stdout.write(" ".join(str(error).split()))
        sys.exit(1)
    sys.stdout.write(json.dumps(asdict(tuning)))


if __name__ == "__main__":
    main()
