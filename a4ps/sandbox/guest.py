"""The program inside a sandbox. Never run it elsewhere: it ends every process that it can reach, and refuses to begin.

Two processes, made before any foreign code is there. The *worker* reads the job and runs the code. The *supervisor* is
process 1: it alone writes to the host, relays what the worker says and prints, watches memory and output, and ends
everything. It makes a nonce that the worker never had, tells it to the host when it is ready, and marks with it the one
frame that says how the call ended.

    host → worker             the job, then the answers of services
    worker → supervisor       D the exit code of a program that ended
    worker → … → host         S a service asked for     V a value or an error
    supervisor → host         R nonce: ready     O, E a piece of stdout, stderr     X nonce, how it ended

Before the worker runs the code it leaves the call's bounds in memory that both share, starts a clock, and lets go of both.
The supervisor sleeps until there is something to relay, or the clock tells it that the call is no short one and to be
watched: waking it at the beginning would cost a short call a third of its time.

Standard library only, besides the files beside this one. What the code in here says is its own word and nothing more: in
gVisor it can open the descriptors of process 1 and write to the host itself.
"""

from __future__ import annotations

import gc
import mmap
import os
import sys
from contextlib import suppress

from a4ps.sandbox.guest_pipes import Clock
from a4ps.sandbox.supervisor import REFUSED, Supervisor
from a4ps.sandbox.worker import Worker

_NOT_DUMPABLE = (4, 0)  # prctl(PR_SET_DUMPABLE, 0)


def refusal() -> str:
    """Why this is not a sandbox, "" if it is one: process 1 of gVisor, or of a bubblewrap with our filter."""
    if os.getpid() != 1:
        return "not process 1"
    if os.path.exists("/proc/sentry-meminfo"):  # noqa: PTH110 - no pathlib in here: it costs 5 ms
        return ""
    status = dict(line.split(":\t", 1) for line in _read("/proc/self/status").splitlines() if ":\t" in line)
    if status.get("Seccomp", "").strip() != "2" or status.get("NoNewPrivs", "").strip() != "1":
        return "no filter of system calls"
    if any(int(status.get(name, "1"), 16) for name in ("CapEff", "CapPrm", "CapBnd")):
        return "capabilities"
    if [line for line in _read("/proc/net/dev").splitlines()[2:] if not line.strip().startswith("lo:")]:
        return "a network"
    if os.access("/", os.W_OK) or not os.path.isdir("/a4ps-guest"):  # noqa: PTH112
        return "not our root"
    return ""


def _read(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:  # noqa: PTH123
        return file.read()


def main() -> None:
    """Supervise one call and end. Exits with REFUSED outside a sandbox."""
    why = refusal()
    if why:
        sys.stderr.write(f"a guest program runs in a sandbox only; this is none: {why}\n")
        sys.exit(REFUSED)
    _be_opaque()
    up_in, up_out = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    results, out, err, go = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    bounds, clock = mmap.mmap(-1, mmap.PAGESIZE), Clock()
    gc.collect()
    gc.freeze()
    child = os.fork()
    if child == 0:
        for held in (up_out, results[0], out[0], err[0], go[1]):
            os.close(held)
        Worker(up_in, results[1], bounds, clock).run(out[1], err[1], go[0])
    for held in (results[1], out[1], err[1], go[0]):
        os.close(held)
    supervisor = Supervisor(child, up_in, up_out, results[0], bounds, clock, {out[0]: b"O", err[0]: b"E"})
    supervisor.warm_up(go[1])
    os.dup2(null, 2)
    supervisor.run()


def _be_opaque() -> None:
    """Keep processes of our own user from tracing this one and from opening its descriptors, where the kernel can."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(*_NOT_DUMPABLE, 0, 0, 0)
