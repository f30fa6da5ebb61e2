"""Which sandbox works on this machine, found by running the real thing: a program on the path proves nothing.

A candidate is started as any call would be and given a nonce to return and canaries to fail at: a file, a socket and an
address of this host, a write outside /tmp. One that cannot start is passed over; one in which a canary lives is too, and
is named.
"""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from a4ps.errors import SandboxUnavailable, UsageError
from a4ps.sandbox import bubblewrap, docker, runsc
from a4ps.sandbox.conversation import Job, converse
from a4ps.sandbox.folders import SessionFolder
from a4ps.sandbox.layout import lay_out
from a4ps.sandbox.limits import DEFAULT
from a4ps.sandbox.policy import Layout
from a4ps.sandbox.process import SandboxDied, SandboxProcess, Tier, TimeIsUp
from a4ps.sandbox.wire import WireError

NAMES = ("", "runsc", "bubblewrap", "docker")
#: How long one candidate may take to start and to answer.
TRIAL_S = 20.0
#: For so long a search that found nothing is believed: a machine under load can fail one.
FAILURE_S = 60.0
NEXT_STEP = "install gVisor's runsc, or the weaker bubblewrap: sudo apt-get install runsc bubblewrap"

_CANARY = """
def canary(nonce, files, unix, port):
    import os, socket
    alive = []
    def sing(name, act):
        try:
            act()
        except Exception:
            return
        alive.append(name)
    def connect(kind, address):
        with socket.socket(kind, socket.SOCK_STREAM) as made:
            made.settimeout(1)
            made.connect(address)
    for file in files:
        sing("a file of this host", lambda: open(file).read())
        sing("a file of this host, by /proc/1/root", lambda: open("/proc/1/root" + file).read())
    sing("a socket of this host", lambda: connect(socket.AF_UNIX, unix))
    sing("an address of this host", lambda: connect(socket.AF_INET, ("127.0.0.1", port)))
    sing("the root folder, writing", lambda: open("/written", "w").close())
    sing("the libraries, writing", lambda: open(os.__file__, "a").close())
    sing("being root", lambda: os.getuid() == 0 or 1 / 0)
    return nonce[::-1], alive
"""


@dataclass(frozen=True, slots=True)
class Found:
    """What the search came to. `tier` is None where nothing works; `tried` are pairs of a candidate and what failed.

    `at_s` is on time.monotonic.
    """

    tier: Tier | None
    tried: tuple[tuple[str, str], ...] = ()
    at_s: float = field(default_factory=time.monotonic, compare=False)

    @property
    def why_not(self) -> str:
        return "; ".join(f"{name}: {why}" for name, why in self.tried) or "neither runsc nor bubblewrap is installed"


_lock = threading.Lock()
_found: dict[str, Found] = {}


def find_tier(name: str = "") -> Found:
    """The best sandbox here, or the one called `name` ("docker" is never the best). Raises UsageError for any other.

    One that works is looked for once in the life of this process, which takes half a second or so; where none did it is
    looked for again after `FAILURE_S`.
    """
    with _lock:
        found = _found.get(name)
        if found is None or (found.tier is None and time.monotonic() - found.at_s > FAILURE_S):
            found = _found[name] = _search(_candidates(name))
        return found


def need_tier(name: str = "") -> Tier:
    """Raises SandboxUnavailable where there is none, UsageError for a name that none has."""
    found = find_tier(name)
    if found.tier is None:
        raise SandboxUnavailable(f"no sandbox works on this machine ({found.why_not})", next_step=NEXT_STEP)
    return found.tier


def _candidates(name: str) -> Sequence[Tier]:
    if name not in NAMES:
        raise UsageError(f"no sandbox is called {ascii(name)[:40]}", next_step=f"take one of: {', '.join(NAMES[1:])}")
    if name == "docker":
        return docker.candidates()
    found: list[Tier] = [*runsc.candidates(), *bubblewrap.candidates()]
    return [tier for tier in found if name in ("", tier.name)]


def _search(candidates: Sequence[Tier]) -> Found:
    tried: list[tuple[str, str]] = []
    if not candidates:
        return Found(None, ())
    try:
        session = SessionFolder()
    except SandboxUnavailable as error:
        return Found(None, (("folder", error.message),))
    try:
        layout = lay_out(session.path)
        for number, tier in enumerate(candidates):
            why = _trial(tier, layout, session.path / f"{session.path.name}-trial{number}")
            if not why:
                return Found(tier, tuple(tried))
            tried.append((tier.name, why))
    except SandboxUnavailable as error:
        tried.append(("Python", error.message))
    finally:
        session.close()
    return Found(None, tuple(tried))


def _trial(tier: Tier, layout: Layout, folder: Path) -> str:
    """What is wrong with `tier`, "" for nothing."""
    nonce = secrets.token_hex(16)
    deadline = time.monotonic() + TRIAL_S
    with ExitStack() as undo:
        # Open to all, so that it is the sandbox that keeps code from them, and no permission.
        baits = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="a4ps-bait-")))
        baits.chmod(0o755)
        bait, unix_path = baits / "file", baits / "socket"
        bait.write_text(nonce, encoding="ascii")
        bait.chmod(0o644)
        unix = undo.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        held = os.open(baits, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        undo.callback(os.close, held)
        # By way of the descriptor: the path itself may be longer than a socket's address.
        unix.bind(f"/proc/self/fd/{held}/socket")
        unix_path.chmod(0o777)
        unix.listen()
        listener = undo.enter_context(socket.create_server(("127.0.0.1", 0)))
        job = Job(
            "call", _CANARY, "canary", (nonce, [str(bait), "/etc/passwd"], str(unix_path), listener.getsockname()[1])
        )
        try:
            process = SandboxProcess(tier, DEFAULT, layout, folder)
        except OSError as error:
            return f"cannot be started: {error.strerror or error}"
        undo.callback(process.reap)
        try:
            process.wait_ready(deadline)
        except (SandboxDied, WireError) as error:
            return f"does not start: {str(error)[-300:]}"
        except TimeIsUp:
            return f"was not ready within {TRIAL_S:.0f} s"
        outcome = converse(process, job.encoded(DEFAULT), {}, DEFAULT, deadline)
    match outcome.answer:
        case ("value", (answer, [])) if answer == nonce[::-1]:
            return ""
        case ("value", (str(), [*alive])):
            return f"lets code reach {', '.join(map(str, alive))}"
    return f"did not run the trial ({outcome.killed_by or 'no answer'} {outcome.detail[-200:]})"
