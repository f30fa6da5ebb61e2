"""Changes of a world that a gesture, a menu or a key makes: moved, sized, turned, duplicated, put into another. Pure."""

from __future__ import annotations

from dataclasses import replace

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.furniture import room_of
from a4ps.ui.model.geometry import ORIGIN, Point, Rect
from a4ps.ui.model.halo import name_of
from a4ps.ui.model.hit import BUTTON_WIDTH, TITLE_HEIGHT, stack_at
from a4ps.ui.model.morph import ROOT, World
from a4ps.ui.model.palette import is_colour

#: So much of a morph always stays within the world, so that it can be taken hold of again.
KEPT = 40.0
#: Morphs are embedded so deep and no deeper.
DEEPEST = 40
#: Kind → the least width and height; others are at least 24 px.
LEAST = {
    "window": (180.0, 90.0),
    "note": (80.0, 40.0),
    "placeholder": (80.0, 40.0),
    "persona": (56.0, 56.0),
    "tool": (72.0, 28.0),
}
#: No morph is larger.
MOST = 8_000.0
#: A second one that no drag has placed lies so far beside the first.
ASIDE = Point(24.0, 24.0)
#: What other morphs can be put into.
HOLDERS = frozenset({"window", "note"})


def placed(world: World, id: str, corner: Point) -> World:
    """With the morph's upper left corner there, relative to its parent; where it lies in the world, never out of reach."""
    morph = world[id]
    rect = Rect(corner.x, corner.y, morph.rect.width, morph.rect.height)
    if morph.parent == ROOT:
        rect = in_reach(rect, room_of(world), 2 * BUTTON_WIDTH if morph.kind == "window" else 0.0)
    return world if rect == morph.rect else world.put(replace(morph, rect=rect))


def in_reach(rect: Rect, room: Rect, buttons: float) -> Rect:
    """Moved so that some of its title can be seen in the room and taken hold of: of what is left of the `buttons` there."""
    kept = min(KEPT, rect.width, rect.height)
    x = max(room.x + kept + buttons - rect.width, min(rect.x, room.right - kept))
    y = max(room.y, min(rect.y, room.bottom - min(kept, TITLE_HEIGHT)))
    return Rect(x, y, rect.width, rect.height)


def sized(world: World, id: str, width: float, height: float) -> World:
    """With the morph that large, within its kind's bounds; a persona stays round."""
    morph = world[id]
    least_width, least_height = LEAST.get(morph.kind, (24.0, 24.0))
    if morph.kind == "persona":
        width = height = max(width, height)
    width = max(least_width, min(width, MOST))
    height = max(least_height, min(height, MOST))
    if (width, height) == (morph.rect.width, morph.rect.height):
        return world
    return world.put(replace(morph, rect=morph.rect.sized(width, height)))


def turned_to(world: World, id: str, degrees: float) -> World:
    """With the morph turned to that angle."""
    morph = world[id]
    degrees = degrees % 360
    return world if degrees == morph.angle else world.put(replace(morph, angle=degrees))


def duplicated(world: World, id: str, by: Point = ORIGIN) -> tuple[World, str]:
    """With a second one of the morph and all that lies in it, on top of its siblings; and that one's id."""
    new: dict[str, str] = {}
    for each in list(world.under(id)):
        copy = world.fresh_id(each.id)
        new[each.id] = copy
        rect = each.rect.moved(by) if each.id == id else each.rect
        parent = each.parent if each.id == id else new[each.parent]
        world = world.add(replace(each, id=copy, rect=rect), parent)
    return world, new[id]


def lowered(world: World, id: str) -> World:
    """With the morph beneath all its siblings."""
    above = world[world[id].parent]
    if above.children[0] == id:
        return world
    children = (id, *(each for each in above.children if each != id))
    return World({**world.morphs, above.id: replace(above, children=children)})


def holder_at(world: World, point: Point, id: str) -> str:
    """What a morph that is dropped there would lie in: the topmost that can hold it, or the world."""
    own = {each.id for each in world.under(id)}
    for under in stack_at(world, point):
        morph = world[under]
        if under not in own and morph.kind in HOLDERS and not morph.collapsed and _depth(world, under) < DEEPEST:
            return under
    return ROOT


def _depth(world: World, id: str) -> int:
    return sum(1 for _ in world.ancestors(id))


def put_into(world: World, id: str, parent: str) -> World:
    """With the morph in another, where it is seen now, and in reach."""
    moved = world.moved_into(id, parent) if world[id].parent != parent else world.raised(id)
    return placed(moved, id, moved[id].rect.corner)


def changed_by(world: World, act: Act) -> tuple[World, str] | None:
    """The world after an act of a menu that is about the layout of a morph, and the step's label; None for other acts.

    Raises CallerError where there is no such morph.
    """
    id = act.about.get("morph")
    if not isinstance(id, str) or id == ROOT:
        return None
    morph = world[id]
    name = name_of(morph)
    match act.verb:
        case "dismiss":
            return world.remove(id), f"dismiss {name}"
        case "collapse":
            label = f"expand {name}" if morph.collapsed else f"collapse {name}"
            return world.put(replace(morph, collapsed=not morph.collapsed)), label
        case "duplicate":
            return duplicated(world, id, ASIDE)[0], f"duplicate {name}"
        case "upright":
            return turned_to(world, id, 0.0), f"turn {name} upright"
        case "raise":
            return world.raised(id), f"bring {name} to the front"
        case "lower":
            return lowered(world, id), f"send {name} to the back"
        case "free":
            return put_into(world, id, ROOT), f"take {name} out"
        case "recoloured":
            colour = act.about.get("colour")
            if colour == "" or is_colour(colour):
                return world.put(replace(morph, colour=str(colour))), f"recolour {name}"
    return None
