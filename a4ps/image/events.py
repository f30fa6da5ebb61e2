"""Telling observers what was committed: in the order of the commits, after they were acknowledged, by one thread.

An observer that raises is logged and harms nobody; a slow one delays the observers only, never a commit.
"""

from __future__ import annotations

import functools
import logging
import queue
import threading
from collections.abc import Callable

from a4ps.image.changes import Change

Observer = Callable[[Change], None]

_log = logging.getLogger(__name__)


class ChangeEvents:
    """Observers and the thread that calls them, which begins with the first one. Used from any thread."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._observers: tuple[Observer, ...] = ()
        self._waiting: queue.SimpleQueue[tuple[Change, ...] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Have `observer` called with every change from now on; calling what is returned ends that."""
        told = functools.partial(observer)  # one's own: who subscribes twice may end the one and keep the other
        with self._gate:
            self._observers = (*self._observers, told)
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="a4ps-changes", daemon=True)
                self._thread.start()

        def unsubscribe() -> None:
            with self._gate:
                self._observers = tuple(each for each in self._observers if each is not told)

        return unsubscribe

    def announce(self, changes: tuple[Change, ...]) -> None:
        """Never blocks."""
        if self._observers:
            self._waiting.put(changes)

    def close(self) -> None:
        """Return when all that was announced has been told; idempotent. An observer that closes does not wait."""
        with self._gate:
            self._closed = True
            thread = self._thread
        if thread is not None:
            self._waiting.put(None)
            if thread is not threading.current_thread():
                thread.join()

    def _run(self) -> None:
        while (changes := self._waiting.get()) is not None:
            for change in changes:
                for observer in self._observers:
                    try:
                        observer(change)
                    except BaseException:  # noqa: BLE001 - the observer's edge; logged. An exit would end all others' events
                        _log.exception("an observer of changes failed at %s", change)
