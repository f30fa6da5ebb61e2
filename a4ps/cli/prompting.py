"""What a prompt in a terminal remembers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from prompt_toolkit.history import History


def history(file: Path) -> History:
    """What was typed before, readable by its owner alone; forgotten at the end where the file cannot be had."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        file.touch(mode=0o600, exist_ok=True)
        file.chmod(0o600)
    except OSError as error:
        click.secho(f"{file} cannot be kept: {error.strerror}", fg="yellow", err=True)
        return InMemoryHistory()
    return FileHistory(str(file))
