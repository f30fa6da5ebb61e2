"""Puts shapes and words into a group of Kivy's instructions. Points are the world's: y grows downwards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from kivy.graphics import Color, InstructionGroup, Mesh, Rectangle

from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.palette import rgb
from a4ps.ui.view import textures
from a4ps.ui.view.fonts import Face
from a4ps.ui.view.text import Texts


class Pen:
    """Adds to a group, each thing above those before."""

    def __init__(self, group: Any, texts: Texts) -> None:
        self.group = group
        self.texts = texts
        self._tint: tuple[str, float] | None = None
        #: What it covers, and what it covered before it was cleared.
        self.bounds: Rect | None = None
        self._before: Rect | None = None

    @classmethod
    def new(cls, texts: Texts) -> Pen:
        return cls(InstructionGroup(), texts)

    def clear(self) -> None:
        self.group.clear()
        self._tint = None
        self._before, self.bounds = around(self._before, self.bounds), None

    def changed(self) -> list[Rect]:
        """What it has covered since it was asked this last: what has to be drawn anew."""
        found = [each for each in (self._before, self.bounds) if each is not None]
        self._before = None
        return found

    def _covers(self, rect: Rect) -> None:
        self.bounds = around(self.bounds, rect)

    def tint(self, colour: str, alpha: float = 1.0) -> Any:
        """What follows has this colour. The instruction is returned, so that it can be changed later."""
        if self._tint == (colour, alpha):
            return None
        self._tint = colour, alpha
        instruction = Color(*rgb(colour), alpha)
        self.group.add(instruction)
        return instruction

    def add(self, instruction: Any) -> Any:
        self.group.add(instruction)
        return instruction

    def fill(self, rect: Rect, colour: str, alpha: float = 1.0) -> None:
        """A rectangle with sharp corners."""
        self._covers(rect)
        self.tint(colour, alpha)
        self.group.add(Rectangle(pos=(rect.x, rect.y), size=(rect.width, rect.height)))

    def box(self, rect: Rect, colour: str, radius: int = 6, alpha: float = 1.0) -> None:
        """A rectangle with round corners."""
        radius = int(min(radius, rect.width // 2, rect.height // 2))
        if radius < 1:
            self.fill(rect, colour, alpha)
            return
        self._patch(rect, textures.rounded(radius), radius, colour, alpha)

    def top(self, rect: Rect, colour: str, radius: int) -> None:
        """A rectangle whose two upper corners are round."""
        self._patch(rect, textures.rounded(radius), radius, colour, rows=2)

    def outline(self, rect: Rect, colour: str, radius: int = 6, alpha: float = 1.0) -> None:
        """The edge of such a box, 1 px wide, within it."""
        radius = int(min(radius, rect.width // 2 - 1, rect.height // 2 - 1))
        if radius < 1:
            return
        self._patch(rect, textures.outlined(radius), radius + 1, colour, alpha)

    def shadow(self, rect: Rect, colour: str, alpha: float = 0.7) -> None:
        """The shadow of a box, which lies a little lower."""
        reach = textures.SHADOW
        whole = Rect(rect.x - reach, rect.y - reach + 5, rect.width + 2 * reach, rect.height + 2 * reach)
        self._patch(whole, textures.shadow(), 2 * reach, colour, alpha, hollow=True)

    def frame(self, rect: Rect, colour: str, radius: int) -> None:
        """The rim of a box with round corners, as wide as they are; what is in it is drawn by somebody else."""
        self._patch(rect, textures.rounded(radius), radius, colour, hollow=True)

    def veil(self, rect: Rect, colour: str, alpha: float = 0.9) -> None:
        """Hides what lies there, with soft edges."""
        edge = min(2.0 * textures.SHADOW, rect.width / 2, rect.height / 2)
        self._patch(rect, textures.soft(), edge, colour, alpha, share=0.45)

    def _patch(
        self, rect: Rect, texture: Any, corner: float, colour: str, alpha: float = 1.0, *,
        rows: int = 3, share: float = 0.0, hollow: bool = False,
    ) -> None:  # fmt: skip
        self._covers(rect)
        self.tint(colour, alpha)
        self.group.add(patched(rect, texture, corner, rows, share, hollow))

    def disc(self, centre: Point, diameter: float, colour: str, alpha: float = 1.0) -> None:
        self.picture(textures.disc(min(max(2, round(diameter)), textures.FACE_MAX)), centre, diameter, colour, alpha)

    def ring(self, centre: Point, diameter: float, width: float, colour: str, alpha: float = 1.0) -> None:
        self.picture(
            textures.ring(min(max(4, round(diameter)), textures.FACE_MAX), width), centre, diameter, colour, alpha
        )

    def picture(self, texture: Any, centre: Point, size: float, colour: str, alpha: float = 1.0) -> Any:
        """A square texture of ours around a point."""
        self.tint(colour, alpha)
        at = centre.x - size / 2, centre.y - size / 2
        self._covers(Rect(*at, size, size))
        return self.add(Rectangle(texture=texture, pos=at, size=(size, size)))

    def words(
        self,
        text: str,
        x: float,
        y: float,
        face: Face,
        size: int,
        colour: str,
        *,
        middle: bool = False,
        alpha: float = 1.0,
    ) -> float:
        """One line of text whose upper left corner is there, or the middle of its upper edge; its width is returned."""
        texture = self.texts.texture(text, face, size)
        if texture is None:
            return self.texts.width(text, face, size) if text else 0.0
        width, height = texture.size
        self.tint(colour, alpha)
        left = x - width / 2 if middle else x
        self._covers(Rect(left, y, width, height))
        self.group.add(
            Rectangle(texture=texture, pos=(round(left), round(y)), size=texture.size, tex_coords=upright(texture))
        )
        return float(width)

    def stroke(
        self,
        points: Sequence[Point],
        width: float,
        colour: str,
        alpha: float = 1.0,
        dash: tuple[float, float] | None = None,
    ) -> None:
        """A line through points, with soft edges; `dash` is (drawn, left out), in px."""
        pieces = [points] if dash is None else _dashed(points, *dash)
        vertices: list[float] = []
        indices: list[int] = []
        half = width / 2 + 1
        xs, ys = [each.x for each in points], [each.y for each in points]
        self._covers(Rect(min(xs) - half, min(ys) - half, max(xs) - min(xs) + 2 * half, max(ys) - min(ys) + 2 * half))
        for piece in pieces:
            for a, b in pairwise(piece):
                length = a.distance(b)
                if length < 1e-6:
                    continue
                across = Point(-(b.y - a.y) / length * half, (b.x - a.x) / length * half)
                first = len(vertices) // 4
                for at, u in ((a + across, 0.0), (a - across, 1.0), (b - across, 1.0), (b + across, 0.0)):
                    vertices += (at.x, at.y, u, 0.5)
                indices += (first, first + 1, first + 2, first + 2, first + 3, first)
        if not indices:
            return
        self.tint(colour, alpha)
        self.group.add(Mesh(vertices=vertices, indices=indices, mode="triangles", texture=textures.stroke()))


def around(one: Rect | None, other: Rect | None) -> Rect | None:
    """The smallest rectangle that holds both."""
    if one is None or other is None:
        return other if one is None else one
    x, y = min(one.x, other.x), min(one.y, other.y)
    return Rect(x, y, max(one.right, other.right) - x, max(one.bottom, other.bottom) - y)


def upright(texture: Any) -> tuple[float, ...]:
    """The texture coordinates with which one of Kivy's own is drawn upright where y grows downwards."""
    t = texture.tex_coords
    return (t[6], t[7], t[4], t[5], t[2], t[3], t[0], t[1])


