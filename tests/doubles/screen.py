"""A screen of its own, and the hands of a person at it: Xvfb and xdotool."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.doubles.standing import wait_until


def missing() -> str:
    """What this machine lacks for a window on a screen, "" where nothing."""
    programs = [name for name in ("Xvfb", "xdotool") if shutil.which(name) is None]
    modules = [name for name in ("kivy", "matplotlib") if importlib.util.find_spec(name) is None]
    return ", ".join(programs + modules)


@dataclass(frozen=True, slots=True)
class Screen:
    """`display` is what DISPLAY has to be. Points are pixels from its upper left corner, in which windows are put."""

    display: str

    def wait_window(self) -> None:
        """Until a window is shown; it has the keys then, as there is no window manager to give them."""
        wait_until(self._windows)
        (window, *_) = self._windows()
        self._xdotool("windowmove", window, "0", "0")
        self._xdotool("windowfocus", window)

    def _windows(self) -> list[str]:
        """Those that are shown. xdotool's own waiting (`--sync`) may never end."""
        done = self._run("search", "--onlyvisible", "--class", ".")
        return done.stdout.split()

    def click(self, x: float, y: float, *, button: int = 1, ctrl: bool = False) -> None:
        """Press and let go, a moment apart: Kivy sees the pointer once a frame."""
        if ctrl:
            self._xdotool("keydown", "ctrl")
        self._xdotool("mousemove", f"{x:.0f}", f"{y:.0f}", "sleep", "0.1", "mousedown", str(button), "sleep", "0.1")
        self._xdotool("mouseup", str(button), "sleep", "0.1")
        if ctrl:
            self._xdotool("keyup", "ctrl")

    def drag(self, x: float, y: float, dx: float, dy: float) -> None:
        """In a few steps, as a hand does."""
        self._xdotool("mousemove", f"{x:.0f}", f"{y:.0f}", "sleep", "0.1", "mousedown", "1", "sleep", "0.1")
        for step in range(1, 5):
            self._xdotool("mousemove", f"{x + dx * step / 4:.0f}", f"{y + dy * step / 4:.0f}", "sleep", "0.1")
        self._xdotool("mouseup", "1", "sleep", "0.1")

    def type(self, text: str) -> None:
        self._xdotool("type", "--delay", "20", text)

    def key(self, *names: str) -> None:
        self._xdotool("key", "--delay", "50", *names)

    def _xdotool(self, *arguments: str) -> str:
        done = self._run(*arguments)
        assert done.returncode == 0, f"xdotool {arguments}: {done.stderr}"
        return done.stdout

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {**os.environ, "DISPLAY": self.display}
        return subprocess.run(["xdotool", *arguments], env=environ, capture_output=True, text=True, timeout=60)


@contextmanager
def screen(size: str = "1600x1000") -> Iterator[Screen]:
    """An empty screen, until the block ends."""
    ours, theirs = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(theirs), "-screen", "0", f"{size}x24", "-nolisten", "tcp"],
        pass_fds=(theirs,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs)
    try:
        with os.fdopen(ours) as said:
            yield Screen(f":{said.readline().strip()}")
    finally:
        server.terminate()
        server.wait(10)
