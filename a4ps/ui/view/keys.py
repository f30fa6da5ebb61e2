"""What the keys do: named as chords, and given to the field that has them, to what has the focus, or to the desk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kivy.core.window import Keyboard, Window

from a4ps.ui.model.gestures import tab_order
from a4ps.ui.view.body import Body, Found

if TYPE_CHECKING:
    from a4ps.ui.view.pointing import Pointing
    from a4ps.ui.view.stage import Stage

_NAMES = {
    "spacebar": "space",
    "numpadenter": "enter",
    "numpadadd": "+",
    "numpadsubstract": "-",
    "compose": "menu",
    "super": "super",
}
#: A key that is nothing by itself.
_ALONE = frozenset({"shift", "rshift", "lctrl", "rctrl", "alt", "alt-gr", "capslock", "numlock", "super", "screenlock"})
#: What a text field does with Ctrl by itself.
_OF_FIELDS = frozenset(
    f"ctrl-{each}"
    for each in ("a", "c", "v", "x", "z", "y", "shift-z", "left", "right", "home", "end", "backspace", "delete")
)


def chord_of(key: int, codepoint: str | None, modifiers: Sequence[str]) -> str:
    """A key as a chord: "ctrl-z", "shift-left", "a", "f1"; "" for one that is nothing by itself."""
    name = _BY_CODE.get(key, "")
    if name in _ALONE:
        return ""
    name = _NAMES.get(name, name) or (codepoint or "")
    if not name and 32 < key < 127:
        name = chr(key)
    prefix = ""
    if "ctrl" in modifiers or "meta" in modifiers:
        prefix = "ctrl-"
    # Shift is part of a character that is none of the letters.
    if "shift" in modifiers and (len(name) > 1 or (name.isalpha() and prefix)):
        prefix += "shift-"
    if "alt" in modifiers:
        prefix += "alt-"
    return prefix + name if name else ""


_BY_CODE = {code: name for name, code in reversed(list(Keyboard.keycodes.items()))}


class Keys:
    """Those of one stage."""

    def __init__(self, stage: Stage, pointing: Pointing) -> None:
        self._stage, self._pointing = stage, pointing
        Window.bind(on_key_down=self._down, on_textinput=self._typed)

    def _down(
        self, _: object, key: int, __: int = 0, codepoint: str | None = None, modifiers: Sequence[str] = ()
    ) -> bool:
        chord = chord_of(key, codepoint, modifiers)
        return bool(chord) and self.pressed(chord)

    def _typed(self, *_: object) -> bool:
        """Text for whoever has the keys: while a menu is open, that has heard of them as chords."""
        return self._stage.desk.menu is not None

    def pressed(self, chord: str) -> bool:
        """Do what a chord means; False where it is the text field's, or means nothing."""
        stage, editing = self._stage, self._stage.editing
        if stage.desk.menu is not None:
            return stage.desk.key(chord)
        if editing.chat.focus:
            return self._in_chat(chord)
        if editing.over is not None and editing.over.focus:
            return self._in_entry(chord)
        return self._in_world(chord)

    def _in_chat(self, chord: str) -> bool:
        stage, editing = self._stage, self._stage.editing
        match chord:
            case "enter":
                editing.send()
            case "escape":
                editing.leave_chat()
            case "up":
                editing.recall(1)
            case "down":
                editing.recall(-1)
            case "tab" if editing.complete():
                pass
            case "tab" | "shift-tab":
                editing.leave_chat()
                order = tab_order(stage.desk.world)
                if order:
                    with stage.desk.settling():
                        stage.desk.give_focus(order[0 if chord == "tab" else -1])
            case "ctrl-z" if not editing.chat.text:
                return stage.desk.key(chord)
            case _:
                return self._global(chord)
        return True

    def _in_entry(self, chord: str) -> bool:
        stage, editing = self._stage, self._stage.editing
        entry = editing.entry
        if entry is None:
            return False
        if chord in entry.keys:
            editing.chord(entry.keys[chord])
            return True
        match chord:
            case "enter" if editing.over is editing.line:
                editing.enter()
            case "ctrl-enter":
                editing.enter()
            case "escape":
                editing.give_up()
            case "tab" | "shift-tab":
                window, key = editing.window, editing.key
                body = stage.body_of(window)
                if body is not None:
                    found = body.entry(key)
                    body.focused = _place(body, found) if found is not None else None
                editing.leave()
                self._tab(window, 1 if chord == "tab" else -1)
            case _:
                return self._global(chord)
        return True

    def _global(self, chord: str) -> bool:
        """What the desk does with a chord while a field has the keys: those with Ctrl that are not the field's."""
        is_global = (chord.startswith("ctrl-") and chord not in _OF_FIELDS) or (
            chord[:1] == "f" and chord[1:].isdigit()
        )
        return is_global and self._stage.desk.key(chord)

    def _in_world(self, chord: str) -> bool:
        stage, desk = self._stage, self._stage.desk
        focus = desk.focus
        body = stage.body_of(focus)
        if chord in ("tab", "shift-tab"):
            self._tab(focus, 1 if chord == "tab" else -1)
            return True
        if chord in ("ctrl-tab", "ctrl-shift-tab"):
            self._to_morph(1 if chord == "ctrl-tab" else -1)
            return True
        if body is not None and body.focused is not None:
            found = _focused(body)
            if chord in ("enter", "space") and found is not None:
                self._pointing.do(focus, found)
                return True
            if chord == "escape":
                self._focus_part(focus, body, None)
                return True
        if body is not None and desk.halo is None:
            page = stage.body_rect(focus).height * 0.85
            far = {"pageup": -page, "pagedown": page, "up": -40.0, "down": 40.0, "home": -1e9, "end": 1e9}.get(chord)
            if far is not None:
                if body.scroll_by(far):
                    stage.redrawn(focus)
                return True
        if chord == "/":
            stage.editing.give_chat("/")
            return True
        # Kivy would end the program upon Escape.
        return desk.key(chord) or chord == "escape"

    # Tab

    def _tab(self, id: str, step: int) -> None:
        """To the next part of the window, or on to the next morph."""
        body = self._stage.body_of(id)
        if body is not None:
            parts = body.parts()
            places = [_place(body, each) for each in parts]
            now = places.index(body.focused) if body.focused in places else (-1 if step > 0 else len(places))
            then = now + step
            if 0 <= then < len(parts):
                body.reveal(parts[then])
                self._focus_part(id, body, places[then])
                part = parts[then].part
                if part.kind == "entry" and part.entry is not None:
                    self._stage.editing.edit(id, part.entry.key)
                return
            if body.focused is not None:
                self._focus_part(id, body, None)
        self._to_morph(step)

    def _to_morph(self, step: int) -> None:
        stage, desk = self._stage, self._stage.desk
        order = tab_order(desk.world)
        if desk.focus in order and order.index(desk.focus) == (len(order) - 1 if step > 0 else 0):
            stage.editing.give_chat()
            return
        desk.key("tab" if step > 0 else "shift-tab")

    def _focus_part(self, id: str, body: Body, place: tuple[int, int] | None) -> None:
        body.focused = place
        body.draw()
        self._stage.redrawn(id)


def _place(body: Body, found: Found) -> tuple[int, int]:
    """The number of a part's block, and which of that block's parts it is."""
    of_block = [each.part for each in body.parts() if each.block == found.block]
    return found.block, of_block.index(found.part)


def _focused(body: Body) -> Found | None:
    return next((each for each in body.parts() if _place(body, each) == body.focused), None)
