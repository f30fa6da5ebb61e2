"""The halo: thirteen handles around a morph, each at a fixed angle and in the colour that Morphic users know. Pure.

A persona's handles lie on a circle, those of a window around its edge; either way each stays in its direction, as long as
the world is large enough. Where the morph is at the world's edge, the whole ring is moved inside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.hit import seen_in_world
from a4ps.ui.model.morph import ROOT, Morph, World

#: A handle's diameter, and how far beside it a press still counts.
DIAMETER = 28.0
SLOP = 6.0
#: How far the handles' centres are from a morph's edge.
GAP = 28.0
#: No ring is smaller, so that neighbours never touch: the closest are 22° apart.
SMALLEST = 88.0

#: `drag`: it does its work while it is dragged. `press`: when it is let go where it was pressed.
How: TypeAlias = Literal["drag", "press"]


@dataclass(frozen=True, slots=True)
class Handle:
    """One place of the halo. `degrees` is clockwise from the right; `sign` is in DejaVu Sans; `help` is a sentence."""

    name: str
    degrees: float
    colour: str
    sign: str
    help: str
    how: How


HANDLES = (
    Handle("dismiss", -135, "#E57373", "✕", "Takes it out of this world; Ctrl-Z brings it back.", "press"),
    Handle("menu", -112, "#64B5F6", "≡", "All that can be done with it.", "press"),
    Handle("grab", -90, "#1C2128", "◆", "Picks it up; where it is dropped, it is embedded.", "drag"),
    Handle("move", -68, "#A1887F", "✥", "Moves it, and leaves it in what it lies in.", "drag"),
    Handle("duplicate", -45, "#81C784", "❐", "Makes a second one and picks that up.", "drag"),
    Handle("inspect", -10, "#FFB74D", "◎", "Opens its slots, methods and history.", "press"),
    Handle("context", 22, "#4DB6AC", "▶", "Does what it is for.", "press"),
    Handle("grow", 45, "#FFF176", "⇲", "Makes it larger or smaller.", "drag"),
    Handle("help", 90, "#B3E5FC", "?", "Says what it is and what can be done with it.", "press"),
    Handle("recolour", 112, "#BA68C8", "◐", "Gives it another colour.", "press"),
    Handle("rotate", 135, "#5C6BC0", "⟳", "Turns it in steps of 15°; with Ctrl freely.", "drag"),
    Handle("evidence", 165, "#F48FB1", "§", "Shows what its behaviour rests on: change, difference, tests.", "press"),
    Handle("collapse", -170, "#D7CCC8", "−", "Shows only its title, or all of it again.", "press"),
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A handle where it is in the world. `act` is what it asks for; those that are dragged do their work themselves."""

    handle: Handle
    at: Point
    name: str
    sign: str
    help: str
    act: Act


@dataclass(frozen=True, slots=True)
class HaloMorph:
    """Whose it is, what is written beneath (its name, at `name_at`), and its handles.

    The handles lie on the ellipse or the rectangle `outline`; `round` says which. `radius` is half its smaller side.
    `size` is a handle's diameter.
    """

    morph: str
    name: str
    outline: Rect
    round: bool
    size: float
    handles: Sequence[Placed]

    @property
    def centre(self) -> Point:
        return self.outline.centre

    @property
    def radius(self) -> float:
        return min(self.outline.width, self.outline.height) / 2

    @property
    def name_at(self) -> Point:
        """The middle of the name's upper edge, beneath the lowest handle."""
        return Point(self.centre.x, self.outline.bottom + self.size / 2 + 4)

    def handle_at(self, point: Point) -> Placed | None:
        """The handle that is pressed there: the nearest within its circle and the slop, or None."""
        nearest = min(self.handles, key=lambda each: each.at.distance(point))
        return nearest if nearest.at.distance(point) <= self.size / 2 + SLOP else None

    def __getitem__(self, name: str) -> Placed:
        """The handle of that name ("context" by its place, whatever it is called for this morph)."""
        for each in self.handles:
            if each.handle.name == name:
                return each
        raise KeyError(name)


def halo_of(world: World, id: str, scale: float = 1.0, *, name: str = "") -> HaloMorph:
    """The halo of a morph, wholly within the world where the world is as large as a handle's ring at least.

    `scale` is the font's; `name` is what the morph is called where its own state does not say. Raises CallerError where
    there is no such morph.
    """
    morph = world[id]
    seen = seen_in_world(world, id)
    round_ = morph.kind == "persona"
    size = DIAMETER * scale
    inside = Rect(size / 2, size / 2, world.root.rect.width - size, world.root.rect.height - size)
    smallest = SMALLEST * scale
    half_width = min(max(seen.width / 2 + GAP * scale, smallest), max(inside.width / 2, 1.0))
    half_height = min(max(seen.height / 2 + GAP * scale, smallest), max(inside.height / 2, 1.0))
    centre = seen.centre
    outline = Rect(centre.x - half_width, centre.y - half_height, 2 * half_width, 2 * half_height).kept_inside(inside)
    placed = tuple(_placed(each, morph, _on(outline, each.degrees, round_)) for each in HANDLES)
    return HaloMorph(id, name or name_of(morph), outline, round_, size, placed)


def _on(outline: Rect, degrees: float, round_: bool) -> Point:
    """Where a ray from the centre meets the outline."""
    angle = math.radians(degrees)
    x, y = math.cos(angle), math.sin(angle)
    half_width, half_height = outline.width / 2, outline.height / 2
    if round_:
        length = 1 / math.hypot(x / half_width, y / half_height)
    else:
        length = min(
            half_width / abs(x) if abs(x) > 1e-9 else math.inf, half_height / abs(y) if abs(y) > 1e-9 else math.inf
        )
    return Point(outline.centre.x + x * length, outline.centre.y + y * length)


def _placed(handle: Handle, morph: Morph, at: Point) -> Placed:
    if handle.name == "context":
        name, sign, help_, act = main_act(morph)
        return Placed(handle, at, name, sign, help_, act)
    if handle.name == "collapse" and morph.collapsed:
        return Placed(handle, at, "expand", "+", "Shows all of it again.", Act("collapse", {"morph": morph.id}))
    return Placed(handle, at, handle.name, handle.sign, handle.help, Act(handle.name, {"morph": morph.id}))


def main_act(morph: Morph) -> tuple[str, str, str, Act]:
    """What a morph is for: its name, its sign, a sentence, and the act."""
    about = {"morph": morph.id}
    if morph.kind == "persona":
        return "talk", "❝", f"Talk to {name_of(morph)}.", Act("talk", {**about, "persona": name_of(morph)})
    if morph.kind == "tool":
        return "run", "▶", f"Run {name_of(morph)}.", Act("run", {**about, "tool": name_of(morph)})
    if morph.kind == "note":
        return "edit", "✎", "Change what it says.", Act("edit", about)
    if morph.kind == "window":
        return "use", "▶", "Does what this window is for.", Act("use", about)
    return "show", "▶", "Shows the data that it keeps.", Act("inspect", about)


def name_of(morph: Morph) -> str:
    """What a morph is called, as far as its own state says it."""
    if morph.id == ROOT:
        return "world"
    state = {key: value for key, value in morph.state.items() if isinstance(value, str)}
    if state.get("pane"):
        pane, subject = state["pane"].replace("_", " "), state.get("subject")
        return f"{pane} of {subject}" if subject else pane
    return state.get("name") or morph.kind
