"""What windows show: each pane's title and blocks, made anew only where something that they rest on has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from a4ps.errors import A4PSError
from a4ps.ui.answers import Answers
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Span, say
from a4ps.ui.model.morph import Morph
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Pane, Seen
from a4ps.ui.model.society import Society

_log = logging.getLogger(__name__)

#: Has a window that failed begin with nothing.
_ANEW = "begin-anew"


@dataclass(frozen=True, slots=True)
class WindowSeen:
    """What a window shows: its title, and the blocks beneath the title bar."""

    title: str
    blocks: Sequence[Block]


class _Watched(Seen):
    """What a pane may look at; notes whether it looked at the society, which changes with each word that is said."""

    __slots__ = ("looked",)

    looked: bool

    def __getattribute__(self, name: str) -> Any:
        if name == "society":
            object.__setattr__(self, "looked", True)
        return super().__getattribute__(name)


@dataclass(slots=True)
class _Kept:
    """What a window showed last, and what that rests on. `social`: the society is part of that."""

    shown: WindowSeen
    morph: Morph
    needs: Sequence[Need] = ()
    social: bool = False


class Windows:
    """All windows of the world. `panes` is asked for what fills them."""

    def __init__(self, answers: Answers, panes: Callable[[], Mapping[str, Pane]]) -> None:
        self._answers = answers
        self._panes = panes
        self._kept: dict[str, _Kept] = {}

    def pane_of(self, morph: Morph) -> Pane | None:
        """What fills a window; None where this version does not know it."""
        return self._panes().get(str(morph.state.get("pane", "")))

    def seen(self, morph: Morph, society: Society) -> Seen:
        """What a window's pane may look at."""
        return Seen(morph.state, self._answers.of(morph.id), society)

    def window(self, morph: Morph, society: Society) -> WindowSeen:
        """What it shows now."""
        kept = self._kept.get(morph.id)
        if kept is None or kept.morph.state is not morph.state:
            self._renew(morph, society)
        return self._kept[morph.id].shown

    def renew(self, morphs: Iterable[Morph], society: Society, dirty: Collection[str], *, social: bool) -> set[str]:
        """Make anew what rests on what has changed: the windows `dirty`, and if `social`, the society. The ids of those that
        show something else now. Those that are collapsed wait until they are opened. `morphs` are all windows there are.
        """
        present = {each.id: each for each in morphs}
        for gone in self._kept.keys() - present.keys():
            del self._kept[gone]
            self._answers.want(gone, ())
        changed = set()
        for id, morph in present.items():
            due = id in dirty or (social and self._is_social(morph, society))
            if due and not morph.collapsed and self._renew(morph, society):
                changed.add(id)
        return changed

    def changed_states(self, morphs: Collection[Morph]) -> set[str]:
        """The windows whose state is another than that which they show, and those that are new or gone."""
        found = self._kept.keys() - {each.id for each in morphs}
        for morph in morphs:
            kept = self._kept.get(morph.id)
            if kept is None or kept.morph.state is not morph.state or (kept.morph.collapsed and not morph.collapsed):
                found.add(morph.id)
        return found

    def acted(self, morph: Morph, act: Act, society: Society) -> Sequence[Effect]:
        """What an act in a window comes to."""
        if act.verb == _ANEW:
            return (Keep({}, undoable=True, label="begin a window anew"),)
        pane = self.pane_of(morph)
        if pane is None:
            return ()
        return self._guarded(lambda: pane.acted(act, self.seen(morph, society)))

    def told(self, morph: Morph, outcome: Outcome, society: Society) -> Sequence[Effect]:
        """What the outcome of a window's command comes to."""
        pane = self.pane_of(morph)
        if pane is None:
            return ()
        return self._guarded(lambda: pane.told(outcome, self.seen(morph, society)))

    def _is_social(self, morph: Morph, society: Society) -> bool:
        """Whether what it shows, or what it needs for that, rests on the society."""
        kept, pane = self._kept.get(morph.id), self.pane_of(morph)
        if kept is None or kept.social or pane is None:
            return kept is None or kept.social
        try:
            return tuple(pane.needs(morph.state, society)) != kept.needs
        except Exception:  # noqa: BLE001 - one pane's fault, which is told when it is made anew
            return True

    def _renew(self, morph: Morph, society: Society) -> bool:
        kept = self._kept.get(morph.id)
        now = self._made(morph, society, kept)
        differs = kept is None or kept.shown != now.shown
        if kept is not None and not differs:
            now.shown = kept.shown  # whoever compares by identity sees that it is the same
        self._kept[morph.id] = now
        return differs

    def _made(self, morph: Morph, society: Society, kept: _Kept | None) -> _Kept:
        """What it shows now. What its pane needs is asked for."""
        pane = self.pane_of(morph)
        needs = () if kept is None else kept.needs
        if pane is None:
            name = str(morph.state.get("pane", ""))
            words = f"This version knows no window {name!r}; its state is kept."
            return _Kept(WindowSeen(name or "window", (say(words, "warn"),)), morph)
        try:
            wanted = tuple(pane.needs(morph.state, society))
            if wanted != needs:
                self._answers.want(morph.id, wanted)
                needs = wanted
            seen = _Watched(morph.state, self._answers.of(morph.id), society)
            object.__setattr__(seen, "looked", False)
            shown = WindowSeen(pane.title(seen), tuple(pane.blocks(seen)))
        except Exception as error:  # noqa: BLE001 - one pane's fault; the others go on
            return _Kept(_broken(pane, error), morph, needs, social=True)
        return _Kept(shown, morph, needs, seen.looked)

    @staticmethod
    def _guarded(call: Callable[[], Sequence[Effect]]) -> Sequence[Effect]:
        try:
            return call()
        except A4PSError as error:
            return (Notice(error.message, error.next_step, bad=True),)
        except Exception:  # noqa: BLE001 - one pane's fault; the others go on
            _log.exception("a pane failed")
            return (Notice("This window failed at that; the log has the details.", "a4ps doctor", bad=True),)


def _broken(pane: Pane, error: Exception) -> WindowSeen:
    if isinstance(error, A4PSError):
        return WindowSeen(pane.name, (say(error.message, "bad"), say(error.next_step, "muted")))
    _log.error("the pane %s failed", pane.name, exc_info=error)
    anew = Buttons([Button("Begin anew", Act(_ANEW))], Span("without what it keeps about itself", "muted"))
    return WindowSeen(pane.name, (say("This window failed; the log has the details.", "bad"), anew))
