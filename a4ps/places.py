"""Where things lie on disk: one value computed once from `--home`, `A4PS_HOME` and the XDG folders.

The home holds what is worth a backup (the image) and what can be rebuilt beside it (checkpoints, chat history). Keys,
the log and crash reports lie outside the home, in the state folder, so that a copied home carries no key. What belongs to
a running backend lies in the run-time folder.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import platformdirs

#: In the folder of the worlds: whoever writes there holds this file's lock.
WORLDS_LOCK = ".lock"


@dataclass(frozen=True, slots=True)
class Places:
    """Absolute paths. Nothing is created by computing them."""

    home: Path
    state: Path
    run_base: Path = Path(f"/tmp/a4ps-{os.getuid()}")  # noqa: S108 - 0700, and refused where it is somebody else's

    @classmethod
    def find(cls, home: str | None, environ: Mapping[str, str]) -> Places:
        """Resolve the folders; an explicit `home` wins over `A4PS_HOME`, which wins over the XDG data folder."""
        chosen = home or environ.get("A4PS_HOME") or platformdirs.user_data_dir("a4ps")
        runtime = environ.get("XDG_RUNTIME_DIR", "")
        return cls(
            Path(chosen).expanduser().absolute(),
            Path(platformdirs.user_state_dir("a4ps")).absolute(),
            *([Path(runtime) / "a4ps"] if Path(runtime).is_absolute() else []),
        )

    @property
    def settings_file(self) -> Path:
        return self.home / "a4ps.toml"

    @property
    def image(self) -> Path:
        return self.home / "image.a4ps"

    @property
    def checkpoints(self) -> Path:
        """LangGraph's own file: rebuildable, deleted without loss of anything committed."""
        return self.home / "cache" / "checkpoints.sqlite"

    @property
    def scrapbook(self) -> Path:
        """The index over the vectors in the image: rebuildable."""
        return self.home / "cache" / "scrapbook"

    @property
    def chat_history(self) -> Path:
        return self.home / "chat_history"

    @property
    def console_history(self) -> Path:
        return self.home / "console_history"

    @property
    def worlds(self) -> Path:
        """The window's layouts by name, with what was noted in them."""
        return self.home / "worlds"

    @property
    def models(self) -> Path:
        """Model files that A4PS fetched itself, beside what Ollama keeps."""
        return self.home / "models"

    @property
    def run(self) -> Path:
        """Of the backend of this image while it runs: its sockets, and where it can be found. The name is short because a
        socket's path may have 107 bytes.
        """
        name = hashlib.sha256(os.fsencode(self.image.resolve())).hexdigest()[:16]
        return self.run_base / name

    @property
    def commands_socket(self) -> Path:
        return self.run / "commands"

    @property
    def events_socket(self) -> Path:
        return self.run / "events"

    @property
    def backend_lock(self) -> Path:
        """Held by the backend as long as it runs, and given up however it ends."""
        return self.run / "lock"

    @property
    def keys(self) -> Path:
        return self.state / "keys"

    @property
    def tokens(self) -> Path:
        """Beside the keys: who can read one of these files has its role."""
        return self.keys / "tokens"

    @property
    def curve(self) -> Path:
        """The keys of connections over TCP."""
        return self.keys / "curve"

    @property
    def log(self) -> Path:
        return self.state / "a4ps.log"

    @property
    def crashes(self) -> Path:
        """One file a crash of a backend, the newest few."""
        return self.state / "crashes"
