"""The graphics card: its name and its memory, as the driver tells them now."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Card:
    """One card, at the moment it was looked at."""

    name: str
    total_bytes: int
    free_bytes: int


def read_card() -> Card | None:
    """The first NVIDIA card, None where there is none or no driver. Takes milliseconds; never raises for a missing card."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(0)
        memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
        return Card(str(pynvml.nvmlDeviceGetName(handle)), int(memory.total), int(memory.free))
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
