"""Runs a program with a window of its own: Kivy has one for each process, and what a driver breaks ends only that."""

from __future__ import annotations

import ctypes.util
import importlib.util
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: Nothing that a program does takes longer, whatever else the machine does.
DEADLINE_S = 120.0

_PRELUDE = """
from dataclasses import replace
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.morph import Morph, World
from tests.ui.view.mock_desk import MockDesk
from tests.ui.view.offscreen import Offscreen
"""


def missing() -> str:
    """What a window without a screen needs and is not here, "" for nothing."""
    for name in ("kivy", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            return f"{name} is not installed: the extra [ui]"
    for name in ("EGL", "GLESv2"):
        if ctypes.util.find_library(name) is None:
            return f"lib{name} is not installed: apt install libegl1 libgles2"
    return ""


needs_window = pytest.mark.skipif(bool(missing()), reason=missing() or "there is a window")


def run(program: str, *arguments: str, prelude: str = _PRELUDE) -> str:
    """What the program printed; it must end well. `mock`, `screen` and `desk` are its business to make."""
    source = prelude + textwrap.dedent(program)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        environment.pop(name, None)
    done = subprocess.run(
        [sys.executable, "-c", source, *arguments],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=DEADLINE_S,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
    return done.stdout
