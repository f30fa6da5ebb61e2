"""What is always there: the status strip above, the timeline and the chat field below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.chat import help_of
from a4ps.ui.model.furniture import Furniture
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.palette import Theme
from a4ps.ui.model.strip import Piece, Strip
from a4ps.ui.view.fonts import LEADING, SMALL, TEXT, size
from a4ps.ui.view.paint import Pen


@dataclass(frozen=True, slots=True)
class Pressed:
    """A part of the strip that says or does something."""

    rect: Rect
    detail: str
    act: Act | None


def draw_strip(
    pen: Pen, strip: Strip, world: str, furniture: Furniture, theme: Theme, scale: float, hovered: Pressed | None
) -> Sequence[Pressed]:
    """The status strip; its parts and where they are."""
    pen.clear()
    rect = furniture.strip
    pen.fill(rect, theme.grid)
    pen.fill(Rect(rect.x, rect.bottom - 1, rect.width, 1), theme.edge, 0.6)
    text, small = size(TEXT, scale), size(SMALL, scale)
    found: list[Pressed] = []
    middle = rect.centre.y
    x = 18.0
    title = size(13, scale)
    x += pen.words("Entropic", x, middle - pen.texts.height("bold", title) / 2, "bold", title, theme.strong)
    right = rect.right - 18
    right = _piece(pen, strip.link, right, rect, theme, text, found, dot=True) - 26 * scale
    pieces = [strip.models, strip.image]
    # What has no room is left out, the image first: its age matters least.
    while pieces and right - sum(_width(pen, each, small, scale) + 26 * scale for each in pieces) < x:
        pieces.pop()
    for piece in pieces:
        right = _piece(pen, piece, right, rect, theme, small, found, scale=scale) - 26 * scale
    if world and x + 22 + pen.texts.width(f"world: {world}", "sans", small) < right:
        y = middle - pen.texts.height("sans", small) / 2
        wide = pen.words(f"world: {world}", x + 22, y, "sans", small, theme.muted)
        found.append(Pressed(Rect(x + 16, rect.y, wide + 12, rect.height), "Choose another world.", Act("worlds")))
    if hovered is not None and hovered.detail:
        _tip(pen, hovered, rect, theme, small)
    return found


def _width(pen: Pen, piece: Piece, height: int, scale: float) -> float:
    return pen.texts.width(piece.text, "sans", height) + (130 * scale if piece.fraction is not None else 0)


def _piece(
    pen: Pen, piece: Piece, right: float, rect: Rect, theme: Theme, height: int, found: list[Pressed], *,
    dot: bool = False, scale: float = 1.0,
) -> float:  # fmt: skip
    """Put a part there, ending at `right`; where it begins."""
    end, middle = right, rect.centre.y
    if piece.fraction is not None:
        bar = Rect(right - 116 * scale, middle - 3, 116 * scale, 6)
        pen.box(bar, theme.edge, 3)
        if piece.fraction > 0:
            colour = theme.tone(piece.tone) if piece.tone != "muted" else theme.calm
            pen.box(bar.sized(max(6.0, bar.width * piece.fraction), 6), colour, 3)
        right = bar.x - 14 * scale
    x = right - pen.texts.width(piece.text, "sans", height)
    pen.words(piece.text, x, middle - pen.texts.height("sans", height) / 2, "sans", height, theme.tone(piece.tone))
    if dot:
        x -= 14
        pen.disc(Point(x + 4, middle), 8, theme.tone(piece.tone))
    found.append(Pressed(Rect(x - 6, rect.y, end - x + 12, rect.height), piece.detail, piece.act))
    return x


def _tip(pen: Pen, hovered: Pressed, rect: Rect, theme: Theme, height: int) -> None:
    room = rect.width - 40
    words = pen.texts.cut(hovered.detail, "sans", height, room)
    wide = pen.texts.width(words, "sans", height) + 20
    x = min(max(8.0, hovered.rect.x), rect.right - wide - 8)
    tip = Rect(x, rect.bottom + 4, wide, pen.texts.height("sans", height) + 10)
    pen.box(tip, theme.title, 6)
    pen.outline(tip, theme.edge, 6)
    pen.words(words, tip.x + 10, tip.y + 5, "sans", height, theme.text)


def draw_foot(pen: Pen, furniture: Furniture, theme: Theme, scale: float, *, focused: bool, hovered: bool) -> Rect:
    """The edges of the timeline, and the ground of the chat field, whose own rectangle is returned."""
    pen.clear()
    timeline, chat = furniture.timeline, furniture.chat
    if timeline.height:
        pen.fill(Rect(0, timeline.y, timeline.width, 1), theme.edge)
        pen.fill(Rect(0, timeline.bottom - 1, timeline.width, 1), theme.edge)
    field = chat_rect(furniture)
    # Around the field; what is hidden anyhow is not filled.
    for rect in (
        Rect(0, chat.y, chat.width, field.y + 10 - chat.y),
        Rect(0, field.bottom - 10, chat.width, chat.bottom - field.bottom + 10),
        Rect(0, field.y + 10, field.x + 10, field.height - 20),
        Rect(field.right - 10, field.y + 10, chat.right - field.right + 10, field.height - 20),
    ):
        pen.fill(rect, theme.ground)
    pen.box(field, theme.entry if theme.name == "light" else theme.window, 9)
    pen.outline(field, theme.calm if focused else theme.muted if hovered else theme.edge, 9)
    sign = size(16, scale)
    at = chat_button(furniture)
    pen.words(
        "⏎", at.centre.x, at.centre.y - pen.texts.height("sans", sign) / 2, "sans", sign, theme.muted, middle=True
    )
    return field


def draw_hints(pen: Pen, hints: Sequence[str], furniture: Furniture, theme: Theme, scale: float) -> None:
    """What is being written could become one of these: a column above the chat field, as many as there is room for."""
    pen.clear()
    if not hints:
        return
    height, field = size(TEXT, scale), chat_rect(furniture)
    row = round(height * LEADING)
    room = max(1, int((field.y - furniture.strip.bottom - 24) // row))
    shown = list(hints[:room])
    if len(hints) > room:
        shown[-1] = f"… and {len(hints) - room + 1} more"
    names = max(pen.texts.width(each, "mono", height) for each in shown) + 32
    helps = [help_of(each) for each in shown]
    wide = names + max(pen.texts.width(each, "sans", height) + 16 if each else 0 for each in helps)
    rect = Rect(field.x, field.y - len(shown) * row - 18, min(wide, field.width), len(shown) * row + 12)
    pen.shadow(rect, theme.shadow)
    pen.box(rect, theme.title, 8)
    pen.outline(rect, theme.edge, 8)
    for number, each in enumerate(shown):
        y = rect.y + 6 + number * row + (row - pen.texts.height("mono", height)) / 2
        pen.words(each, rect.x + 16, y, "mono", height, theme.text)
        if helps[number] and rect.width > names + 40:
            told = pen.texts.cut(helps[number], "sans", height, rect.right - 16 - rect.x - names)
            pen.words(told, rect.x + names, y, "sans", height, theme.muted)


def chat_rect(furniture: Furniture) -> Rect:
    """The chat field with its edge."""
    chat = furniture.chat
    down = min(11.0, chat.height / 8)
    return Rect(18, round(chat.y + down), max(40.0, chat.width - 36), round(chat.height - 2 * down))


def chat_button(furniture: Furniture) -> Rect:
    """What sends what is in the chat field, at its right end."""
    field = chat_rect(furniture)
    return Rect(field.right - 54, field.y, 54, field.height)
