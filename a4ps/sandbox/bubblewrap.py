"""bubblewrap with our seccomp filter: the weaker sandbox, which shares the host's kernel with the code in it.

Never as root: there it could write sysctls of the whole host, and limits on processes would not hold.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import Layout, bubblewrap_argv
from a4ps.sandbox.process import Launch
from a4ps.sandbox.seccomp import ARCHITECTURES, filter_bytes

_ASKING_S = 10.0


@dataclass(frozen=True, slots=True)
class Bubblewrap:
    """The bubblewrap that is installed."""

    bwrap: str
    version: str
    weaker: bool = True
    hazard: str = ""

    @property
    def name(self) -> str:
        return "bubblewrap"

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:  # noqa: ARG002 - the port's
        """`folder` stays empty. The filter is handed over in a pipe, which holds all of it."""
        if os.geteuid() == 0:
            raise PermissionError("bubblewrap is no sandbox for root")
        source, target = os.pipe()
        try:
            os.write(target, filter_bytes(platform.machine()))
        finally:
            os.close(target)
        return Launch(bubblewrap_argv(self.bwrap, limits, layout, source), (source,))


def candidates() -> list[Bubblewrap]:
    """The bubblewrap that is installed; none for root, or where our filter does not know the machine."""
    bwrap = shutil.which("bwrap")
    if bwrap is None or os.geteuid() == 0 or platform.machine() not in ARCHITECTURES:
        return []
    try:
        done = subprocess.run([bwrap, "--version"], capture_output=True, text=True, timeout=_ASKING_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    found = re.search(r"[\d.]+", done.stdout)
    return [Bubblewrap(bwrap, found[0] if found else "")]
