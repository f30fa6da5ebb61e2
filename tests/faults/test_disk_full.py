"""I1: a full disk refuses commits and loses nothing; when space is back, the store works again by itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.full_disk import NOT_PERMITTED
from tests.faults.killing import ROOT


def test_a_full_disk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1: on a full disk a commit fails with DiskFull and is not there, what was acknowledged stays readable and
    searchable, and once space is free the next commit works; creating an image behaves the same."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("an own mount namespace is not permitted here (needs root or CAP_SYS_ADMIN)")
    played = subprocess.run(
        [
            *("unshare", "-m", "--propagation", "private"),
            *(sys.executable, "-m", "tests.faults.full_disk", str(tmp_path), str(Path("/proc/self/ns/mnt").readlink())),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if played.returncode == NOT_PERMITTED:
        pytest.skip("mounting a tmpfs is not permitted here")
    assert played.returncode == 0, played.stderr
    seen = json.loads(played.stdout)
    refusals = seen.pop("refusals")
    refused = seen.pop("refused")
    assert refused > 0
    for message, next_step, read_only in refusals:
        assert "no space" in message
        assert next_step
        assert read_only
    assert {name for name, held in seen.items() if not held} == set()
    assert len(seen) == 7
    with capsys.disabled():
        print(f"\nfull disk: {refused} commits refused, nothing acknowledged lost")
