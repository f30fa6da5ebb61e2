"""What Xlib does where a display refuses something or goes: by itself it says so in its own words and ends the process."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from typing import Any

_Refused = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_Gone = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)

#: Xlib keeps their addresses for as long as the process lives.
_kept: list[object] = []


def outlive_refusals() -> None:
    """A display that refuses something does not end the process: whoever asked for it hears of it. Nothing without Xlib."""
    _set("XSetErrorHandler", _Refused(lambda *_: 0))


def end_by(gone: Callable[[], int]) -> None:
    """Have `gone` called when the display is gone, in the window's thread: the process ends then, with the code that it
    returns. Nothing without Xlib.
    """

    def end(_: object) -> int:
        code = 1
        try:
            code = gone()
        finally:
            sys.stderr.flush()
            os._exit(code)

    _set("XSetIOErrorHandler", _Gone(end))


def _set(name: str, handler: Any) -> None:
    try:
        setter = getattr(ctypes.CDLL("libX11.so.6"), name)
    except (OSError, AttributeError):
        return
    _kept.append(handler)
    setter.restype = ctypes.c_void_p
    setter(handler)
