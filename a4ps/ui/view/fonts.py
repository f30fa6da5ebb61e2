"""The fonts that are shipped with the package (DejaVu, see a4ps/ui/fonts/LICENSE), and the sizes of type."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

Face: TypeAlias = Literal["sans", "bold", "mono"]

_FOLDER = Path(__file__).resolve().parents[1] / "fonts"
FILES: dict[Face, str] = {
    "sans": str(_FOLDER / "DejaVuSans.ttf"),
    "bold": str(_FOLDER / "DejaVuSans-Bold.ttf"),
    "mono": str(_FOLDER / "DejaVuSansMono.ttf"),
}

#: Sizes in px at scale 1. A line is so much higher than its type.
SMALL, TEXT, NAME = 11.0, 12.0, 17.0
LEADING = 1.5


def size(base: float, scale: float) -> int:
    """A size of type on the screen: whole pixels, so that it is sharp."""
    return max(6, round(base * scale))
