"""The window's content: every morph's view, what lies above and below them, and what is drawn anew when something changes.

Nothing here runs at rest: what the desk tells is drawn once before the next frame, and glows and eases ask for the moment at
which they go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from kivy.clock import Clock
from kivy.core.window import Window
from kivy.graphics import InstructionGroup, PopMatrix, PushMatrix, Rectangle, Scale, Translate
from kivy.uix.widget import Widget

from a4ps.ui.desk import Desk
from a4ps.ui.model import tour
from a4ps.ui.model.blocks import Act, Block, Entry, Marks, say
from a4ps.ui.model.furniture import Furniture, furniture
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.glow import EASE_S, eased
from a4ps.ui.model.halo import Placed
from a4ps.ui.model.hit import seen_rect
from a4ps.ui.model.morph import ROOT, Morph, World
from a4ps.ui.model.palette import rgb
from a4ps.ui.model.strip import strip_of
from a4ps.ui.view import chrome, overlay
from a4ps.ui.view.body import Body
from a4ps.ui.view.damage import Damage
from a4ps.ui.view.editing import Editing
from a4ps.ui.view.living import Living
from a4ps.ui.view.morph_views import (
    CAPTION,
    MorphView,
    NoteView,
    PersonaView,
    Style,
    ToolView,
    WindowView,
    placeholder_blocks,
)
from a4ps.ui.view.paint import Pen
from a4ps.ui.view.plots import Plots
from a4ps.ui.view.text import Texts
from a4ps.ui.view.textures import SHADOW

#: A morph that begins so far outside is not drawn: a persona's captions and glow reach beyond it.
_MARGIN = 140.0
#: In one frame morphs are made for so long; the others come with the next frames, so that a large world can be used at once.
MAKING_S = 0.2

_ALL = frozenset({"world", "society", "halo", "menu", "notices", "work", "theme", "focus"})


class Stage(Widget):
    """Draws a desk. `now` and `clock` are seconds of a monotonic clock and of the day."""

    def __init__(
        self, desk: Desk, *, now: Callable[[], float] = time.monotonic, clock: Callable[[], float] = time.time
    ) -> None:
        super().__init__()
        self.desk = desk
        self.texts = Texts()
        self.plots = Plots(self._plots_ready)
        self.views: dict[str, MorphView] = {}
        self.hovered_handle: Placed | None = None
        self.hovered_strip: chrome.Pressed | None = None
        self.chat_hovered = False
        #: The touches that are down.
        self.touches: set[int] = set()
        self.toasts: Sequence[overlay.Toast] = ()
        self.strip_parts: Sequence[chrome.Pressed] = ()
        self._now, self._clock = now, clock
        self._changed: set[str] = set(_ALL)
        self._orders: dict[str, tuple[str, ...]] = {}
        self._moving: dict[str, tuple[Point, float]] = {}
        self._sized = (0.0, 0.0)
        self._order: Sequence[str] = ()
        self._timeline_id = desk.pin("timeline")
        self.timeline = Body(self._timeline_id, self.texts, self.plots)
        self.living = Living(self, now)
        self._layers()
        self.damage = Damage(lambda: self.editing.fields())
        self._extents: dict[str, Rect] = {}
        self._stripped: object = None
        self.editing = Editing(self)
        self._sync_soon = Clock.create_trigger(self._sync, -1)
        self._sync_later = Clock.create_trigger(self._sync)
        #: Until when views are made in this frame, and whether some are left for the next.
        self._made_until_s, self._unmade = 0.0, False
        self._strip_later: Any = None
        self._ease_later: Any = None
        desk.on_change(self._told)
        self.bind(size=lambda *_: self._resized())

    # Layers

    def _layers(self) -> None:
        self._ground, self._arrow, self._foot, self._strip = (Pen.new(self.texts) for _ in range(4))
        self._halo, self._menu, self._toasts, self._hints = (Pen.new(self.texts) for _ in range(4))
        self._morphs, self._timeline = InstructionGroup(), Pen.new(self.texts)
        self._heights = (Translate(0, 0), Translate(0, 0))
        below = (
            self._ground.group, self.living.links.group, self._morphs, self.living.bubbles.group,
            self._foot.group, self._timeline.group, self._strip.group, self._arrow.group,
        )  # fmt: skip
        above = (self._toasts.group, self._hints.group, self._halo.group, self._menu.group)
        for canvas, height, groups in (
            (self.canvas.before, self._heights[0], below),
            (self.canvas.after, self._heights[1], above),
        ):
            # The world's y grows downwards.
            for each in (PushMatrix(), height, Scale(1, -1, 1), *groups, PopMatrix()):
                canvas.add(each)

    @property
    def furniture(self) -> Furniture:
        return furniture(self.width, self.height, self.desk.font_scale)

    @property
    def style(self) -> Style:
        return Style(self.desk.theme, self.desk.font_scale)

    def style_of(self, id: str) -> Style:
        halo = self.desk.halo
        return Style(
            self.desk.theme, self.desk.font_scale, self.desk.focus == id, halo is not None and halo.morph == id
        )

    def point(self, x: float, y: float) -> Point:
        """A point of the screen as one of the world."""
        return Point(x, self.height - y)

    def body_of(self, id: str) -> Body | None:
        """The body of a window or a note that is drawn, or of the timeline."""
        if id and id == self._timeline_id:
            return self.timeline
        view = self.views.get(id)
        return view.body if isinstance(view, WindowView | NoteView) and not view.morph.collapsed else None

    def body_rect(self, id: str) -> Rect:
        """Where a body is in the world, if nothing is turned."""
        if id == self._timeline_id:
            return self.timeline_rect
        view = self.views[id]
        assert isinstance(view, WindowView | NoteView)
        return view.body_rect(view.morph).moved(self.desk.world.corner(id))

    @property
    def timeline_id(self) -> str:
        return self._timeline_id

    @property
    def timeline_rect(self) -> Rect:
        """Where the timeline's body is."""
        rect = self.furniture.timeline
        return Rect(rect.x + 4, rect.y + 1, max(1.0, rect.width - 8), max(1.0, rect.height - 2))

    def redrawn(self, id: str) -> None:
        """A body was drawn anew: it is shown."""
        view = self.views.get(id)
        if isinstance(view, WindowView | NoteView):
            view.renew()
            self.changed_at(id)
        elif id == self._timeline_id:
            self._show_timeline()

    def changed_at(self, id: str, corner: Point | None = None) -> None:
        """A view was drawn anew: where it was, and where it is now, which is at `corner` while it is on its way."""
        if id not in self.desk.world:
            return
        morph = self.desk.world[id]
        if morph.parent != ROOT or (morph.children and not morph.collapsed):
            # What lies in others is turned with them, and reaches out of them.
            self.damage.add_all()
            return
        if corner is not None:
            morph = replace(morph, rect=morph.rect.moved(corner - morph.rect.corner))
        now = _extent(morph, self.desk.font_scale)
        self.damage.add(now, *([self._extents[id]] if id in self._extents else []))
        self._extents[id] = now

    # What changes

    @property
    def is_settled(self) -> bool:
        """Whether everything that is known is drawn, and nothing is on its way."""
        drawn = not self._changed and not self._unmade and not self._moving
        return drawn and self.plots.are_ready and self._ease_later is None

    def _told(self, what: frozenset[str]) -> None:
        self._changed |= what
        self._sync_soon()

    def _resized(self) -> None:
        if self.size[0] > 1 and self.size[1] > 1 and tuple(self.size) != self._sized:
            self._sized = tuple(self.size)
            self.damage.add_all()
            for each in self._heights:
                each.y = self.height
            self.desk.resized(float(self.width), float(self.height))
            self._changed |= _ALL
            self._sync_soon()

    def _plots_ready(self) -> None:
        for id, view in self.views.items():
            if isinstance(view, WindowView | NoteView) and not view.morph.collapsed:
                view.body.draw()
                self.redrawn(id)

    def _sync(self, *_: object) -> None:
        if self.width <= 1:
            return
        changed, self._changed = frozenset(self._changed), set()
        if self._unmade:
            changed |= {"world"}
        theme, scale = self.desk.theme, self.desk.font_scale
        if "theme" in changed:
            changed |= _ALL
            self.damage.add_all()
            Window.clearcolor = (*rgb(theme.ground), 1)
            overlay.draw_grid(self._ground, self.width, self.height, theme)
            self.editing.dress(theme, scale)
        if changed & {"world", "focus", "halo"}:
            self._sync_world()
        for name in changed:
            if name.startswith("window:"):
                self._sync_window(name.removeprefix("window:"))
        if changed & {"society", "world"}:
            self.living.sync()
        if changed & {"society", "theme", "world"}:
            self.draw_strip()
        if changed & {"theme", "world"}:
            self.draw_foot()
            self._sync_timeline()
        if changed & {"notices", "work", "theme"}:
            room = self.furniture.room
            self.toasts = overlay.draw_toasts(self._toasts, self.desk.notices, self.desk.work, room, theme, scale)
            self.damage.add(*self._toasts.changed())
        if "halo" in changed:
            self.hovered_handle = None
            self.draw_halo()
        if "menu" in changed:
            overlay.draw_menu(self._menu, self.desk.menu, theme)
            self.damage.add(*self._menu.changed())
        self.editing.settle()
        if self._changed:
            self._sync_soon()
        if self._unmade:
            self._sync_later()

    # Morphs

    def _sync_world(self) -> None:
        world = self.desk.world
        for gone in [id for id in self.views if id not in world]:
            del self.views[gone]
            self._orders.pop(gone, None)
            self._moving.pop(gone, None)
            if gone in self._extents:
                self.damage.add(self._extents.pop(gone))
        eases = self.desk.handling.hand.hold is None
        self._made_until_s, self._unmade = self._now() + MAKING_S, False
        self._sync_children(world, world.root, self._morphs, eases)
        if self._moving:
            self._ease()
        overlay.draw_arrow(self._arrow, tour.arrow(world, self.desk.font_scale), self.desk.theme)
        self.damage.add(*self._arrow.changed())

    def _sync_children(self, world: World, parent: Morph, group: Any, eases: bool) -> None:
        order: list[str] = []
        room = Rect(-_MARGIN, -_MARGIN, self.width + 2 * _MARGIN, self.height + 2 * _MARGIN)
        for id in parent.children:
            morph = world[id]
            if parent.id == ROOT and not _touches(morph.rect, room):
                self.views.pop(id, None)
                continue
            view = self.views.get(id)
            if view is None and self._now() > self._made_until_s:
                self._unmade = True
                continue
            order.append(id)
            if view is None or view.morph.kind != morph.kind:
                view = self.views[id] = self._made(morph)
                self._orders.pop(id, None)
            elif eases and view.morph.rect.corner != morph.rect.corner:
                self._moving[id] = (view.morph.rect.corner, self._now())
            style = self.style_of(id)
            if view.morph is not morph or view.look != style:
                self._show(view, morph, style)
                self.changed_at(id)
            if morph.children and not morph.collapsed:
                self._sync_children(world, morph, view.inner, eases)
            elif self._orders.get(id):
                view.inner.clear()
                self._orders[id] = ()
                self.damage.add_all()
        before = self._orders.get(parent.id)
        if before != tuple(order):
            self._orders[parent.id] = tuple(order)
            self._reordered(parent.id, before or (), order)
            group.clear()
            for id in order:
                group.add(self.views[id].group)

    def _reordered(self, parent: str, before: Sequence[str], after: Sequence[str]) -> None:
        """Others lie there now, or in another order: mostly one was raised, came or went."""
        top = after[-1] if after else ""
        others = [each for each in after if each != top and each in before]
        if parent != ROOT or [each for each in before if each in others] != others:
            self.damage.add_all()
            return
        for id in {*before, *after} - set(others):
            if id in self._extents:
                self.damage.add(self._extents[id])

    def _made(self, morph: Morph) -> MorphView:
        match morph.kind:
            case "persona":
                view: MorphView = PersonaView(morph, self.texts)
                assert isinstance(view, PersonaView)
                view.persona = self.desk.society.personas.get(view.name)
                return view
            case "window":
                return WindowView(morph, self.texts, self.plots)
            case "tool":
                return ToolView(morph, self.texts)
        return NoteView(morph, self.texts, self.plots)

    def _show(self, view: MorphView, morph: Morph, style: Style) -> None:
        if isinstance(view, WindowView) and (view.look is None or view.morph.state is not morph.state):
            seen = self.desk.window(morph.id)
            view.title, blocks = seen.title, tuple(seen.blocks)
            if blocks != view.blocks:
                view.blocks = blocks
                if view.look is not None and not morph.collapsed:
                    view.fill(morph, style)
        elif isinstance(view, NoteView):
            view.blocks = self.note_blocks(morph)
        view.show(morph, style)

    def note_blocks(self, morph: Morph) -> tuple[Block, ...]:
        """What a note shows: the tour's stop, its text, or the field in which that is written."""
        number = morph.state.get(tour.TOUR)
        if morph.id == tour.TOUR and tour.stop_of(self.desk.world) is not None and isinstance(number, int):
            return tuple(tour.blocks(number))
        if morph.kind != "note":
            return placeholder_blocks(morph)
        text = str(morph.state.get("text", ""))
        if self.editing.note == morph.id:
            return (Entry("text", text, Act("written"), hint="write here", lines=2, fills=True),)
        return (say(text) if text else say("An empty note: click twice to write.", "muted"),)

    def _sync_window(self, id: str) -> None:
        if id == self._timeline_id:
            self._sync_timeline()
            return
        view = self.views.get(id)
        if isinstance(view, WindowView) and id in self.desk.world:
            seen = self.desk.window(id)
            view.show_blocks(seen.title, tuple(seen.blocks), self.style_of(id))
            self.changed_at(id)

    # Moves

    def _ease(self, *_: object) -> None:
        """Draw those that are on their way where they are now."""
        if self._ease_later is not None:
            self._ease_later.cancel()
            self._ease_later = None
        for id, (start, since_s) in list(self._moving.items()):
            view, share = self.views.get(id), eased((self._now() - since_s) / EASE_S)
            if view is None or share >= 1:
                del self._moving[id]
                share = 1.0
            if view is not None:
                to = view.morph.rect.corner
                at = Point(start.x + (to.x - start.x) * share, start.y + (to.y - start.y) * share)
                view.moved_to(at)
                self.changed_at(id, at)
        if self._moving:
            self._ease_later = Clock.schedule_once(self._ease, 0)

    # What is always there

    def draw_strip(self, *_: object) -> None:
        """The status strip; it comes again when its words are others though nothing has happened."""
        strip = strip_of(self.desk.society, self._clock())
        name, theme, scale = self.desk.scene.name, self.desk.theme, self.desk.font_scale
        stripped = strip, name, self.furniture, theme, scale, self.hovered_strip
        if stripped == self._stripped:
            return
        self._stripped = stripped
        self.strip_parts = chrome.draw_strip(self._strip, strip, name, self.furniture, theme, scale, self.hovered_strip)
        self.damage.add(*self._strip.changed())
        if self._strip_later is not None:
            self._strip_later.cancel()
            self._strip_later = None
        if strip.next_s is not None:
            self._strip_later = Clock.schedule_once(self.draw_strip, max(1.0, strip.next_s - self._clock()))

    def draw_foot(self) -> None:
        """The timeline's and the chat field's ground."""
        chrome.draw_foot(
            self._foot, self.furniture, self.desk.theme, self.desk.font_scale,
            focused=self.editing.chat.focus, hovered=self.chat_hovered,
        )  # fmt: skip
        self.damage.add(*self._foot.changed())
        self.editing.place_chat()
        self.draw_hints()

    def draw_hints(self) -> None:
        """What the command that is being written could be, above the chat field."""
        theme, scale = self.desk.theme, self.desk.font_scale
        chrome.draw_hints(self._hints, self.editing.could_be(), self.furniture, theme, scale)
        self.damage.add(*self._hints.changed())

    def draw_halo(self) -> None:
        """The halo, with what the pointer is on."""
        theme, scale, halo = self.desk.theme, self.desk.font_scale, self.desk.halo
        whole = Rect(4, 4, self.width - 8, self.height - 8)
        name = self._name_beneath(halo.morph, halo.name) if halo is not None else ""
        overlay.draw_halo(self._halo, halo, self.hovered_handle, name, theme, scale, whole)
        self.damage.add(*self._halo.changed())

    def _name_beneath(self, id: str, name: str) -> str:
        view = self.views.get(id)
        if isinstance(view, PersonaView) and view.persona is not None:
            parts = (name, view.persona.model, view.persona.activity or view.persona.mood)
            return " · ".join(each for each in parts if each)
        return view.title or name if isinstance(view, WindowView) else name

    def _sync_timeline(self) -> None:
        rect = self.timeline_rect
        if not self._timeline_id or not self.furniture.timeline.height:
            self._timeline.clear()
            return
        blocks = _of_strip(self.desk.window(self._timeline_id).blocks)
        theme, scale = self.desk.theme, self.desk.font_scale
        self.timeline.set(blocks, rect.width, rect.height, theme, scale, ground=theme.grid)
        self._show_timeline()

    def _show_timeline(self) -> None:
        rect = self.timeline_rect
        self.damage.add(self.furniture.timeline)
        pen = self._timeline
        pen.clear()
        pen.fill(Rect(0, rect.y, self.width, rect.height), self.desk.theme.grid)
        pen.tint("#FFFFFF")
        pen.add(
            Rectangle(
                texture=self.timeline.texture, tex_coords=self.timeline.tex_coords(),
                pos=(rect.x, rect.y), size=(rect.width, rect.height),
            )
        )  # fmt: skip


