"""Having the system read a model's file into its page cache before the model is loaded."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from a4ps.inference.memory_budget import available_ram_bytes

#: The file must fit this many times into what is free, or reading it would drive out what others need.
ROOM = 2


def read_ahead(path: Path) -> bool:
    """Ask the kernel to read `path` ahead, where there is room for it. Returns whether it was asked; never raises."""
    with suppress(OSError):
        size = path.stat().st_size
        if available_ram_bytes() <= ROOM * size:
            return False
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.posix_fadvise(fd, 0, size, os.POSIX_FADV_WILLNEED)
        finally:
            os.close(fd)
        return True
    return False
