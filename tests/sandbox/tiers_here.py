"""Which sandboxes the tests can use on this machine, and how one that is not for root is tested by root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import pytest

from a4ps.sandbox.tiers import find_tier

ROOT = Path(__file__).parents[2]
NOBODY = "65534"


@cache
def missing(tier: str) -> str:
    """Why `tier` cannot be tested by this very user, "" if it can."""
    found = find_tier(tier)
    return "" if found.tier else f"{tier} does not work here ({found.why_not}): sudo apt-get install runsc bubblewrap"


def need(tier: str) -> None:
    if missing(tier):
        pytest.skip(missing(tier))


def as_nobody(*arguments: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` as an unprivileged user, over a copy of what the sandbox is made of. Needs root.

    The system's Python, since the one that runs the tests may lie where only its owner can look; and a folder that is
    not pytest's, whose folders are closed to others whenever another pytest begins.
    """
    with tempfile.TemporaryDirectory(prefix="a4ps-nobody-") as folder:
        return _as_nobody(Path(folder), arguments, timeout_s)


def _as_nobody(folder: Path, arguments: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    code, home = folder / "code", folder / "home"
    shutil.copytree(ROOT / "a4ps" / "sandbox", code / "a4ps" / "sandbox")
    for name in ("__init__.py", "version.py", "errors.py", "events.py"):
        shutil.copy(ROOT / "a4ps" / name, code / "a4ps" / name)
    (code / "tests" / "contracts").mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "contracts" / "sandbox_contract.py", code / "tests" / "contracts")
    home.mkdir()
    os.chown(home, int(NOBODY), int(NOBODY))
    folder.chmod(0o755)
    subprocess.run(["chmod", "-R", "a+rX", str(code)], check=True)
    return subprocess.run(
        [
            "setpriv",
            f"--reuid={NOBODY}",
            f"--regid={NOBODY}",
            "--clear-groups",
            "--",
            system_python(),
            "-B",
            *arguments,
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
        cwd=code,
        env={"PYTHONPATH": str(code), "TMPDIR": str(folder / "home"), "PATH": os.environ["PATH"]},
    )


def system_python() -> str:
    """A Python of at least 3.11 that every user can run. Skips the test where there is none."""
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        real = Path(path).resolve()
        public = (
            all(place.stat().st_mode & 0o005 == 0o005 for place in (real, *real.parents)) if real.exists() else False
        )
        if public and "ok" in _said(str(path)):
            return str(path)
    pytest.skip("no Python here can be run by other users")


def _said(python: str) -> str:
    asked = "import sys; print('ok' if sys.version_info >= (3, 11) else 'old')"
    return subprocess.run([python, "-c", asked], capture_output=True, text=True, check=False).stdout


def contract_as_nobody(tier: str) -> dict[str, str]:
    """Rule → what went wrong, "" for nothing."""
    done = as_nobody("-m", "tests.contracts.sandbox_contract", tier)
    if done.returncode:
        raise AssertionError(done.stderr)
    faults: dict[str, str] = json.loads(done.stdout)
    return faults