def patched(rect: Rect, texture: Any, corner: float, rows: int = 3, share: float = 0.0, hollow: bool = False) -> Any:
    """A texture over a rectangle of which only the middle is stretched; of its three rows the upper ones where `rows` is 2.

    `share` is how much of the texture's width its corners are, where that is not `corner`. `hollow`: without the middle,
    which a software renderer would fill for nothing where something else hides it.
    """
    edge = share or corner / texture.width
    xs = ((rect.x, 0.0), (rect.x + corner, edge), (rect.right - corner, 1 - edge), (rect.right, 1.0))
    ys: tuple[tuple[float, float], ...]
    if rows == 3:
        ys = ((rect.y, 0.0), (rect.y + corner, edge), (rect.bottom - corner, 1 - edge), (rect.bottom, 1.0))
    else:
        ys = ((rect.y, 0.0), (rect.y + corner, edge), (rect.bottom, 1 - edge))
    vertices: list[float] = []
    for y, v in ys:
        for x, u in xs:
            vertices += (x, y, u, v)
    indices: list[int] = []
    for row in range(len(ys) - 1):
        for column in range(3):
            if hollow and row == column == 1:
                continue
            a = row * 4 + column
            indices += (a, a + 1, a + 5, a + 5, a + 4, a)
    return Mesh(vertices=vertices, indices=indices, mode="triangles", texture=texture)


def _dashed(points: Sequence[Point], drawn: float, left_out: float) -> list[list[Point]]:
    pieces: list[list[Point]] = []
    piece: list[Point] = [points[0]]
    left, is_drawn = drawn, True
    for a, b in pairwise(points):
        done, length = 0.0, a.distance(b)
        while length - done > left:
            done += left
            at = Point(a.x + (b.x - a.x) * done / length, a.y + (b.y - a.y) * done / length)
            if is_drawn:
                pieces.append([*piece, at])
            piece, is_drawn = [at], not is_drawn
            left = drawn if is_drawn else left_out
        left -= length - done
        piece.append(b)
    if is_drawn and len(piece) > 1:
        pieces.append(piece)
    return pieces


def curve(a: Point, b: Point, bend: float, steps: int = 24) -> list[Point]:
    """An arc from one point to another, whose middle lies `bend` px aside."""
    middle = Point((a.x + b.x) / 2, (a.y + b.y) / 2)
    length = max(1.0, a.distance(b))
    aside = Point(middle.x + (b.y - a.y) / length * bend * 2, middle.y - (b.x - a.x) / length * bend * 2)
    found = []
    for number in range(steps + 1):
        t = number / steps
        s = 1 - t
        found.append(
            Point(s * s * a.x + 2 * s * t * aside.x + t * t * b.x, s * s * a.y + 2 * s * t * aside.y + t * t * b.y)
        )
    return found


def towards(a: Point, b: Point, distance: float) -> Point:
    """The point that far from `a` in the direction of `b`."""
    length = math.hypot(b.x - a.x, b.y - a.y)
    return a if length < 1e-6 else Point(a.x + (b.x - a.x) * distance / length, a.y + (b.y - a.y) * distance / length)
