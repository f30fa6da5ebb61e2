"""What blocks are once they are laid out: things to be drawn and parts that can be pressed, as values. No Kivy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.ui.model.blocks import Act, Block, Entry, Marks, Plot
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.view.fonts import Face


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `slides`: it is moved when its code is scrolled sideways."""

    rect: Rect
    text: str
    face: Face
    size: int
    colour: str
    slides: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle and its edge, each of which may be none ("")."""

    rect: Rect
    colour: str
    edge: str = ""
    radius: int = 5


@dataclass(frozen=True, slots=True)
class Dot:
    rect: Rect
    colour: str


@dataclass(frozen=True, slots=True)
class Curve:
    """A plot's picture."""

    rect: Rect
    plot: Plot


Item: TypeAlias = Words | Box | Dot | Curve

#: "press": its act when it is let go; "entry": a field; "scrub": along marks; the last three belong to a plot.
PartKind: TypeAlias = Literal["press", "entry", "scrub", "range", "pause", "save"]


@dataclass(frozen=True, slots=True)
class Part:
    """What can be pressed, and what it is about. `text` is where a field's text is, within its edges."""

    rect: Rect
    kind: PartKind
    act: Act | None = None
    entry: Entry | None = None
    marks: Marks | None = None
    plot: Plot | None = None
    text: Rect | None = None


@dataclass(frozen=True, slots=True)
class Laid:
    """A block where it is: everything is relative to its upper left corner."""

    block: Block
    width: float
    height: float
    items: Sequence[Item]
    parts: Sequence[Part]

    def part_at(self, point: Point) -> Part | None:
        """The part at a point; of two, the one that was put there later."""
        return next((each for each in reversed(self.parts) if each.rect.contains(point)), None)
