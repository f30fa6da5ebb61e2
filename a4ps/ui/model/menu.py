"""A menu, or the command palette: a list of entries at a point of the world, filtered by what is typed. Pure.

Its geometry is here, so that what is drawn and what is pressed are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.command_palette import COMMANDS, ranked
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.halo import HaloMorph
from a4ps.ui.model.palette import SWATCHES

WIDTH = 280.0
PALETTE_WIDTH = 520.0
ROW = 26.0
#: The title, and the line beneath it that shows what is typed.
HEAD = 30.0
FOOT = 6.0
#: So many entries are shown at once; the others are scrolled to.
MOST_ROWS = 14


@dataclass(frozen=True, slots=True)
class Item:
    """An entry: what it says, what it does, and the chord that does the same. `ruled`: a thin line is above it.

    `also` are further words by which it is found.
    """

    label: str
    act: Act
    hint: str = ""
    enabled: bool = True
    ruled: bool = False
    also: str = ""


@dataclass(frozen=True, slots=True)
class Menu:
    """`at` is its upper left corner; `about` the id of the morph that it is of, "" for none.

    `chosen` counts among `shown`, `first` is the topmost row that is seen. `width` (at scale 1) and `tall`, how many rows
    are seen, are made to fit by `kept_inside`.
    """

    at: Point
    title: str
    items: Sequence[Item]
    about: str = ""
    filter: str = ""
    chosen: int = 0
    first: int = 0
    scale: float = 1.0
    width: float = WIDTH
    tall: int = MOST_ROWS

    @property
    def shown(self) -> Sequence[Item]:
        """The entries that what is typed leaves, the best first; all in their order where nothing is typed."""
        if not self.filter:
            return self.items
        return ranked(self.filter, self.items, key=lambda each: each.label, also=lambda each: each.also)

    @property
    def choice(self) -> Item | None:
        """The chosen entry; None where none is left, or it cannot be done now."""
        shown = self.shown
        if not shown:
            return None
        item = shown[min(self.chosen, len(shown) - 1)]
        return item if item.enabled else None

    @property
    def rect(self) -> Rect:
        rows = max(1, min(len(self.shown), self.tall))
        return Rect(self.at.x, self.at.y, self.width * self.scale, (HEAD + rows * ROW + FOOT) * self.scale)

    def rows(self) -> Sequence[tuple[int, Item, Rect]]:
        """What is seen: each entry's place among `shown`, the entry, and its rectangle."""
        rect = self.rect
        return [
            (
                number,
                item,
                Rect(rect.x, rect.y + (HEAD + (number - self.first) * ROW) * self.scale, rect.width, ROW * self.scale),
            )
            for number, item in enumerate(self.shown)
            if self.first <= number < self.first + self.tall
        ]

    def row_at(self, point: Point) -> int | None:
        """The place among `shown` of the entry at a point."""
        return next((number for number, _, rect in self.rows() if rect.contains(point)), None)

    def kept_inside(self, world: Rect) -> Menu:
        """Moved, and where that does not suffice made narrower and shorter, so that all of it is within the world."""
        tall = max(1, min(MOST_ROWS, int((world.height / self.scale - HEAD - FOOT) // ROW)))
        fitting = replace(self, width=min(self.width, world.width / self.scale), tall=tall)
        return replace(fitting, at=fitting.rect.kept_inside(world).corner)

    def hovered(self, point: Point) -> Menu:
        """With the entry at a point chosen; this one where there is none or it is chosen already."""
        row = self.row_at(point)
        return self if row is None or row == self.chosen else replace(self, chosen=row)

    def typed(self, text: str) -> Menu:
        """With this as all that is typed."""
        return replace(self, filter=text, chosen=0, first=0)

    def moved(self, by: int) -> Menu:
        """With the choice that many entries further, around the ends, and scrolled to where it is seen."""
        count = len(self.shown)
        if not count:
            return self
        return self._chosen((self.chosen + by) % count)

    def _chosen(self, number: int) -> Menu:
        first = min(max(self.first, number - self.tall + 1), number)
        return replace(self, chosen=number, first=first)

    def scrolled(self, by: int) -> Menu:
        """Scrolled by that many rows, as far as there are any."""
        most = max(0, len(self.shown) - self.tall)
        return replace(self, first=max(0, min(most, self.first + by)))

    def keyed(self, chord: str) -> Menu | Item | None:
        """What a chord comes to: this menu as it is then, an entry that is to be done, or None: it closes.

        A single character and "backspace" change what is typed; others that mean nothing leave it as it is.
        """
        last = max(0, len(self.shown) - 1)
        match chord:
            case "escape":
                return self.typed("") if self.filter else None
            case "enter":
                return self.choice or self
            case "up" | "shift-tab":
                return self.moved(-1)
            case "down" | "tab":
                return self.moved(1)
            case "pageup":
                return self._chosen(max(0, self.chosen - self.tall))
            case "pagedown":
                return self._chosen(min(last, self.chosen + self.tall))
            case "home":
                return self._chosen(0)
            case "end":
                return self._chosen(last)
            case "backspace":
                return self.typed(self.filter[:-1])
            case "space":
                return self.typed(self.filter + " ")
        return self.typed(self.filter + chord) if len(chord) == 1 and chord.isprintable() else self


#: Handles that the halo's menu has too, and what it calls them. The others are dragged, or are the menu itself.
_IN_WORDS = {
    "inspect": "Inspect",
    "evidence": "Evidence behind its behaviour",
    "recolour": "Recolour …",
    "duplicate": "Duplicate",
    "help": "What is this?",
    "dismiss": "Dismiss",
}


def halo_menu(halo: HaloMorph, at: Point, *, proto: str = "", lies_in: str = "", scale: float = 1.0) -> Menu:
    """The menu of a morph, for its halo's handle.

    `proto` is the name of the Proto that it shows, "" for none; `lies_in` what it is embedded in, "" for the world.
    """
    context, collapse = halo["context"], halo["collapse"]
    # The main act first: Return does it at once.
    items = [Item(context.name.capitalize(), context.act, "Return")]
    for name, words in _IN_WORDS.items():
        items.append(Item(words, halo[name].act, "Delete" if name == "dismiss" else ""))
    items.append(Item(collapse.name.capitalize(), collapse.act))
    about = {"morph": halo.morph}
    if lies_in:
        items.append(Item(f"Take it out of {lies_in}", Act("free", about)))
    items.append(Item("Turn it upright", Act("upright", about)))
    items.append(Item("Bring to the front", Act("raise", about), ruled=True))
    items.append(Item("Send to the back", Act("lower", about)))
    if proto:
        of = {**about, "proto": proto}
        items.append(Item("Pin this version", Act("pin-version", of), ruled=True))
        items.append(Item("History", Act("history", of)))
        items.append(Item("Show its tests", Act("show-tests", of)))
        items.append(Item("Browse its methods", Act("browse", of)))
        items.append(Item("Open a workspace on it", Act("workspace", of)))
        items.append(Item("Plots", Act("plots", of)))
        items.append(Item("Export as text …", Act("export", of)))
    return Menu(at, halo.name, tuple(items), about=halo.morph, scale=scale)


def colour_menu(morph: str, at: Point, scale: float = 1.0) -> Menu:
    """What the recolour handle offers."""
    items = tuple(Item(name, Act("recoloured", {"morph": morph, "colour": colour})) for name, colour in SWATCHES)
    return Menu(at, "Colour", items, about=morph, scale=scale)


def world_menu(at: Point, scale: float = 1.0) -> Menu:
    """What the ground offers: all that opens, and what is done with the world as a whole."""
    items: list[Item] = []
    part = 0
    for each in sorted((each for each in COMMANDS if each.part), key=lambda each: each.part):
        items.append(Item(each.label, each.act, each.hint, ruled=bool(items) and each.part != part, also=each.also))
        part = each.part
    return Menu(at, "World", tuple(items), scale=scale)


def command_menu(world: Rect, scale: float = 1.0, more: Sequence[Item] = ()) -> Menu:
    """The command palette: every command by name, and `more`, such as morphs to go to; in the upper middle of the world."""
    items = (*(Item(each.label, each.act, each.hint, also=each.also) for each in COMMANDS), *more)
    at = Point(world.x + (world.width - PALETTE_WIDTH * scale) / 2, world.y + min(120.0, world.height / 8))
    return Menu(at, "What shall be done?", items, scale=scale, width=PALETTE_WIDTH).kept_inside(world)
