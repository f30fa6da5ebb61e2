"""Where things are at first, and where they go when the window's size changes. Pure.

What is moved because the window became smaller goes back when it is as large again: the world's own state remembers where
the user had it, until the user moves it anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from a4ps.ui.model.furniture import SCALE, first_scale, font_scale, furniture, room_of
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.hit import TITLE_HEIGHT
from a4ps.ui.model.layout import LEAST
from a4ps.ui.model.morph import ROOT, Morph, World

#: What is between two things.
GAP = 20.0
#: A window smaller than this is not worth being opened at first.
LEAST_WINDOW = (260.0, 130.0)

#: The four, and where they are at first: the share of the width and height that is theirs.
PERSONAS: Mapping[str, tuple[float, float]] = {
    "ALFRED": (0.50, 0.145),
    "BRICK": (0.24, 0.515),
    "ROBIN": (0.74, 0.463),
    "BABS": (0.50, 0.785),
}

#: Beneath a persona's ring there are two lines of words.
CAPTIONS = 44.0
#: In a world that is smaller than such a share of what it was, windows keep their sizes and lie upon each other.
_READABLE = 0.7

#: The key of the world's state under which the user's places are kept.
PLACES = "places"


def first_world(width: float, height: float, scale: float = 1.0) -> World:
    """The world that there is before anyone has arranged one: the four on the left, windows on the right."""
    room = furniture(width, height, scale).room
    world = World({ROOT: Morph(ROOT, "world", Rect(0, 0, width, height), parent="")})
    columns = _columns(room, scale)
    left = columns[0].x - GAP if columns else room.width
    world = with_personas(world, tuple(PERSONAS), Rect(room.x, room.y, left, room.height))
    for column, windows in zip(columns, (_TALL, _BESIDE) if len(columns) == 2 else (_ALONE,), strict=False):
        for morph in _stacked(column, windows):
            world = world.add(replace(morph, id=world.fresh_id(morph.id)))
    return world


def new_world(width: float, height: float) -> World:
    """The first world with type of the size that suits its height."""
    scale = first_scale(height)
    world = first_world(width, height, scale)
    return world if scale == 1 else world.put(replace(world.root, state={**world.root.state, SCALE: scale}))


#: Columns of windows: the pane's state, and its share of the height.
_TALL = (({"pane": "inspector", "subject": "ROBIN"}, 0.62), ({"pane": "workspace"}, 0.38))
_BESIDE = (({"pane": "transcript"}, 0.44), ({"pane": "approvals"}, 0.22), ({"pane": "tool_bench"}, 0.34))
_ALONE = (({"pane": "transcript"}, 0.5), ({"pane": "inspector", "subject": "ROBIN"}, 0.5))


def _columns(room: Rect, scale: float) -> Sequence[Rect]:
    """Room for two columns of windows, one or none."""
    height = room.height - 2 * GAP
    if height < LEAST_WINDOW[1] or room.width < 640:
        return ()
    if room.width < 1240:
        width = max(LEAST_WINDOW[0], room.width * 0.42)
        return (Rect(room.right - width - GAP, room.y + GAP, width, height),)
    width = min(room.width * 0.27, 640.0 * scale)
    right = room.right - width - GAP
    return Rect(right - width - GAP, room.y + GAP, width, height), Rect(right, room.y + GAP, width, height)


def _stacked(column: Rect, windows: Sequence[tuple[Mapping[str, Any], float]]) -> Sequence[Morph]:
    """As many of the windows as the column's height has room for, the first at any rate."""
    fitting = windows
    while len(fitting) > 1 and min(share for _, share in fitting) * column.height < LEAST_WINDOW[1] * sum(
        share for _, share in fitting
    ):
        fitting = fitting[:-1]
    whole = sum(share for _, share in fitting)
    heights = [(column.height - GAP * (len(fitting) - 1)) * share / whole for _, share in fitting]
    y, made = column.y, []
    for (state, _), height in zip(fitting, heights, strict=True):
        made.append(Morph(str(state["pane"]), "window", Rect(column.x, round(y), column.width, round(height)), state))
        y += height + GAP
    return made


