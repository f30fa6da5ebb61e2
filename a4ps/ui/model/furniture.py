"""What is always there in a window: the strip, the timeline and the chat field, and the room between them. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import World

STRIP_HEIGHT = 36.0
TIMELINE_HEIGHT = 84.0
CHAT_HEIGHT = 72.0
#: Below this height there is no room for the timeline.
LOW = 480.0
#: The key of the world's state under which the font's scale is kept.
SCALE = "scale"

#: Sizes of type that there are.
SCALES = (0.8, 0.9, 1.0, 1.15, 1.3, 1.5, 1.75, 2.0)
#: A screen of this height has type of size 1.
_USUAL_HEIGHT = 1080.0


@dataclass(frozen=True, slots=True)
class Furniture:
    """What is always there, and the room that is left for morphs. `timeline` has no height where there is no room for it."""

    strip: Rect
    timeline: Rect
    chat: Rect
    room: Rect


def furniture(width: float, height: float, scale: float = 1.0) -> Furniture:
    """Where the strip, the timeline and the chat field are in a window of that size; `scale` is the font's."""
    strip = min(STRIP_HEIGHT * scale, height / 6)
    chat = min(CHAT_HEIGHT * scale, height / 5)
    timeline = TIMELINE_HEIGHT * scale if height >= LOW * scale else 0.0
    foot = height - chat - timeline
    return Furniture(
        Rect(0, 0, width, strip),
        Rect(0, foot, width, timeline),
        Rect(0, foot + timeline, width, chat),
        Rect(0, strip, width, foot - strip),
    )


def font_scale(world: World) -> float:
    """The font's scale that a world is shown with; its state may be anything."""
    scale = world.root.state.get(SCALE)
    return float(scale) if isinstance(scale, int | float) and 0.5 <= scale <= 3 else 1.0


def room_of(world: World) -> Rect:
    """The room that a world has for morphs."""
    rect = world.root.rect
    return furniture(rect.width, rect.height, font_scale(world)).room


def first_scale(height: float) -> float:
    """The size of type that a new world of that height has: on a screen with more pixels, it is to be read as well."""
    return max(scale for scale in SCALES if scale <= max(1.0, height / _USUAL_HEIGHT))
