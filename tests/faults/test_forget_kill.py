"""I1 and I12: a forgetting that is killed at any of its steps has either not begun, or is finished by the next opening."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.doubles.byte_search import found_in
from tests.doubles.lived_in import OTHER, SECRET, forgetter, lived_in, opened, places_in
from tests.faults.killing import LONG, ROOT

#: Of the steps that a forgetting has, every so-manieth is met; all of them by ./check --long.
STRIDE = 1 if LONG else 3


@pytest.mark.timeout(1200)
def test_killed_at_any_step_it_has_not_begun_or_is_finished(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Never is the image damaged, never is half of it forgotten for good: what is left opens, verifies whole, and the words
    are either all there, or gone everywhere once the next opening has gone on with it."""
    original = tmp_path / "original"
    lived_in(original)
    everywhere = found_in(original, SECRET)
    not_begun = finished = resumed = 0
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.dying_forgetting"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        step = 1
        killed = True
        while killed:
            folder = tmp_path / "copy"
            shutil.copytree(original, folder)
            server.stdin.write(json.dumps({"folder": str(folder), "step": step}) + "\n")
            server.stdin.flush()
            killed = json.loads(server.stdout.readline())
            places = places_in(folder)
            with opened(places) as manager:
                assert manager.verify(deep=True).faults == ()
                begun = forgetter(places, manager).finish()
                report = manager.verify(deep=True)
                assert (report.faults, report.warnings) == ((), ())
                assert manager.get_proto("BRICK").state["n"] == 2
                resumed += bool(begun)
            left = found_in(folder, SECRET)
            if left:
                assert not begun
                assert killed
                assert left == everywhere
                not_begun += 1
            else:
                finished += not begun
            assert found_in(folder, OTHER)
            shutil.rmtree(folder)
            step += STRIDE
        server.stdin.close()
        assert server.wait(60) == 0
    with capsys.disabled():
        print(
            f"\n{step - 1} steps of a forgetting, killed at every {STRIDE}.: {not_begun} had not begun, {resumed} were"
        )
        print(f"finished by the next opening, {finished} had nothing left to do but the last step, or nothing at all")
    assert min(not_begun, resumed, finished) > 0
