"""The graphics card: its name and its memory, as the driver tells them now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_DEVICES = Path("/sys/bus/pci/devices")
#: Of the PCI identifiers: NVIDIA, and the class of display controllers.
_NVIDIA, _DISPLAY = "0x10de", "0x03"


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


def is_plugged_in(devices: Path = _DEVICES) -> bool:
    """Whether the machine has an NVIDIA card, with or without its driver. Never raises."""
    return any(
        _read(device / "vendor") == _NVIDIA and _read(device / "class").startswith(_DISPLAY)
        for device in devices.glob("*")
    )


def _read(file: Path) -> str:
    try:
        return file.read_text("ascii", "replace").strip()
    except OSError:
        return ""
