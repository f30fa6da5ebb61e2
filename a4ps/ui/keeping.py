"""Keeps the world that is shown: soon after each change, off the window's thread, and when it is left."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from a4ps.errors import A4PSError, Conflict
from a4ps.ui.model.morph import World
from a4ps.ui.worlds import Loaded, Worlds

#: A world is saved so long after it has changed, and where that failed, tried again after so long.
SAVE_AFTER_S, TRY_AGAIN_S = 0.5, 30.0


class Keeping:
    """Saves into `worlds` the world called `name`. `now` is any monotonic clock, in seconds."""

    def __init__(self, worlds: Worlds, now: Callable[[], float]) -> None:
        self.worlds = worlds
        self.name = worlds.last()
        self._now = now
        self._saved: World | None = None
        self._due_s: float | None = None
        self._writing: Future[None] | None = None
        self._failed = False
        # One thread, so that a later state is never overwritten by an earlier one.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="worlds")

    @property
    def due_s(self) -> float | None:
        """When `tick` has something to do."""
        return self._due_s

    @property
    def writing(self) -> bool:
        """Whether a world is being written; `tick` looks how it ended."""
        return self._writing is not None

    def load(self, name: str, width: float, height: float) -> Loaded:
        """The world of that name, which is the one that is kept from now on."""
        found = self.worlds.load(name, width, height)
        self.name = name.strip()
        self._saved, self._due_s, self._failed = found.world, None, False
        return found

    def changed(self, world: World) -> None:
        """The world is another now."""
        if self._writing is not None:
            return
        if world is self._saved:
            self._due_s = None
        elif self._due_s is None:
            self._due_s = self._now() + SAVE_AFTER_S

    def tick(self, world: World) -> A4PSError | None:
        """Save what is due. What went wrong with the last time, told once until it goes well again; Conflict
        each time.
        """
        error = self._ended()
        if self._writing is None:
            self.changed(world)
            if self._due_s is not None and self._now() >= self._due_s:
                self._saved = world
                self._writing = self._writer.submit(self.worlds.save, self.name, world)
        if self._writing is not None:
            self._due_s = self._now() + SAVE_AFTER_S  # to look how it ended
        return error

    def save(self, world: World) -> None:
        """Save it now, and wait for it. Raises what `Worlds` raises."""
        if self._writing is not None:
            self._writing.exception()
            self._writing = None
        self._due_s = None
        if world is not self._saved or self._failed:
            self.worlds.save(self.name, world)
            self._saved, self._failed = world, False

    def close(self) -> None:
        """Nothing is saved any more."""
        self._writer.shutdown()

    def _ended(self) -> A4PSError | None:
        if self._writing is None or not self._writing.done():
            return None
        error = self._writing.exception()
        self._writing, self._due_s = None, None
        if error is None:
            self._failed = False
            return None
        told, self._failed, self._saved = self._failed, True, None
        self._due_s = self._now() + TRY_AGAIN_S
        if not isinstance(error, A4PSError):
            raise error
        return error if not told or isinstance(error, Conflict) else None
