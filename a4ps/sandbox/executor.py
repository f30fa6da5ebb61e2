"""`SecureCodeExecutor`: runs code that nobody vouches for, each time in a sandbox of its own."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from types import TracebackType
from typing import Self

from a4ps.errors import SandboxedError, SandboxKilled, SandboxOverran, SandboxUnavailable, UsageError
from a4ps.sandbox.conversation import Job, Outcome, Service, converse
from a4ps.sandbox.folders import SessionFolder
from a4ps.sandbox.layout import lay_out
from a4ps.sandbox.limits import DEFAULT, Limits
from a4ps.sandbox.pool import Pool, PoolStatistics
from a4ps.sandbox.process import Tier
from a4ps.sandbox.result import CallResult, ExecutionResult
from a4ps.sandbox.tiers import need_tier
from a4ps.sandbox.wire import WireError

POOL_SIZE = 2
#: Room in the job's frame beside what a caller gives: names, bounds.
_JOB_BYTES = 65_536
_NAME_CHARS = 1_000


class SecureCodeExecutor:
    """Runs untrusted Python in single-use sandboxes: gVisor's where it works, else the weaker bubblewrap, else none.

    Nothing is looked for or started before the first run. For any number of threads; `close`, or leaving it as a context
    manager, ends all of its sandboxes, and so does the end of the process, whatever kind. Running code raises
    SandboxUnavailable where no sandbox works here, before anything is run; the executor stays usable after every error.

    Code in a sandbox sees a Python with its standard library, /tmp, and nothing of this machine.
    """

    def __init__(self, *, tier: str = "", pool_size: int = POOL_SIZE) -> None:
        """`tier` is "runsc", "bubblewrap" or "docker", "" for the best of the first two; `pool_size` are kept ready."""
        if pool_size < 0:
            raise UsageError("a pool cannot have fewer than 0 sandboxes", next_step="give pool_size=0 or more")
        self._wanted = tier
        self._pool_size = pool_size
        self._lock = threading.Lock()
        self._running: _Running | None = None
        self._closed = False

    @property
    def tier(self) -> Tier:
        """The sandbox that is used here: its `name`, `version`, and whether it is the `weaker` one. Looks for it."""
        return need_tier(self._wanted)

    def statistics(self) -> PoolStatistics:
        """Its sandboxes; nothing of each before the first run. Looks for none."""
        running = self._running
        return PoolStatistics() if running is None else running.pool.statistics()

    def execute(
        self,
        code: str,
        timeout: float = 10,
        *,
        stdin: str | bytes = b"",
        files: Mapping[str, bytes] = {},
        limits: Limits | None = None,
    ) -> ExecutionResult:
        """Run a program to its end, or until `timeout` seconds or a limit end it; both are told in the result.

        `files` are put under the program's current folder, by relative names. Raises UsageError for arguments that make
        no sense or are too large, SandboxUnavailable.
        """
        given = stdin.encode("utf-8", "surrogatepass") if isinstance(stdin, str) else stdin
        job = Job("execute", code, stdin=given, files=files)
        outcome, ms, tier = self._run(job, timeout, limits or DEFAULT)
        return ExecutionResult(
            stdout=_text(outcome.stdout),
            stderr=_text(outcome.stderr),
            exit_code=outcome.exit_code,
            timed_out=outcome.killed_by == "wall",
            killed_by=outcome.killed_by,
            truncated=outcome.truncated,
            ms=ms,
            tier=tier,
        )

    def call(
        self,
        function_source: str,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] = {},
        *,
        name: str = "",
        services: Mapping[str, Service] = {},
        timeout: float = 10,
        files: Mapping[str, bytes] = {},
        limits: Limits | None = None,
    ) -> CallResult:
        """Call the function `name` (the last one at the top level of the source where it is "") and return its value.

        Arguments and value are plain typed data: None, bool, int, float, str, bytes, list, tuple, dict, set, frozenset.
        `services` are functions of this process that the code may call by name; they run in threads of their own, count
        towards `services_calls`, and one that outlasts the call is left to finish.

        Raises SandboxedError (the code's own error), SandboxOverran, SandboxKilled, UsageError, SandboxUnavailable.
        """
        job = Job("call", function_source, name, tuple(args), kwargs, files=files, services=services)
        outcome, ms, tier = self._run(job, timeout, limits or DEFAULT)
        out, err = _text(outcome.stdout), _text(outcome.stderr)
        if outcome.killed_by == "wall":
            raise SandboxOverran(
                f"the code did not end within {timeout:g} s",
                stdout=out,
                stderr=err,
                next_step="give it less to do, or more time",
            )
        if outcome.killed_by:
            why = f" ({outcome.detail})" if outcome.detail else ""
            raise SandboxKilled(
                f"the code was ended by its limit: {outcome.killed_by}{why}",
                limit=outcome.killed_by,
                stdout=out,
                stderr=err,
                next_step="see what it does; Limits(...) can be given with the call",
            )
        match outcome.answer:
            case ("value", _):
                return CallResult(outcome.answer[1], out, err, ms, tier)
            case ("error", kind, text, trace):
                raise SandboxedError(kind, text, traceback=trace, stdout=out, stderr=err)
        raise SandboxedError("Exit", f"its process ended with {outcome.exit_code}", stdout=out, stderr=err)

    def close(self) -> None:
        """End every sandbox and wait until all are gone. Whoever is in a call gets an error. Can be called again."""
        with self._lock:
            self._closed = True
            running, self._running = self._running, None
        if running is not None:
            running.finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, job: Job, timeout: float, limits: Limits) -> tuple[Outcome, float, str]:
        if not timeout > 0:
            raise UsageError(f"a timeout of {timeout!r} s leaves no time", next_step="give more than 0 seconds")
        _check_given(job)
        try:
            body = job.encoded(limits)
        except WireError as error:
            raise UsageError(
                f"this cannot be sent into a sandbox: {error}",
                next_step="give plain data: numbers, text, bytes, lists, dicts",
            ) from error
        if len(body) > limits.frame_bytes + _JOB_BYTES:
            raise UsageError(
                f"code, arguments and files take {len(body)} bytes, and {limits.frame_bytes} is the limit",
                next_step="give less, or Limits(frame_bytes=...)",
            )
        running = self._begun()
        process = running.pool.take(limits if _started_with(limits) else None)
        try:
            began = time.monotonic()
            outcome = converse(process, body, job.services, limits, began + min(timeout, limits.wall_s))
            ms = (time.monotonic() - began) * 1000
        finally:
            running.pool.discard(process)
        return outcome, ms, running.tier.name

    def _begun(self) -> _Running:
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the executor is closed", next_step="make another SecureCodeExecutor()")
            if self._running is None:
                self._running = _Running(need_tier(self._wanted), self._pool_size)
                self._running.finalizer = weakref.finalize(self, self._running.end)
            return self._running


class _Running:
    """What an executor holds once it has run something."""

    finalizer: weakref.finalize[[], SecureCodeExecutor]

    def __init__(self, tier: Tier, pool_size: int) -> None:
        self.tier = tier
        self.folder = SessionFolder()
        try:
            layout = lay_out(self.folder.path)
        except BaseException:
            self.folder.close()
            raise
        self.pool = Pool(tier, DEFAULT, layout, self.folder.path, pool_size)

    def end(self) -> None:
        self.pool.close()
        self.folder.close()


def _started_with(limits: Limits) -> bool:
    """Whether a sandbox has to be started for these limits; the others are set when it is given its job."""
    started = ("total_memory_bytes", "tmp_bytes", "frame_bytes")
    return (
        any(getattr(limits, name) > getattr(DEFAULT, name) for name in started) or limits.tmp_bytes != DEFAULT.tmp_bytes
    )


def _check_given(job: Job) -> None:
    """Raises UsageError for what the guest could not make sense of."""
    for name, content in job.files.items():
        _check_name(name, job.files)
        if type(content) is not bytes:
            raise UsageError(f"the file {name!r} is no bytes", next_step="give its content as bytes")
    if type(job.stdin) is not bytes:
        raise UsageError("stdin is neither text nor bytes", next_step="give it as text or bytes")
    for what, named in (("a keyword argument", job.kwargs), ("a service", job.services)):
        strange = [name for name in named if type(name) is not str]
        if strange:
            raise UsageError(f"{strange[0]!r:.100} is no name for {what}", next_step="name it by text")


def _check_name(name: str, names: Mapping[str, bytes]) -> None:
    if type(name) is not str:
        raise UsageError(f"{name!r:.100} is no name for a file in a sandbox", next_step="name it by text")
    path = PurePosixPath(name)
    try:
        longest = max((len(part.encode()) for part in path.parts), default=0)
    except UnicodeEncodeError:
        longest = 0
    strange = "\0" in name or path.is_absolute() or ".." in path.parts or str(path) != name or not 0 < longest <= 255
    if strange or len(name) > _NAME_CHARS:
        raise UsageError(
            f"{name[:100]!r} is no name for a file in a sandbox", next_step="give a relative name without .."
        )
    for folder in map(str, path.parents):
        if folder in names:
            raise UsageError(f"{folder!r} is given as a file and as a folder", next_step="call one of them otherwise")


def _text(raw: bytearray) -> str:
    return raw.decode("utf-8", "replace")
