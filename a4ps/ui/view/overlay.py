"""What lies above the morphs: speech, the halo, menus, notices, work. Each is drawn into a group of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from a4ps.ui.calls import Work
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.halo import HaloMorph, Placed
from a4ps.ui.model.menu import HEAD, Menu
from a4ps.ui.model.palette import Theme, dissonance_colour, readable_on
from a4ps.ui.model.pane import Notice
from a4ps.ui.model.society import Persona
from a4ps.ui.view import textures
from a4ps.ui.view.fonts import LEADING, SMALL, TEXT, size
from a4ps.ui.view.links import Link
from a4ps.ui.view.paint import Pen, curve, towards
from a4ps.ui.view.wrapping import wrapped

#: A bubble shows the last lines of what is being said.
BUBBLE_WIDTH, BUBBLE_LINES = 254.0, 5
#: What a handle does is wrapped at this width.
TIP_WIDTH = 210.0
#: So much of what is said is looked at for that.
_LAST_CHARS = 1_000


def draw_links(pen: Pen, links: Sequence[Link], rings: Mapping[str, Rect], theme: Theme, scale: float) -> None:
    """The lines between personas, from ring to ring."""
    pen.clear()
    for link in links:
        one, other = rings.get(link.one), rings.get(link.other)
        if one is None or other is None:
            continue
        a, b = one.centre, other.centre
        reach_a, reach_b = one.width / 2 + 7, other.width / 2 + 7
        if a.distance(b) < reach_a + reach_b + 8:
            continue
        start, end = towards(a, b, reach_a), towards(b, a, reach_b)
        if link.dissonance is None:
            alpha = 0.9 if link.active else 0.45
            pen.stroke(
                (start, end), 1.3 if link.active else 1.0, theme.calm if link.active else theme.muted, alpha, (6, 5)
            )
            continue
        colour = dissonance_colour(link.dissonance)
        points = curve(start, end, 0.06 * start.distance(end))
        pen.stroke(points, 2.4 if link.active else 1.6, colour, 0.95 if link.active else 0.7)
        middle = points[len(points) // 2]
        small = size(SMALL, scale)
        words = f"{link.dissonance:.2f}"
        wide = pen.texts.width(words, "mono", small)
        high = pen.texts.height("mono", small)
        pen.box(Rect(middle.x - wide / 2 - 6, middle.y - high / 2 - 2, wide + 12, high + 4), theme.ground, 6, 0.95)
        pen.words(words, middle.x, middle.y - high / 2, "mono", small, theme.text, middle=True)


def draw_bubbles(
    pen: Pen, speaking: Sequence[tuple[Persona, Rect]], taken: Sequence[Rect], room: Rect, theme: Theme, scale: float
) -> None:
    """What is being said, beside who says it; where it hides as little as can be of what is `taken`."""
    pen.clear()
    text = size(TEXT, scale)
    row = round(text * LEADING)
    for persona, ring in speaking:
        width = min(BUBBLE_WIDTH * scale, room.width - 20)
        inner = width - 28
        said = persona.saying[-_LAST_CHARS:]
        lines = wrapped([said.lstrip() + "▌"], inner, lambda each, _: pen.texts.width(each, "sans", text))
        shown = lines[-max(1, min(BUBBLE_LINES, int(room.height // 90))) :]
        rect = _beside(Rect(0, 0, width, len(shown) * row + 18), ring, taken, room)
        pen.shadow(rect, theme.shadow, 0.5)
        colour = theme.hover
        _tail(pen, rect, ring, colour)
        pen.box(rect, colour, 9)
        pen.outline(rect, theme.edge, 9)
        for number, line in enumerate(shown):
            for run in line:
                down = (row - pen.texts.height("sans", text)) / 2
                pen.words(run.text, rect.x + 14 + run.x, rect.y + 9 + number * row + down, "sans", text, theme.text)
        taken = (*taken, rect)


def _beside(size_: Rect, ring: Rect, taken: Sequence[Rect], room: Rect) -> Rect:
    gap = 16.0
    middle = ring.centre
    places = (
        Rect(middle.x - size_.width * 0.55, ring.y - gap - size_.height, size_.width, size_.height),
        Rect(ring.right + gap, middle.y - size_.height / 2, size_.width, size_.height),
        Rect(ring.x - gap - size_.width, middle.y - size_.height / 2, size_.width, size_.height),
        Rect(middle.x - size_.width / 2, ring.bottom + 52, size_.width, size_.height),
    )
    inner = Rect(room.x + 10, room.y + 8, room.width - 20, room.height - 16)
    fitting = [each.kept_inside(inner) for each in places]
    return min(fitting, key=lambda each: sum(_overlap(each, other) for other in (*taken, ring)))


def _overlap(a: Rect, b: Rect) -> float:
    wide = min(a.right, b.right) - max(a.x, b.x)
    high = min(a.bottom, b.bottom) - max(a.y, b.y)
    return wide * high if wide > 0 and high > 0 else 0.0


def _tail(pen: Pen, rect: Rect, ring: Rect, colour: str) -> None:
    """From the bubble towards who speaks."""
    from kivy.graphics import Mesh

    middle = ring.centre
    x = min(max(middle.x, rect.x + 22), rect.right - 22)
    y = min(max(middle.y, rect.y + 16), rect.bottom - 16)
    if rect.bottom <= ring.y:
        a, b, tip = Point(x - 9, rect.bottom - 1), Point(x + 9, rect.bottom - 1), Point(x, rect.bottom + 10)
    elif rect.y >= ring.bottom:
        a, b, tip = Point(x - 9, rect.y + 1), Point(x + 9, rect.y + 1), Point(x, rect.y - 10)
    elif rect.x >= ring.right:
        a, b, tip = Point(rect.x + 1, y - 8), Point(rect.x + 1, y + 8), Point(rect.x - 9, y)
    else:
        a, b, tip = Point(rect.right - 1, y - 8), Point(rect.right - 1, y + 8), Point(rect.right + 9, y)
    pen.tint(colour)
    vertices = [number for each in (a, b, tip) for number in (each.x, each.y, 0, 0)]
    pen.add(Mesh(vertices=vertices, indices=[0, 1, 2], mode="triangles"))


def draw_halo(
    pen: Pen, halo: HaloMorph | None, hovered: Placed | None, name: str, theme: Theme, scale: float, room: Rect
) -> None:
    """The ring of handles; the hovered one's name and what it does beside it, the morph's `name` beneath."""
    pen.clear()
    if halo is None:
        return
    outline = halo.outline
    if halo.round:
        _dotted_ring(pen, halo, theme)
    else:
        pen.outline(outline, theme.muted, 10, 0.35)
    text, small = size(TEXT, scale), size(SMALL, scale)
    for each in halo.handles:
        is_hovered = hovered is not None and each.handle.name == hovered.handle.name
        across = halo.size + (5 if is_hovered else 0)
        pen.disc(Point(each.at.x, each.at.y + 1.5), across + 3, theme.shadow, 0.6)
        pen.disc(each.at, across, each.handle.colour)
        if each.handle.name == "grab":
            pen.ring(each.at, across, 1.2, theme.muted)
        if is_hovered:
            pen.ring(each.at, across + 3, 1.5, theme.strong)
        sign_size = round(halo.size * 0.5)
        texture = pen.texts.texture(each.sign, "sans", sign_size)
        if texture is not None:
            y = each.at.y - texture.height / 2
            pen.words(each.sign, each.at.x, y, "sans", sign_size, readable_on(each.handle.colour), middle=True)
    shown = pen.texts.cut(name, "sans", text, room.width - 40)
    wide, high = pen.texts.width(shown, "sans", text) + 18, pen.texts.height("sans", text) + 5
    label = Rect(halo.name_at.x - wide / 2, halo.name_at.y, wide, high).kept_inside(room)
    pen.box(label, theme.title, 6, 0.94)
    pen.words(shown, label.centre.x, label.y + 2, "sans", text, theme.strong, middle=True)
    if hovered is not None:
        right = hovered.at.x >= halo.centre.x
        name_wide = pen.texts.width(hovered.name, "bold", text)
        lines = _paragraph(pen, hovered.help, TIP_WIDTH * scale, small)
        row = round(small * 1.35)
        wide = max(name_wide, *(pen.texts.width(each, "sans", small) for each in lines)) + 20
        high = pen.texts.height("bold", text) + len(lines) * row + 11
        x = hovered.at.x + halo.size / 2 + 9 if right else hovered.at.x - halo.size / 2 - 9 - wide
        rect = Rect(x, hovered.at.y - high / 2, wide, high).kept_inside(room)
        pen.box(rect, theme.title, 6, 0.97)
        pen.outline(rect, theme.edge, 6)
        pen.words(hovered.name, rect.x + 10, rect.y + 4, "bold", text, theme.strong)
        y = rect.y + 6 + pen.texts.height("bold", text)
        _lines(pen, lines, rect.x + 10, y, row, small, theme.muted)


def _dotted_ring(pen: Pen, halo: HaloMorph, theme: Theme) -> None:
    points = [halo.centre.towards(degrees, halo.radius) for degrees in range(0, 361, 4)]
    pen.stroke(points, 1, theme.muted, 0.5, (3, 5))


def draw_menu(pen: Pen, menu: Menu | None, theme: Theme) -> None:
    """An open menu, with what is typed, the chosen row and each row's chord."""
    pen.clear()
    if menu is None:
        return
    scale, rect = menu.scale, menu.rect
    text, small = size(TEXT, scale), size(SMALL, scale)
    pen.shadow(rect, theme.shadow, 1.0)
    pen.box(rect, theme.title, 9)
    pen.outline(rect, theme.edge, 9)
    head = HEAD * scale
    down = (head - pen.texts.height("bold", text)) / 2
    if menu.filter:
        width = pen.words(menu.filter, rect.x + 14, rect.y + down, "sans", text, theme.strong)
        pen.fill(Rect(rect.x + 15 + width, rect.y + 8 * scale, 1, head - 16 * scale), theme.calm)
    else:
        title = pen.texts.cut(menu.title, "bold", text, rect.width - 120 * scale)
        pen.words(title, rect.x + 14, rect.y + down, "bold", text, theme.muted)
        hint = "type to find"
        wide = pen.texts.width(hint, "sans", small)
        if wide < rect.width - pen.texts.width(title, "bold", text) - 40:
            pen.words(hint, rect.right - 14 - wide, rect.y + down + 1, "sans", small, theme.muted, alpha=0.8)
    pen.fill(Rect(rect.x + 1, rect.y + head - 1, rect.width - 2, 1), theme.edge)
    rows = menu.rows()
    if not rows:
        pen.words("Nothing is called so.", rect.x + 14, rect.y + head + 5 * scale, "sans", text, theme.muted)
    for number, item, row in rows:
        if number == min(menu.chosen, len(menu.shown) - 1):
            pen.box(Rect(row.x + 5, row.y + 1, row.width - 10, row.height - 2), theme.chosen, 5)
        if item.ruled and not menu.filter and number > menu.first:
            pen.fill(Rect(row.x + 12, row.y, row.width - 24, 1), theme.edge)
        hint = item.hint
        wide = pen.texts.width(hint, "sans", small) if hint else 0.0
        label = pen.texts.cut(item.label, "sans", text, row.width - 40 - wide)
        y = row.y + (row.height - pen.texts.height("sans", text)) / 2
        pen.words(label, row.x + 14, y, "sans", text, theme.text if item.enabled else theme.muted)
        if hint:
            pen.words(hint, row.right - 14 - wide, y + 1, "sans", small, theme.muted)
    if len(menu.shown) > menu.tall:
        track = rect.height - head - 10
        long = max(18.0, track * menu.tall / len(menu.shown))
        y = rect.y + head + 4 + (track - long) * menu.first / max(1, len(menu.shown) - menu.tall)
        pen.box(Rect(rect.right - 7, y, 4, long), theme.muted, 2, 0.5)


