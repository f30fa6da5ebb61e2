"""Draws of the window only what has changed: a software renderer's time is the pixels that it fills.

Whoever changes something says where (`add`). A frame is then drawn within those rectangles alone, on what an earlier frame
has left. Which frame that was is read back from one pixel in the corner, whose colour's lowest bits are the frame's number:
systems differ in what they leave after a swap. Where that pixel holds no number of a frame that is remembered, where nobody
said what has changed, and where it is most of the window, everything is drawn.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from kivy.core.window import Window
from kivy.graphics.opengl import (
    GL_COLOR_BUFFER_BIT,
    GL_RGBA,
    GL_SCISSOR_TEST,
    GL_UNSIGNED_BYTE,
    glClear,
    glClearColor,
    glDisable,
    glEnable,
    glReadPixels,
    glScissor,
)

from a4ps.ui.model.geometry import Rect
from a4ps.ui.view.paint import around

#: So many frames are told apart, two bits in each of three colours, and so many are remembered.
_NUMBERS, _REMEMBERED = 64, 8
#: To walk through all instructions once more costs as much as to fill so many pixels.
_PASS_PX = 120_000.0
#: More of the window than this, and all of it is drawn.
_MOST = 0.7


class Damage:
    """That of the window. `always` gives what each frame draws anew: fields, which draw themselves."""

    def __init__(self, always: Callable[[], Sequence[Rect]]) -> None:
        self._always = always
        self._rects: list[Rect] = []
        self._all = True
        self._number = 0
        #: (number, size of the window, what that frame drew; None: everything), the newest first.
        self._frames: deque[tuple[int, tuple[int, int], Sequence[Rect] | None]] = deque(maxlen=_REMEMBERED)
        #: How much of the window the last frame drew, 0 to 1.
        self.share = 1.0
        Window.bind(on_draw=self._draw)

    def add(self, *rects: Rect) -> None:
        """Here something has changed, in the world's coordinates."""
        self._rects += rects

    def add_all(self) -> None:
        """Anything may have changed."""
        self._all = True

    def _draw(self, *_: Any) -> bool:
        """Draw, in place of the window itself."""
        size = int(Window.width), int(Window.height)
        new = None if self._all or not self._rects else [*self._rects, *self._always()]
        self._rects, self._all = [], False
        whole = Rect(0, 0, *size)
        old = self._since(size)
        rects = None if new is None or old is None else _merged([*new, *old], whole)
        if rects is not None and sum(each.width * each.height for each in rects) > _MOST * size[0] * size[1]:
            rects = None
        self._frames.appendleft((self._number, size, None if rects is None else new))
        self.share = 1.0 if rects is None else sum(each.width * each.height for each in rects) / (size[0] * size[1])
        glEnable(GL_SCISSOR_TEST)
        for rect in [whole] if rects is None else rects:
            glScissor(int(rect.x), size[1] - int(rect.bottom), int(rect.width), int(rect.height))
            Window.clear()
            Window.render_context.draw()
        self._mark()
        return True

    def _mark(self) -> None:
        """Write into the corner which frame this was."""
        number = self._number
        glScissor(0, 0, 1, 1)
        red, green, blue = (_with_bits(part, number >> 2 * at & 3) for at, part in enumerate(self._ground()))
        glClearColor(red / 255, green / 255, blue / 255, 1)
        glClear(GL_COLOR_BUFFER_BIT)
        glDisable(GL_SCISSOR_TEST)
        self._number = (number + 1) % _NUMBERS

    def _since(self, size: tuple[int, int]) -> list[Rect] | None:
        """What was drawn since the frame that is in the buffer; None where that is not known."""
        pixel = glReadPixels(0, 0, 1, 1, GL_RGBA, GL_UNSIGNED_BYTE)
        number = sum((pixel[at] & 3) << 2 * at for at in range(3))
        if any(pixel[at] & ~3 != round(part) & ~3 for at, part in enumerate(self._ground())):
            return None
        found: list[Rect] = []
        for known, drawn_size, drawn in self._frames:
            if drawn_size != size:
                return None
            if known == number:
                return found
            if drawn is None:
                return None
            found += drawn
        return None

    @staticmethod
    def _ground() -> Sequence[int]:
        return [round(255 * part) for part in Window.clearcolor[:3]]


def _with_bits(part: int, bits: int) -> int:
    return part & ~3 | bits


def _merged(rects: Sequence[Rect], whole: Rect) -> list[Rect]:
    """Few rectangles with whole numbers that cover all of these, as far as they lie in the window."""
    found: list[Rect] = []
    for rect in rects:
        x, y = max(0, int(rect.x) - 1), max(0, int(rect.y) - 1)
        right, bottom = min(whole.right, int(rect.right) + 2), min(whole.bottom, int(rect.bottom) + 2)
        if right <= x or bottom <= y:
            continue
        one = Rect(x, y, right - x, bottom - y)
        merges = True
        while merges:
            merges = False
            for other in found:
                both = around(one, other)
                assert both is not None
                if _area(both) <= _area(one) + _area(other) + _PASS_PX:
                    found.remove(other)
                    one, merges = both, True
                    break
        found.append(one)
    return found or [Rect(0, 0, 1, 1)]


def _area(rect: Rect) -> float:
    return rect.width * rect.height
