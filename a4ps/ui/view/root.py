"""The root widget: touches are handed to `Pointing`, and none to Kivy's own widgets unless that decides so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from a4ps.ui.view.stage import Stage

if TYPE_CHECKING:
    from a4ps.ui.view.pointing import Pointing


class Root(Stage):
    """A stage that can be touched, once it has its `pointing`."""

    pointing: Pointing

    def on_touch_down(self, touch: Any) -> bool:
        self.touches.add(touch.uid)
        self.pointing.down(touch)
        return True

    def on_touch_move(self, touch: Any) -> bool:
        if touch.grab_current is self:
            self.pointing.move(touch)
        return True

    def on_touch_up(self, touch: Any) -> bool:
        self.touches.discard(touch.uid)
        if touch.grab_current is self:
            touch.ungrab(self)
            self.pointing.up(touch)
        return True