@dataclass(frozen=True, slots=True)
class Toast:
    """A notice, or a piece of work, where it is drawn, and what of it is pressed."""

    rect: Rect
    button: Rect
    notice: Notice | None = None
    work: Work | None = None


TOAST_WIDTH = 340.0


def draw_toasts(
    pen: Pen, notices: Sequence[Notice], work: Sequence[Work], room: Rect, theme: Theme, scale: float
) -> Sequence[Toast]:
    """Notices at the lower right, work at the lower left; upwards, the newest below. Returns where they are."""
    pen.clear()
    text = size(TEXT, scale)
    row = round(text * LEADING)
    found: list[Toast] = []
    width = min(TOAST_WIDTH * scale, room.width - 24)
    bottom = room.bottom - 12
    for notice in reversed(notices):
        lines = _paragraph(pen, notice.text, width - 54, text)[:8]
        more = _paragraph(pen, notice.next_step, width - 54, text)[:4] if notice.next_step else []
        height = (len(lines) + len(more)) * row + 18
        rect = Rect(room.right - 14 - width, bottom - height, width, height)
        if rect.y < room.y:
            break
        _plate(pen, rect, theme, theme.bad if notice.bad else theme.calm)
        _lines(pen, lines, rect.x + 18, rect.y + 9, row, text, theme.text)
        _lines(pen, more, rect.x + 18, rect.y + 9 + len(lines) * row, row, text, theme.muted)
        button = Rect(rect.right - 30, rect.y + 4, 26, 26)
        pen.words("×", button.centre.x, button.y + 3, "sans", 15, theme.muted, middle=True)
        found.append(Toast(rect, rect, notice=notice))
        bottom = rect.y - 8
    bottom = room.bottom - 12
    for each in reversed(work):
        label = pen.texts.cut(each.label, "sans", text, width - 92 * scale)
        rect = Rect(room.x + 14, bottom - row - 26, width, row + 26)
        if rect.y < room.y:
            break
        _plate(pen, rect, theme, theme.calm)
        pen.words(label, rect.x + 18, rect.y + 8, "sans", text, theme.text)
        wide = pen.texts.width("stop", "sans", text)
        pen.words("stop", rect.right - 16 - wide, rect.y + 8, "sans", text, theme.bad)
        bar = Rect(rect.x + 18, rect.bottom - 11, rect.width - 34, 4)
        pen.box(bar, theme.edge, 2)
        if each.fraction is not None:
            pen.box(bar.sized(max(4.0, bar.width * each.fraction), 4), theme.calm, 2)
        found.append(Toast(rect, Rect(rect.right - 30 - wide, rect.y, wide + 30, row + 14), work=each))
        bottom = rect.y - 8
    return found


