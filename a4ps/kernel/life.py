"""What is true of one run of the backend: its epoch, how long it has been up, and when it ends."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from a4ps.clock import Clock


def _zero() -> int:
    return 0


@dataclass(slots=True)
class Life:
    """`fleeting`: it was started in passing, and ends when nobody needs it. The server fills in `sessions` and `running`,
    the numbers of clients and of commands. `ended`: it is about to end; `settled`: nothing runs any more but the commands
    of the keys `askers`, which asked for the end and wait for this to tell what came of the others.
    """

    clock: Clock
    fleeting: bool = False
    epoch: str = field(default_factory=lambda: secrets.token_hex(8))
    sessions: Callable[[], int] = _zero
    running: Callable[[], int] = _zero
    wait_s: float = 0.0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    askers: set[str] = field(default_factory=set)
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    since: datetime = field(init=False)
    _began_s: float = field(init=False)

    def __post_init__(self) -> None:
        self.since = self.clock.now()
        self._began_s = self.clock.monotonic_s()

    @property
    def up_s(self) -> float:
        return self.clock.monotonic_s() - self._began_s

    def end(self, wait_s: float) -> None:
        """Have it end, within `wait_s` for what is under way. The first call counts."""
        if not self.ended.is_set():
            self.wait_s = wait_s
            self.ended.set()
