"""A process that holds an executor for the tests, as whichever user: jobs in on stdin, outcomes out on stdout.

Standard library and `a4ps.sandbox` only, as the user that bubblewrap needs can read no more than a copy of these. Its
environment and its open descriptors hold secrets, which no sandbox may see.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
import threading
import time
from typing import Any, BinaryIO

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran, SandboxUnavailable, UsageError
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.sandbox.limits import Limits
from a4ps.sandbox.tiers import find_tier


def main(tier: str, pool_size: int) -> None:
    """Serve until stdin ends."""
    jobs, outcomes = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing else is to end up among the outcomes
    found = find_tier(tier)
    _tell(outcomes, ("tier", found.tier.version if found.tier else "", "" if found.tier else found.why_not))
    if found.tier is None:
        return
    with SecureCodeExecutor(tier=tier, pool_size=pool_size) as executor:
        while True:
            try:
                job = pickle.load(jobs)
            except EOFError:
                return
            _tell(outcomes, _done(executor, job))


def _tell(outcomes: BinaryIO, what: object) -> None:
    pickle.dump(what, outcomes)
    outcomes.flush()


def _done(executor: SecureCodeExecutor, job: dict[str, Any]) -> object:
    times = job.pop("times", 1)
    if times == 1:
        return _run(executor, job)
    made: list[dict[str, Any]] = []
    threads = [threading.Thread(target=lambda: made.append(_run(executor, dict(job)))) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return made


def _run(executor: SecureCodeExecutor, job: dict[str, Any]) -> dict[str, Any]:
    """What a run gave back, or raised, as plain fields; `s` is how long it took, with everything around it."""
    mode, code = job.pop("mode"), job.pop("code")
    counter = Services()
    if "services" in job:
        job["services"] = {name: getattr(counter, kind) for name, kind in job["services"].items()}
    if "limits" in job:
        job["limits"] = Limits(**job["limits"])
    began = time.monotonic()
    try:
        done = executor.execute(code, **job) if mode == "execute" else executor.call(code, **job)
        told = {name: getattr(done, name) for name in done.__slots__}
    except (SandboxedError, SandboxKilled, SandboxOverran, UsageError, SandboxUnavailable) as error:
        told = {"raised": type(error).__name__, "text": str(error), **vars(error)}
    return {**told, "s": time.monotonic() - began, "served": counter.served}


class Services:
    """Functions of the host that tests lend to hostile code."""

    def __init__(self) -> None:
        self.served = 0

    def echo(self, *values: object, **named: object) -> object:
        """What it was given."""
        self.served += 1
        return (values, named) if named else values[0] if values else None

    def fail(self) -> None:
        """An error of the host's own."""
        self.served += 1
        raise RuntimeError("refused by the host")

    def huge(self) -> bytes:
        """More than one message may hold."""
        self.served += 1
        return bytes(64 << 20)

    def alien(self) -> object:
        """What cannot be sent."""
        self.served += 1
        return object()

    def knock(self, port: int) -> str:
        """Whether anybody listens at this machine's port."""
        try:
            socket.create_connection(("127.0.0.1", port), timeout=10).close()
        except OSError:
            return "nobody there"
        return "somebody there"

    def stuck(self) -> None:
        """Longer than any call."""
        self.served += 1
        threading.Event().wait(60)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
