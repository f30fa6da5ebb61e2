"""Where a new window goes, and which one is already there. Pure."""

from __future__ import annotations

from dataclasses import replace

from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.morph import ROOT, Morph, State, World
from a4ps.ui.model.pane import Pane

#: The strip above, the timeline and the chat field below are kept free.
_ABOVE, _BELOW, _BESIDE = 48.0, 110.0, 16.0
#: Each further window lies so much lower and further to the right.
_STEP = 28.0


def opened(world: World, pane: Pane, state: State) -> tuple[World, str]:
    """The world with a window of this pane on top, whose state has all of `state`; and its id."""
    for morph in world.of_kind("window"):
        if morph.state.get("pane") == pane.name and all(morph.state.get(key) == state[key] for key in state):
            if morph.collapsed:
                world = world.put(replace(morph, collapsed=False))
            return world.raised(morph.id), morph.id
    id = world.fresh_id(pane.name)
    room = world.root.rect
    width = min(pane.size[0], max(180.0, room.width - 2 * _BESIDE))
    height = min(pane.size[1], max(90.0, room.height - _ABOVE - _BELOW))
    at = _free_corner(world, width, height)
    window = Morph(id, "window", Rect(at.x, at.y, width, height), {"pane": pane.name, **state})
    return world.add(window), id


def _free_corner(world: World, width: float, height: float) -> Point:
    """On the right, where no other window begins."""
    room = world.root.rect
    x, y = max(_BESIDE, room.width - width - 2 * _BESIDE), _ABOVE
    taken = [world.rect(each.id).corner for each in world.of_kind("window") if each.parent == ROOT]
    at = Point(x, y)
    while any(each.distance(at) < _STEP for each in taken):
        at = Point(at.x - _STEP, at.y + _STEP)
        if at.x < _BESIDE or at.y + height > room.height - _BESIDE:
            return Point(max(_BESIDE, x - _STEP * (len(taken) % 7)), y + _STEP * (len(taken) % 5))
    return at
