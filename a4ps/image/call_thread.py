"""A thread in which calls run that may never end: an exception can be set in it, and it can be left behind.

A thread cannot be ended from outside. An exception that is set in it is raised at its next step of Python, and not
before: code that waits in C, for a lock or for a socket, meets it when that wait is over, if ever. It may also come too
late for the call that it was meant for. So a thread in which one was set serves no other call, and ends with that one.
"""

from __future__ import annotations

import ctypes
import queue
import sys
import threading
from collections.abc import Callable
from types import FrameType


class GivenUp(BaseException):
    """Set in the thread of a call that nobody waits for any more."""


class Call:
    """One call. `done` is set when it has `ended`, with its `result` or the `error` it raised; others may set it before."""

    __slots__ = ("done", "ended", "error", "result", "work")

    def __init__(self, work: Callable[[], object]) -> None:
        self.work = work
        self.done = threading.Event()
        self.ended = False
        self.result: object = None
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:  # noqa: BLE001 - raised again where the result is wanted
            self.error = error
        self.ended = True
        self.done.set()


class CallThread(threading.Thread):
    """Serves one call after the other, until an exception is set in it or it is told to end. Does not keep the process."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name, daemon=True)
        self._calls: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._used_up = False
        self._gate = threading.Lock()  # held while an exception is set, so that none is after the thread has ended
        self._over = False

    def serve(self, work: Callable[[], object]) -> Call:
        """Have `work` called here, after what was asked for before; does not wait."""
        call = Call(work)
        self._calls.put(call)
        return call

    def end(self) -> None:
        """End when the calls before are served; does not wait."""
        self._calls.put(None)

    def throw(self, kind: type[BaseException]) -> None:
        """Set an exception here, in place of one that was set and not yet raised, and end with the call that runs."""
        with self._gate:
            self._used_up = True
            if not self._over and self.ident is not None:
                _set_exception(self.ident, kind)
        self._calls.put(None)

    def frame(self) -> FrameType | None:
        """Where it stands at this moment; None where it has ended."""
        return sys._current_frames().get(self.ident or 0)

    def run(self) -> None:
        _here.inside = True
        while True:
            try:
                self._serve()
                with self._gate:
                    self._over = True
                    # What was set too late for the call must not hit what Python does at a thread's end.
                    _set_exception(threading.get_ident(), None)
                break
            except (GivenUp, KeyboardInterrupt):
                continue

    def _serve(self) -> None:
        while not self._used_up and (call := self._calls.get()) is not None:
            call.run()


def inside_call() -> bool:
    """Whether the caller's thread is one of these."""
    return getattr(_here, "inside", False)


def _set_exception(ident: int, kind: type[BaseException] | None) -> None:
    exception = None if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), exception)


_here = threading.local()
