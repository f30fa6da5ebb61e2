"""`a4ps ui`: the window, which runs as a program of its own, as what draws it may end whoever imports it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import click

from a4ps.cli.connected import connected
from a4ps.cli.frame import Frame
from a4ps.cli.window import check_window, run_window
from a4ps.errors import UsageError
from a4ps.log_file import open_log

#: From the smallest window that the world adapts to, to 8K.
_LEAST, _MOST = (320, 240), (7680, 4320)


class _Size(click.ParamType[tuple[int, int]]):
    """WIDTHxHEIGHT in pixels."""

    name = "WxH"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(value))
        if match is None:
            self.fail(f"{value} is no size, such as 1280x800", param, ctx)
        width, height = int(match[1]), int(match[2])
        if not (_LEAST[0] <= width <= _MOST[0] and _LEAST[1] <= height <= _MOST[1]):
            self.fail(f"{value} is not between 320x240 and 7680x4320", param, ctx)
        return width, height


@click.command("ui")
@click.option("--world", metavar="NAME", help="Open this world (default: the one that was open last).")
@click.option("--theme", type=click.Choice(["dark", "light"]), help="Colours (default: those of the world).")
@click.option("--scale", type=click.FloatRange(0.5, 3), metavar="N", help="Size of the letters; 1 is as it comes.")
@click.option("--size", type=_Size(), help="Of the window, in pixels (default: 1440x900).")
@click.option(
    "--screenshot", type=click.Path(dir_okay=False), metavar="FILE", help="Draw into a PNG, without a display."
)
@click.option(
    "--script",
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE",
    help="Draw this world, from its JSON; only with --screenshot.",
)
@click.option("--home", metavar="DIR", help="The folder of the image (default: A4PS_HOME, else the XDG data folder).")
def command(
    world: str | None,
    theme: str | None,
    scale: float | None,
    size: tuple[int, int] | None,
    screenshot: str | None,
    script: str | None,
    home: str | None,
) -> int:
    """Open the world in a window: the four, and all that lives in the image, to be seen, opened and changed.

    The window is one more client of the backend, which is started where none runs; closing it ends nothing. Ctrl-C here
    closes it.
    """
    frame = Frame(home, as_json=False)
    open_log(frame.places.log)
    if script and not screenshot:
        raise UsageError("--script draws a picture and needs --screenshot FILE", next_step="a4ps ui --help")
    if script and world:
        raise UsageError("a picture is of a script or of a world", next_step="leave out --script or --world")
    check_window(needs_display=screenshot is None)
    asyncio.run(_backend(frame))
    return run_window(
        frame.places,
        {
            "world": world,
            "theme": theme,
            "scale": None if scale is None else f"{scale:g}",
            "size": size and f"{size[0]}x{size[1]}",
            "screenshot": screenshot and str(Path(screenshot).absolute()),
            "script": script and str(Path(script).absolute()),
        },
    )


async def _backend(frame: Frame) -> None:
    """What keeps a backend from coming up is said here, and not in a window. One that runs in passing waits for the window
    as long as for any command.
    """
    async with connected(frame):
        pass
