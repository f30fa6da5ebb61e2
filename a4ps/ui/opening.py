"""Where a new window goes, and which one is already there. Pure."""

from __future__ import annotations

from dataclasses import replace

from a4ps.ui.model.furniture import font_scale, room_of
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.morph import ROOT, Morph, State, World
from a4ps.ui.model.pane import Pane

#: What is kept free beside a new window.
_BESIDE = 20.0
#: Each further window lies so much lower and further to the right.
_STEP = 28.0


def opened(world: World, pane: Pane, state: State) -> tuple[World, str]:
    """The world with the window of this pane and subject on top, which shows what `state` says; and its id.

    One that is there keeps what else it shows of its subject; one of no subject shows nothing but what is wanted.
    """
    subject = state.get("subject", "")
    for morph in world.of_kind("window"):
        if morph.state.get("pane") != pane.name or morph.state.get("subject", "") != subject:
            continue
        now = {**(morph.state if subject or not state else {"pane": pane.name}), **state}
        if morph.collapsed or now != morph.state:
            world = world.put(replace(morph, collapsed=False, state=now))
        return world.raised(morph.id), morph.id
    id = world.fresh_id(pane.name)
    room, scale = room_of(world), font_scale(world)
    width = min(pane.size[0] * scale, max(180.0, room.width - 2 * _BESIDE))
    height = min(pane.size[1] * scale, max(90.0, room.height - 2 * _BESIDE))
    at = _free_corner(world, room, width, height)
    window = Morph(id, "window", Rect(at.x, at.y, width, height), {"pane": pane.name, **state})
    return world.add(window), id


def _free_corner(world: World, room: Rect, width: float, height: float) -> Point:
    """Between the left and the middle, where no other window begins; further windows lie lower and further right."""
    first = Point(room.x + max(_BESIDE, (room.width - width) * 0.4), room.y + _BESIDE)
    taken = [world.rect(each.id).corner for each in world.of_kind("window") if each.parent == ROOT]
    at = first
    while any(each.distance(at) < _STEP / 2 for each in taken):
        at = Point(at.x + _STEP, at.y + _STEP)
        if at.x + width > room.right or at.y + height > room.bottom:
            return first
    return at
