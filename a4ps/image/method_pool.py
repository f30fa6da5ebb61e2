"""Where trusted methods run: a bounded pool of threads, each call with a deadline.

A call that overruns is given up: its caller is told where it stands, its writes go to a draft that nobody commits any
more, and an exception is set in its thread (call_thread.py), which ends it at its next step of Python. Until then it
counts against the bound; so a call stuck in C may hold a place for as long as it likes.
"""

from __future__ import annotations

import contextvars
import functools
import threading
import time
import traceback
from collections.abc import Callable
from typing import Any

from a4ps.errors import MethodOverran
from a4ps.image.call_thread import CallThread, GivenUp, inside_call

MAX_RUNNING = 8
#: How often whoever waits for a place looks whether a thread that was given up has ended: that notifies nobody.
LOOK_S = 0.1


class MethodPool:
    """At most `max_running` calls at once; one that finds no place waits for it as a part of its deadline."""

    def __init__(self, max_running: int = MAX_RUNNING) -> None:
        self._max_running = max_running
        self._changed = threading.Condition()
        self._idle: list[CallThread] = []
        self._busy = 0
        self._given_up: list[CallThread] = []

    def run(self, what: str, work: Callable[[], Any], deadline_s: float) -> Any:
        """The result of `work`, run with the caller's context variables; raises what it raises.

        A call made from inside a call runs in the same thread, under the outer deadline. Raises MethodOverran when
        `deadline_s` (wall time) is over, or no place became free in it; `work` may then still be running.
        """
        if inside_call():
            return work()
        ends = time.monotonic() + deadline_s
        worker = self._worker(what, deadline_s)
        call = worker.serve(functools.partial(contextvars.copy_context().run, work))
        try:
            finished = call.done.wait(max(0.0, ends - time.monotonic()))
        except BaseException:
            self._give_up(worker)
            raise
        if not finished:
            stack = _stack_of(worker)
            self._give_up(worker)
            raise MethodOverran(
                f"{what} ran for more than {deadline_s:g} s; its writes were discarded",
                stack=stack,
                next_step="make it shorter, or give it a longer deadline",
            )
        with self._changed:
            self._busy -= 1
            self._idle.append(worker)
            self._changed.notify()
        if call.error is not None:
            raise call.error
        return call.result

    def _worker(self, what: str, deadline_s: float) -> CallThread:
        ends = time.monotonic() + deadline_s
        with self._changed:
            while not self._has_place():
                left_s = ends - time.monotonic()
                if left_s > 0:
                    self._changed.wait(min(left_s, LOOK_S))
                    continue
                raise MethodOverran(
                    f"{what} found no free thread in {deadline_s:g} s: {self._max_running} methods are running, "
                    f"{len(self._given_up)} of them past their deadline",
                    next_step="try again later; restart A4PS if a method never ends",
                )
            self._busy += 1
            if self._idle:
                return self._idle.pop()
            worker = CallThread("a4ps-method")
            worker.start()
            return worker

    def _has_place(self) -> bool:
        self._given_up = [worker for worker in self._given_up if worker.is_alive()]
        return self._busy + len(self._given_up) < self._max_running

    def _give_up(self, worker: CallThread) -> None:
        worker.throw(GivenUp)
        with self._changed:
            self._busy -= 1
            self._given_up.append(worker)


@functools.cache
def shared_pool() -> MethodPool:
    """The process's pool, made when the first method is called."""
    return MethodPool()


def _stack_of(thread: CallThread) -> str:
    frame = thread.frame()
    if frame is None:
        return ""
    lines = traceback.format_stack(frame)
    own = next((at for at, line in enumerate(lines) if line.lstrip().startswith('File "<')), 0)
    return "".join(lines[own:])
