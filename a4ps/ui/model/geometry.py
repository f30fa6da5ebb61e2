"""Points and rectangles of the world, in pixels at scale 1. x grows to the right, y downwards, angles clockwise."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Point:
    x: float
    y: float

    def __add__(self, other: Point) -> Point:
        return Point(self.x + other.x, self.y + other.y)

    def __sub__(self, other: Point) -> Point:
        return Point(self.x - other.x, self.y - other.y)

    def distance(self, other: Point) -> float:
        return math.hypot(self.x - other.x, self.y - other.y)

    def towards(self, degrees: float, distance: float) -> Point:
        """The point at that distance, `degrees` clockwise from the right."""
        angle = math.radians(degrees)
        return Point(self.x + distance * math.cos(angle), self.y + distance * math.sin(angle))


ORIGIN = Point(0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Rect:
    """`x`, `y` is the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    @property
    def corner(self) -> Point:
        return Point(self.x, self.y)

    @property
    def centre(self) -> Point:
        return Point(self.x + self.width / 2, self.y + self.height / 2)

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def contains(self, point: Point) -> bool:
        return self.x <= point.x < self.right and self.y <= point.y < self.bottom

    def moved(self, by: Point) -> Rect:
        return Rect(self.x + by.x, self.y + by.y, self.width, self.height)

    def sized(self, width: float, height: float) -> Rect:
        return Rect(self.x, self.y, width, height)

    def kept_inside(self, outer: Rect) -> Rect:
        """Moved, not sized, so that as much of it as can be is inside of `outer`, its upper left corner at any rate."""
        x = max(outer.x, min(self.x, outer.right - self.width))
        y = max(outer.y, min(self.y, outer.bottom - self.height))
        return Rect(x, y, self.width, self.height)