def _plate(pen: Pen, rect: Rect, theme: Theme, accent: str) -> None:
    pen.shadow(rect, theme.shadow, 0.9)
    pen.box(rect, theme.title, 8)
    pen.outline(rect, theme.edge, 8)
    pen.box(Rect(rect.x + 6, rect.y + 8, 3, rect.height - 16), accent, 1)


def _paragraph(pen: Pen, words: str, width: float, text: int) -> list[str]:
    lines = wrapped([words], width, lambda each, _: pen.texts.width(each, "sans", text))
    return ["".join(run.text for run in line) for line in lines]


def _lines(pen: Pen, lines: Sequence[str], x: float, y: float, row: int, text: int, colour: str) -> None:
    for number, line in enumerate(lines):
        pen.words(line, x, y + number * row, "sans", text, colour)


def draw_grid(pen: Pen, width: float, height: float, theme: Theme) -> None:
    """The grid of the ground, whose colour is what the window is cleared with."""
    from kivy.graphics import Mesh

    pen.clear()
    pen.tint(theme.grid)
    vertices: list[float] = []
    for x in range(20, int(width) + 1, 40):
        vertices += (x + 0.5, 0, 0, 0, x + 0.5, height, 0, 0)
    for y in range(20, int(height) + 1, 40):
        vertices += (0, y + 0.5, 0, 0, width, y + 0.5, 0, 0)
    # A mesh has at most 65,535 corners: far more than a screen has lines.
    pen.add(Mesh(vertices=vertices, indices=list(range(len(vertices) // 4)), mode="lines"))


def draw_arrow(pen: Pen, ends: tuple[Point, Point] | None, theme: Theme) -> None:
    """From the tour's note to what it speaks of."""
    pen.clear()
    if ends is None:
        return
    start, end = ends
    pen.stroke(ends, 1.6, theme.warn, 0.9)
    pen.picture(textures.disc(9), end, 9, theme.warn)
    pen.picture(textures.disc(5), start, 5, theme.warn)
