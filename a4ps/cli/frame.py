"""What all commands share: the options `--home` and `--json`, the log, and how an object is printed."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from a4ps.cli.streams import json_line
from a4ps.log_file import open_log
from a4ps.places import Places

if TYPE_CHECKING:  # the wiring pulls in SQLite, pydantic and more; `--help` does without
    from a4ps.kernel.wiring import Environment
    from a4ps.settings import Settings

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
        open_log(frame.places.log)
        return command(frame, *args, **kwargs)

    return wrapper  # type: ignore[return-value]
