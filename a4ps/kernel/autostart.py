"""Whether the backend starts by itself: what systemd's folders of this account say of the unit `deploy/a4ps.service`.

Files alone are looked at, as systemd does when the account logs in; whether a backend runs is its lock's to say.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

UNIT = "a4ps.service"
#: One file for each account whose services run without anybody logged in (loginctl(1), enable-linger).
_LINGERING = Path("/var/lib/systemd/linger")
#: What `systemctl --user enable` makes, as the unit's [Install] asks.
_WANTS = "default.target.wants"


@dataclass(frozen=True, slots=True)
class Autostart:
    """`unit` is None where there is none of ours. `program` is what it starts, "" where the unit cannot be read.

    `enabled` are the links by which it starts at login; `lingers`: it starts with the machine already.
    """

    unit: Path | None = None
    program: str = ""
    enabled: tuple[Path, ...] = ()
    lingers: bool = False

    @property
    def can_start(self) -> bool:
        return bool(self.program) and os.access(self.program, os.X_OK)


def read_autostart(environ: Mapping[str, str], lingering: Path = _LINGERING) -> Autostart:
    """Look at the account that `environ` describes. Never raises for what is not there."""
    home = Path(environ.get("HOME") or Path.home())
    config = environ.get("XDG_CONFIG_HOME", "")
    folder = (Path(config) if config.startswith("/") else home / ".config") / "systemd" / "user"
    unit = folder / UNIT
    links = tuple(link for link in (folder / _WANTS / UNIT,) if link.is_symlink())
    if not unit.is_symlink() and not unit.is_file():
        return Autostart()
    try:
        program = _program(unit.read_text("utf-8", "replace"), home)
    except OSError:  # a link to a checkout that has moved
        return Autostart(unit, "", links)
    if not program:
        return Autostart()
    user = environ.get("USER", "")
    return Autostart(unit, program, links, bool(user) and (lingering / user).exists())


def _program(unit: str, home: Path) -> str:
    """What is started by a unit that starts a backend; "" for any other, which is somebody else's."""
    for line in unit.splitlines():
        key, _, command = line.partition("=")
        words = command.split()
        if key.strip() == "ExecStart" and "up" in words[1:]:
            return words[0].lstrip("-@:+!").replace("%h", str(home))
    return ""
