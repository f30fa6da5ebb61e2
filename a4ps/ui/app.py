"""The window of the system: opened on a desk, and closed with it, or drawn once into a picture.

Kivy is imported by `run`, once its environment is prepared, and by nothing before.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from a4ps.client.client import As
from a4ps.errors import A4PSError, CallerError, StorageFailed, Unsupported
from a4ps.log_file import open_log
from a4ps.places import Places
from a4ps.ui.desk import Desk
from a4ps.ui.link import Link
from a4ps.ui.model.arrangement import fitted
from a4ps.ui.model.morph import World
from a4ps.ui.model.pane import known_panes
from a4ps.ui.model.script import MOST_BYTES, read
from a4ps.ui.own_views import load_own_views
from a4ps.ui.view import environment, x_errors
from a4ps.ui.worlds import Worlds, checked

if TYPE_CHECKING:
    from a4ps.ui.view.stage import Stage

_log = logging.getLogger(__name__)

#: After so many errors of ours the window is closed.
_FAILURES_MAX = 100
#: A picture is drawn when all answers are there, or after so long with what there is.
PICTURE_MAX_S = 20.0
#: So many frames in a row have to have nothing left to do.
_SETTLED_FRAMES = 3


@dataclass(frozen=True, slots=True)
class Options:
    """What the window is opened with; "" and None are as the world has it."""

    home: str | None = None
    size: tuple[int, int] = (1440, 900)
    screenshot: Path | None = None
    script: Path | None = None
    world: str = ""
    theme: str = ""
    scale: float | None = None


def run(options: Options) -> int:
    """Open the window, and return when it is closed, or the picture is written. Raises A4PSError."""
    offscreen = options.screenshot is not None
    if not offscreen:
        environment.check_screen(os.environ)
    places = Places.find(options.home, os.environ)
    open_log(places.log)
    worlds = Worlds(places.worlds, known_panes(), writes=not offscreen)
    width, height = options.size
    drawn = _script(options.script, width, height) if options.script is not None else None
    if not offscreen:
        x_errors.outlive_refusals()
    open_window(options.size, offscreen=offscreen, folder=places.home / "cache" / "kivy")
    link = Link(places, As("ui"))
    desk = Desk(link, world=drawn, worlds=None if drawn is not None else worlds, size=options.size)
    if not offscreen:
        x_errors.end_by(lambda: _screen_gone(desk))
    try:
        _dress(desk, options, keeps=drawn is None)
        for notice in load_own_views():
            desk.notice(notice.text, notice.next_step, bad=notice.bad)
        shown = Showing(desk)
        link.start(shown.wake)
        if options.screenshot is not None:
            picture = Picture(shown.stage, desk, options.screenshot)
            shown.run()
            picture.check()
        else:
            with desk.settling():
                desk.scene.begin_tour_once()
            shown.run()
    finally:
        error = desk.close()
    if error is not None:
        raise error
    return 0


def _script(path: Path, width: int, height: int) -> World:
    """The world of a reconstruction script, in a window of that size. Raises CallerError or StorageFailed."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise StorageFailed(
            f"cannot read {path}: {error.strerror}", next_step="give the path of a world's script"
        ) from error
    return fitted(read(data, known_panes()).world, width, height)


def _screen_gone(desk: Desk) -> int:
    """The display was ended, or its connection was: nothing can be shown any more. The exit code."""
    error = desk.close()
    if error is not None:
        report(error)
    return report(Unsupported("the display is gone; the backend goes on", next_step="on another one: a4ps ui"))


def _dress(desk: Desk, options: Options, *, keeps: bool) -> None:
    with desk.settling():
        if options.world and keeps and checked(options.world) != desk.scene.name:
            desk.scene.show(options.world)
        if options.theme and options.theme != desk.theme.name:
            desk.scene.other_theme(options.theme)
        if options.scale and options.scale != desk.font_scale:
            desk.scene.scale_to(options.scale)


def open_window(size: tuple[int, int], *, offscreen: bool, folder: Path) -> Any:
    """Import Kivy, which keeps its own things in `folder`, and open its window.

    Raises Unsupported where there is no Kivy, no OpenGL or no screen.
    """
    environment.prepare(offscreen=offscreen, folder=str(folder))
    with suppress(OSError):  # then Kivy warns of it, and goes on
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        from kivy.config import Config
    except ImportError:
        raise Unsupported("the window needs Kivy, which is not installed", next_step="pip install 'a4ps[ui]'") from None
    # Kivy calls critical what it then does without, such as a program for the clipboard.
    logging.getLogger("kivy").setLevel(logging.CRITICAL + 1)
    for section, key, value in (
        ("graphics", "width", str(size[0])),
        ("graphics", "height", str(size[1])),
        ("graphics", "multisamples", "0"),
        ("graphics", "minimum_width", "320"),
        ("graphics", "minimum_height", "240"),
        ("kivy", "exit_on_escape", "0"),
        ("kivy", "kivy_clock", "interrupt"),
        ("input", "mouse", "mouse,disable_multitouch"),
    ):
        Config.set(section, key, value)
    failed = Unsupported(
        "no window could be opened: OpenGL 2 is missing here, or the screen refuses",
        next_step="install Mesa (on Debian: apt install libegl1 libgles2 libgl1-mesa-dri), or use the terminal: a4ps chat",
    )
    try:
        from kivy.core.window import Window
    except (Exception, SystemExit) as error:
        raise failed from error
    if Window is None:
        raise failed
    return Window


