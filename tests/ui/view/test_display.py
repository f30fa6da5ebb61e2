"""A real window whose display refuses or goes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ui.view.running import DEADLINE_S, ROOT, needs_window

pytestmark = [
    needs_window,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("Xvfb") is None, reason="Xvfb is not installed"),
]


@pytest.fixture
def display() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The name of a display of one's own, and what runs it."""
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    yield f":{server.stdout.readline().strip()}", server
    server.kill()
    server.wait()
    server.stdout.close()


def a_window(folder: Path, display: str, **environ: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "a4ps.ui", "--home", str(folder / "home"), "--size", "640x480"],
        env={**os.environ, "HOME": str(folder), "PYTHONPATH": str(ROOT), "DISPLAY": display, **environ},
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_display_without_opengl_is_said_in_words(tmp_path: Path, display: tuple[str, object]) -> None:
    window = a_window(tmp_path, display[0], LIBGL_DRIVERS_PATH=str(tmp_path), __EGL_VENDOR_LIBRARY_DIRS=str(tmp_path))
    _, said = window.communicate(timeout=DEADLINE_S)
    assert window.returncode == 1
    assert "a4ps: no window could be opened" in said
    assert "X Error" not in said


def test_a_display_that_ends_under_the_window_is_said(
    tmp_path: Path, display: tuple[str, subprocess.Popen[str]]
) -> None:
    window = a_window(tmp_path, display[0])
    world, until_s = tmp_path / "home" / "worlds" / "home.json", time.monotonic() + DEADLINE_S
    while not world.exists() and window.poll() is None and time.monotonic() < until_s:
        time.sleep(0.02)
    display[1].kill()
    _, said = window.communicate(timeout=DEADLINE_S)
    assert window.returncode == 1
    assert said.startswith("a4ps: the display is gone")
    assert "XIO" not in said
