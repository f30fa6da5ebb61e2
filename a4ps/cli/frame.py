"""What all commands share: the options `--home` and `--json`, the log, and how an object is printed."""

from __future__ import annotations

import logging
import logging.handlers
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a4ps.cli.streams import json_line
from a4ps.places import Places

if TYPE_CHECKING:  # the wiring pulls in SQLite, pydantic and more; `--help` does without
    from a4ps.kernel.wiring import Environment
    from a4ps.settings import Settings

LOG_BYTES = 1_000_000
LOG_FILES = 3

CommandT = TypeVar("CommandT", bound=Callable[..., Any])


@dataclass
class Frame:
    """One command's surroundings."""

    home: str | None
    as_json: bool

    @cached_property
    def places(self) -> Places:
        return Places.find(self.home, os.environ)

    @cached_property
    def settings(self) -> Settings:
        """Raises `SettingsError`."""
        from a4ps.settings import load

        return load(self.places.settings_file, os.environ).settings

    @cached_property
    def env(self) -> Environment:
        """What is composed from: for commands that do their work here. Raises `SettingsError`."""
        from a4ps.kernel.wiring import environment

        return environment(self.home)

    def print_object(self, value: Mapping[str, Any]) -> None:
        """The one object of `--json`."""
        click.echo(json_line(value))


def frame_options(command: CommandT) -> CommandT:
    """The options `--home` and `--json`, given to the function as `home` and `as_json`."""
    as_json = click.option(
        "--json", "as_json", is_flag=True, help="Print one JSON object on stdout and nothing else there."
    )
    home = click.option(
        "--home", metavar="DIR", help="The folder of the image (default: A4PS_HOME, else the XDG data folder)."
    )
    return home(as_json(command))


def framed(command: CommandT) -> CommandT:
    """Give a command `--home` and `--json`, the log, and a `Frame` as its first argument."""

    @frame_options
    @wraps(command)
    def wrapper(*args: Any, home: str | None = None, as_json: bool = False, **kwargs: Any) -> Any:
        frame = Frame(home, as_json)
        _open_log(frame.places)
        return command(frame, *args, **kwargs)

    return wrapper  # type: ignore[return-value]


class LogFile(logging.handlers.RotatingFileHandler):
    """The log, rotated. It is opened with its first entry; one that cannot be written harms nobody and says nothing."""

    lost = False

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002 - logging calls it so
        """Called for any failure to write, of a disk or a folder; logging's own way is a traceback on stderr."""
        self.lost = True


def log_path() -> str:
    """The file that tracebacks went to, "" where there is none."""
    log = _log_file()
    return log.baseFilename if log is not None and not log.lost else ""


def _log_file() -> LogFile | None:
    return next((handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile)), None)


def _open_log(places: Places) -> None:
    """Log to the state folder, what libraries warn of included; go on without a log where that cannot be written."""
    if _log_file() is not None:
        return
    with suppress(OSError):  # then the first entry fails as well, and `LogFile` takes note of it
        places.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    log = LogFile(places.log, maxBytes=LOG_BYTES, backupCount=LOG_FILES, encoding="utf-8", delay=True)
    log.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"))
    logging.getLogger().addHandler(log)
    logging.getLogger("a4ps").setLevel(logging.INFO)
