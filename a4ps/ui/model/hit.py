"""What lies at a point of the world: which morphs, and which part of one. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal, TypeAlias

from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.morph import ROOT, Morph, World

#: A window's title bar, and a collapsed window, are this high.
TITLE_HEIGHT = 30.0
#: The corner at the lower right that resizes, as a square.
CORNER = 16.0
#: Each of the two buttons at a title bar's right end.
BUTTON_WIDTH = 26.0

Part: TypeAlias = Literal["body", "title", "collapse", "close", "corner"]

#: What has the corner that resizes.
RESIZED = frozenset({"window", "note", "placeholder"})


def seen_rect(morph: Morph) -> Rect:
    """What is seen of a morph, relative to its parent: of a collapsed one its title."""
    return morph.rect.sized(morph.rect.width, min(TITLE_HEIGHT, morph.rect.height)) if morph.collapsed else morph.rect


def turned(point: Point, about: Point, degrees: float) -> Point:
    """The point, turned clockwise about another."""
    if not degrees:
        return point
    angle = math.radians(degrees)
    x, y = point.x - about.x, point.y - about.y
    return Point(
        about.x + x * math.cos(angle) - y * math.sin(angle), about.y + x * math.sin(angle) + y * math.cos(angle)
    )


def stack_at(world: World, point: Point) -> tuple[str, ...]:
    """The ids of all morphs under a point, the topmost first; the world itself is none of them.

    What lies in a morph may reach out of it. What is round is hit within its circle.
    """
    return tuple(_hits(world, world.root, point))


def topmost_at(world: World, point: Point, *, without: str = "") -> str | None:
    """The topmost morph under a point, leaving out `without` and what lies in it."""
    for id in stack_at(world, point):
        if id != without and all(each.id != without for each in world.ancestors(id)):
            return id
    return None


def _hits(world: World, parent: Morph, point: Point) -> Iterator[str]:
    """`point` is relative to the parent's corner."""
    for id in reversed(parent.children):
        morph = world[id]
        rect = seen_rect(morph)
        straight = turned(point, rect.centre, -morph.angle)
        if not morph.collapsed and morph.children:
            yield from _hits(world, morph, straight - rect.corner)
        if _covers(morph, rect, straight):
            yield id


def _covers(morph: Morph, rect: Rect, point: Point) -> bool:
    if morph.kind == "persona" and not morph.collapsed:
        return point.distance(rect.centre) <= min(rect.width, rect.height) / 2
    return rect.contains(point)


def part_at(world: World, id: str, point: Point) -> Part:
    """Which part of a morph a point of the world is in, taking it that it is in the morph."""
    morph = world[id]
    rect = seen_rect(morph)
    at = within(world, id, point)
    if morph.kind == "window" and at.y < TITLE_HEIGHT:
        if at.x >= rect.width - BUTTON_WIDTH:
            return "close"
        return "collapse" if at.x >= rect.width - 2 * BUTTON_WIDTH else "title"
    if not morph.collapsed and morph.kind in RESIZED and at.x >= rect.width - CORNER and at.y >= rect.height - CORNER:
        return "corner"
    return "body"


def within(world: World, id: str, point: Point) -> Point:
    """A point of the world as the morph sees it: relative to its upper left corner, and turned as it is."""
    morph = world[id]
    rect = seen_rect(morph)
    return turned(_within_parent(world, id, point), rect.centre, -morph.angle) - rect.corner


def _within_parent(world: World, id: str, point: Point) -> Point:
    """A point of the world as its morph's parent sees it: relative to its corner, and turned as it is."""
    for each in reversed([each for each in world.ancestors(id) if each.id != ROOT]):
        point = turned(point, each.rect.centre, -each.angle) - each.rect.corner
    return point


def seen_in_world(world: World, id: str) -> Rect:
    """What is seen of a morph, as a rectangle of the world, not turned."""
    rect = world.rect(id)
    seen = seen_rect(world[id])
    return rect.sized(seen.width, seen.height)
