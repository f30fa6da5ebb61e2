"""The desk: the world on the screen and the society in the backend, and all that is done to either. No Kivy, no sockets.

Everything here happens in the window's thread and returns at once: what the backend tells waits in the link until `pump`,
and what is asked of it goes through the link. A desk needs no clock of the view's: it has itself pumped when something
is due.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeAlias

from a4ps.errors import A4PSError
from a4ps.ui.answers import Answers
from a4ps.ui.calls import Calls, Work
from a4ps.ui.chatting import Chatting
from a4ps.ui.doing import Doing
from a4ps.ui.effects import Effects
from a4ps.ui.following import Following
from a4ps.ui.link import Happened, Linked, Linking
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.dropping import RunTool
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.gestures import (
    Do,
    Focus,
    Gesture,
    Hand,
    HideHalo,
    Pointer,
    ShowHalo,
    ShowMenu,
    keyed,
    touched,
)
from a4ps.ui.model.halo import Halo, halo_of
from a4ps.ui.model.menu import Item, Menu
from a4ps.ui.model.morph import World
from a4ps.ui.model.palette import DARK, Theme
from a4ps.ui.model.pane import Notice, Pane, known_panes
from a4ps.ui.model.society import Society
from a4ps.ui.notices import Notices
from a4ps.ui.undoing import Undoing
from a4ps.ui.windows import Windows, WindowSeen

#: Told what has changed: "world", "society", "halo", "menu", "notices", "work", "theme", "focus", or "window:ID".
ChangeListener: TypeAlias = Callable[[frozenset[str]], None]


def _nothing(*_: object) -> None:
    """A window that is not there does nothing."""


@dataclass(slots=True)
class Hands:
    """What only the view can do; it puts its own functions here."""

    #: Put a text on the clipboard.
    copy: Callable[[str], None] = _nothing
    #: Ask where, and save that plot of the window of that id.
    save_plot: Callable[[str, str], None] = _nothing
    #: Give the chat field the keys, with this text in it.
    chat: Callable[[str], None] = _nothing
    #: Give an entry of the window of that id the keys.
    focus: Callable[[str], None] = _nothing
    #: Ask where, and save a picture of the world.
    picture: Callable[[], None] = _nothing
    #: Close the window of the system.
    leave: Callable[[], None] = _nothing


class Desk:
    """`now` is any monotonic clock and `clock` that of the day, both in seconds."""

    def __init__(
        self,
        link: Linking,
        *,
        world: World | None = None,
        panes: Callable[[], Mapping[str, Pane]] = known_panes,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hands = Hands()
        self.theme: Theme = DARK
        self.font_scale = 1.0
        self.halo: Halo | None = None
        self.menu: Menu | None = None
        #: The morph that has the keys, "" for none.
        self.focus = ""
        self.panes = panes
        self.calls = Calls(link, now)
        self.notes = Notices(now)
        self.undoing = Undoing(World() if world is None else world, now)
        self.following = Following(self.calls, self._society_changed, self._committed, now, clock)
        self.answers = Answers(self.calls, self._answers_changed)
        self.windows = Windows(self.answers, panes)
        self.effects = Effects(self)
        self.doing = Doing(self)
        self.chatting = Chatting(self)
        self._link, self._now = link, now
        self._hand = Hand()
        self._listeners: list[ChangeListener] = []
        self._changed: set[str] = set()
        self._dirty: set[str] | None = set()
        self._settled_world: World | None = None
        self._settled_work: Sequence[Work] = ()
        self._depth = 0

    # What is seen

    @property
    def world(self) -> World:
        return self.undoing.world

    @property
    def society(self) -> Society:
        return self.following.society

    @property
    def notices(self) -> Sequence[Notice]:
        return self.notes.shown

    @property
    def work(self) -> Sequence[Work]:
        return self.calls.work

    def window(self, id: str) -> WindowSeen:
        """What a window shows: its title and blocks. Raises CallerError where there is no such morph."""
        return self.windows.window(self.world[id], self.society)

    def on_change(self, call: ChangeListener) -> None:
        """Have `call` told what has changed, after each method that changed something."""
        self._listeners.append(call)

    # What happens

    def pump(self) -> None:
        """Take what the link has, and do what is due. Called in the window's thread after each `wake`."""
        with self.settling():
            for told in self._link.take():
                match told:
                    case Linked():
                        self._linked(told)
                    case Happened():
                        self.following.happened(told)
                    case _:
                        self.calls.received(told)
            self.following.tick()
            if self.notes.tick():
                self.changed("notices")

    def pointer(self, event: Pointer) -> None:
        """The pointer did something."""
        with self.settling():
            if self.menu is not None and self._pointed_at_menu(self.menu, event):
                return
            self._gestured(touched(self._hand, self.world, self.halo, event))

    def key(self, chord: str) -> bool:
        """A key that no entry wanted: "ctrl-z", "escape", "shift-left". True where it meant something."""
        with self.settling():
            if self.menu is not None:
                self._keyed_in_menu(self.menu, chord)
                return True
            if self.doing.chord(chord):
                return True
            gesture = keyed(self._hand, self.world, self.halo, self.focus, chord)
            if gesture is None:
                return False
            self._gestured(gesture)
            return True

    def act(self, window: str, act: Act) -> None:
        """Something was pressed or entered in a window; for "", an act of the world (menus, the strip, the tour)."""
        with self.settling():
            if window == "" or window not in self.world:
                self.doing.act(act)
                return
            morph = self.world[window]
            if morph.kind == "window":
                self.effects.carry_out(window, self.windows.acted(morph, act, self.society))
            else:
                self.doing.act(Act(act.verb, {"morph": window, **act.about}))

    def say(self, text: str) -> None:
        """What was entered in the chat field: a question, or a /command."""
        with self.settling():
            self.chatting.say(text)

    def stop(self) -> None:
        """Stop the turn that was asked for here."""
        with self.settling():
            self.chatting.stop()

    def stop_work(self, tag: str) -> None:
        """Stop a piece of work."""
        with self.settling():
            self.calls.cancel(tag)

    def drop_file(self, path: str, at: Point) -> None:
        """A file or folder was dropped on the world."""
        with self.settling():
            self.chatting.drop_file(path, at)

    def dismiss_notice(self, notice: Notice) -> None:
        """A notice was pressed away."""
        with self.settling():
            self.notes.dismiss(notice)
            self.changed("notices")

    def resized(self, width: float, height: float) -> None:
        """The window of the system has another size, in pixels of the world."""
        with self.settling():
            root = self.world.root
            if (root.rect.width, root.rect.height) != (width, height):
                self.undoing.see(self.world.put(replace(root, rect=Rect(0, 0, width, height))))

    def close(self) -> None:
        """Keep the world, and take leave of the backend, where everything that was asked for goes on."""
        self._link.close()

    # For the desk's parts

    def changed(self, *what: str) -> None:
        """These have changed; told when the outermost method ends."""
        self._changed.update(what)

    def notice(self, text: str, next_step: str = "", *, bad: bool = False) -> None:
        """Say something to the user."""
        self.notes.add(Notice(text, next_step, bad))
        self.changed("notices")

    def failed(self, error: A4PSError) -> None:
        """Say what went wrong and what to do."""
        self.notes.failed(error)
        self.changed("notices")

    def show_halo(self, morph: str) -> None:
        """Give a morph the halo; "" for none."""
        halo = halo_of(self.world, morph, self.font_scale) if morph and morph in self.world else None
        if halo != self.halo:
            self.halo = halo
            self.changed("halo")

    def show_menu(self, menu: Menu | None) -> None:
        """Open a menu in place of the one that is open; None closes it."""
        if menu != self.menu:
            self.menu = None if menu is None else menu.kept_inside(self.world.root.rect)
            self.changed("menu")

    @contextmanager
    def settling(self) -> Iterator[None]:
        """What is done in the block is told when the outermost such block ends. Errors of ours become notices."""
        self._depth += 1
        try:
            yield
        except A4PSError as error:
            self.failed(error)
        finally:
            self._depth -= 1
            if not self._depth:
                self._settle()

    def _settle(self) -> None:
        world = self.world
        if world is not self._settled_world:
            self.changed("world")
            if self._dirty is not None:
                self._dirty |= self.windows.changed_states(world)
            self._settled_world = world
            self.show_halo(self.halo.morph if self.halo is not None else "")
            if self.focus and self.focus not in world:
                self.focus = ""
                self.changed("focus")
        if self._dirty is None or self._dirty:
            dirty, self._dirty = self._dirty, set()
            self.changed(*(f"window:{id}" for id in self.windows.renew(world, self.society, dirty)))
        work = self.calls.work
        if work != self._settled_work:
            self._settled_work = work
            self.changed("work")
        changed, self._changed = frozenset(self._changed), set()
        if changed:
            for tell in self._listeners:
                tell(changed)
        self._wake_when_due()

    def _wake_when_due(self) -> None:
        parts = (self.following.due_s, self.notes.due_s, self.calls.due_s)
        due_s = min((each for each in parts if each is not None), default=float("inf"))
        if due_s != float("inf"):
            self._link.wake_in(max(0.01, due_s - self._now()))

    # Parts

    def _linked(self, told: Linked) -> None:
        before = self.society.link
        self.following.linked(told)
        self.answers.linked(told.state == "live")
        if told.state in ("lost", "refused"):
            self.notice(told.detail or "The backend is gone.", told.next_step, bad=True)
        elif told.state == "live" and before == "lost":
            self.notice("The backend is there again.")

    def _society_changed(self) -> None:
        self.changed("society")
        self._dirty = None

    def _answers_changed(self, windows: Iterable[str]) -> None:
        if self._dirty is not None:
            self._dirty.update(windows)

    def _committed(self, kinds: frozenset[str]) -> None:
        self.answers.committed(kinds)

    def _gestured(self, gesture: Gesture) -> None:
        self._hand = gesture.hand
        if gesture.step is not None:
            self.undoing.stepped(gesture.step, gesture.before, gesture.world, gesture.merges)
        elif gesture.world is not self.world:
            self.undoing.see(gesture.world)
        for effect in gesture.effects:
            match effect:
                case ShowHalo(morph):
                    self.show_halo(morph)
                case HideHalo():
                    self.show_halo("")
                case ShowMenu(at, morph):
                    self.doing.open_menu(at, morph)
                case Do(morph, act):
                    self.doing.act(Act(act.verb, {"morph": morph, **act.about}))
                case Focus(morph):
                    if morph != self.focus:
                        self.focus = morph
                        self.changed("focus")
                case RunTool(tool, persona):
                    self.doing.act(Act("run", {"tool": tool, "persona": persona}))

    def _pointed_at_menu(self, menu: Menu, event: Pointer) -> bool:
        """Whether the event was the menu's; a press beside it closes it and goes on to what lies there."""
        inside = menu.rect.contains(event.at)
        if event.phase == "move":
            self.show_menu(menu.hovered(event.at))
            return inside
        if event.phase == "press" and not inside:
            self.show_menu(None)
            return False
        if event.phase == "release" and inside:
            row = menu.row_at(event.at)
            item = menu.shown[row] if row is not None else None
            if item is not None and item.enabled:
                self._choose(item)
        return inside

    def _keyed_in_menu(self, menu: Menu, chord: str) -> None:
        found = menu.keyed(chord)
        if isinstance(found, Item):
            self._choose(found)
        else:
            self.show_menu(found)

    def _choose(self, item: Item) -> None:
        self.show_menu(None)
        self.doing.act(item.act)
