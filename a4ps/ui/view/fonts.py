"""The fonts that are shipped with the package (DejaVu, see a4ps/ui/fonts/LICENSE), and the sizes of type."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeAlias

Face: TypeAlias = Literal["sans", "bold", "mono"]

_FOLDER = Path(__file__).resolve().parents[1] / "fonts"
FILES: dict[Face, str] = {
    "sans": str(_FOLDER / "DejaVuSans.ttf"),
    "bold": str(_FOLDER / "DejaVuSans-Bold.ttf"),
    "mono": str(_FOLDER / "DejaVuSansMono.ttf"),
}

#: Where systems have a font for Chinese, Japanese and Korean, which none that could be shipped is small enough for.
_EAST_ASIAN = (
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/truetype/wqy/wqy-microhei.ttc",
    "/usr/share/fonts/truetype/droid/DroidSansFallbackFull.ttf",
    "/System/Library/Fonts/PingFang.ttc",
    "/System/Library/Fonts/Hiragino Sans GB.ttc",
    "C:/Windows/Fonts/msyh.ttc",
)


def file_of(face: Face, text: str) -> str:
    """The font for a text: the system's own where ours has no signs for it, and there is one."""
    if not text.isascii() and any("\u2e80" <= each <= "\u9fff" or "\uac00" <= each <= "\ud7af" for each in text):
        return _east_asian() or FILES[face]
    return FILES[face]


@lru_cache(maxsize=1)
def _east_asian() -> str:
    return next((each for each in _EAST_ASIAN if Path(each).is_file()), "")


#: Sizes in px at scale 1. A line is so much higher than its type.
SMALL, TEXT, NAME = 11.0, 12.0, 17.0
LEADING = 1.5


def size(base: float, scale: float) -> int:
    """A size of type on the screen: whole pixels, so that it is sharp."""
    return max(6, round(base * scale))
