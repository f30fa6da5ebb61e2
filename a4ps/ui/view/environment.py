"""What Kivy has to be told before it is imported, and whether there is a screen at all. Kivy itself is not imported here."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping

from a4ps.errors import Unsupported

#: Kivy reads these when it is imported: no arguments, files or log of its own.
_SETTINGS: Mapping[str, str] = {
    "KIVY_NO_ARGS": "1",
    "KIVY_NO_CONFIG": "1",
    "KIVY_NO_FILELOG": "1",
    "KIVY_NO_CONSOLELOG": "1",
    "KIVY_LOG_MODE": "PYTHON",
    "KIVY_WINDOW": "sdl2",
    "KIVY_TEXT": "sdl2",
    "KIVY_CLIPBOARD": "sdl2",
    "KIVY_CLOCK": "interrupt",
    "KIVY_METRICS_DENSITY": "1",
}


def check_screen(environ: Mapping[str, str], platform: str = sys.platform) -> None:
    """Raises Unsupported where a window could not be opened. Without this, SDL would end the process."""
    if platform in ("darwin", "win32") or environ.get("SDL_VIDEODRIVER") == "offscreen":
        return
    if not environ.get("DISPLAY") and not environ.get("WAYLAND_DISPLAY"):
        raise Unsupported(
            "there is no screen to open a window on: neither DISPLAY nor WAYLAND_DISPLAY is set",
            next_step="start it in a desktop session, use the terminal: a4ps chat, or draw a picture: "
            "a4ps ui --screenshot FILE",
        )


def prepare(environ: MutableMapping[str, str] = os.environ, *, offscreen: bool, folder: str = "") -> None:
    """Set the environment for Kivy's import; `offscreen` draws without X. Kivy makes a folder for itself: `folder`."""
    environ.update(_SETTINGS)
    if folder:
        environ["KIVY_HOME"] = folder
    if offscreen:
        environ["SDL_VIDEODRIVER"] = "offscreen"
    elif sys.platform == "linux":
        # Else SDL would draw without a screen, where that does not answer, and nobody would see it.
        environ.setdefault("SDL_VIDEODRIVER", "wayland,x11" if environ.get("WAYLAND_DISPLAY") else "x11")
