"""Words to the user that go by themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from a4ps.errors import A4PSError
from a4ps.ui.model.pane import Notice

#: So long a notice stays, and one of something that went wrong; a long one by as much longer as it takes to be read.
STAYS_S, BAD_STAYS_S, READ_S_PER_CHAR = 5.0, 10.0, 0.05
#: So many are shown at once; the oldest go first.
_MOST = 5


class Notices:
    """Those that are shown now. `now` is any monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._shown: tuple[tuple[float, Notice], ...] = ()

    @property
    def shown(self) -> Sequence[Notice]:
        return tuple(notice for _, notice in self._shown)

    @property
    def due_s(self) -> float | None:
        """When the next one goes."""
        return min((until_s for until_s, _ in self._shown), default=None)

    def add(self, notice: Notice) -> None:
        """Show it; one that says the same is shown once."""
        chars = len(notice.text) + len(notice.next_step)
        until_s = self._now() + (BAD_STAYS_S if notice.bad else STAYS_S) + chars * READ_S_PER_CHAR
        others = tuple(each for each in self._shown if each[1] != notice)
        self._shown = (*others, (until_s, notice))[-_MOST:]

    def failed(self, error: A4PSError) -> None:
        """Show what went wrong and what to do."""
        self.add(Notice(error.message, error.next_step, bad=True))

    def tick(self) -> bool:
        """Let those go whose time is over; whether there were any."""
        left = tuple(each for each in self._shown if each[0] > self._now())
        gone = len(left) != len(self._shown)
        self._shown = left
        return gone

    def dismiss(self, notice: Notice) -> None:
        """Let one go at once."""
        self._shown = tuple(each for each in self._shown if each[1] != notice)
