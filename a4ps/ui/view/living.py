"""What the society does, drawn: faces, the lines between them, speech, and glows that move only while a load does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kivy.clock import Clock

from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.hit import seen_in_world
from a4ps.ui.model.society import Persona
from a4ps.ui.view import overlay
from a4ps.ui.view.links import links
from a4ps.ui.view.morph_views import PersonaView, WindowView
from a4ps.ui.view.paint import Pen

if TYPE_CHECKING:
    from a4ps.ui.view.stage import Stage

#: Beneath a ring are its captions, which a bubble does not hide: so wide and high.
_CAPTIONS = (160.0, 44.0)


class Living:
    """That of one stage. `now` is a monotonic clock, in seconds."""

    def __init__(self, stage: Stage, now: Callable[[], float]) -> None:
        self._stage, self._now = stage, now
        self.links, self.bubbles = Pen.new(stage.texts), Pen.new(stage.texts)
        self._linked: object = None
        self._said: object = None
        self._glow_later: Any = None

    @property
    def is_still(self) -> bool:
        """Whether no glow moves."""
        return self._glow_later is None

    def sync(self) -> None:
        """Draw what is known of the society now."""
        stage, now_s = self._stage, self._now()
        known = stage.desk.society.personas
        rings: dict[str, Rect] = {}
        speaking: list[tuple[Persona, Rect]] = []
        for id, view in stage.views.items():
            if not isinstance(view, PersonaView):
                continue
            persona = known.get(view.name)
            if view.show_persona(persona, stage.style_of(id)):
                stage.changed_at(id)
            view.glow = view.glow.towards(persona.load if persona is not None else 0.0, now_s)
            if not view.morph.collapsed and view.name not in rings:
                rings[view.name] = ring = _square(seen_in_world(stage.desk.world, id))
                if persona is not None and persona.saying:
                    speaking.append((persona, ring))
        self._draw_links(rings)
        self._draw_bubbles(speaking, rings)
        self.glow()

    def glow(self, *_: object) -> None:
        """Draw each glow as it is now, and come again when one is different."""
        stage, now_s = self._stage, self._now()
        due: list[float] = []
        for id, view in stage.views.items():
            if isinstance(view, PersonaView):
                if view.set_glow(view.glow.look(now_s)):
                    stage.changed_at(id)
                if (next_s := view.glow.next_s(now_s)) is not None:
                    due.append(next_s)
        if self._glow_later is not None:
            self._glow_later.cancel()
            self._glow_later = None
        if due:
            self._glow_later = Clock.schedule_once(self.glow, max(0.0, min(due) - now_s))

    def _draw_links(self, rings: dict[str, Rect]) -> None:
        desk = self._stage.desk
        linked = links(desk.society), rings, desk.theme, desk.font_scale
        if linked != self._linked:
            self._linked = linked
            overlay.draw_links(self.links, *linked)
            self._stage.damage.add(*self.links.changed())

    def _draw_bubbles(self, speaking: list[tuple[Persona, Rect]], rings: dict[str, Rect]) -> None:
        stage = self._stage
        desk = stage.desk
        windows = [seen_in_world(desk.world, id) for id, view in stage.views.items() if isinstance(view, WindowView)]
        wide, high = _CAPTIONS
        captions = [Rect(each.centre.x - wide / 2, each.bottom, wide, high) for each in rings.values()]
        taken = [*windows, *rings.values(), *captions]
        said = speaking, taken, stage.furniture.room, desk.theme, desk.font_scale
        if said != self._said:
            self._said = said
            overlay.draw_bubbles(self.bubbles, *said)
            stage.damage.add(*self.bubbles.changed())


def _square(rect: Rect) -> Rect:
    """What a persona's ring fills of its rectangle."""
    side = min(rect.width, rect.height)
    return Rect(rect.centre.x - side / 2, rect.centre.y - side / 2, side, side)
