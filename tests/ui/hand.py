"""A hand on a living desk: it points, presses, writes and reads as a person would, and waits for what comes of it."""

from __future__ import annotations

from a4ps.ui.model.blocks import Act, Entry
from a4ps.ui.model.geometry import Point
from a4ps.ui.model.gestures import Pointer
from tests.doubles.pane_driver import pressables, text_of
from tests.ui.living_desk import LivingDesk


class Hand:
    """Windows are named by their pane."""

    def __init__(self, living: LivingDesk) -> None:
        self.living, self.desk = living, living.desk

    def window(self, pane: str) -> str:
        """The id of the window of that pane; waits until there is one."""
        self.living.until(lambda: self._windows(pane))
        return self._windows(pane)[-1]

    def halo(self, persona: str, handle: str) -> None:
        """Middle-click a persona, and press one of its handles."""
        morph = next(each for each in self.desk.world.of_kind("persona") if each.state["name"] == persona)
        self._click(self.desk.world.rect(morph.id).centre, "middle")
        halo = self.desk.halo
        assert halo is not None
        self._click(halo[handle].at, "left")

    def reads(self, pane: str) -> list[str]:
        """What the window shows, a line for each block."""
        return [text_of(block) for block in self.desk.window(self.window(pane)).blocks]

    def sees(self, pane: str, text: str) -> None:
        """Wait until the window shows that text."""
        self.living.until(lambda: any(text in line for line in self.reads(pane)))

    def press(self, pane: str, label: str) -> None:
        """Press what is called so, once it is there."""
        self.living.until(lambda: self._act(pane, label))
        act = self._act(pane, label)
        assert act is not None
        self.desk.act(self.window(pane), act)

    def enter(self, pane: str, key: str, text: str, chord: str = "") -> None:
        """Write into a field, and press Return or another chord."""
        self.text(pane, key)
        entry = self.entry(pane, key)
        assert entry is not None
        act = entry.keys[chord] if chord else entry.act
        self.desk.act(self.window(pane), act.with_value(text))

    def title(self, pane: str) -> str:
        return self.desk.window(self.window(pane)).title

    def text(self, pane: str, key: str) -> str:
        """What is in a field, once it is there."""
        self.living.until(lambda: self.entry(pane, key))
        entry = self.entry(pane, key)
        assert entry is not None
        return entry.text

    def entry(self, pane: str, key: str) -> Entry | None:
        blocks = self.desk.window(self.window(pane)).blocks
        return next((block for block in blocks if isinstance(block, Entry) and block.key == key), None)

    def asks(self, question: str) -> str:
        """Ask the society, and wait for the answer; the turn's number."""
        before = self.desk.society.turn.id
        self.desk.say(question)
        self.living.until(lambda: self.desk.society.turn.answer and self.desk.society.turn.id != before)
        return self.desk.society.turn.id

    def _windows(self, pane: str) -> list[str]:
        return [each.id for each in self.desk.world.of_kind("window") if each.state.get("pane") == pane]

    def _act(self, pane: str, label: str) -> Act | None:
        blocks = self.desk.window(self.window(pane)).blocks
        return next((act for said, act in pressables(blocks) if said.lstrip("▸▾ ").startswith(label)), None)

    def _click(self, at: Point, button: str) -> None:
        self.desk.pointer(Pointer("press", at, button))  # type: ignore[arg-type]
        self.desk.pointer(Pointer("release", at, button))  # type: ignore[arg-type]
