"""The desk: the world on the screen and the society in the backend, and all that is done to either. No Kivy, no sockets.

Everything here happens in the window's thread and returns at once: what the backend tells waits in the link until `pump`,
and what is asked of it goes through the link. A desk needs no clock of the view's: it has itself pumped when something
is due.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from a4ps.errors import A4PSError
from a4ps.protocol.feed import Void
from a4ps.ui.answers import Answers
from a4ps.ui.calls import Calls, Work
from a4ps.ui.chatting import Chatting
from a4ps.ui.doing import Doing
from a4ps.ui.effects import Effects
from a4ps.ui.following import Following
from a4ps.ui.handling import Handling
from a4ps.ui.hands import Hands
from a4ps.ui.link import Happened, Linked, Linking
from a4ps.ui.model import projection
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.gestures import Pointer
from a4ps.ui.model.halo import HaloMorph, halo_of
from a4ps.ui.model.menu import Menu
from a4ps.ui.model.morph import ROOT, Morph, State, World
from a4ps.ui.model.palette import Theme
from a4ps.ui.model.pane import Notice, Pane, known_panes
from a4ps.ui.model.society import Society
from a4ps.ui.notices import Notices
from a4ps.ui.scene import Scene
from a4ps.ui.undoing import Undoing
from a4ps.ui.windows import Windows, WindowSeen
from a4ps.ui.worlds import Worlds

#: Told what has changed: "world", "society", "halo", "menu", "notices", "work", "theme", "focus", or "window:ID".
ChangeListener: TypeAlias = Callable[[frozenset[str]], None]

_log = logging.getLogger(__name__)

#: A method that fails again within so long opens no second debugger.
_DEBUG_AGAIN_S = 60.0


class Desk:
    """`world` is shown, and nothing is kept, where there are no `worlds`; else the one that was shown last, and each change
    of it is kept.

    `now` is any monotonic clock and `clock` that of the day, both in seconds.
    """

    def __init__(
        self,
        link: Linking,
        *,
        world: World | None = None,
        worlds: Worlds | None = None,
        size: tuple[float, float] = (1600.0, 1000.0),
        panes: Callable[[], Mapping[str, Pane]] = known_panes,
        now: Callable[[], float] = time.monotonic,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.hands = Hands()
        self.halo: HaloMorph | None = None
        self.menu: Menu | None = None
        #: The morph that has the keys, "" for none.
        self.focus = ""
        self.panes = panes
        self.calls = Calls(link, now)
        self.notes = Notices(now)
        self.undoing = Undoing(World() if world is None else world, now)
        self.answers = Answers(self.calls, self._answers_changed)
        self.following = Following(
            self.calls, self._society_changed, self._committed, self._something_failed, now, clock
        )
        self.windows = Windows(self.answers, panes)
        self.effects = Effects(self)
        self.doing = Doing(self)
        self.chatting = Chatting(self)
        self.handling = Handling(self)
        self.scene = Scene(self, worlds, now)
        self._link, self._now = link, now
        self._listeners: list[ChangeListener] = []
        self._changed: set[str] = set()
        self._dirty: set[str] = set()
        self._social = False
        self._pinned: dict[str, Morph] = {}
        self._settled_world: World | None = None
        self._settled_look: tuple[Theme, float] | None = None
        self._settled_work: Sequence[Work] = ()
        self._woken_at_s = 0.0
        self._depth = 0
        #: (Proto, method) → when its debugger was opened last.
        self._debugged_s: dict[tuple[str, str], float] = {}
        with self.settling():
            self.scene.open_last(*size)

    # What is seen

    @property
    def world(self) -> World:
        return self.undoing.world

    @property
    def society(self) -> Society:
        return self.following.society

    @property
    def theme(self) -> Theme:
        return self.scene.theme

    @property
    def font_scale(self) -> float:
        return self.scene.font_scale

    @property
    def notices(self) -> Sequence[Notice]:
        return self.notes.shown

    @property
    def work(self) -> Sequence[Work]:
        return self.calls.work

    def window(self, id: str) -> WindowSeen:
        """What a window shows: its title and blocks. Raises CallerError where there is no such morph."""
        return self.windows.window(self.morph(id), self.society)

    def pin(self, pane: str) -> str:
        """Have a pane filled that lies in no window of the world, as the timeline does. Its id for `window` and `act`, ""
        where this version has no such pane; its state is not kept.
        """
        id = f"@{pane}"
        with self.settling():
            if pane not in self.panes():
                return ""
            if id not in self._pinned:
                self._pinned[id] = Morph(id, "window", Rect(0, 0, 0, 0), {"pane": pane})
                self._dirty.add(id)
        return id

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
                        self._happened(told)
                    case _:
                        self.calls.received(told)
            self.following.tick()
            if self.notes.tick():
                self.changed("notices")
            self.scene.tick()

    def pointer(self, event: Pointer) -> None:
        """The pointer did something."""
        with self.settling():
            self.handling.pointer(event)

    def key(self, chord: str) -> bool:
        """A key that no entry wanted: "ctrl-z", "escape", "shift-left". True where it meant something."""
        with self.settling():
            return self.handling.key(chord)
        return True  # what could not be done has been said

    def act(self, window: str, act: Act) -> None:
        """Something was pressed or entered in a window; for "", an act of the world (menus, the strip, the tour)."""
        with self.settling():
            if not self.has(window):
                self.doing.act(act)
                return
            morph = self.morph(window)
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
            self.scene.resized(width, height)

    def close(self) -> A4PSError | None:
        """Keep the world, and take leave of the backend, where everything that was asked for goes on. Returns what kept the
        world from being saved.
        """
        error = self.scene.close()
        self._link.close()
        return error

    # For the desk's parts

    def has(self, id: str) -> bool:
        """Whether there is such a morph, in the world or pinned."""
        return id in self._pinned or (id != ROOT and id in self.world)

    def morph(self, id: str) -> Morph:
        """A morph of the world, or one that is pinned. Raises CallerError where there is none."""
        return self._pinned[id] if id in self._pinned else self.world[id]

    def keep_pinned(self, id: str, state: State) -> None:
        """The state of a pinned pane is this now."""
        self._pinned[id] = replace(self._pinned[id], state=state)
        self._dirty.add(id)

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

    def give_focus(self, morph: str) -> None:
        """Give the keys to a morph; "" for none."""
        if morph != self.focus:
            self.focus = morph
            self.changed("focus")

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

    def settling(self) -> _Settling:
        """What is done in the block is told when the outermost such block ends. Errors become notices."""
        return _Settling(self)

    def enter(self) -> None:
        """A block of `settling` begins."""
        self._depth += 1

    def leave(self) -> None:
        """It has ended."""
        self._depth -= 1
        if not self._depth:
            self._settle()

    def _settle(self) -> None:
        world = self.world
        if world is not self._settled_world:
            self.changed("world")
            self._dirty |= self.windows.changed_states(self._all_windows())
            self._settled_world = world
            self.show_halo(self.halo.morph if self.halo is not None else "")
            if self.focus not in world:
                self.give_focus("")
            self.scene.changed()
        look = self.theme, self.font_scale
        if look != self._settled_look:
            self._settled_look = look
            self.changed("theme")
        if self._dirty or self._social:
            dirty, self._dirty, social, self._social = self._dirty, set(), self._social, False
            renewed = self.windows.renew(self._all_windows(), self.society, dirty, social=social)
            self.changed(*(f"window:{id}" for id in renewed))
        work = self.calls.work
        if work != self._settled_work:
            self._settled_work = work
            self.changed("work")
        changed, self._changed = frozenset(self._changed), set()
        if changed:
            for tell in self._listeners:
                tell(changed)
        self._wake_when_due()

    def _all_windows(self) -> Sequence[Morph]:
        return (*self.world.of_kind("window"), *self._pinned.values())

    def _wake_when_due(self) -> None:
        parts = (self.following.due_s, self.notes.due_s, self.calls.due_s, self.scene.due_s)
        due_s = min((each for each in parts if each is not None), default=float("inf"))
        if due_s == float("inf") or (due_s == self._woken_at_s and due_s > self._now()):
            return
        self._woken_at_s = due_s
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

    def _committed(self, kinds: frozenset[str]) -> None:
        self.answers.committed(kinds)
        self.scene.committed(kinds)

    def _society_changed(self) -> None:
        self.changed("society")
        self._social = True

    def _answers_changed(self, windows: Iterable[str]) -> None:
        self._dirty.update(windows)

    def _happened(self, told: Happened) -> None:
        self.following.happened(told)
        if isinstance(told.told, Void) and not self.chatting.asks:
            # Ours are sent again and go on; nobody here does that for others'.
            ended = projection.ended_badly(self.society, "the backend ended during this turn: a4ps ask --resume")
            self.following.fold(ended)

    def _something_failed(self, step: Mapping[str, Any]) -> None:
        """A part of the backend failed, or a live method, whose debugger opens, though not again and again."""
        if step["step"] == "service":
            self.notice(f"{step['name']}: {step['detail']}", "a4ps status shows all parts", bad=True)
            return
        proto, method = str(step["proto"]), str(step["method"])
        self.answers.committed(frozenset({"failed"}))
        self.notice(f"{proto}.{method} failed: {step['error']}: {step['message']}", "the debugger has it", bad=True)
        before_s = self._debugged_s.get((proto, method))
        if "debugger" in self.panes() and (before_s is None or self._now() - before_s > _DEBUG_AGAIN_S):
            self._debugged_s[proto, method] = self._now()
            self.effects.show("debugger", {"subject": proto, "method": method}, undoable=False)


class _Settling:
    """See `Desk.settling`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def __enter__(self) -> None:
        self._desk.enter()

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if isinstance(error, A4PSError):
            self._desk.failed(error)
        elif isinstance(error, Exception):  # a bug of ours, which is not to take the whole window along
            _log.error("the desk failed", exc_info=error)
            self._desk.notice("That went wrong here; the log has the details.", "a4ps doctor", bad=True)
        self._desk.leave()
        return isinstance(error, Exception)
