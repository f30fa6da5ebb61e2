"""A program whose children forget and are killed at a given step. Run by test_forget_kill.py.

It forks, because a fork takes a thousandth of what a new Python takes; it never has an image open itself when it does.
It reads one request a line from stdin (JSON: folder, step), and answers each with whether the child was killed.

A step is a statement that the image's connections execute, or a call of the system that writes, renames, links or removes
a file. A child whose step never comes ends by itself, which ends the campaign.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from a4ps.image import connections
from a4ps.kernel.forgetter import Forgetter
from tests.doubles.lived_in import SECRET, forgetter, opened, places_in

CALLS = ("os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "open")


def forget(folder: Path, step: int) -> None:
    """Kill this process at the step, counted from when the image is open."""
    seen = 0

    def count() -> None:
        nonlocal seen
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

    places = places_in(folder)
    with opened(places) as manager:
        execute = connections._Connection.execute

        def executed(self: Any, sql: str, parameters: Any = (), /) -> Any:
            if not sql.startswith("SELECT"):
                count()
            done = execute(self, sql, parameters)
            if sql == "COMMIT":
                count()
            return done

        connections._Connection.execute = executed  # type: ignore[method-assign]

        def at(event: str, arguments: tuple[Any, ...]) -> None:
            if event in CALLS and str(folder) in str(arguments[0]):
                writes = event != "open" or (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR))
                if writes:
                    count()

        sys.addaudithook(at)
        forgetter(places, manager).forget(Forgetter.by_text(SECRET))


def run(request: dict[str, Any]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            forget(Path(request["folder"]), request["step"])
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    for line in sys.stdin:
        print(json.dumps(run(json.loads(line))), flush=True)
