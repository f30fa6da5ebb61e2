"""The host's side of one call: the job out, pieces and services meanwhile, and how it ended.

What comes from the guest is data of whoever wrote the code. Everything is counted here again, whatever the guest says of
itself; only the frame with this call's nonce ends it, and a value is taken from no other place than its own frame.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from a4ps.sandbox import wire
from a4ps.sandbox.guest_pipes import NONCE_BYTES
from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import rlimits_of
from a4ps.sandbox.process import SandboxDied, SandboxProcess, TimeIsUp

Service = Callable[..., object]
_TEXT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Job:
    """What the guest is to run. `mode` is "execute" or "call"; a call has the name of its function, "" for the last one."""

    mode: str
    source: str
    name: str = ""
    args: tuple[object, ...] = ()
    kwargs: Mapping[str, object] = field(default_factory=dict)
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    services: Mapping[str, Service] = field(default_factory=dict)

    def encoded(self, limits: Limits) -> bytes:
        """Its body. Raises wire.WireError naming what cannot be sent."""
        return wire.encode(
            {
                "mode": self.mode,
                "source": self.source,
                "name": self.name,
                "args": wire.encode(self.args, what="the arguments"),
                "kwargs": wire.encode(dict(self.kwargs), what="the keyword arguments"),
                "stdin": self.stdin,
                "files": dict(self.files),
                "services": sorted(self.services),
                "rlimits": rlimits_of(limits),
                "bounds": (limits.output_bytes, limits.frame_bytes, limits.total_memory_bytes),
            }
        )


@dataclass(slots=True)
class Outcome:
    """How a call went. `answer` is ("value", value), ("error", type, text, traceback) or None; `killed_by` a limit or ""."""

    stdout: bytearray = field(default_factory=bytearray)
    stderr: bytearray = field(default_factory=bytearray)
    exit_code: int = -signal.SIGKILL
    killed_by: str = ""
    detail: str = ""
    truncated: bool = False
    answer: tuple[Any, ...] | None = None
    services_called: int = 0


def converse(
    process: SandboxProcess, body: bytes, services: Mapping[str, Service], limits: Limits, deadline: float
) -> Outcome:
    """Run one job in a sandbox that is ready and has run none. The sandbox is of no use afterwards; kill it."""
    outcome = Outcome()
    try:
        process.send(body, deadline)
        while not _take(process.frame(deadline), outcome, process, services, limits, deadline):
            pass
    except TimeIsUp:
        outcome.killed_by = "wall"
    except SandboxDied as died:
        outcome.killed_by, outcome.detail = "memory" if _out_of_memory(str(died)) else "signal", str(died)
    except wire.WireError as error:
        outcome.killed_by, outcome.detail = "protocol", str(error)
    except _Broken as broken:
        outcome.killed_by, outcome.detail = broken.limit, str(broken)
    return outcome


class _Broken(Exception):
    def __init__(self, limit: str, text: str) -> None:
        super().__init__(text)
        self.limit = limit


def _take(
    frame: bytes,
    outcome: Outcome,
    process: SandboxProcess,
    services: Mapping[str, Service],
    limits: Limits,
    deadline: float,
) -> bool:
    """Act on one frame; True where it was the last."""
    tag, content = frame[:1], frame[1:]
    if tag == b"O" or tag == b"E":
        kept = outcome.stdout if tag == b"O" else outcome.stderr
        if len(kept) + len(content) > limits.output_bytes:
            raise _Broken("output", "more output than the guest may pass on")
        kept += content
    elif tag == b"X" and content[:NONCE_BYTES] == process.nonce:
        _end(wire.decode(content[NONCE_BYTES:]), outcome, limits)
        return True
    elif tag == b"V" and outcome.answer is None and len(content) <= limits.frame_bytes:
        outcome.answer = _answer(wire.decode(content))
    elif tag == b"S" and len(content) <= limits.frame_bytes:
        outcome.services_called += 1
        if outcome.services_called > limits.services_calls:
            raise _Broken("services_calls", f"more than {limits.services_calls} calls of services")
        answer = _serve(wire.decode(content), services, limits, deadline)
        process.send(answer, deadline)
    else:
        raise wire.WireError(f"a frame {tag!r} of {len(content)} bytes that has no place here")
    return False


def _end(report: Any, outcome: Outcome, limits: Limits) -> None:
    match report:
        case (int(code), str(killed_by), bool(truncated), float(cpu_s)):
            outcome.exit_code, outcome.killed_by, outcome.truncated = code, killed_by, truncated
            if code == -signal.SIGXCPU or (code == -signal.SIGKILL and cpu_s >= limits.cpu_s):
                outcome.killed_by = outcome.killed_by or "cpu"
            elif code < 0:
                outcome.killed_by = outcome.killed_by or "signal"
        case _:
            raise wire.WireError("an ending of the wrong shape")


def _answer(value: Any) -> tuple[Any, ...]:
    match value:
        case ("value", _):
            return ("value", value[1])
        case ("error", str(kind), str(text), str(trace)):
            return ("error", *(_printable(told[:_TEXT_CHARS]) for told in (kind, text, trace)))
    raise wire.WireError("an answer of the wrong shape")


def _printable(text: str) -> str:
    """Lone surrogates, which no terminal and no file takes, spelt out."""
    return text.encode("utf-8", "backslashreplace").decode()


def _serve(request: Any, services: Mapping[str, Service], limits: Limits, deadline: float) -> bytes:
    """The answer to one call of a service, an error included. Raises TimeIsUp; the function may then still run."""
    match request:
        case (str(name), tuple(args), dict(kwargs)) if all(type(key) is str for key in kwargs):
            function = services.get(name)
        case _:
            raise wire.WireError("a request of the wrong shape")
    if function is None:
        return wire.encode((False, f"no service is called {name[:100]!r} here"))
    done: list[tuple[bool, object]] = []
    finished = threading.Event()

    def serve() -> None:
        try:
            done.append((True, function(*args, **kwargs)))
        except BaseException as error:  # noqa: BLE001 - an exit, too, is only this thread's; the code in the sandbox asked for it and is told
            done.append((False, f"{type(error).__name__}: {error}"))
        finally:
            finished.set()

    threading.Thread(target=serve, name=f"a4ps-service-{name[:40]}", daemon=True).start()
    if not finished.wait(max(0.0, deadline - time.monotonic())) or not done:
        raise TimeIsUp
    try:
        body = wire.encode(done[0], what=f"the answer of {name}")
    except wire.WireError as error:
        return wire.encode((False, str(error)))
    if len(body) > limits.frame_bytes:
        return wire.encode(
            (False, f"the answer of {name} takes {len(body)} bytes, and {limits.frame_bytes} is the limit")
        )
    return body


def _out_of_memory(said: str) -> bool:
    return (
        "file size limit" in said
        or "SIGXFSZ" in said
        or "out of memory" in said
        or "cannot allocate memory" in said.lower()
    )
