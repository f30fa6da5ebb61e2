"""The window as a child process, and what has to be here for one. Kivy is looked for and never imported: without a display
or without OpenGL it ends the process that imports it.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress

from a4ps.errors import Stopped, Unsupported
from a4ps.places import Places

#: How long a window that was told to end has to save its world.
_END_S = 5.0
#: One that heard of Ctrl-C by itself has ended after so long.
_HEARD_S = 0.5
#: A display that is asked answers at once, or is not there.
_DISPLAY_S = 3.0
#: Of TCP, where displays of other machines are: X(7).
_X_PORT = 6000


def has_ui() -> bool:
    """Whether what draws the window is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("kivy", "matplotlib"))


def has_display(environ: Mapping[str, str]) -> bool:
    """Whether the environment names a display that can be reached."""
    return _has_wayland(environ) or _has_x(environ.get("DISPLAY", ""))


def check_window(*, needs_display: bool) -> None:
    """Raises `Unsupported` where there can be no window, or no picture of one."""
    if not has_ui():
        raise Unsupported(
            "what draws the window is not installed",
            next_step="in a checkout: ./start ui   (elsewhere: pip install 'a4ps[ui]')",
        )
    if needs_display and not has_display(os.environ):
        named = os.environ.get("WAYLAND_DISPLAY") or os.environ.get("DISPLAY")
        raise Unsupported(
            f"the display {named} does not answer" if named else "there is no display to open a window on",
            next_step="use a desktop or ssh -X; a picture needs none: a4ps ui --screenshot FILE",
        )


def window_command(places: Places, options: Mapping[str, str | None]) -> list[str]:
    """The program of the window; an option without a value is left out."""
    command = [sys.executable, "-P", "-m", "a4ps.ui", "--home", str(places.home)]
    for name, value in options.items():
        command += [] if value is None else [f"--{name}", value]
    return command


def run_window(places: Places, options: Mapping[str, str | None]) -> int:
    """The window, until it is closed; its exit code. Whatever signal is to end this process ends the window first.

    Raises `Stopped` at Ctrl-C, and `Unsupported` where what draws it was ended by the system.
    """
    child = subprocess.Popen(window_command(places, options))
    before = {number: signal.signal(number, lambda *_: child.terminate()) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        code = child.wait()
    except KeyboardInterrupt:
        _end(child)
        raise Stopped("the window is closed") from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if code in (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP):
        raise Stopped("the window was ended")
    if code < 0:
        raise Unsupported(
            f"the window was ended by {signal.Signals(-code).name}; the backend goes on",
            next_step="open it again: a4ps ui; if it happens again, it is OpenGL: LIBGL_ALWAYS_SOFTWARE=1 a4ps ui",
        )
    return code


def open_window(places: Places) -> None:
    """A window of its own beside this process, which outlives it."""
    subprocess.Popen(
        window_command(places, {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    """It has heard of a terminal's Ctrl-C by itself, and is told where a program sent it to us alone."""
    for told, within_s in ((None, _HEARD_S), (signal.SIGINT, _END_S), (signal.SIGKILL, _END_S)):
        if told is not None:
            child.send_signal(told)
        with suppress(subprocess.TimeoutExpired):
            child.wait(within_s)
            return


def _has_wayland(environ: Mapping[str, str]) -> bool:
    name, folder = environ.get("WAYLAND_DISPLAY", ""), environ.get("XDG_RUNTIME_DIR", "")
    return bool(name) and _answers(socket.AF_UNIX, name if name.startswith("/") else f"{folder}/{name}")


def _has_x(display: str) -> bool:
    """`display` is [HOST]:NUMBER[.SCREEN]."""
    host, colon, rest = display.rpartition(":")
    number = rest.partition(".")[0]
    if not colon or not number.isdecimal():
        return False
    if host in ("", "unix"):
        path = f"/tmp/.X11-unix/X{number}"  # noqa: S108 - where X servers have it
        return any(_answers(socket.AF_UNIX, each) for each in (f"\0{path}", path))
    return _answers(socket.AF_INET, (host, _X_PORT + int(number)))


def _answers(family: socket.AddressFamily, address: str | tuple[str, int]) -> bool:
    try:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as channel:
            channel.settimeout(_DISPLAY_S)
            channel.connect(address)
    except (OSError, OverflowError):
        return False
    return True
