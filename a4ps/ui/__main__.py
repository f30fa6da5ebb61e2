"""`python -m a4ps.ui`: the window, or a picture of it. `a4ps ui` starts this as a program of its own."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from a4ps.errors import A4PSError
from a4ps.log_file import log_path
from a4ps.ui.app import Options, report, run, size_of


def main(arguments: list[str] | None = None) -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m a4ps.ui", description="The society as a world that can be touched."
    )
    parser.add_argument("--home", help="the folder of the image")
    parser.add_argument("--world", default="", help="the name of a world")
    parser.add_argument("--theme", choices=("dark", "light"), default="")
    parser.add_argument("--scale", type=float, help="the size of type, 1 as it is at first")
    parser.add_argument("--size", default="1440x900", help="the window's, in pixels")
    parser.add_argument("--screenshot", type=Path, metavar="FILE", help="draw into a PNG, without a screen")
    parser.add_argument(
        "--script", type=Path, metavar="FILE", help="the world of a reconstruction script; it is not kept"
    )
    found = parser.parse_args(arguments)
    try:
        options = Options(
            found.home, size_of(found.size), found.screenshot, found.script, found.world, found.theme, found.scale
        )
        return run(options)
    except A4PSError as error:
        return report(error)
    except KeyboardInterrupt:
        return 130
    except Exception:
        logging.getLogger("a4ps.ui").exception("the window ended")
        sys.stderr.write(f"a4ps: the window failed; what happened is in {log_path() or 'no log'}\nnext: a4ps doctor\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
