"""`python -m a4ps`, and the command `a4ps`: the entry that also Ctrl-C during start-up leaves without a traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from a4ps.cli.main import run
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
