"""What models may take in memory now: the setting where there is one, else the card's memory, else the machine's.

"Now" counts what our own models already hold as theirs. Without a card the models live in RAM, and the budget is what
is available there. Where the engine runs on another machine, nothing here knows its memory: the budget has no bound,
unless it is set.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from a4ps.inference.card import read_card
from a4ps.inference.footprint import budget_bytes

UNBOUNDED = sys.maxsize
_MEMINFO = Path("/proc/meminfo")


@dataclass(frozen=True, slots=True)
class MemoryBudget:
    """`set_bytes` is the setting, 0 for none. `is_local` says that the engine runs on this machine."""

    set_bytes: int = 0
    is_local: bool = True

    def read(self, held_bytes: int = 0) -> int:
        """Bytes for all models together. `held_bytes` is what ours hold already. Takes milliseconds."""
        if self.set_bytes or not self.is_local:
            return self.set_bytes or UNBOUNDED
        card = read_card()
        free = card.free_bytes if card else available_ram_bytes()
        return budget_bytes(free + held_bytes)


def available_ram_bytes() -> int:
    """What the kernel says can be taken without swapping."""
    for line in _MEMINFO.read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0
