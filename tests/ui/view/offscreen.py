"""A window without a screen on a made-up desk, driven frame by frame. For programs that a test runs as a process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from a4ps.ui.app import Showing, open_window, save_picture
from tests.ui.view.mock_desk import MockDesk

#: What has not come after so many frames does not come.
FRAMES_MAX = 3_000


class Offscreen:
    """The window: `frame` draws one, `until` waits for what a frame brings, `touch` is a pointer."""

    def __init__(self, mock: MockDesk, size: tuple[int, int] = (1600, 1000)) -> None:
        self.window = open_window(size, offscreen=True, folder=Path(tempfile.mkdtemp(prefix="a4ps-kivy-")))
        from kivy.base import EventLoop

        self.mock, self.desk = mock, mock.desk
        self.showing = Showing(mock.desk, now=lambda: mock.now_s, clock=lambda: 1000.0)
        self.stage = self.showing.stage
        self.drawn = 0
        self.window.bind(on_flip=self._flipped)
        self.window.add_widget(self.stage)
        self.window.clearcolor = (0, 0, 0, 1)
        EventLoop.ensure_window()
        EventLoop.start()
        self._loop = EventLoop
        self.until(lambda: self.stage.is_settled)

    def _flipped(self, *_: Any) -> None:
        self.drawn += 1

    def frame(self, number: int = 1) -> None:
        """Let so many frames pass."""
        for _ in range(number):
            self.mock.now_s += 1 / 60
            self._loop.idle()

    def until(self, holds: Callable[[], object]) -> None:
        """Until it holds, and what came of it is drawn."""
        for _ in range(FRAMES_MAX):
            self.frame()
            if holds():
                break
        else:
            raise AssertionError("it does not come")
        self.frame(3)

    def pixel(self, x: float, y: float, *, drawn: bool = True) -> tuple[int, int, int]:
        """The colour at a point of the world; not `drawn`: as the last frame left it."""
        from kivy.graphics.opengl import GL_RGB, GL_UNSIGNED_BYTE, glReadPixels

        if drawn:
            self.window.dispatch("on_draw")
        data = glReadPixels(int(x), int(self.window.height) - 1 - int(y), 1, 1, GL_RGB, GL_UNSIGNED_BYTE)
        return data[0], data[1], data[2]

    def save(self, path: str) -> None:
        save_picture(Path(path))

    def touch(self, x: float, y: float, button: str = "left") -> Touch:
        """A pointer that is down there."""
        return Touch(self, x, y, button)

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.touch(x, y, button).up()

    def press(self, *chords: str) -> None:
        """Keys, as the window hears of them."""
        from kivy.core.window import Keyboard

        for chord in chords:
            *modifiers, name = chord.split("-") if len(chord) > 1 else [chord]
            code = Keyboard.keycodes.get({"space": "spacebar"}.get(name, name), ord(name[0]))
            text = name if len(name) == 1 else None
            self.window.dispatch("on_key_down", code, 0, text, modifiers)
            self.frame(2)

    def type(self, text: str) -> None:
        """Text, as an input method gives it."""
        self.window.dispatch("on_textinput", text)
        self.frame(2)


class Touch:
    """A pointer that is down."""

    def __init__(self, screen: Offscreen, x: float, y: float, button: str) -> None:
        from kivy.tests.common import UnitTestTouch

        self._screen = screen
        height = screen.window.height
        self._touch = UnitTestTouch(x, height - y)
        self._touch.profile = [*self._touch.profile, "button"]
        self._touch.button = button
        self._touch.touch_down()
        screen.frame(2)

    def move(self, x: float, y: float) -> Touch:
        self._touch.touch_move(x, self._screen.window.height - y)
        self._screen.frame(2)
        return self

    def up(self) -> None:
        self._touch.touch_up()
        self._screen.frame(2)
