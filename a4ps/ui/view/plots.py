"""Curves over time, drawn by Matplotlib: what does not move is drawn once, each new sample only copies and adds the line.

Matplotlib is imported when the first plot is seen, in another thread, as that takes a second or so.
"""

from __future__ import annotations

import importlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
from kivy.clock import Clock
from kivy.graphics.texture import Texture

from a4ps.ui.model.blocks import Plot
from a4ps.ui.model.palette import Theme
from a4ps.ui.view.fonts import FILES
from a4ps.ui.view.laying import Showing

#: So many pictures are kept.
_MOST = 40
_DPI = 100


class Plots:
    """All plots of a world. `ready` is called in the window's thread when they can be drawn."""

    def __init__(self, ready: Callable[[], None]) -> None:
        self._ready = ready
        self._pictures: OrderedDict[tuple[str, str], PlotMorph] = OrderedDict()
        self._loading: threading.Thread | None = None
        #: Why there are none: Matplotlib is not installed.
        self.fault = ""
        self._loaded = False

    @property
    def are_ready(self) -> bool:
        """Whether nothing is waited for."""
        return self._loading is None

    def texture(
        self, window: str, plot: Plot, showing: Showing, theme: Theme, scale: float, width: int, height: int
    ) -> Any:
        """The picture of a plot in that size; None where it cannot be drawn yet, or at all (`fault`)."""
        if not self._loaded:
            self._load()
            return None
        key = window, plot.name
        picture = self._pictures.get(key)
        if picture is None or picture.made_for != (theme.name, scale, width, height):
            picture = self._pictures[key] = PlotMorph(theme, scale, width, height)
            if len(self._pictures) > _MOST:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        picture.show(plot, showing)
        return picture.texture

    def _load(self) -> None:
        if self._loading is not None or self.fault:
            return

        def load() -> None:
            try:
                for name in ("matplotlib.backends.backend_agg", "matplotlib.figure", "matplotlib.font_manager"):
                    importlib.import_module(name)
            except ImportError:
                self.fault = "Plots need Matplotlib: pip install 'a4ps[ui]'"
            Clock.schedule_once(lambda _: self._has_loaded())

        self._loading = threading.Thread(target=load, name="matplotlib", daemon=True)
        self._loading.start()

    def _has_loaded(self) -> None:
        self._loading = None
        self._loaded = not self.fault
        self._ready()