def persona_size(area: Rect) -> float:
    """How large a persona's ring is in an area that the four share."""
    return round(max(LEAST["persona"][0], min(area.width / 6, area.height / 7, 160.0)))


def with_personas(world: World, names: Sequence[str], area: Rect | None = None) -> World:
    """With a morph for each of these personas that has none. The four have their places; others stand in a row above."""
    if area is None:
        scale = font_scale(world)
        room = furniture(world.root.rect.width, world.root.rect.height, scale).room
        columns = _columns(room, scale)
        area = Rect(room.x, room.y, columns[0].x - GAP if columns else room.width, room.height)
    there = {each.state.get("name") for each in world.of_kind("persona")}
    size = persona_size(area)
    others = [each for each in names if each not in PERSONAS]
    for name in names:
        if name in there:
            continue
        if name in PERSONAS:
            across, down = PERSONAS[name]
        else:
            across, down = (others.index(name) + 1) / (len(others) + 1), 0.0
        centre = Point(area.x + across * area.width, area.y + down * area.height)
        rect = Rect(round(centre.x - size / 2), round(centre.y - size / 2), size, size).kept_inside(area)
        world = world.add(Morph(world.fresh_id(name.lower() or "persona"), "persona", rect, {"name": name}))
    return world


# When the size changes


def fitted(world: World, width: float, height: float) -> World:
    """The world in a window of that size: nothing lies outside, and what did before lies where the user had it, if it can.

    A window wider or higher than the room is made smaller. The same world where the size is the same.
    """
    root = world.root
    if (root.rect.width, root.rect.height) == (width, height):
        return world
    scale = font_scale(world)
    room = furniture(width, height, scale).room
    kept = _Places(root.state.get(PLACES), root.rect)
    wanted = {id: kept.wanted(world[id]) for id in root.children}
    outside = {
        id
        for id, place in wanted.items()
        if not place.holds(width, height) and not _inside(world[id], place.rect, room)
    }
    # Personas that cannot all stay keep their places relative to each other, and so do windows while they can be read.
    together = {world[id].kind for id in outside} & {"persona", "window"}
    morphs, places = dict(world.morphs), {}
    for id, place in wanted.items():
        morph, rect = world[id], place.rect
        if not place.holds(width, height):
            readable = width >= place.width * _READABLE and height >= place.height * _READABLE
            if morph.kind in together and (readable or morph.kind == "persona"):
                rect = _in_proportion(morph, rect, place, room, scale)
            if id in outside or rect != place.rect:
                rect = _made_to_fit(morph, rect, room)
        if rect != place.rect:
            places[id] = place.noted(rect)
        if rect != morph.rect:
            morphs[id] = replace(morph, rect=rect)
    state = {key: value for key, value in root.state.items() if key != PLACES}
    if places:
        state[PLACES] = places
    morphs[ROOT] = replace(root, rect=Rect(0, 0, width, height), state=state)
    return World(morphs)


