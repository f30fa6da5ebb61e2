"""Environments of peers that are not among our own dependencies: made from a file of pins where they are absent."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

_SLOWEST_S = 900.0


def python_of(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


def prepare(folder: Path, pins_file: Path) -> str:
    """Make the environment `folder` unless it is there as pinned; returns why it could not be made, or ""."""
    pins = pins_file.read_text(encoding="utf-8")
    stamp = folder / "installed-peers.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == pins:
        return ""
    print(f"installing {pins_file.name} into {folder.name} ...", file=sys.stderr)
    try:
        venv.create(folder, with_pip=True)
        (folder / ".gitignore").write_text("*\n", encoding="utf-8")
        install = [str(python_of(folder)), "-m", "pip", "install", "--quiet", "--requirement", str(pins_file)]
        done = subprocess.run(install, capture_output=True, text=True, timeout=_SLOWEST_S, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return f"its environment could not be made ({type(error).__name__})"
    if done.returncode:
        return f"pip could not install it: {_last_line(done.stderr)}"
    stamp.write_text(pins, encoding="utf-8")
    return ""


def _last_line(text: str) -> str:
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "it said nothing")
