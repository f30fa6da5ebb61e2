"""Texts as textures: white, made once for each text, face and size, and tinted where they are drawn. Few are kept."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from typing import Any

from kivy.core.text import Label

from a4ps.ui.view.fonts import FILES, Face, file_of
from a4ps.ui.view.wrapping import is_rtl

#: So many textures and measured words are kept; a full screen has some hundreds.
TEXTURES_MAX, WIDTHS_MAX = 3_000, 60_000
#: No more of one run of text is drawn: a texture has an end.
RUN_MAX = 1_000

_ODD = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


def plain(text: str) -> str:
    """What can be drawn of a text: no control characters, no half surrogates; a tab is four spaces."""
    if text.isascii() and text.isprintable():
        return text
    return _ODD.sub(_replaced, text.replace("\t", "    "))


def _replaced(found: re.Match[str]) -> str:
    return "" if unicodedata.category(found[0]) == "Cf" else "�"


def _way(text: str) -> dict[str, str]:
    """What is written from right to left is told so, with its script's name (ISO 15924)."""
    if not is_rtl(text):
        return {}
    script = "Hebr" if any("\u0590" <= each <= "\u05ff" for each in text) else "Arab"
    return {"font_direction": "rtl", "font_script_name": script}


class Texts:
    """Makes and measures texts."""

    def __init__(self, most: int = TEXTURES_MAX) -> None:
        self._most = most
        self._textures: OrderedDict[tuple[str, Face, int], Any] = OrderedDict()
        self._widths: dict[tuple[Face, int], dict[str, float]] = {}
        self._labels: dict[tuple[str, int, str], Any] = {}
        self._measured = 0

    def __len__(self) -> int:
        return len(self._textures)

    def texture(self, text: str, face: Face, size: int) -> Any:
        """The texture of one line of text; None where nothing is seen of it. Its height is `height(face, size)`."""
        text = plain(text[:RUN_MAX])
        if not text.strip():
            return None
        key = text, face, size
        found = self._textures.get(key)
        if found is not None:
            self._textures.move_to_end(key)
            return found
        label = Label(text=text, font_size=size, font_name=file_of(face, text), **_way(text))
        label.refresh()
        found = self._textures[key] = label.texture
        if len(self._textures) > self._most:
            self._textures.popitem(last=False)
        return found

    def width(self, text: str, face: Face, size: int) -> float:
        """How wide a line of text is, in px."""
        widths = self._widths.setdefault((face, size), {})
        found = widths.get(text)
        if found is None:
            if face == "mono" and text.isascii():
                found = len(text) * self._advance(size, widths)
            else:
                label = self._label(face, size, file_of(face, text), **_way(text))
                found = float(label.get_extents(plain(text[:RUN_MAX]))[0])
            self._measured += 1
            if self._measured > WIDTHS_MAX:
                self._widths.clear()
                self._measured = 0
                widths = self._widths.setdefault((face, size), {})
            widths[text] = found
        return found

    def height(self, face: Face, size: int) -> float:
        """How high a texture of this face and size is, in px."""
        return float(self._label(face, size).get_extents("Ag")[1])

    def cut(self, text: str, face: Face, size: int, width: float) -> str:
        """The text, with "…" at its end where it would be wider than `width`."""
        text = text[:RUN_MAX]
        if self.width(text, face, size) <= width:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.width(text[:middle] + "…", face, size) <= width:
                low = middle
            else:
                high = middle - 1
        return text[:low].rstrip() + "…" if low else "…"

    def _advance(self, size: int, widths: dict[str, float]) -> float:
        found = widths.get("0123456789")
        if found is None:
            found = widths["0123456789"] = float(self._label("mono", size).get_extents("0123456789")[0])
        return found / 10

    def _label(self, face: Face, size: int, file: str = "", **way: str) -> Any:
        file = file or FILES[face]
        key = file, size, way.get("font_script_name", "")
        label = self._labels.get(key)
        if label is None:
            label = self._labels[key] = Label(font_size=size, font_name=file, **way)
            label.resolve_font_name()
        return label