def rescaled(world: World, scale: float) -> World:
    """The world with type of that size: what is always there takes another part of it, and all else keeps its place in the
    room that is left.
    """
    before = room_of(world)
    root = replace(world.root, state={**world.root.state, SCALE: scale})
    morphs = dict(world.put(root).morphs)
    room = room_of(World(morphs))
    if room == before:
        return World(morphs)
    share = room.height / before.height
    for id in root.children:
        morph, rect = world[id], world[id].rect
        height = rect.height
        if morph.kind == "window":
            height = round(max(min(LEAST_WINDOW[1], height), height * share))
            y = room.y + (rect.y - before.y) * share
        else:
            y = room.y + (rect.centre.y - before.y) * share - height / 2
        moved = Rect(rect.x, round(y), rect.width, height)
        # What the user has laid beyond the room's edge stays beyond it.
        seen = replace(room, height=room.height - _below(morph, room))
        morphs[id] = replace(morph, rect=moved.kept_inside(seen) if rect == rect.kept_inside(before) else moved)
    return World(morphs)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the user had a morph, and how large the window was then."""

    rect: Rect
    width: float
    height: float

    def holds(self, width: float, height: float) -> bool:
        """Whether a window of that size is large enough for it to be there."""
        return width >= self.width and height >= self.height

    def noted(self, now: Rect) -> dict[str, Any]:
        was = self.rect
        return {
            "was": [was.x, was.y, was.width, was.height],
            "now": [now.x, now.y, now.width, now.height],
            "in": [self.width, self.height],
        }


class _Places:
    """What the world's state remembers, which may be anything: it came from a file."""

    def __init__(self, kept: object, size: Rect) -> None:
        self._kept = kept if isinstance(kept, dict) else {}
        self._size = size

    def wanted(self, morph: Morph) -> _Place:
        """Where the user had the morph; where it is, if it is not where it was put."""
        note = self._kept.get(morph.id)
        if isinstance(note, dict):
            was, now, size = (_numbers(note.get(key), count) for key, count in (("was", 4), ("now", 4), ("in", 2)))
            if was and now and size and Rect(*now) == morph.rect and was[2] > 0 and was[3] > 0:
                return _Place(Rect(*was), *size)
        return _Place(morph.rect, self._size.width, self._size.height)


def _numbers(value: object, count: int) -> list[float] | None:
    if isinstance(value, list) and len(value) == count:
        good = [each for each in value if isinstance(each, int | float) and abs(each) < 1e6]
        return good if len(good) == count else None
    return None


def _inside(morph: Morph, rect: Rect, room: Rect) -> bool:
    """Whether it can be taken hold of: a window's title with its buttons is seen, and all of anything else."""
    if morph.kind == "window":
        return room.x <= rect.x and rect.right <= room.right and room.y <= rect.y <= room.bottom - TITLE_HEIGHT
    below = _below(morph, room)
    return room.contains(rect.corner) and rect.right <= room.right and rect.bottom + below <= room.bottom


def _below(morph: Morph, room: Rect) -> float:
    """What is written beneath a persona is to be seen as well, where the room is not too low for that."""
    return CAPTIONS if morph.kind == "persona" and room.height > 8 * CAPTIONS else 0.0


def _in_proportion(morph: Morph, rect: Rect, place: _Place, room: Rect, scale: float) -> Rect:
    before = furniture(place.width, place.height, scale).room
    if morph.kind == "window":
        wide, high = room.width / before.width, room.height / before.height
        return Rect(
            room.x + (rect.x - before.x) * wide,
            room.y + (rect.y - before.y) * high,
            round(max(min(LEAST_WINDOW[0], rect.width), rect.width * min(1.0, wide))),
            round(max(min(LEAST_WINDOW[1], rect.height), rect.height * min(1.0, high))),
        )
    across = (rect.centre.x - before.x) / before.width
    down = (rect.centre.y - before.y) / before.height
    least = LEAST["persona"][0]
    size = round(max(min(least, rect.width), min(rect.width, persona_size(room))))
    return Rect(room.x + across * room.width - size / 2, room.y + down * room.height - size / 2, size, size)


def _made_to_fit(morph: Morph, rect: Rect, room: Rect) -> Rect:
    width, height = min(rect.width, room.width), min(rect.height, room.height)
    if morph.kind == "persona":
        width = height = min(width, height)
    seen = replace(room, height=room.height - _below(morph, room))
    fitting = Rect(rect.x, rect.y, width, height).kept_inside(seen)
    return Rect(round(fitting.x), round(fitting.y), fitting.width, fitting.height)