class Showing:
    """A desk on the screen."""

    def __init__(
        self, desk: Desk, *, now: Callable[[], float] = time.monotonic, clock: Callable[[], float] = time.time
    ) -> None:
        from kivy.app import App
        from kivy.base import ExceptionManager
        from kivy.clock import Clock
        from kivy.core.window import Window

        from a4ps.ui.model.geometry import Point
        from a4ps.ui.view.keys import Keys
        from a4ps.ui.view.pointing import Pointing
        from a4ps.ui.view.root import Root

        self.desk = desk
        self.stage = Root(desk, now=now, clock=clock)
        self.pointing = self.stage.pointing = Pointing(self.stage)
        self.keys = Keys(self.stage, self.pointing)
        self._pump = Clock.create_trigger(lambda _: desk.pump(), -1)
        self._window, stage = Window, self.stage

        class Program(App):
            title = "A4PS"

            def build(self) -> Any:
                return stage

            def build_settings(self, _: object) -> None:
                """There are none of Kivy's own."""

            def open_settings(self, *_: object) -> bool:
                return False

        self.program = Program()
        ExceptionManager.add_handler(_handler(desk))
        desk.hands.copy = _copy
        desk.hands.chat = stage.editing.give_chat
        desk.hands.focus = self._focus
        desk.hands.picture = self._ask_picture
        desk.hands.leave = self.program.stop
        Window.bind(on_drop_file=lambda _, path, x, y, *__: desk.drop_file(os.fsdecode(path), Point(x, y)))

    def wake(self) -> None:
        """Have the desk pumped before the next frame; may be called in any thread."""
        self._pump()

    def run(self) -> None:
        """Until the window is closed."""
        self.program.run()

    def _focus(self, id: str) -> None:
        world = self.desk.world
        body = self.stage.body_of(id)
        if id in world and world[id].kind == "note":
            self.stage.editing.edit_note(id)
        elif body is not None and (keys := body.entries()):
            self.stage.editing.edit(id, keys[0])
        else:
            self.keys.pressed("tab")

    def _ask_picture(self) -> None:
        self.stage.editing.ask_path("a picture", "a4ps.png", save_picture)


def _handler(desk: Desk) -> Any:
    """What Kivy's loop does with an error of ours: it is logged and said, and the window goes on, unless it never ends."""
    from kivy.base import ExceptionHandler, ExceptionManager

    class Handler(ExceptionHandler):
        def __init__(self) -> None:
            super().__init__()
            self.failures = 0

        def handle_exception(self, inst: BaseException) -> Any:
            if not isinstance(inst, Exception):
                return ExceptionManager.RAISE
            self.failures += 1
            _log.error("the window failed", exc_info=inst)
            if self.failures == 1:
                desk.notice("The window failed at that; the log has the details.", "a4ps doctor", bad=True)
            return ExceptionManager.PASS if self.failures < _FAILURES_MAX else ExceptionManager.RAISE

    return Handler()


def _copy(text: str) -> None:
    # Looking for a clipboard takes some time, and is done when there is something for it.
    from kivy.core.clipboard import Clipboard

    Clipboard.copy(text)


def save_picture(path: Path) -> None:
    """Write what the window shows as PNG. Raises OSError."""
    from kivy.core.window import Window
    from kivy.graphics.opengl import GL_RGB, GL_UNSIGNED_BYTE, glReadPixels

    from a4ps.ui.view import png

    Window.dispatch("on_draw")
    width, height = (int(each) for each in Window.size)
    png.save(path, bytes(glReadPixels(0, 0, width, height, GL_RGB, GL_UNSIGNED_BYTE)), width, height)


class Picture:
    """Writes one picture as soon as everything is there, and ends the window."""

    def __init__(self, stage: Stage, desk: Desk, path: Path, now: Callable[[], float] = time.monotonic) -> None:
        from kivy.clock import Clock

        self._stage, self._desk, self._path, self._now = stage, desk, path, now
        self._until_s = now() + PICTURE_MAX_S
        self._settled = 0
        self._error: OSError | None = None
        self._looking = Clock.schedule_interval(self._look, 0.03)

    def check(self) -> None:
        """Raises StorageFailed where the picture could not be written."""
        if self._error is not None:
            raise StorageFailed(
                f"cannot write {self._path}: {self._error.strerror}", next_step="choose a place that can be written to"
            )

    def _look(self, _: float) -> None:
        society = self._desk.society
        known = society.link in ("lost", "refused") or (society.link == "live" and society.status is not None)
        is_still = known and self._stage.is_settled and not self._desk.calls.under_way()
        self._settled = self._settled + 1 if is_still else 0
        if self._settled < _SETTLED_FRAMES and self._now() < self._until_s:
            return
        self._looking.cancel()
        try:
            save_picture(self._path)
        except OSError as error:
            self._error = error
        self._desk.hands.leave()


def report(error: A4PSError) -> int:
    """Say on the error stream what is wrong and what can be done; the exit code."""
    sys.stderr.write(f"a4ps: {error.message}\n" + (f"next: {error.next_step}\n" if error.next_step else ""))
    return error.exit_code


def size_of(text: str) -> tuple[int, int]:
    """A size written as 1280x800. Raises CallerError."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 320 <= int(width) <= 7680 and 240 <= int(height) <= 4320):
        raise CallerError(
            f"{text!r} is no size of a window", next_step="write it as 1280x800, from 320x240 to 7680x4320"
        )
    return int(width), int(height)
