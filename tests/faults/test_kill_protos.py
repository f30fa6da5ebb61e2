"""I1 and I4 for the live image: whatever is killed and whenever, it opens, holds all that was acknowledged, and neither a
transaction nor a file that was written from it is there by half."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.acts import MIGRATE
from tests.faults.campaign import AIMS
from tests.faults.killing import LONG, ROOT

KILLS = 10_000 if LONG else 1_000
#: More than there are cores: most of their time they wait for the disk.
PROCESSES = 4


@pytest.mark.timeout(5400)
def test_no_acknowledged_change_of_a_proto_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1, I4: after a SIGKILL at a random instant of commits, swaps, reverts, removals, saves, loads, exports, imports,
    backups, restores, of migrating, opening and closing, every image opens; all that was acknowledged is there with its
    generation, at most the commits in flight (one a thread) are there besides, what was refused is not; every slot is
    what the commits come to; a written file is the old one or the new one, and what was left beside it is swept."""
    killed_in, counts = Counter[str](), Counter[str]()
    with ExitStack() as at_last:
        parts = []
        for number in range(PROCESSES):
            program = ["-m", "tests.faults.campaign", str(number + 1), str(KILLS // PROCESSES)]
            part = subprocess.Popen(
                [sys.executable, *program, str(tmp_path / "of" / str(number))],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
            parts.append(at_last.enter_context(part))
            at_last.callback(part.kill)
        for part in parts:
            out, broke = part.communicate()
            assert part.returncode == 0, broke.decode()
            figures = json.loads(out)
            killed_in.update(figures["killed in"])
            counts.update(figures["counts"])
    with capsys.disabled():
        print(
            f"\n{KILLS} kills among Protos, 0 acknowledged changes lost; in flight were {dict(killed_in.most_common())}"
        )
        print(f"done and acknowledged, and what else was counted: {dict(sorted(counts.items()))}")
    assert {*AIMS, MIGRATE} <= killed_in.keys()