def _extent(morph: Morph, scale: float) -> Rect:
    """All that the view of a morph in the world itself may cover: shadow, glow and captions, however it is turned."""
    seen = seen_rect(morph)
    if morph.angle:
        across = (seen.width**2 + seen.height**2) ** 0.5
        middle = seen.centre
        seen = Rect(middle.x - across / 2, middle.y - across / 2, across, across)
    if morph.kind == "persona":
        aside, glow = CAPTION * scale / 2 + 24, 0.68 * min(seen.width, seen.height) + 8
        wide, down = max(glow, aside - seen.width / 2), max(glow, 60 * scale)
        return Rect(seen.x - wide, seen.y - glow, seen.width + 2 * wide, seen.height + glow + down)
    reach = SHADOW + 6.0
    return Rect(seen.x - reach, seen.y - reach, seen.width + 2 * reach, seen.height + 2 * reach)


def _touches(rect: Rect, other: Rect) -> bool:
    return rect.x < other.right and rect.right > other.x and rect.y < other.bottom and rect.bottom > other.y


def _of_strip(blocks: Sequence[Block]) -> Sequence[Block]:
    """Of the timeline's blocks what the strip has room for: the marks, and what is chosen of them."""
    marks = next((number for number, each in enumerate(blocks) if isinstance(each, Marks)), None)
    return tuple(blocks[:2]) if marks is None else tuple(blocks[marks : marks + 2])
