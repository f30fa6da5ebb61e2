"""What the pointer and the keys do to the world, as a state machine without a clock: hand and event in, gesture out. Pure.

The hand is what Morphic calls it: what the pointer holds. A press takes hold of something, moves act on it, a release lets
go. However many moves there were, a gesture is one step, which can be undone: its last `Gesture` carries the step's label
and the world that it began with.

| press on                  | moved                         | released without having moved      |
|---------------------------|-------------------------------|------------------------------------|
| a halo's handle (drag)    | its work                      | nothing, or a duplicate            |
| a halo's handle (press)   | nothing                       | its act, if still on it            |
| title, persona, tool, note| moves it; see `dropping`      | nothing                            |
| lower right corner        | sizes it                      | nothing                            |
| collapse, close           | nothing                       | does it, if still on it            |
| a window's body           | the pane's affair             | the pane's affair                  |
| the ground                | nothing                       | the halo is gone                   |
| middle, or Ctrl, or held  |                               | the halo, or that of what is beneath|
| right                     |                               | a menu                             |
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.dropping import Dropped, dropped_on
from a4ps.ui.model.geometry import ORIGIN, Point, Rect
from a4ps.ui.model.halo import HaloMorph, Placed, main_act, name_of
from a4ps.ui.model.hit import Part, part_at, seen_in_world, stack_at, turned
from a4ps.ui.model.layout import changed_by, duplicated, holder_at, placed, put_into, sized, turned_to
from a4ps.ui.model.morph import ROOT, World

#: A press that has moved less is none that drags.
STILL = 4.0
#: Rotating goes in steps of so many degrees, unless Ctrl is down.
TURN = 15.0

Phase: TypeAlias = Literal["press", "move", "release", "hold"]


@dataclass(frozen=True, slots=True)
class Pointer:
    """What the pointer did, at a point of the world. `hold`: it is down, at the same place, for 0.5 s (the view's clock)."""

    phase: Phase
    at: Point
    button: Literal["left", "middle", "right"] = "left"
    ctrl: bool = False
    shift: bool = False


# What a gesture asks for beside another world


@dataclass(frozen=True, slots=True)
class ShowHalo:
    """The halo is this morph's now; that it is drawn where the morph is, is the desk's affair."""

    morph: str


@dataclass(frozen=True, slots=True)
class HideHalo:
    """No morph has the halo."""


@dataclass(frozen=True, slots=True)
class ShowMenu:
    """The menu of a morph, "" for the world's, at a point."""

    at: Point
    morph: str = ""


@dataclass(frozen=True, slots=True)
class Do:
    """An act of a morph is to be done: a handle's, or its main one."""

    morph: str
    act: Act


@dataclass(frozen=True, slots=True)
class Focus:
    """The keys are this morph's now; "" for none's."""

    morph: str


GestureEffect: TypeAlias = ShowHalo | HideHalo | ShowMenu | Do | Focus | Dropped


@dataclass(frozen=True, slots=True)
class Hold:
    """What the hand holds: a morph by one of its parts, or by a handle of its halo, and how things were at the press."""

    morph: str
    by: str
    at: Point
    before: World
    rect: Rect
    angle: float = 0.0
    moved: bool = False


@dataclass(frozen=True, slots=True)
class Hand:
    """The pointer's state: what it holds, and where it is."""

    hold: Hold | None = None
    at: Point = ORIGIN


@dataclass(frozen=True, slots=True)
class Gesture:
    """What an event came to. `step` is the label of the step that ended with it, and `before` the world it began with.

    `step` is None where nothing that can be undone was done. `merges` is the key under which steps that follow each other
    soon are one (nudges of one morph), "" for none.
    """

    hand: Hand
    world: World
    effects: Sequence[GestureEffect] = ()
    step: str | None = None
    before: World = field(default_factory=World)
    merges: str = ""


def touched(hand: Hand, world: World, halo: HaloMorph | None, event: Pointer) -> Gesture:
    """What an event of the pointer comes to. `halo` is the one that is shown, laid around its morph as it is now."""
    hand = replace(hand, at=event.at)
    if hand.hold is not None and hand.hold.morph not in world:
        # What was held is gone, by a key or by something that happened: the hand is empty.
        hand = replace(hand, hold=None)
    match event.phase:
        case "press":
            return _pressed(replace(hand, hold=None), world, halo, event)
        case "hold":
            return _held(hand, world, halo, event)
        case "move":
            return _moved(hand, world, event)
    return _released(hand, world, halo, event)


# Press


def _pressed(hand: Hand, world: World, halo: HaloMorph | None, event: Pointer) -> Gesture:
    handle = halo.handle_at(event.at) if halo is not None else None
    plain = event.button == "left" and not event.ctrl
    # With Ctrl a handle is a handle too: it lets rotate go freely.
    if halo is not None and handle is not None and event.button == "left":
        return _took_handle(hand, world, halo, handle, event)
    stack = stack_at(world, event.at)
    if event.button == "right":
        return Gesture(hand, world, (ShowMenu(event.at, stack[0] if stack else ""),))
    if not plain:
        return Gesture(hand, world, (_next_halo(stack, halo),))
    if not stack:
        return Gesture(hand, world, (HideHalo(), Focus("")) if halo is not None else (Focus(""),))
    id = stack[0]
    effects: list[GestureEffect] = [Focus(id)]
    if halo is not None and halo.morph != id:
        effects.append(HideHalo())
    raised = world.raised(id)
    part: Part = part_at(world, id, event.at)
    by = "pane" if part == "body" and world[id].kind == "window" else "move" if part in ("body", "title") else part
    hold = Hold(id, by, event.at, raised, world[id].rect, world[id].angle)
    return Gesture(replace(hand, hold=hold), raised, effects)


def _next_halo(stack: Sequence[str], halo: HaloMorph | None) -> GestureEffect:
    """That of the topmost; of what lies beneath where the halo is one of these already; after the last, none."""
    if not stack:
        return HideHalo()
    if halo is None or halo.morph not in stack:
        return ShowHalo(stack[0])
    number = stack.index(halo.morph) + 1
    return ShowHalo(stack[number]) if number < len(stack) else HideHalo()


def _took_handle(hand: Hand, world: World, halo: HaloMorph, handle: Placed, event: Pointer) -> Gesture:
    morph = world[halo.morph]
    hold = Hold(morph.id, f"halo:{handle.handle.name}", event.at, world, morph.rect, morph.angle)
    return Gesture(replace(hand, hold=hold), world)


def _held(hand: Hand, world: World, halo: HaloMorph | None, event: Pointer) -> Gesture:
    hold = hand.hold
    if hold is None or hold.moved or hold.by.startswith("halo:") or hold.by in ("close", "collapse"):
        return Gesture(hand, world)
    return Gesture(replace(hand, hold=None), world, (_next_halo(stack_at(world, event.at), halo),))


# Move


def _moved(hand: Hand, world: World, event: Pointer) -> Gesture:
    hold = hand.hold
    if hold is None:
        return Gesture(hand, world)
    if not hold.moved:
        if event.at.distance(hold.at) < STILL:
            return Gesture(hand, world)
        hold = replace(hold, moved=True)
        if hold.by in ("halo:duplicate", "halo:grab"):
            return _picked_up(hand, world, hold, event)
        hand = replace(hand, hold=hold)
    return Gesture(hand, _dragged(world, hold, event))


def _picked_up(hand: Hand, world: World, hold: Hold, event: Pointer) -> Gesture:
    """The morph, or a second one of it, leaves what it lies in, and hangs on the hand."""
    effects: tuple[GestureEffect, ...] = ()
    id = hold.morph
    if hold.by == "halo:duplicate":
        world, id = duplicated(world, id)
        effects = (ShowHalo(id),)
    world = put_into(world, id, ROOT)
    hold = replace(hold, morph=id, rect=world[id].rect)
    return Gesture(replace(hand, hold=hold), _dragged(world, hold, event), effects)


def _dragged(world: World, hold: Hold, event: Pointer) -> World:
    by = event.at - hold.at
    # What it lies in may be turned: a step to the right is one along its own edge.
    tilt = sum(each.angle for each in world.ancestors(hold.morph))
    match hold.by:
        case "move" | "halo:move" | "halo:grab" | "halo:duplicate":
            return placed(world, hold.morph, hold.rect.corner + turned(by, ORIGIN, -tilt))
        case "corner" | "halo:grow":
            by = turned(by, ORIGIN, -tilt - hold.angle)
            return sized(world, hold.morph, hold.rect.width + by.x, hold.rect.height + by.y)
        case "halo:rotate":
            centre = seen_in_world(world, hold.morph).centre
            degrees = hold.angle + _bearing(centre, event.at) - _bearing(centre, hold.at)
            return turned_to(world, hold.morph, degrees if event.ctrl else round(degrees / TURN) * TURN)
    return world


def _bearing(centre: Point, point: Point) -> float:
    return math.degrees(math.atan2(point.y - centre.y, point.x - centre.x))


# Release


def _released(hand: Hand, world: World, halo: HaloMorph | None, event: Pointer) -> Gesture:
    hold = hand.hold
    hand = replace(hand, hold=None)
    if hold is None:
        return Gesture(hand, world)
    if hold.by in ("close", "collapse"):
        on_it = event.at.distance(hold.at) < 3 * STILL and part_at(world, hold.morph, event.at) == hold.by
        return (
            _stepped(hand, hold, world, "dismiss" if hold.by == "close" else "collapse")
            if on_it
            else Gesture(hand, world)
        )
    if hold.by.startswith("halo:"):
        name = hold.by.removeprefix("halo:")
        handle = halo[name] if halo is not None and halo.morph == hold.morph else None
        if handle is not None and handle.handle.how == "press":
            return _let_go_of(hand, world, hold, handle, event)
        if name == "duplicate" and not hold.moved:
            return _stepped(hand, hold, world, name)
    if not hold.moved:
        return Gesture(hand, world)
    if hold.by == "halo:grab":
        return _dropped(hand, world, hold, event)
    if hold.by == "move":
        dropped = dropped_on(world, hold.morph, event.at)
        if dropped is not None:
            # It is handed over, not moved: it stays where it was.
            return Gesture(hand, _put_back(world, hold), (dropped,))
    label = {"move": "move", "corner": "resize", "grow": "resize", "rotate": "turn", "duplicate": "duplicate"}.get(
        hold.by.removeprefix("halo:")
    )
    if label is None or world is hold.before:
        return Gesture(hand, world)
    return Gesture(hand, world, (), f"{label} {name_of(world[hold.morph])}", hold.before)


def _let_go_of(hand: Hand, world: World, hold: Hold, placed: Placed, event: Pointer) -> Gesture:
    """A handle that acts when it is let go, if the pointer is still on it."""
    at = placed.at
    if at.distance(event.at) > at.distance(hold.at) + 3 * STILL:
        return Gesture(hand, world)
    name = placed.handle.name
    if name == "menu":
        return Gesture(hand, world, (ShowMenu(event.at, hold.morph),))
    if name in ("dismiss", "collapse"):
        return _stepped(hand, hold, world, name)
    return Gesture(hand, world, (Do(hold.morph, placed.act),))


def _stepped(hand: Hand, hold: Hold, world: World, verb: str) -> Gesture:
    changed = changed_by(world, Act(verb, {"morph": hold.morph}))
    if changed is None:
        return Gesture(hand, world)
    after, label = changed
    effects = (HideHalo(),) if verb == "dismiss" else ()
    return Gesture(hand, after, effects, label, hold.before)


def _dropped(hand: Hand, world: World, hold: Hold, event: Pointer) -> Gesture:
    dropped = dropped_on(world, hold.morph, event.at)
    if dropped is not None:
        return Gesture(hand, _put_back(world, hold), (dropped,))
    holder = holder_at(world, event.at, hold.morph)
    after = put_into(world, hold.morph, holder)
    name = name_of(world[hold.morph])
    label = f"move {name}" if holder == ROOT else f"put {name} into {name_of(world[holder])}"
    return Gesture(hand, after, (), label, hold.before)


def _put_back(world: World, hold: Hold) -> World:
    """With what is held as it was at the press; what else has changed since stays. A second one is gone."""
    was = hold.before.morphs.get(hold.morph)
    if was is None:
        return world.remove(hold.morph)
    if world[hold.morph].parent != was.parent and was.parent in world:
        world = world.moved_into(hold.morph, was.parent)
    return world.put(replace(world[hold.morph], rect=was.rect, angle=was.angle))


# Keys

_NUDGES = {
    prefix + name: Point(x * far, y * far)
    for prefix, far in (("", 1), ("shift-", 10))
    for name, x, y in (("left", -1, 0), ("right", 1, 0), ("up", 0, -1), ("down", 0, 1))
}


def keyed(hand: Hand, world: World, halo: HaloMorph | None, focus: str, chord: str) -> Gesture | None:
    """What a chord comes to; None where it is none of these. `focus` is the morph that the keys are of, "" for none.

    Arrows nudge the morph that has the halo by 1 px, with Shift by 10. Tab goes from morph to morph, Return does the main
    act, Space shows the halo, Delete dismisses, Escape puts back what is being dragged, or ends the halo.
    """
    has_halo = halo.morph if halo is not None and halo.morph in world else ""
    focus = focus if focus in world else ""
    one = has_halo or focus
    nudge = _NUDGES.get(chord)
    if nudge is not None and has_halo:
        after = placed(world, has_halo, world[has_halo].rect.corner + nudge)
        if after is world:
            return Gesture(hand, world)
        return Gesture(hand, after, (), f"move {name_of(world[has_halo])}", world, f"nudge {has_halo}")
    match chord:
        case "escape" if hand.hold is not None and hand.hold.moved:
            return Gesture(replace(hand, hold=None), _put_back(world, hand.hold))
        case "escape" if has_halo:
            return Gesture(hand, world, (HideHalo(),))
        case "tab" | "shift-tab":
            order = tab_order(world)
            if not order:
                return None
            step = 1 if chord == "tab" else -1
            number = order.index(one) + step if one in order else (0 if step > 0 else -1)
            id = order[number % len(order)]
            effects: list[GestureEffect] = [Focus(id)]
            if has_halo:
                effects.append(ShowHalo(id))
            return Gesture(hand, world.raised(id), effects)
        case "enter" if one:
            return Gesture(hand, world, (Do(one, main_act(world[one])[3]),))
        case "space" if focus and not has_halo:
            return Gesture(hand, world, (ShowHalo(focus),))
        case "delete" if has_halo:
            after, label = world.remove(has_halo), f"dismiss {name_of(world[has_halo])}"
            return Gesture(hand, after, (HideHalo(), Focus("")), label, world)
        case "menu" | "shift-f10" if one:
            return Gesture(hand, world, (ShowMenu(seen_in_world(world, one).centre, one),))
    return None


def tab_order(world: World) -> Sequence[str]:
    """All morphs that are seen, in reading order: by rows of 80 px, each from the left; what lies in a morph after it."""
    order: list[str] = []

    def visit(id: str) -> None:
        morph = world[id]
        if id != ROOT:
            order.append(id)
        if not morph.collapsed:
            children = (world[each] for each in morph.children)
            for child in sorted(children, key=lambda each: (each.rect.y // 80, each.rect.x, each.rect.y, each.id)):
                visit(child.id)

    visit(ROOT)
    return order
