"""Crash reports: a file for each crash in a process that goes on, in the state folder, for whoever mends it. Never sent.

A report holds version, time, service and traceback. No local variables and no settings; of what a person said only what
the exception's own text holds. So the reports are a holder of text (`held_files.CrashTexts`), as the log is.

`reported` makes the process's last resorts (what no frame, no thread and no task has caught) write one, too.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from a4ps.clock import Clock
from a4ps.log_file import without_secrets
from a4ps.version import __version__

#: The newest reports are kept, and of each so much: the beginning says who called, the end what broke.
REPORTS_MAX, REPORT_CHARS = 20, 64_000

#: The same crash again within so long is in the log only, so that one that repeats does not push the others out.
SAME_S = 60.0

_log = logging.getLogger(__name__)

Place = tuple[type[BaseException], str, int]


class CrashReports:
    """The reports in one folder, which is made with the first. From any thread."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock
        self._gate = threading.Lock()
        self._written_s: dict[Place, float] = {}

    def write(self, error: BaseException, service: str) -> Path | None:
        """Report `error`, of `service`. None where the same was just reported, or the disk refuses, which is logged."""
        with self._gate:
            place = _place(error)
            now_s = self._clock.monotonic_s()
            if now_s - self._written_s.get(place, float("-inf")) < SAME_S:
                return None
            try:
                path = self._make(_bounded(self._text(error, service)))
                self._remove_old()
            except OSError as refused:
                _log.warning("a crash report could not be written: %s", refused)
                return None
            self._written_s[place] = now_s
            return path

    def _text(self, error: BaseException, service: str) -> str:
        when = self._clock.now().isoformat(timespec="seconds")
        trace = "".join(traceback.format_exception(error))
        return without_secrets(f"version: {__version__}\ntime: {when}\nservice: {service}\n\n{trace}")

    def _make(self, text: str) -> Path:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        stamp = self._clock.now().strftime("%Y%m%d-%H%M%S-%f")
        for number in range(1000):
            path = self._folder / f"crash-{stamp}-{number:03}.txt"
            try:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                continue
            with os.fdopen(descriptor, "wb") as file:
                file.write(text.encode("utf-8", "backslashreplace"))
            return path
        raise FileExistsError(f"{self._folder} has a thousand reports of this microsecond")

    def _remove_old(self) -> None:
        for path in sorted(self._folder.glob("crash-*.txt"))[:-REPORTS_MAX]:
            path.unlink(missing_ok=True)


@contextmanager
def reported(reports: CrashReports, loop: asyncio.AbstractEventLoop | None = None) -> Iterator[None]:
    """For the block, what nothing catches is logged and reported: in the main thread, in others, in tasks of `loop`.

    Ctrl-C and exits are nobody's crash. In the main thread Python's own word on stderr comes all the same.
    """
    in_main, in_threads = sys.excepthook, threading.excepthook
    in_loop = loop.get_exception_handler() if loop is not None else None

    def main_failed(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            _tell(reports, "the main thread", error)
        in_main(kind, error, trace)

    def thread_failed(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
            _tell(reports, f"the thread {args.thread.name if args.thread is not None else '?'}", args.exc_value)

    def task_failed(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            _tell(reports, f"the event loop ({context['message']})", error)
        else:
            _log.error("the event loop: %s", context["message"])

    sys.excepthook, threading.excepthook = main_failed, thread_failed
    if loop is not None:
        loop.set_exception_handler(task_failed)
    try:
        yield
    finally:
        sys.excepthook, threading.excepthook = in_main, in_threads
        if loop is not None:
            loop.set_exception_handler(in_loop)


def _tell(reports: CrashReports, where: str, error: BaseException) -> None:
    _log.error("%s failed", where, exc_info=error)
    reports.write(error, where)


def _bounded(text: str) -> str:
    if len(text) <= REPORT_CHARS:
        return text
    half = REPORT_CHARS // 2
    return f"{text[:half]}\n[{len(text) - 2 * half:,} characters left out]\n{text[-half:]}"


def _place(error: BaseException) -> Place:
    """What broke and where: the innermost frame."""
    frames = list(traceback.walk_tb(error.__traceback__))
    if not frames:
        return type(error), "", 0
    frame, line = frames[-1]
    return type(error), frame.f_code.co_filename, line
