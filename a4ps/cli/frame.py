"""What all commands share: the options `--home` and `--json`, the log, and how an object is printed."""

from __future__ import annotations

import json
import logging
import logging.handlers
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a4ps.places import Places

if TYPE_CHECKING:  # the wiring pulls in SQLite, pydantic and more; `--help` does without
    from a4ps.kernel.wiring import Environment

LOG_BYTES = 1_000_000
LOG_FILES = 3

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass
class Frame:
    """One command's surroundings."""

    home: str | None
    as_json: bool

    @cached_property
    def env(self) -> Environment:
        """Places and settings. Raises `SettingsError`."""
        from a4ps.kernel.wiring import environment

        return environment(self.home)

    def print_object(self, value: Mapping[str, Any]) -> None:
        """The one object of `--json`."""
        click.echo(json.dumps(value, ensure_ascii=False))


def framed(command: CommandT) -> CommandT:
    """Give a command `--home` and `--json`, the log, and a `Frame` as its first argument."""

    @click.option(
        "--home", metavar="DIR", help="The folder of the image (default: A4PS_HOME, else the XDG data folder)."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there.")
    @wraps(command)
    def wrapper(*args: Any, home: str | None = None, as_json: bool = False, **kwargs: Any) -> Any:
        frame = Frame(home, as_json)
        _open_log(Places.find(home, os.environ))
        return command(frame, *args, **kwargs)

    return wrapper  # type: ignore[return-value]


def log_path() -> str:
    """The file that tracebacks go to, "" while no command has opened it."""
    handlers = logging.getLogger("a4ps").handlers
    return next((h.baseFilename for h in handlers if isinstance(h, logging.FileHandler)), "")


def _open_log(places: Places) -> None:
    """Log to the state folder, rotated; on a machine where that cannot be written, go on without a log."""
    logger = logging.getLogger("a4ps")
    if log_path():
        return
    try:
        places.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler: logging.Handler = logging.handlers.RotatingFileHandler(
            places.log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
