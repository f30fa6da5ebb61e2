"""Carries out what panes ask for: their state, commands, windows, words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from a4ps.client.given_files import files_of
from a4ps.errors import A4PSError, CallerError, Stopped
from a4ps.protocol.requests.approvals import EditApproval
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.tools import RunTool
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Close, Copy, Do, Effect, Keep, Notice, Open, Outcome, Refresh, Send, Stop
from a4ps.ui.opening import opened

if TYPE_CHECKING:
    from a4ps.ui.desk import Desk

#: Effects may bring outcomes that bring effects; a pane that never ends is ended.
_DEEPEST = 8


class Effects:
    """Those of one desk."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        #: (window, the pane's own tag) → tags of calls under way.
        self._tags: dict[tuple[str, str], list[str]] = {}
        self._depth = 0

    def carry_out(self, window: str, effects: Sequence[Effect]) -> None:
        """What a window's pane asked for, or for "" the chat field. Raises what the desk turns into a notice."""
        if self._depth >= _DEEPEST:
            raise CallerError("this window answers itself without end")
        self._depth += 1
        try:
            for effect in effects:
                self._one(window, effect)
        finally:
            self._depth -= 1

    def show(self, pane: str, state: State, *, undoable: bool = True) -> str:
        """Bring forward the window of that pane and subject, or open one; its id. Raises CallerError for an unknown pane."""
        desk = self._desk
        known = desk.panes().get(pane)
        if known is None:
            raise CallerError(f"there is no window {pane!r} in this version")
        world, id = opened(desk.world, known, state)
        if id in desk.world or not undoable:
            desk.undoing.see(world)
        else:
            desk.undoing.stepped(f"open {pane}", desk.world, world)
        desk.give_focus(id)
        if pane == "inspector":
            desk.scene.did("inspected")
        return id

    def _one(self, window: str, effect: Effect) -> None:
        desk = self._desk
        match effect:
            case Keep(state, undoable, label):
                self._keep(window, state, label if undoable else "")
            case Send():
                self._send(window, effect)
            case Open(pane, state):
                self.show(pane, state)
            case Notice(text, next_step, bad):
                desk.notice(text, next_step, bad=bad)
            case Close():
                if window in desk.world:  # a pinned pane stays
                    title = desk.window(window).title
                    desk.undoing.stepped(f"close {title}", desk.world, desk.world.remove(window))
            case Copy(text):
                desk.hands.copy(text)
                desk.notice("Copied.")
            case Do(act):
                desk.doing.act(act)
            case Refresh():
                desk.answers.refresh(window)
            case Stop(tag):
                for (of, own), tags in self._tags.items():
                    if of == window and tag in ("", own):
                        for each in tags:
                            desk.calls.cancel(each)

    def _keep(self, window: str, state: State, label: str) -> None:
        desk = self._desk
        morph = desk.morph(window)
        kept = {"pane": morph.state.get("pane", ""), **state}
        if kept == morph.state:
            return
        if window not in desk.world:
            desk.keep_pinned(window, kept)
            return
        after = desk.world.put(replace(morph, state=kept))
        if label:
            desk.undoing.stepped(label, desk.world, after)
        else:
            desk.undoing.see(after)

    def _send(self, window: str, sent: Send) -> None:
        try:
            request = _with_files(sent.request)
        except A4PSError as error:
            self._refused(window, sent, error)
            return
        place = window, sent.tag
        tags = self._tags.setdefault(place, [])

        def stepped(step: Mapping[str, Any]) -> None:
            self._desk.chatting.wanted(step)
            if sent.follows:
                self._tell(window, Outcome(sent.tag, step=step))

        def ended(value: Mapping[str, Any] | None, error: A4PSError | None) -> None:
            tags.remove(tag)
            if not tags:
                self._tags.pop(place, None)
            if error is None:
                if sent.undoes and isinstance(change := (value or {}).get("change"), int):
                    self._desk.undoing.lived(sent.label, change)
                if not window:
                    self._desk.notice(f"Done: {sent.label}.")
                self._tell(window, Outcome(sent.tag, value))
                return
            self._refused(window, sent, error)

        tag = self._desk.calls.send(request, ended, stepped=stepped, label=sent.label)
        tags.append(tag)

    def _refused(self, window: str, sent: Send, error: A4PSError) -> None:
        told = self._tell(window, Outcome(sent.tag, fault=error.message, next_step=error.next_step))
        if not told and not isinstance(error, Stopped):  # whoever shows it itself need not have it said twice
            self._desk.failed(error)

    def _tell(self, window: str, outcome: Outcome) -> bool:
        """Whether the window, if it is still there, made anything of it."""
        if not self._desk.has(window):
            return False
        effects = self._desk.windows.told(self._desk.morph(window), outcome, self._desk.society)
        self.carry_out(window, effects)
        return bool(effects)


def _with_files(request: Request) -> Request:
    """With what the files hold that are named with @ in it. Raises UsageError where that is too much."""
    match request:
        case RunTool(arguments=given) | EditApproval(changes=given):
            return request.model_copy(update={"files": files_of(given, regular=True)})
    return request
