"""What is typed where: the chat field, and the entry of a window or note over which the editor lies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kivy.clock import Clock

from a4ps.ui.model.blocks import Act, Entry
from a4ps.ui.model.chat import completed
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.palette import Theme
from a4ps.ui.view import chrome
from a4ps.ui.view.editor import EDITED_MAX, Field
from a4ps.ui.view.fonts import TEXT, size
from a4ps.ui.view.laying import FIELD_X, FIELD_Y
from a4ps.ui.view.morph_views import NoteView

if TYPE_CHECKING:
    from collections.abc import Callable

    from a4ps.ui.view.stage import Stage

HINT = "Ask the society, drop a file, or press / for commands"
#: So many of the last things that were said are called back by the arrow keys.
_SAID_MAX = 100


class Editing:
    """That of one stage."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.chat = Field(multiline=False, hint_text=HINT)
        self.line = Field(multiline=False)
        self.page = Field(multiline=True, do_wrap=True)
        #: Whichever of the two lies over an entry, and which entry: (window, key).
        self.over: Field | None = None
        self.window = self.key = ""
        #: The note that is being written.
        self.note = ""
        self._said: list[str] = []
        self._recalled = 0
        self._answer: Callable[[str], None] | None = None
        self._taking_over = False
        self._were: dict[Field, Rect] = {}
        for each in (self.line, self.page):
            each.hide()
            each.bind(text=self._typed)
        for each in (self.line, self.page, self.chat):
            stage.add_widget(each)
            each.bind(text=self._moved, pos=self._moved, size=self._moved, focus=self._moved, hint_text=self._moved)
        self.chat.bind(focus=lambda *_: stage.draw_foot(), text=lambda *_: stage.draw_hints())

    def dress(self, theme: Theme, scale: float) -> None:
        """Look as the theme says."""
        self.chat.dress(theme, "sans", size(TEXT + 1, scale))
        entry = self.entry
        if self.over is not None and entry is not None:
            self.over.dress(theme, "mono" if entry.mono else "sans", size(TEXT, scale))

    def fields(self) -> list[Rect]:
        """Where the fields are that draw themselves."""
        fields = [self.chat] if self.over is None else [self.chat, self.over]
        return [self._rect(each) for each in fields if each.focus]

    def _rect(self, field: Field) -> Rect:
        return Rect(field.x - 2, self._stage.height - field.top - 2, field.width + 4, field.height + 4)

    def _moved(self, field: Field, *_: object) -> None:
        """A field is elsewhere, or shows something else, perhaps without having the keys."""
        stage, now = self._stage, self._rect(field)
        stage.damage.add(now, *([self._were[field]] if field in self._were else []))
        self._were[field] = now

    # The chat field

    def place_chat(self) -> None:
        """Put the chat field where it belongs."""
        stage = self._stage
        field = chrome.chat_rect(stage.furniture)
        button = chrome.chat_button(stage.furniture)
        self.chat.place(Rect(field.x, field.y, button.x - field.x, field.height), stage.height, 18, 0)

    def give_chat(self, text: str = "") -> None:
        """Give the chat field the keys, with `text` in it, where there is any."""
        self.leave()
        if text:
            self.chat.text = text
        self.chat.focus = True
        self.chat.cursor = self.chat.get_cursor_from_index(len(self.chat.text))

    def ask(self, question: str, text: str, answer: Callable[[str], None]) -> None:
        """Have something other than a question entered in the chat field, once."""
        self._answer = answer
        self.chat.hint_text = question
        self.give_chat(text)
        stage = self._stage
        stage.desk.notice(question, "Return does it, Escape leaves it")

    def send(self) -> None:
        """What is in the chat field is said."""
        text, answer = self.chat.text.strip(), self._answer
        self.chat.text = ""
        self._recalled = 0
        self._answer, self.chat.hint_text = None, HINT
        if answer is not None:
            if text:
                answer(text)
        elif text:
            self._said = [*self._said, text][-_SAID_MAX:]
            self._stage.desk.say(text)

    def leave_chat(self) -> None:
        """Without sending; what was asked for instead of a question is not done."""
        if self._answer is not None:
            self._answer, self.chat.hint_text, self.chat.text = None, HINT, ""
        self.chat.focus = False

    def could_be(self) -> Sequence[str]:
        """What the line that is being written could become, where it is a command."""
        text = str(self.chat.text)
        if not self.chat.focus or self._answer is not None or not text.startswith("/"):
            return ()
        desk = self._stage.desk
        return completed(text, tuple(desk.society.personas), desk.scene.names())

    def complete(self) -> bool:
        """Write what is sure of the line; False where nothing is."""
        found = self.could_be()
        if not found:
            return False
        first, last = min(found), max(found)
        same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), len(first))
        text = first[:same]
        if len(text) > len(self.chat.text):
            self.chat.text = text
            self.chat.cursor = self.chat.get_cursor_from_index(len(text))
        return True

    def recall(self, by: int) -> None:
        """Put in the chat field what was said before, or after."""
        place = self._recalled + by
        if 0 <= place <= len(self._said):
            self._recalled = place
            self.chat.text = self._said[-place] if place else ""
            self.chat.cursor = self.chat.get_cursor_from_index(len(self.chat.text))

    # Entries

    @property
    def entry(self) -> Entry | None:
        """The entry that is being edited, as it is now."""
        body = self._stage.body_of(self.window)
        found = body.entry(self.key) if body is not None else None
        return found.part.entry if found is not None else None

    def edit(self, window: str, key: str, touch: Any = None) -> bool:
        """Lie over that entry; a touch puts the cursor. False where it cannot be edited."""
        stage = self._stage
        body = stage.body_of(window)
        found = body.entry(key) if body is not None else None
        entry = found.part.entry if found is not None else None
        if body is None or found is None or entry is None:
            return False
        if (window, key) != (self.window, self.key):
            self.leave()
            text = body.draft(entry)
            if len(text) > EDITED_MAX:
                words = f"This text is too long to be edited here: {len(text):,} characters."
                stage.desk.notice(words, "use a workspace")
                return False
            self.window, self.key = window, key
            field = self.over = self.page if entry.lines > 1 or entry.fills else self.line
            self._taking_over = True
            field.dress(stage.desk.theme, "mono" if entry.mono else "sans", size(TEXT, stage.desk.font_scale))
            field.text = text
            field.hint_text = entry.hint
            field.readonly = entry.read_only
            field.reset_undo()
            self._taking_over = False
            body.editing = key
            body.reveal(found)
            body.draw()
            stage.redrawn(window)
            self.settle()
            field.cursor = (0, 0) if field is self.page else field.get_cursor_from_index(len(text))
            field.focus = True
            if touch is not None:
                # A field knows where its lines are only after it was drawn with its new size and type.
                Clock.schedule_once(lambda _: Clock.schedule_once(lambda _: self._touch(field, touch), 0), 0)
            return True
        assert self.over is not None
        self.over.focus = True
        if touch is not None:
            self.over.on_touch_down(touch)
        return True

    def _touch(self, field: Field, touch: Any) -> None:
        """A touch that has opened the field, and may be over by now."""
        if field is not self.over:
            return
        if touch.uid in self._stage.touches:
            field.on_touch_down(touch)
        else:
            field.cancel_selection()
            field.cursor = field.get_cursor_from_xy(*touch.pos)

    def edit_note(self, id: str) -> None:
        """Write a note."""
        self.leave()
        self.note = id
        self._show_note(id)
        self.edit(id, "text")

    def leave(self) -> None:
        """Lie over nothing; what was typed is kept as it is."""
        if self.over is None:
            return
        stage, window, key, text = self._stage, self.window, self.key, self.over.text
        body = stage.body_of(window)
        self.over.focus = False
        self.over.hide()
        self.over, self.window, self.key = None, "", ""
        if self.note:
            note, self.note = self.note, ""
            if note in stage.desk.world and str(stage.desk.world[note].state.get("text", "")) != text:
                stage.desk.act(note, Act("written", {"value": text}))
            self._show_note(note)
        elif body is not None:
            body.editing = ""
            body.lay_anew(key)
            stage.redrawn(window)

    def enter(self) -> None:
        """What was typed is entered."""
        entry, window = self.entry, self.window
        if self.over is None or entry is None:
            return
        if self.note:
            self.leave()
            return
        text, body = self.over.text, self._stage.body_of(window)
        # From here on the pane says what the field shows; it keeps what it refuses.
        if body is not None:
            body.drafts.pop(self.key, None)
        if self.over is self.line:
            self.leave()
        self._stage.desk.act(window, entry.act.with_value(text))

    def chord(self, act: Act) -> None:
        """One of the entry's own chords: it is done with the chosen text, or the line that the cursor is in."""
        if self.over is None:
            return
        text = self.over.selection_text
        if not text:
            lines = self.over.text.split("\n")
            index = self.over.cursor_index()
            text = lines[self.over.text.count("\n", 0, index)] if lines else ""
        self._stage.desk.act(self.window, act.with_value(text))

    def give_up(self) -> None:
        """What was typed is given up."""
        body, key, window, note = self._stage.body_of(self.window), self.key, self.window, self.note
        if note and self.over is not None:
            self.over.text = str(self._stage.desk.world[note].state.get("text", ""))
        self.leave()
        if body is not None and not note:
            body.typed(key, None)
            self._stage.redrawn(window)

    def settle(self) -> None:
        """Lie where the entry is now; nowhere while it cannot be seen; leave where it is gone."""
        if self.over is None:
            return
        stage = self._stage
        body = stage.body_of(self.window)
        found = body.entry(self.key) if body is not None and stage.desk.has(self.window) else None
        if body is None or found is None or found.part.entry is None:
            self.over.focus = False
            self.over.hide()
            self.over, self.window, self.key, self.note = None, "", "", ""
            return
        entry = found.part.entry
        draft = body.draft(entry)
        if draft != self.over.text and not self._is_typing():
            self._taking_over = True
            self.over.text = draft
            self._taking_over = False
        whole = stage.body_rect(self.window)
        rect = found.rect.moved(whole.corner)
        room = stage.furniture.room
        seen = (
            rect.y >= whole.y - 1
            and rect.bottom <= whole.bottom + 1
            and room.y <= rect.y
            and rect.bottom <= room.bottom
        )
        if not seen or self._is_covered(rect):
            self.over.hide()
            return
        scale = stage.desk.font_scale
        self.over.place(rect, stage.height, FIELD_X * scale, FIELD_Y * scale)

    def _is_typing(self) -> bool:
        body = self._stage.body_of(self.window)
        return body is not None and self.key in body.drafts

    def _is_covered(self, rect: Rect) -> bool:
        """Whether another morph lies above the entry."""
        world = self._stage.desk.world
        top = self.window
        while world[top].parent != world.root.id:
            top = world[top].parent
        above = world.root.children[world.root.children.index(top) + 1 :]
        return any(
            each.x < rect.right and each.right > rect.x and each.y < rect.bottom and each.bottom > rect.y
            for each in (world.rect(id) for id in above)
        )

    def _typed(self, field: Field, text: str) -> None:
        if field is not self.over or self._taking_over:
            return
        body, entry = self._stage.body_of(self.window), self.entry
        if body is None or entry is None:
            return
        body.drafts[self.key] = text
        if entry.live:
            self._stage.desk.act(self.window, entry.act.with_value(text))

    def _show_note(self, id: str) -> None:
        stage = self._stage
        view = stage.views.get(id)
        if isinstance(view, NoteView) and id in stage.desk.world:
            view.show_blocks(stage.note_blocks(stage.desk.world[id]), stage.style_of(id))
            stage.redrawn(id)

    # Files

    def ask_path(self, what: str, name: str, save: Callable[[Path], None]) -> None:
        """Ask where to save something."""

        def answered(text: str) -> None:
            path = Path(text).expanduser()
            try:
                save(path)
            except (OSError, ValueError, ImportError) as error:
                reason = getattr(error, "strerror", None) or str(error)
                self._stage.desk.notice(f"{what} could not be saved: {reason}", "choose another place", bad=True)
            else:
                self._stage.desk.notice(f"Saved as {path}.")

        start = Path.home() / name
        self.ask(f"Save {what} as …", str(start), answered)
