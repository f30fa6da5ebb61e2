"""Lines of standard input awaited in the event loop, so that Ctrl-C ends the wait and no thread outlives it."""

from __future__ import annotations

import asyncio
import os

import click

from a4ps.cli.interrupts import wake_on_interrupt
from a4ps.cli.streams import standard_input
from a4ps.errors import UsageError

#: A line is cut here: far beyond any question that is accepted.
LINE_BYTES = 4_000_000


class Lines:
    """What comes in, line by line. Bytes that follow a line may have been taken, so one reader reads to the end."""

    def __init__(self) -> None:
        """Raises `UsageError` where standard input is closed."""
        self._descriptor = standard_input().fileno()
        self._pending = b""
        self._ended = False

    async def read(self) -> str | None:
        """The next line without its end, None after the last. Raises `UsageError` for what cannot be read."""
        while b"\n" not in self._pending and not self._ended and len(self._pending) < LINE_BYTES:
            await self._wait_readable()
            try:
                data = os.read(self._descriptor, 65_536)
            except OSError as error:
                raise UsageError(
                    f"standard input cannot be read: {error.strerror}", next_step="a4ps chat --help"
                ) from error
            self._pending += data
            self._ended = not data
        if not self._pending:
            return None
        line, _, self._pending = self._pending.partition(b"\n")
        return line.decode("utf-8", "replace")

    async def _wait_readable(self) -> None:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        try:
            loop.add_reader(self._descriptor, readable.set)
        except PermissionError:
            return  # a regular file: epoll refuses it, and reading one never waits
        wake_on_interrupt()
        try:
            await readable.wait()
        finally:
            loop.remove_reader(self._descriptor)


async def confirm(question: str, *, default: bool = True) -> bool:
    """Ask the person at the terminal for yes or no; an empty line is the `default`, the end of input is no."""
    return await answer(question, default=default) or False


async def answer(question: str, *, default: bool) -> bool | None:
    """Ask the person at the terminal for yes or no; an empty line is the `default`, the end of input None.

    A terminal gives one line at a time, so what was typed ahead stays there for whoever reads next. Ctrl-C cancels as
    it does anywhere in the loop.
    """
    lines = Lines()
    while True:
        click.echo(f"{question} {'[Y/n]' if default else '[y/N]'}: ", nl=False, err=True)
        line = await lines.read()
        if line is None:
            click.echo(err=True)
            return None
        word = line.strip().lower()
        if word in ("", "y", "yes", "n", "no"):
            return word.startswith("y") if word else default
