"""What lies in a window or a note: its blocks, laid out, scrolled, and drawn into a texture of their own.

The texture is drawn anew only when something in it has changed, so a frame costs one rectangle for each window. Only what
can be seen is drawn, and of very many blocks only what can be seen is laid out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from kivy.graphics import ClearBuffers, ClearColor, Fbo, Rectangle

from a4ps.ui.model.blocks import Block, Entry, Plot
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.palette import Theme, rgb
from a4ps.ui.view.fonts import SMALL, TEXT, size
from a4ps.ui.view.items import Box, Curve, Dot, Laid, Part, Words
from a4ps.ui.view.laying import BETWEEN, Layout, Showing
from a4ps.ui.view.paint import Pen
from a4ps.ui.view.plots import Plots
from a4ps.ui.view.text import Texts

#: What is free around the blocks.
PAD_X, PAD_Y = 14.0, 10.0
#: More blocks than this are laid out as they are seen; until then each is taken to be one line high.
_LAZY = 300
#: Textures are made in steps of so many px, so that one that is resized is not made anew each time.
_STEP = 64
_RANGES = (600.0, 120.0, 30.0)


@dataclass(frozen=True, slots=True)
class Found:
    """A part, the number of its block, and where it is in the body as it is scrolled now."""

    part: Part
    block: int
    rect: Rect


class Body:
    """That of the morph called `id`."""

    def __init__(self, id: str, texts: Texts, plots: Plots) -> None:
        self.id = id
        self.scroll = 0.0
        self.texture: Any = None
        #: What is being typed: entry's key → text.
        self.drafts: dict[str, str] = {}
        self.hovered: Found | None = None
        self.focused: tuple[int, int] | None = None
        #: The entry over which the editor lies: its text is the editor's to draw.
        self.editing = ""
        self._texts, self._plots = texts, plots
        self._blocks: Sequence[Block] = ()
        self._laid: list[Laid | None] = []
        self._tops: list[float] = [0.0]
        self._width = self._height = 0.0
        self._theme: Theme | None = None
        self._scale = 1.0
        self._ground = ""
        self._layout: Layout | None = None
        self._fbo: Any = None
        self._pen: Pen | None = None
        self._slid = 0.0
        self._showing: dict[str, Showing] = {}
        self._sticks = False

    # What is shown

    def set(
        self, blocks: Sequence[Block], width: float, height: float, theme: Theme, scale: float, *,
        ground: str, sticks: bool = False,
    ) -> None:  # fmt: skip
        """Show these blocks in that size; draws. `sticks`: where the end is seen, it goes on being seen."""
        width, height = max(1.0, width), max(1.0, height)
        at_end = self._sticks and self.scroll >= self.scroll_max - 1
        self._sticks, self._ground = sticks, ground
        same = self._theme is theme and self._scale == scale and self._width == width
        if not same or self._layout is None:
            self._layout = Layout(self._texts, theme, scale, self.draft, self.showing)
            self._laid = [None] * len(blocks)
        elif blocks is not self._blocks:
            self._laid = self._kept(blocks)
            for entry in (each for each in blocks if isinstance(each, Entry)):
                if self.drafts.get(entry.key) == entry.text and entry.key != self.editing:
                    del self.drafts[entry.key]
        if self._height != height and any(isinstance(each, Entry) and each.fills for each in blocks):
            self._forget_filling(blocks)
        self._blocks, self._theme, self._scale, self._width, self._height = blocks, theme, scale, width, height
        if self.focused is not None and self.focused[0] >= len(blocks):
            self.focused = None
        self.hovered = None
        self._lay()
        if sticks and at_end:
            self.scroll = self.scroll_max
        self.draw()

    def draft(self, entry: Entry) -> str:
        """What a field shows: what is being typed there, else its own text."""
        return self.drafts.get(entry.key, entry.text)

    def showing(self, plot: str) -> Showing:
        """How a plot is looked at, where that is chosen here."""
        return self._showing.get(plot, Showing())

    def shown(self, plot: Plot) -> Showing:
        """How a plot is looked at."""
        return self.showing(plot.name) if plot.seconds is None else Showing(plot.seconds)

    def typed(self, key: str, text: str | None) -> None:
        """What is being typed in a field; None: nothing any more."""
        if text is None:
            self.drafts.pop(key, None)
        else:
            self.drafts[key] = text
        self.lay_anew(key)

    def lay_anew(self, key: str) -> None:
        """Lay the field of that key out anew, and draw."""
        for number, block in enumerate(self._blocks):
            if isinstance(block, Entry) and block.key == key:
                self._laid[number] = None
        self._lay()
        self.draw()

    def other_range(self, part: Part) -> None:
        """Look at the plot's next range of time."""
        assert part.plot is not None
        now = self.showing(part.plot.name)
        seconds = _RANGES[(_RANGES.index(now.seconds) + 1) % len(_RANGES)]
        self._show_plot(part, Showing(seconds, now.until_s))

    def pause(self, part: Part) -> None:
        """Stop the plot where it is, or let it go on."""
        assert part.plot is not None
        now = self.showing(part.plot.name)
        until_s = part.plot.points[-1][0] if now.until_s is None and part.plot.points else None
        self._show_plot(part, Showing(now.seconds, until_s))

    def _show_plot(self, part: Part, showing: Showing) -> None:
        assert part.plot is not None
        self._showing[part.plot.name] = showing
        self._laid = [None if laid is not None and laid.block == part.plot else laid for laid in self._laid]
        self._lay()
        self.draw()

    # Scrolling

    @property
    def content_height(self) -> float:
        return self._tops[-1] + 2 * PAD_Y

    @property
    def scroll_max(self) -> float:
        return max(0.0, self.content_height - self._height)

    def scroll_by(self, by: float) -> bool:
        """Scroll by so many px; whether that moved anything."""
        return self.scroll_to(self.scroll + by)

    def scroll_to(self, to: float) -> bool:
        before = self.scroll
        self.scroll = round(min(max(0.0, to), self.scroll_max))
        if self.scroll == before:
            return False
        self._lay()
        self.hovered = None
        self.draw()
        return True

    def slide_by(self, by: float) -> None:
        """Move code sideways."""
        widest = max(
            (
                each.rect.right
                for laid in self._laid
                if laid
                for each in laid.items
                if isinstance(each, Words) and each.slides
            ),
            default=0.0,
        )
        slid = min(max(0.0, self._slid + by), max(0.0, widest - self._width + 3 * PAD_X))
        if slid != self._slid:
            self._slid = slid
            self.draw()

    def reveal(self, found: Found) -> None:
        """Scroll so far that the part is seen."""
        if found.rect.y < 0:
            self.scroll_by(found.rect.y - PAD_Y)
        elif found.rect.bottom > self._height:
            self.scroll_by(min(found.rect.bottom - self._height + PAD_Y, found.rect.y))

    # Parts

    def part_at(self, point: Point) -> Found | None:
        """What can be pressed at a point of the body."""
        if not (0 <= point.x < self._width and 0 <= point.y < self._height):
            return None
        number = self._number_at(point.y)
        laid = self._laid[number] if 0 <= number < len(self._laid) else None
        if laid is None:
            return None
        part = laid.part_at(Point(point.x - PAD_X, point.y - self._top(number)))
        return self._found(part, number) if part is not None else None

    def parts(self) -> list[Found]:
        """All that can be pressed, in order; of blocks that are not laid out yet, none."""
        found = []
        for number, laid in enumerate(self._laid):
            if laid is not None:
                found += [self._found(each, number) for each in laid.parts if each.kind != "scrub"]
        return found

    def entry(self, key: str) -> Found | None:
        """The field of that key."""
        for number, block in enumerate(self._blocks):
            if isinstance(block, Entry) and block.key == key:
                laid = self._laid[number] or self._lay_one(number)
                return self._found(laid.parts[-1], number)
        return None

    def entries(self) -> list[str]:
        """The keys of all fields that can be edited, in order."""
        return [each.key for each in self._blocks if isinstance(each, Entry) and not each.read_only]

    def place_on(self, point: Point) -> float:
        """How far along its marks, which are as wide as the body, a point of it is, 0 to 1."""
        inset = 8 * self._scale
        return min(1.0, max(0.0, (point.x - PAD_X - inset) / max(1.0, self._width - 2 * PAD_X - 2 * inset)))

    def plot(self, name: str) -> Plot | None:
        """The plot of that name."""
        return next((each for each in self._blocks if isinstance(each, Plot) and each.name == name), None)

    def _found(self, part: Part, number: int) -> Found:
        return Found(part, number, part.rect.moved(Point(PAD_X, self._top(number))))

    def _top(self, number: int) -> float:
        """Where a block begins in the body as it is scrolled now."""
        return PAD_Y + self._tops[number] - self.scroll

    def _number_at(self, y: float) -> int:
        return bisect_right(self._tops, y - PAD_Y + self.scroll) - 1

    # Laying out

    def _kept(self, blocks: Sequence[Block]) -> list[Laid | None]:
        """What was laid out of blocks that are the same, at the beginning and at the end."""
        old = self._blocks
        first = 0
        while first < min(len(old), len(blocks)) and old[first] == blocks[first]:
            first += 1
        last = 0
        while last < min(len(old), len(blocks)) - first and old[-1 - last] == blocks[-1 - last]:
            last += 1
        middle: list[Laid | None] = [None] * (len(blocks) - first - last)
        return [*self._laid[:first], *middle, *(self._laid[len(old) - last :] if last else [])]

    def _forget_filling(self, blocks: Sequence[Block]) -> None:
        for number, block in enumerate(blocks):
            if isinstance(block, Entry) and block.fills:
                self._laid[number] = None

    def _lay(self) -> None:
        lazy = len(self._blocks) > _LAZY
        if not lazy:
            filling = [i for i, each in enumerate(self._blocks) if isinstance(each, Entry) and each.fills]
            for number, laid in enumerate(self._laid):
                if laid is None and number not in filling:
                    self._lay_one(number)
            if filling:
                for number in filling:
                    self._laid[number] = None
                self._stack()
                taken = self._tops[-1] - self._guess() * len(filling)
                left = (self._height - 2 * PAD_Y - taken) / len(filling) - BETWEEN * self._scale
                for number in filling:
                    self._lay_one(number, left)
        self._stack()
        if lazy:
            # What is laid out may be higher than it was taken to be, and bring less into sight: never more.
            first = max(0, self._number_at(0))
            number = first
            while number < len(self._blocks) and self._top(number) < self._height:
                if self._laid[number] is None:
                    self._lay_one(number)
                    self._stack()
                number += 1
        self.scroll = round(min(max(0.0, self.scroll), self.scroll_max))

    def _lay_one(self, number: int, left: float = 0.0) -> Laid:
        assert self._layout is not None
        laid = self._layout.laid(self._blocks[number], self._width - 2 * PAD_X, left)
        self._laid[number] = laid
        return laid

    def _guess(self) -> float:
        return TEXT * 1.5 * self._scale + BETWEEN

    def _stack(self) -> None:
        guess = self._guess()
        between = BETWEEN * self._scale
        heights = (guess if laid is None else laid.height + between for laid in self._laid)
        self._tops = list(accumulate(heights, initial=0.0))

    # Drawing

    def tex_coords(self) -> tuple[float, ...]:
        """The part of the texture that is used, its upper left corner first."""
        right, bottom = self._width / self._fbo.size[0], self._height / self._fbo.size[1]
        return (0, 0, right, 0, right, bottom, 0, bottom)

    def draw(self) -> None:
        """Draw what is seen into the texture."""
        theme = self._theme
        if theme is None:
            return
        wanted = tuple(int(-(-each // _STEP) * _STEP) for each in (self._width, self._height))
        if self._fbo is None or self._fbo.size != wanted:
            self._fbo = Fbo(size=wanted)
            self.texture = self._fbo.texture
        self._fbo.clear()
        self._fbo.add(ClearColor(*rgb(self._ground), 1))
        self._fbo.add(ClearBuffers())
        pen = Pen(self._fbo, self._texts)
        number = max(0, self._number_at(0))
        while number < len(self._laid) and self._top(number) < self._height:
            laid = self._laid[number]
            if laid is not None:
                self._draw_block(pen, laid, self._top(number), theme)
            number += 1
        self._draw_focus(pen, theme)
        self._draw_scrollbar(pen, theme)
        self._fbo.draw()

    def _draw_block(self, pen: Pen, laid: Laid, top: float, theme: Theme) -> None:
        low, high = -top, self._height - top
        hovered = self.hovered
        is_marked = hovered is not None and hovered.part.kind == "press" and hovered.part in laid.parts
        if hovered is not None and is_marked:
            pen.box(hovered.part.rect.moved(Point(PAD_X, top)), theme.hover, 4)
        edited = next((each for each in laid.parts if each.entry is not None and each.entry.key == self.editing), None)
        for item in laid.items:
            if item.rect.y > high or item.rect.bottom < low:
                continue
            x, y = item.rect.x + PAD_X, item.rect.y + top
            match item:
                case Words():
                    if edited is not None and edited.rect.contains(Point(item.rect.x + 1, item.rect.centre.y)):
                        continue
                    self._draw_words(pen, item, x, y)
                case Box():
                    rect = Rect(round(x), round(y), item.rect.width, item.rect.height)
                    lit = is_marked and hovered is not None and hovered.part.rect == item.rect
                    if item.colour:
                        pen.box(rect, item.colour, item.radius)
                        if lit:
                            pen.box(rect, theme.text, item.radius, 0.10)
                    if item.edge:
                        pen.outline(rect, item.edge, item.radius)
                case Dot():
                    pen.disc(Point(x + item.rect.width / 2, y + item.rect.height / 2), item.rect.width, item.colour)
                case Curve():
                    self._draw_curve(pen, item, x, y, theme)

    def _draw_words(self, pen: Pen, item: Words, x: float, y: float) -> None:
        if not item.slides:
            pen.words(item.text, x, y, item.face, item.size, item.colour)
            return
        advance = self._texts.width("0", "mono", item.size)
        first = int(self._slid // advance)
        room = int((self._width - x) // advance) + 1
        pen.words(item.text[first : first + max(0, room)], x, y, item.face, item.size, item.colour)

    def _draw_curve(self, pen: Pen, item: Curve, x: float, y: float, theme: Theme) -> None:
        width, height = max(8, int(item.rect.width)), max(8, int(item.rect.height) - 1)
        shown = self.shown(item.plot)
        texture = self._plots.texture(self.id, item.plot, shown, theme, self._scale, width, height)
        if texture is None:
            small = size(SMALL, self._scale)
            pen.words(self._plots.fault or "drawing …", x + 12, y + 8, "sans", small, theme.muted)
            return
        pen.tint("#FFFFFF")
        pen.add(Rectangle(texture=texture, pos=(round(x), round(y)), size=(width, height)))

    def _draw_focus(self, pen: Pen, theme: Theme) -> None:
        if self.focused is None:
            return
        number, which = self.focused
        laid = self._laid[number] if number < len(self._laid) else None
        parts = [each for each in laid.parts if each.kind != "scrub"] if laid is not None else []
        if which < len(parts):
            rect = self._found(parts[which], number).rect
            pen.outline(Rect(rect.x - 1, rect.y - 1, rect.width + 2, rect.height + 2), theme.calm, 5)
            pen.outline(rect, theme.calm, 5)

    def _draw_scrollbar(self, pen: Pen, theme: Theme) -> None:
        if self.scroll_max <= 0:
            return
        track = self._height - 4
        long = max(24.0, track * self._height / self.content_height)
        y = 2 + (track - long) * self.scroll / self.scroll_max
        pen.box(Rect(self._width - 6, round(y), 4, round(long)), theme.muted, 2, 0.5)
