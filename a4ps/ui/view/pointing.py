"""What the pointer does: handed to the desk, and within bodies, strips and notices to what is pressed there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast

from kivy.clock import Clock
from kivy.core.window import Window

from a4ps.ui.model.geometry import Point
from a4ps.ui.model.gestures import STILL, Pointer
from a4ps.ui.model.hit import part_at, stack_at, within
from a4ps.ui.view import chrome
from a4ps.ui.view.body import Body, Found
from a4ps.ui.view.morph_views import NoteView, WindowView
from a4ps.ui.view.plots import save_plot

if TYPE_CHECKING:
    from a4ps.ui.view.stage import Stage

#: A press that stays where it is for so long is a hold.
HOLD_S = 0.5
#: A turn of the wheel scrolls so far.
WHEEL = 54.0


@dataclass(slots=True)
class _Press:
    """What the pointer went down on. `world`: the desk hears of it, too."""

    at: Point
    last: Point
    id: str = ""
    found: Found | None = None
    world: bool = True
    moved: bool = False
    held: bool = False
    scrubbed: float = -1.0
    twice: bool = False
    #: It has opened a menu, which may lie under the pointer: letting go chooses nothing.
    opened: bool = False


class Pointing:
    """That of one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._press: _Press | None = None
        self._hold_later: Any = None
        Window.bind(mouse_pos=self._hovered, on_cursor_leave=lambda *_: self._hover(Point(-1, -1)))

    # Touches

    def down(self, touch: Any) -> None:
        """A button went down, or the wheel was turned."""
        stage, desk = self._stage, self._stage.desk
        at = stage.point(*touch.pos)
        button = str(getattr(touch, "button", "left") or "left")
        if button.startswith("scroll"):
            self._wheel(at, button)
            return
        touch.grab(stage)
        ctrl, shift = "ctrl" in Window.modifiers, "shift" in Window.modifiers
        which = cast("Literal['left', 'middle', 'right']", button if button in ("middle", "right") else "left")
        event = Pointer("press", at, which, ctrl, shift)
        self._press = _Press(at, at, twice=bool(touch.is_double_tap))
        self._cancel_hold()
        in_menu = desk.menu is not None and desk.menu.rect.contains(at)
        in_halo = desk.halo is not None and desk.halo.handle_at(at) is not None
        if not in_menu and not in_halo and self._is_chrome(at):
            if desk.menu is not None:
                with desk.settling():
                    desk.show_menu(None)
            self._press.world = False
            if which == "left":
                self._down_on_chrome(at, touch)
            return
        if not in_menu and not in_halo:
            found = self._found_at(at)
            stage.editing.leave_chat()
            if found is None or found[1] is None or found[1].part.kind != "entry" or event.button != "left" or ctrl:
                stage.editing.leave()
            if found is not None:
                self._press.id, self._press.found = found
        before = desk.menu
        desk.pointer(event)
        self._press.opened = desk.menu is not None and desk.menu is not before
        if in_menu or in_halo or which != "left" or ctrl:
            return
        self._hold_later = Clock.schedule_once(lambda _: self._held(), HOLD_S)
        self._focus_part(None)
        self._down_on_part(touch)

    def move(self, touch: Any) -> None:
        """It moved while it was down."""
        press = self._press
        if press is None:
            return
        stage, desk = self._stage, self._stage.desk
        at = stage.point(*touch.pos)
        if not press.moved and at.distance(press.at) >= STILL:
            press.moved = True
            self._cancel_hold()
        if press.world:
            desk.pointer(Pointer("move", at, ctrl="ctrl" in Window.modifiers, shift="shift" in Window.modifiers))
        if press.moved and press.id and press.found is not None and press.found.part.marks is not None:
            # A drag along the marks, on whichever of them it began.
            self._scrub(press, at)
        elif press.moved and press.id and press.found is None and self._is_body(press, press.at):
            self._scroll(press.id, press.last.y - at.y)
        press.last = at

    def up(self, touch: Any) -> None:
        """It went up."""
        press, self._press = self._press, None
        self._cancel_hold()
        if press is None:
            return
        stage, desk = self._stage, self._stage.desk
        at = stage.point(*touch.pos)
        button = str(getattr(touch, "button", "left") or "left")
        if press.world and not (press.opened and not press.moved):
            which = cast("Literal['left', 'middle', 'right']", button if button in ("middle", "right") else "left")
            desk.pointer(
                Pointer("release", at, which, ctrl="ctrl" in Window.modifiers, shift="shift" in Window.modifiers)
            )
        if press.found is None or press.held or press.moved or button not in ("left", "None"):
            if press.twice and not press.moved and press.id and button == "left":
                self._twice(press.id)
            return
        if press.found.part.kind == "scrub":
            self._scrub(press, at)
            return
        now = self._found_at(at)
        if now is not None and now[0] == press.id and now[1] is not None and now[1].part == press.found.part:
            self.do(press.id, press.found)

    def do(self, id: str, found: Found) -> None:
        """Do what a part is for."""
        stage = self._stage
        body, part = stage.body_of(id), found.part
        if body is None:
            return
        match part.kind:
            case "press" if part.act is not None:
                stage.desk.act(id, part.act)
            case "entry" if part.entry is not None:
                stage.editing.edit(id, part.entry.key)
            case "range":
                body.other_range(part)
                stage.redrawn(id)
            case "pause":
                body.pause(part)
                stage.redrawn(id)
            case "save" if part.plot is not None:
                self._ask_plot(id, part.plot.name)

    def _ask_plot(self, id: str, name: str) -> None:
        """Ask where a plot is to be saved."""
        stage = self._stage
        body = stage.body_of(id)
        plot = body.plot(name) if body is not None else None
        if body is None or plot is None:
            stage.desk.notice(f"The plot {name} is not shown.", "open its tab first")
            return
        showing, theme = body.shown(plot), stage.desk.theme
        stage.editing.ask_path(
            f"the plot {plot.title}", f"{name}.png", lambda path: save_plot(plot, showing, theme, str(path))
        )

    # Parts

    def _down_on_part(self, touch: Any) -> None:
        press, stage = self._press, self._stage
        if press is None or press.found is None or not press.id:
            return
        part = press.found.part
        if part.kind == "entry" and part.entry is not None:
            # The desk has raised the window: the editor has to know where it is now.
            self._cancel_hold()
            if stage.editing.edit(press.id, part.entry.key, touch):
                self._press = None

    def _is_chrome(self, at: Point) -> bool:
        """Whether a notice, the strip, the timeline or the chat field lies there, above all morphs."""
        furniture = self._stage.furniture
        always = (furniture.strip, furniture.timeline, furniture.chat)
        return any(each.contains(at) for each in always) or any(each.rect.contains(at) for each in self._stage.toasts)

    def _down_on_chrome(self, at: Point, touch: Any) -> None:
        """A press of a notice, the strip, the timeline or the chat field."""
        stage, desk = self._stage, self._stage.desk
        for toast in stage.toasts:
            if toast.button.contains(at):
                if toast.notice is not None:
                    desk.dismiss_notice(toast.notice)
                elif toast.work is not None:
                    desk.stop_work(toast.work.tag)
            if toast.rect.contains(at):
                return
        furniture = stage.furniture
        if furniture.strip.contains(at):
            for part in stage.strip_parts:
                if part.rect.contains(at) and part.act is not None:
                    desk.act("", part.act)
                    break
        elif furniture.chat.contains(at):
            if chrome.chat_button(furniture).contains(at) and stage.editing.chat.text.strip():
                stage.editing.send()
            stage.editing.give_chat()
            if stage.editing.chat.collide_point(*touch.pos):
                stage.editing.chat.on_touch_down(touch)
        elif self._press is not None:
            stage.editing.leave()
            self._press.id, self._press.found = stage.timeline_id, self._timeline_at(at)

    def _found_at(self, at: Point) -> tuple[str, Found | None] | None:
        """The morph at a point and, where that is in its body, the part of it."""
        stage, world = self._stage, self._stage.desk.world
        if stage.furniture.timeline.contains(at):
            return stage.timeline_id, self._timeline_at(at)
        for id in stack_at(world, at)[:1]:
            body = stage.body_of(id)
            view = stage.views.get(id)
            if body is None or not isinstance(view, WindowView | NoteView) or part_at(world, id, at) == "corner":
                return id, None
            corner = view.body_rect(view.morph).corner
            return id, body.part_at(within(world, id, at) - corner)
        return None

    def _timeline_at(self, at: Point) -> Found | None:
        return self._stage.timeline.part_at(at - self._stage.timeline_rect.corner) if self._stage.timeline_id else None

    def _is_body(self, press: _Press, at: Point) -> bool:
        world = self._stage.desk.world
        return press.id in world and world[press.id].kind == "window" and part_at(world, press.id, at) == "body"

    def _scrub(self, press: _Press, at: Point) -> None:
        stage = self._stage
        body = stage.body_of(press.id)
        if body is None or press.found is None or (marks := press.found.part.marks) is None:
            return
        corner = stage.body_rect(press.id).corner
        place = round(body.place_on(at - corner), 3)
        if place != press.scrubbed:
            press.scrubbed = place
            stage.desk.act(press.id, marks.scrub.with_value(place))

    def _twice(self, id: str) -> None:
        world = self._stage.desk.world
        if id in world and world[id].kind == "note" and "tour" not in world[id].state:
            self._stage.editing.edit_note(id)

    def _held(self) -> None:
        press = self._press
        if press is None or press.moved or not press.world:
            return
        press.held = True
        self._stage.desk.pointer(Pointer("hold", press.at))

    def _cancel_hold(self) -> None:
        if self._hold_later is not None:
            self._hold_later.cancel()
            self._hold_later = None

    def _focus_part(self, which: tuple[int, int] | None) -> None:
        """No part has the keys any more, once the pointer is used."""
        for id, view in self._stage.views.items():
            if isinstance(view, WindowView | NoteView) and view.body.focused != which:
                view.body.focused = which
                view.body.draw()
                self._stage.redrawn(id)

    # The wheel

    def _wheel(self, at: Point, button: str) -> None:
        stage, desk = self._stage, self._stage.desk
        by = {"scrolldown": -1, "scrollup": 1}.get(button, 0)
        sideways = {"scrollleft": -1, "scrollright": 1}.get(button, by if "shift" in Window.modifiers else 0)
        if desk.menu is not None and desk.menu.rect.contains(at):
            with desk.settling():
                desk.show_menu(desk.menu.scrolled(by * 3))
            return
        over = stage.editing.over
        found = self._found_at(at)
        if found is None:
            return
        if over is stage.editing.page and over is not None and over.minimum_height > over.height:
            part = found[1].part if found[1] is not None else None
            if part is not None and part.entry is not None and part.entry.key == stage.editing.key:
                over.scroll_y = min(max(0, over.scroll_y + by * WHEEL), over.minimum_height - over.height)
                return
        body = stage.body_of(found[0])
        if body is None:
            return
        if sideways:
            body.slide_by(sideways * WHEEL)
            stage.redrawn(found[0])
        else:
            self._scroll(found[0], by * WHEEL)

    def _scroll(self, id: str, by: float) -> None:
        body: Body | None = self._stage.body_of(id)
        if body is not None and body.scroll_by(by):
            self._stage.redrawn(id)
            self._stage.editing.settle()

    # Hovering

    def _hovered(self, _: object, position: tuple[float, float]) -> None:
        if self._press is None:
            self._hover(self._stage.point(*position))

    def _hover(self, at: Point) -> None:
        stage, desk = self._stage, self._stage.desk
        handle = desk.halo.handle_at(at) if desk.halo is not None and desk.menu is None else None
        if handle != stage.hovered_handle:
            stage.hovered_handle = handle
            stage.draw_halo()
        if desk.menu is not None:
            desk.pointer(Pointer("move", at))
            if desk.menu is not None and desk.menu.rect.contains(at):
                at = Point(-1, -1)
        strip = next((each for each in stage.strip_parts if each.rect.contains(at)), None)
        if strip != stage.hovered_strip:
            stage.hovered_strip = strip
            stage.draw_strip()
        in_chat = chrome.chat_rect(stage.furniture).contains(at)
        if in_chat != stage.chat_hovered:
            stage.chat_hovered = in_chat
            stage.draw_foot()
        self._hover_bodies(at if handle is None else Point(-1, -1))

    def _hover_bodies(self, at: Point) -> None:
        stage, world = self._stage, self._stage.desk.world
        found = (
            self._found_at(at) if stage.furniture.room.contains(at) or stage.furniture.timeline.contains(at) else None
        )
        bodies: list[tuple[str, Body]] = [
            (id, view.body) for id, view in stage.views.items() if isinstance(view, WindowView | NoteView)
        ]
        bodies.append((stage.timeline_id, stage.timeline))
        for id, body in bodies:
            part = found[1] if found is not None and found[0] == id else None
            part = part if part is not None and part.part.kind != "scrub" else None
            if (part.part if part else None) != (body.hovered.part if body.hovered else None):
                body.hovered = part
                body.draw()
                stage.redrawn(id)
        for id, view in stage.views.items():
            if isinstance(view, WindowView):
                hot = part_at(world, id, at) if found is not None and found[0] == id and id in world else ""
                if view.heat(hot if hot in ("close", "collapse") else ""):
                    stage.redrawn(id)