class PlotMorph:
    """One plot in one size, as a texture whose first row is the upper one."""

    def __init__(self, theme: Theme, scale: float, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.font_manager import FontProperties

        self.made_for = (theme.name, scale, width, height)
        self.texture = Texture.create(size=(width, height), colorfmt="rgba")
        self._theme, self._scale = theme, scale
        self._font = FontProperties(fname=FILES["sans"], size=7.0 * scale)
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=theme.entry)
        self._canvas = FigureCanvasAgg(self._figure)
        left, right, bottom, top = 40 * scale / width, 1 - 10 * scale / width, 18 * scale / height, 1 - 6 / height
        self._axes = self._figure.add_axes((left, bottom, max(0.1, right - left), max(0.1, top - bottom)))
        self._axes.set_facecolor(theme.entry)
        for side in ("top", "right", "left"):
            self._axes.spines[side].set_visible(False)
        self._axes.spines["bottom"].set_color(theme.edge)
        self._axes.tick_params(colors=theme.muted, length=2, width=0.6, pad=2)
        self._axes.grid(True, axis="y", color=theme.edge, linewidth=0.4)
        (self._line,) = self._axes.plot([], [], color=theme.calm, linewidth=1.2, animated=True, solid_joinstyle="round")
        (self._dot,) = self._axes.plot([], [], "o", color=theme.strong, markersize=2.5, animated=True)
        self._still: tuple[object, ...] = ()
        self._ground: Any = None
        self._shown: tuple[object, ...] = ()

    def show(self, plot: Plot, showing: Showing) -> None:
        """Draw it, if it is not what is drawn already."""
        shown = (plot.points, showing, plot.low, plot.high, plot.unit)
        if self._shown and self._shown[0] is plot.points and self._shown[1:] == shown[1:]:
            return
        self._shown = shown
        points = np.array(plot.points, dtype=float).reshape(-1, 2)
        until_s = showing.until_s if showing.until_s is not None else (points[-1, 0] if len(points) else 0.0)
        if len(points):
            points = points[(points[:, 0] > until_s - showing.seconds) & (points[:, 0] <= until_s)]
            points = points[np.isfinite(points[:, 1])]
        low, high = _bounds(points[:, 1] if len(points) else np.zeros(1), plot.low, plot.high)
        self._prepare(showing.seconds, low, high, plot.unit)
        self._canvas.restore_region(self._ground)
        if len(points):
            self._line.set_data(points[:, 0] - until_s, points[:, 1])
            self._dot.set_data(points[-1:, 0] - until_s, points[-1:, 1])
            self._axes.draw_artist(self._line)
            self._axes.draw_artist(self._dot)
        self.texture.blit_buffer(memoryview(self._canvas.buffer_rgba()).cast("B"), colorfmt="rgba", bufferfmt="ubyte")

    def _prepare(self, seconds: float, low: float, high: float, unit: str) -> None:
        """Draw what does not move, where it is not what it was."""
        if self._still == (seconds, low, high, unit):
            return
        self._still = seconds, low, high, unit
        axes = self._axes
        axes.set_xlim(-seconds, seconds * 0.01)
        margin = (high - low) * 0.06
        axes.set_ylim(low - margin, high + margin)
        ticks = [-seconds, -seconds / 2, 0]
        axes.set_xticks(ticks, [_ago(-each) for each in ticks], fontproperties=self._font)
        axes.set_yticks([low, high], [_short(low), f"{_short(high)}{' ' + unit if len(unit) < 4 else ''}"])
        for label in axes.get_yticklabels():
            label.set_fontproperties(self._font)
        axes.get_xticklabels()[0].set_horizontalalignment("left")
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
        self._canvas.draw()
        self._ground = self._canvas.copy_from_bbox(self._figure.bbox)


def _bounds(values: Any, low: float | None, high: float | None) -> tuple[float, float]:
    """The axis' ends: as they are given, else round numbers around the values, so that they seldom change."""
    least, most = float(values.min(initial=math.inf)), float(values.max(initial=-math.inf))
    if not math.isfinite(least) or not math.isfinite(most):
        least = most = 0.0
    low = _round(least, up=False) if low is None else min(low, least)
    high = _round(most, up=True) if high is None else max(high, most)
    return (low, high) if high > low else (low, low + 1.0)


def _round(value: float, *, up: bool) -> float:
    if value == 0:
        return 0.0
    if not up:
        return 0.0 if value > 0 else -_round(-value, up=True)
    if value < 0:
        return 0.0
    step = 10.0 ** math.floor(math.log10(value))
    return next(step * each for each in (1, 2, 5, 10) if step * each >= value * 0.999999)


def _short(value: float) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"


def _ago(seconds: float) -> str:
    if seconds == 0:
        return "now"
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= size:
            return f"−{seconds / size:.3g} {unit}"
    return f"−{seconds:.3g} s"


def save_plot(plot: Plot, showing: Showing, theme: Theme, path: str) -> None:
    """Write it as PNG or SVG, by the path's ending. Raises OSError, ValueError for another ending, or ImportError."""
    picture = PlotMorph(theme, 1.6, 960, 360)
    picture.show(plot, showing)
    picture._axes.set_title(plot.title, fontproperties=picture._font, color=theme.text, loc="left")
    for each in (picture._line, picture._dot):
        each.set_animated(False)
    picture._figure.savefig(path, dpi=_DPI * 2)
