"""The world as it is now, with what can be undone of it and of what was changed in the living things."""

from __future__ import annotations

from collections.abc import Callable

from a4ps.ui.model.history import Back, History, Step
from a4ps.ui.model.morph import World


class Undoing:
    """Holds the world and its history. `now` is any monotonic clock, in seconds."""

    def __init__(self, world: World, now: Callable[[], float]) -> None:
        self.world = world
        self.history = History()
        self._now = now

    def stepped(self, label: str, before: World, after: World, merges: str = "") -> None:
        """The world is `after` now, by a step that can be undone."""
        self.history = self.history.with_step(Step(label, before, after, self._now(), merges=merges))
        self.world = after

    def lived(self, label: str, change: int) -> None:
        """Something living was changed, in the image's change of that number."""
        self.history = self.history.with_step(Step(label, self.world, self.world, self._now(), change))

    def see(self, world: World) -> None:
        """The world is another now, by nothing that would be undone."""
        self.world = world

    def anew(self, world: World) -> None:
        """Another world altogether: nothing of the one before can be undone."""
        self.world, self.history = world, History()

    def undo(self) -> Back | None:
        """Undo the last step; where that says `revert`, it is done once `reverted` is told. None where there is none."""
        return self._back(self.history.undo(self.world))

    def redo(self) -> Back | None:
        """Do again what was undone last."""
        return self._back(self.history.redo(self.world))

    def reverted(self, by: int | None) -> None:
        """How the reverting ended: the change that did it, or None where it was not done."""
        self.history = self.history.failed() if by is None else self.history.reverted(by)

    def _back(self, back: Back | None) -> Back | None:
        if back is not None:
            self.history, self.world = back.history, back.world
        return back
