"""The text fields: the chat field, and the one that lies over whatever entry is being edited."""

from __future__ import annotations

from typing import Any

from kivy.uix.textinput import TextInput

from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.palette import Theme, rgb
from a4ps.ui.view.fonts import FILES, LEADING, Face

#: A longer text is read, not edited: laying it out would take the window seconds for each key.
EDITED_MAX = 60_000


class Field(TextInput):
    """A text field without a ground of its own, whose cursor does not blink."""

    def __init__(self, **more: Any) -> None:
        super().__init__(
            background_normal="", background_active="", background_disabled_normal="", background_color=(0, 0, 0, 0),
            cursor_blink=False, use_bubble=False, use_handles=False, write_tab=False, unfocus_on_touch=False,
            size_hint=(None, None), cursor_width="1sp", **more,
        )  # fmt: skip

    def dress(self, theme: Theme, face: Face, height: int) -> None:
        """Look as texts do."""
        self.font_name = FILES[face]
        self.font_size = height
        self.line_height_wanted = round(height * LEADING)
        self.foreground_color = (*rgb(theme.text), 1)
        self.hint_text_color = (*rgb(theme.muted), 1)
        self.cursor_color = (*rgb(theme.calm), 1)
        self.selection_color = (*rgb(theme.calm), 0.35)
        self.disabled_foreground_color = (*rgb(theme.muted), 1)
        # The distance between lines is what the laid out text has.
        self.line_spacing = 0
        self.line_spacing = max(0, self.line_height_wanted - self.line_height)

    def place(self, rect: Rect, world_height: float, pad_x: float, pad_y: float) -> None:
        """Lie over a rectangle of the world."""
        # Kivy puts the distance between lines above each, half of which is meant to be there.
        down = pad_y - self.line_spacing / 2 if self.multiline else (rect.height - self.line_height) / 2
        self.padding = (pad_x, max(0.0, down), pad_x, 0)
        self.pos = rect.x, world_height - rect.bottom
        self.size = rect.width, rect.height

    def paste(self) -> None:
        """What is on the clipboard, as far as it can be edited; nothing where there is no clipboard."""
        super().paste()
        text = str(getattr(self, "text"))  # noqa: B009 - a property of Kivy's, of which nothing is known
        if len(text) > EDITED_MAX:
            self.text = text[:EDITED_MAX]

    def hide(self) -> None:
        """Lie nowhere."""
        self.pos = -10_000, -10_000
