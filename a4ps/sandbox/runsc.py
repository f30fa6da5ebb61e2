"""gVisor by itself: `runsc` on a bundle, as root or as anybody, without Docker."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import Layout, runsc_argv, spec_of, tethered
from a4ps.sandbox.process import Launch

#: Fastest first. kvm is no choice: it hangs in virtual machines.
PLATFORMS = ("systrap", "ptrace")
#: CVE-2025-2713 (files read past their permissions) was told on 28 March 2025; releases are weekly and named by their
#: dates, so this one has its fix.
FIXED = 20250331
_VERSION = re.compile(r"(\d{8})")
_ASKING_S = 10.0


@dataclass(frozen=True, slots=True)
class Runsc:
    """One runsc with one platform."""

    runsc: str
    setpriv: str
    prlimit: str
    platform: str
    version: str
    weaker: bool = False

    @property
    def name(self) -> str:
        return "runsc"

    @property
    def hazard(self) -> str:
        found = _VERSION.search(self.version)
        if found and int(found[1]) < FIXED:
            return "older than the fix of CVE-2025-2713"
        return ""

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        bundle, state = folder / "bundle", folder / "state"
        bundle.mkdir()
        state.mkdir()
        (bundle / "config.json").write_text(json.dumps(spec_of(limits, layout)), encoding="utf-8")
        argv = runsc_argv(
            self.runsc,
            self.platform,
            str(state),
            str(bundle),
            folder.name,
            rootless=os.geteuid() != 0,
        )
        return Launch(tethered(argv, limits, setpriv=self.setpriv, prlimit=self.prlimit))


def candidates() -> list[Runsc]:
    """The runsc that is installed, with each platform; none where it or a program that it is started with is missing."""
    programs = [shutil.which(name) for name in ("runsc", "setpriv", "prlimit")]
    runsc, setpriv, prlimit = programs
    if runsc is None or setpriv is None or prlimit is None:
        return []
    version = _version(runsc)
    return [Runsc(runsc, setpriv, prlimit, platform, version) for platform in PLATFORMS]


def _version(runsc: str) -> str:
    """Such as "20240729.0"; "" where it does not say."""
    try:
        done = subprocess.run([runsc, "--version"], capture_output=True, text=True, timeout=_ASKING_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d{8}[.\d]*", done.stdout)
    return found[0] if found else ""
