"""What the pointer and the keys come to on the desk: gestures, the halo, and the menu that is open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from a4ps.ui.model.blocks import Act
from a4ps.ui.model.dropping import RunTool
from a4ps.ui.model.gestures import Do, Focus, Gesture, Hand, HideHalo, Pointer, ShowHalo, ShowMenu, keyed, touched
from a4ps.ui.model.menu import Item, Menu

if TYPE_CHECKING:
    from a4ps.ui.desk import Desk


class Handling:
    """That of one desk; it holds the hand."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.hand = Hand()

    def pointer(self, event: Pointer) -> None:
        """An event of the pointer: the menu's, where one is open and it lies on it, else the world's."""
        desk = self._desk
        if desk.menu is None or not self._in_menu(desk.menu, event):
            self._gestured(touched(self.hand, desk.world, desk.halo, event))

    def key(self, chord: str) -> bool:
        """A chord: the menu's, where one is open, else the world's. False where it means nothing."""
        desk = self._desk
        if desk.menu is not None:
            found = desk.menu.keyed(chord)
            if isinstance(found, Item):
                self._choose(found)
            else:
                desk.show_menu(found)
            return True
        if desk.doing.chord(chord):
            return True
        gesture = keyed(self.hand, desk.world, desk.halo, desk.focus, chord)
        if gesture is not None:
            self._gestured(gesture)
        return gesture is not None

    def _gestured(self, gesture: Gesture) -> None:
        desk = self._desk
        self.hand = gesture.hand
        if gesture.step is not None:
            desk.undoing.stepped(gesture.step, gesture.before, gesture.world, gesture.merges)
        elif gesture.world is not desk.world:
            desk.undoing.see(gesture.world)
        for effect in gesture.effects:
            match effect:
                case ShowHalo(morph):
                    desk.show_halo(morph)
                    desk.scene.did("halo")
                case HideHalo():
                    desk.show_halo("")
                case ShowMenu(at, morph):
                    desk.doing.open_menu(at, morph)
                case Do(morph, act):
                    desk.doing.act(Act(act.verb, {"morph": morph, **act.about}))
                case Focus(morph):
                    desk.give_focus(morph)
                case RunTool(tool, persona):
                    desk.doing.act(Act("run", {"tool": tool, "persona": persona}))

    def _in_menu(self, menu: Menu, event: Pointer) -> bool:
        """Whether the event was the menu's; a press beside it closes it, and goes on to what lies there."""
        desk = self._desk
        inside = menu.rect.contains(event.at)
        match event.phase:
            case "move":
                desk.show_menu(menu.hovered(event.at))
            case "press" if not inside:
                desk.show_menu(None)
            case "release" if inside:
                row = menu.row_at(event.at)
                item = menu.shown[row] if row is not None else None
                if item is not None and item.enabled:
                    self._choose(item)
        return inside

    def _choose(self, item: Item) -> None:
        self._desk.show_menu(None)
        self._desk.doing.act(item.act)
