"""The guided tour of a first start: a note that goes from one thing to the next and says what it is. Pure.

It goes on by its buttons, and by itself once the user has done what it speaks of. Where it stands is in the world, so it
is saved, outlives a restart and is undone like all else; that it was taken is kept in the world's own state.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace

from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Line, Span
from a4ps.ui.model.furniture import furniture
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.hit import seen_in_world
from a4ps.ui.model.morph import Morph, World

#: The note's id, and the key of its state that says that it is the tour's and where it stands.
TOUR = "tour"
#: The key of the world's state that says that the tour was taken, or skipped.
TAKEN = "toured"

WIDTH = 330.0
#: A note is as high as its title, buttons and edges, and the lines of its text, of which so many characters are one.
_AROUND, _LINE, _LINE_CHARS = 90.0, 18.5, 43
#: It keeps so far from the room's edges, so that the line to what is beyond is seen.
_EDGE = 24.0
#: Above and below a target, these shares of its width along it.
_ALONG = (0.5, 0.375, 0.25, 0.625, 0.75)
#: To hide a face is so much worse than to hide as much of a window.
_FACE = 40.0


@dataclass(frozen=True, slots=True)
class TourStop:
    """One step. `at` is what it points at: "persona:NAME", "pane:NAME", "chat", "timeline" or "strip".

    `deed` is what takes the user on without a button: see `did`.
    """

    at: str
    title: str
    text: str
    deed: str = ""


STOPS: Sequence[TourStop] = (
    TourStop(
        "persona:ALFRED",
        "These four are alive",
        "ALFRED plans and judges, BRICK argues, ROBIN objects, BABS looks things up. The ring's colour, and the white arc "
        "in it, say how far one is from its own character; the glow says how hard it works.",
    ),
    TourStop(
        "chat",
        "Ask them",
        "Type a question and press Return. A / lists commands. Drop a file anywhere, and it is remembered.",
        "asked",
    ),
    TourStop(
        "persona:ROBIN",
        "Everything has a halo",
        "Press the middle button on anything, or Ctrl and click, or hold. Thirteen handles say by their colour what they "
        "do; rest on one for its name. Once more goes to what lies beneath.",
        "halo",
    ),
    TourStop(
        "pane:inspector",
        "Look inside, and change it",
        "The orange handle opens an inspector. Press a value, change it, press Return: the living thing has changed. "
        "Ctrl-Z takes it back.",
        "inspected",
    ),
    TourStop(
        "timeline",
        "Nothing is lost",
        "Every turn, memory, tool and change is a mark on this line. Press one to see it, or to take just that one back.",
    ),
    TourStop(
        "strip",
        "The rest",
        "Right-click the ground for all windows. Ctrl-P finds every command by name. F1 is help. Close what you don't need.",
        "commands",
    ),
)


def wanted(world: World) -> bool:
    """Whether the tour is to begin by itself: it was never taken in this world."""
    return world.root.state.get(TAKEN) is not True and stop_of(world) is None


def stop_of(world: World) -> int | None:
    """Where the tour stands; None where it is not under way."""
    if TOUR not in world:
        return None
    number = world[TOUR].state.get(TOUR)
    return number if isinstance(number, int) and 0 <= number < len(STOPS) else None


def begun(world: World, scale: float = 1.0) -> World:
    """The world with the tour at its first stop."""
    return _at(world.remove(TOUR) if TOUR in world else world, 0, scale)


def went_on(world: World, scale: float = 1.0) -> World:
    """The world with the tour one stop further; after the last, it was taken. The same where none is under way."""
    number = stop_of(world)
    if number is None:
        return world
    return ended(world) if number + 1 == len(STOPS) else _at(world, number + 1, scale)


def went_back(world: World, scale: float = 1.0) -> World:
    """The world with the tour one stop back."""
    number = stop_of(world)
    return _at(world, number - 1, scale) if number else world


def did(world: World, deed: str, scale: float = 1.0) -> World:
    """The world after the user has done something: "asked", "halo", "inspected" or "commands"."""
    number = stop_of(world)
    return went_on(world, scale) if number is not None and STOPS[number].deed == deed else world


def placed(world: World, scale: float = 1.0) -> World:
    """The world with the note where it belongs, as things lie now; the same where no tour is under way."""
    number = stop_of(world)
    return world if number is None else _at(world, number, scale)


def ended(world: World) -> World:
    """The world without the tour, which does not begin by itself again."""
    if TOUR in world:
        world = world.remove(TOUR)
    root = world.root
    return world.put(replace(root, state={**root.state, TAKEN: True}))


def blocks(number: int) -> Sequence[Block]:
    """What the note shows. Its acts are "tour-next", "tour-back" and "tour-skip"."""
    stop, last = STOPS[number], number + 1 == len(STOPS)
    buttons = [Button("Done" if last else "Next", Act("tour-next"), "good")]
    if number:
        buttons.append(Button("Back", Act("tour-back")))
    if not last:
        buttons.append(Button("Skip", Act("tour-skip")))
    return (
        Line((Span(stop.title, "strong"),)),
        Line((Span(stop.text),)),
        Buttons(buttons, Span(f"{number + 1} of {len(STOPS)}", "muted")),
    )


def arrow(world: World, scale: float = 1.0) -> tuple[Point, Point] | None:
    """From the note's edge to what it points at, for the line that is drawn; None where there is nothing to point at."""
    number = stop_of(world)
    target = _target(world, STOPS[number].at, scale) if number is not None else None
    if target is None:
        return None
    note = seen_in_world(world, TOUR)
    start = _nearest(note, target.centre)
    end = _nearest(target, start)
    return (start, end) if start.distance(end) > 4 else None


