"""What windows show: each pane's title and blocks, made anew only where something that they rest on has changed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from a4ps.errors import A4PSError
from a4ps.ui.answers import Answers
from a4ps.ui.model.blocks import Act, Block, say
from a4ps.ui.model.morph import Morph, World
from a4ps.ui.model.pane import Effect, Need, Notice, Outcome, Pane, Seen
from a4ps.ui.model.society import Society

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WindowSeen:
    """What a window shows: its title, and the blocks beneath the title bar."""

    title: str
    blocks: Sequence[Block]


@dataclass(slots=True)
class _Kept:
    """What a window showed last, and what that rests on."""

    shown: WindowSeen
    morph: Morph
    needs: Sequence[Need] = field(default_factory=tuple)


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

    def renew(self, world: World, society: Society, dirty: Iterable[str] | None) -> set[str]:
        """Make anew what rests on what has changed (`dirty` are ids, None is all); the ids of those that show something
        else now. Those that are collapsed wait until they are opened.
        """
        present = {each.id: each for each in world.of_kind("window")}
        for gone in self._kept.keys() - present.keys():
            del self._kept[gone]
            self._answers.want(gone, ())
        ids = present.keys() if dirty is None else present.keys() & set(dirty)
        return {id for id in ids if not present[id].collapsed and self._renew(present[id], society)}

    def changed_states(self, world: World) -> set[str]:
        """The windows whose state is another than that which they show, or which are new."""
        found = set()
        for morph in world.of_kind("window"):
            kept = self._kept.get(morph.id)
            if kept is None or kept.morph.state is not morph.state or (kept.morph.collapsed and not morph.collapsed):
                found.add(morph.id)
        return found | (self._kept.keys() - world.morphs.keys())

    def acted(self, morph: Morph, act: Act, society: Society) -> Sequence[Effect]:
        """What an act in a window comes to."""
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

    def _renew(self, morph: Morph, society: Society) -> bool:
        kept = self._kept.get(morph.id)
        pane = self.pane_of(morph)
        if pane is None:
            name = str(morph.state.get("pane", ""))
            shown = WindowSeen(
                name or "window", (say(f"This version knows no window {name!r}; its state is kept.", "warn"),)
            )
            needs: Sequence[Need] = ()
        else:
            try:
                needs = tuple(pane.needs(morph.state, society))
                if kept is None or needs != kept.needs:
                    self._answers.want(morph.id, needs)
                seen = self.seen(morph, society)
                shown = WindowSeen(pane.title(seen), tuple(pane.blocks(seen)))
            except Exception as error:  # noqa: BLE001 - one pane's fault; the others go on
                shown, needs = _broken(pane, error), kept.needs if kept is not None else ()
        differs = kept is None or kept.shown != shown
        self._kept[morph.id] = _Kept(kept.shown if kept is not None and not differs else shown, morph, needs)
        return differs

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
    return WindowSeen(pane.name, (say("This window failed; the log has the details.", "bad"),))
