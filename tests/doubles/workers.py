"""The llama.cpp workers that this process has started and that still run, as the kernel tells them."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def workers() -> dict[int, int]:
    """Process id → bytes in RAM, of the workers whose parent is this process; a zombie is none."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, above = (folder / "stat").read_text(encoding="utf-8").rpartition(") ")[2].split()[:2]
            command = (folder / "cmdline").read_bytes()
            pages = int((folder / "statm").read_text(encoding="ascii").split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if int(above) == os.getpid() and state != "Z" and b"llamacpp_worker" in command:
            found[int(folder.name)] = pages * _PAGE
    return found