def _nearest(rect: Rect, point: Point) -> Point:
    return Point(max(rect.x, min(point.x, rect.right)), max(rect.y, min(point.y, rect.bottom)))


def _at(world: World, number: int, scale: float) -> World:
    stop = STOPS[number]
    state = {"text": f"{stop.title}\n{stop.text}", TOUR: number}
    lines = len(textwrap.wrap(stop.text, _LINE_CHARS))
    size = Rect(0, 0, WIDTH * scale, (_AROUND + lines * _LINE) * scale)
    room = furniture(world.root.rect.width, world.root.rect.height, scale).room
    target = _target(world, stop.at, scale) or Rect(room.centre.x, room.centre.y, 0, 0)
    others = [
        (seen_in_world(world, each), _FACE if world[each].kind == "persona" else 1.0)
        for each in world.root.children
        if each != TOUR
    ]
    rect = _beside(size, target, room, others)
    if TOUR in world:
        return world.put(replace(world[TOUR], rect=rect, state=state)).raised(TOUR)
    return world.add(Morph(TOUR, "note", rect, state))


def _target(world: World, at: str, scale: float) -> Rect | None:
    kind, _, name = at.partition(":")
    if kind in ("persona", "pane"):
        key = "name" if kind == "persona" else "pane"
        for each in world.of_kind("persona" if kind == "persona" else "window"):
            if each.state.get(key) == name:
                return seen_in_world(world, each.id)
        # Where no such window is open, a persona is what it would be opened from.
        return _target(world, "persona:ROBIN", scale) if kind == "pane" else None
    parts = furniture(world.root.rect.width, world.root.rect.height, scale)
    if kind == "chat" or (kind == "timeline" and not parts.timeline.height):
        return parts.chat
    return parts.timeline if kind == "timeline" else parts.strip


def _beside(size: Rect, target: Rect, room: Rect, others: Sequence[tuple[Rect, float]]) -> Rect:
    """Where a rectangle of that size lies by the target: right, left, below or above, whichever is wholly in the room and
    hides least of the others, each of which weighs so much.
    """
    gap = 34.0
    middle = target.centre
    places = (
        Rect(target.right + gap, middle.y - size.height / 2, size.width, size.height),
        Rect(target.x - gap - size.width, middle.y - size.height / 2, size.width, size.height),
        *(
            Rect(target.x + share * target.width - size.width / 2, y, size.width, size.height)
            for y in (target.bottom + gap, target.y - gap - size.height)
            for share in _ALONG
        ),
    )
    edge = _EDGE if min(room.width - size.width, room.height - size.height) > 2 * _EDGE else 0.0
    inner = Rect(room.x + edge, room.y + edge, room.width - 2 * edge, room.height - 2 * edge)
    inside = [(each, each.kept_inside(inner)) for each in places]

    def hides(place: tuple[Rect, Rect]) -> tuple[float, float, float]:
        wanted, rect = place
        # What it speaks of, then the rest; then whichever has to be pushed into the room least.
        return (
            _overlap(rect, target),
            sum(_overlap(rect, each) * weight for each, weight in others),
            wanted.corner.distance(rect.corner),
        )

    return min(inside, key=hides)[1]


def _overlap(a: Rect, b: Rect) -> float:
    wide, high = min(a.right, b.right) - max(a.x, b.x), min(a.bottom, b.bottom) - max(a.y, b.y)
    return wide * high if wide > 0 and high > 0 else 0.0
