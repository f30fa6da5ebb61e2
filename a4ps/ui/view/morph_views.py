"""How each kind of morph is drawn. A view holds one morph's instructions, which are made anew only when it has changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kivy.graphics import Color, InstructionGroup, PopMatrix, PushMatrix, Rectangle, Rotate, Translate

from a4ps.ui.model.blocks import Block, say
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.glow import Glow, Look
from a4ps.ui.model.hit import BUTTON_WIDTH, TITLE_HEIGHT, seen_rect
from a4ps.ui.model.morph import Morph
from a4ps.ui.model.palette import Theme, dissonance_colour, mixed, readable_on, rgb
from a4ps.ui.model.panes import approvals
from a4ps.ui.model.society import BY_PROFILE, Persona
from a4ps.ui.view import textures
from a4ps.ui.view.body import Body
from a4ps.ui.view.fonts import NAME, SMALL, TEXT, Face, size
from a4ps.ui.view.paint import Pen
from a4ps.ui.view.plots import Plots
from a4ps.ui.view.text import Texts

#: A window's corners are this round; its body ends so far above its lower edge.
ROUND = 8
#: A glow that reaches no further is not seen, and not drawn.
_DARK = 4.0
#: Captions beneath a persona are cut at this width, in px at scale 1.
CAPTION = 230.0


@dataclass(frozen=True, slots=True)
class Style:
    """What every morph is drawn with. `haloed`: it has the halo, which says what else would be said beneath it."""

    theme: Theme
    scale: float
    focused: bool = False
    haloed: bool = False


class MorphView:
    """One morph. `group` is drawn where the morph's parent is; `inner` holds the views of its children."""

    def __init__(self, morph: Morph, texts: Texts) -> None:
        self.morph = morph
        self.look: Style | None = None
        self.texts = texts
        self.group = InstructionGroup()
        self.inner = InstructionGroup()
        self.children: tuple[str, ...] = ()
        self._at = Translate(0, 0)
        self._turn = Rotate(angle=0, axis=(0, 0, 1))
        self.pen = Pen.new(texts)
        for each in (PushMatrix(), self._at, self._turn, self.pen.group, self.inner, PopMatrix()):
            self.group.add(each)
        self._place(morph)

    def show(self, morph: Morph, look: Style) -> None:
        """Draw the morph as it is now."""
        before, known = self.morph, self.look
        self.morph, self.look = morph, look
        if before.rect != morph.rect or before.angle != morph.angle or before.collapsed != morph.collapsed:
            self._place(morph)
        as_before = known == look and _but_place(before) == _but_place(morph)
        if known is None or not as_before:
            self.pen.clear()
            self.draw(morph, look)

    def moved_to(self, corner: Point) -> None:
        """Draw it at that corner, for a while: on its way."""
        self._at.xy = corner.x, corner.y

    def draw(self, morph: Morph, look: Style) -> None:
        """Put what is seen into `pen`, relative to the morph's corner."""
        raise NotImplementedError

    def _place(self, morph: Morph) -> None:
        self._at.xy = morph.rect.x, morph.rect.y
        middle = seen_rect(morph)
        self._turn.origin = (middle.width / 2, middle.height / 2)
        self._turn.angle = morph.angle


def _but_place(morph: Morph) -> tuple[object, ...]:
    return morph.kind, morph.rect.width, morph.rect.height, morph.state, morph.collapsed, morph.colour


class PersonaView(MorphView):
    """A face: ring, arc and number for dissonance, a glow for load, name, role, model, and what it does."""

    def __init__(self, morph: Morph, texts: Texts) -> None:
        super().__init__(morph, texts)
        self.persona: Persona | None = None
        self.glow = Glow()
        self._glowing: tuple[Any, Any] | None = None
        self._look = Look(0, 0)
        self._shown: tuple[object, ...] = ()

    @property
    def name(self) -> str:
        return str(self.morph.state.get("name", ""))

    def show_persona(self, persona: Persona | None, look: Style) -> bool:
        """Draw what is known of the persona now; whether that is something else than before."""
        shown = (
            () if persona is None else (persona.role, persona.model, persona.activity, persona.mood, persona.dissonance)
        )
        self.persona = persona
        if shown == self._shown or self.look is None:
            return False
        self._shown = shown
        self.pen.clear()
        self.draw(self.morph, look)
        return True

    def set_glow(self, look: Look) -> bool:
        """Draw the glow so; whether that is another than before."""
        differs = look != self._look
        self._look = look
        if differs:
            self._draw_glow(look)
        return differs

    def _draw_glow(self, look: Look) -> None:
        if self._glowing is None:
            return
        colour, shape = self._glowing
        diameter = min(self.morph.rect.width, self.morph.rect.height)
        if look.reach <= _DARK:
            colour.a, shape.size = 0, (0, 0)
            return
        across = diameter + 2 * look.reach * 1.7 * diameter / 112
        colour.a = look.alpha
        middle = self.morph.rect.width / 2, self.morph.rect.height / 2
        shape.pos = middle[0] - across / 2, middle[1] - across / 2
        shape.size = across, across

    def draw(self, morph: Morph, look: Style) -> None:
        theme, pen, persona = look.theme, self.pen, self.persona
        dissonance = persona.dissonance if persona is not None else None
        colour = dissonance_colour(dissonance) if dissonance is not None else theme.muted
        if morph.collapsed:
            self._glowing = None
            self._draw_collapsed(morph, look, colour)
            return
        width, height = morph.rect.width, morph.rect.height
        diameter = min(width, height)
        middle = Point(width / 2, height / 2)
        captions = [] if look.haloed or diameter < 64 else self._captions(look)
        if captions:
            # Lines between personas are not drawn through what is written, and the glow is.
            wide = max(self.texts.width(words, face, high) for words, face, high, _ in captions)
            pen.veil(
                Rect(middle.x - wide / 2 - 10, height + 6, wide + 20, self._step(look) * len(captions) + 6),
                theme.ground,
            )
        tint = Color(*rgb(colour), 0)
        shape = Rectangle(texture=textures.glow())
        pen.add(tint)
        pen.add(shape)
        self._glowing = tint, shape
        self._draw_glow(self._look)
        fill = mixed(theme.window, morph.colour, 0.35) if morph.colour else theme.window
        step = round(min(1.0, max(0.0, dissonance or 0.0)) * textures.ARC_STEPS)
        face = textures.face(min(round(diameter), textures.FACE_MAX), fill, colour, theme.arc, step)
        pen.picture(face, middle, diameter, "#FFFFFF")
        if look.focused:
            pen.ring(middle, diameter + 9, 1.5, theme.calm)
        self._draw_inside(look, middle, diameter, fill, dissonance)
        for number, (words, face, high, tone) in enumerate(captions):
            pen.words(words, middle.x, height + 8 + number * self._step(look), face, high, tone, middle=True)

    def _draw_inside(self, look: Style, middle: Point, diameter: float, fill: str, dissonance: float | None) -> None:
        theme, scale, pen, persona = look.theme, look.scale, self.pen, self.persona
        room = diameter - 34
        name_size = size(NAME, scale)
        while name_size > 9 and self.texts.width(self.name, "bold", name_size) > room:
            name_size -= 1
        small = size(SMALL, scale)
        strong = theme.strong if not self.morph.colour else readable_on(fill)
        name = self.texts.cut(self.name, "bold", name_size, max(room + 12, diameter * 0.76))
        role = _short(persona.role) if persona is not None else ""
        if self.texts.width(role, "sans", small) > diameter - 18:
            role = ""  # a few letters of it would say nothing
        number = "–" if dissonance is None else f"{dissonance:.2f}"
        # The number is left out last: it says in words what the colour says.
        lines: list[tuple[str, Face, int, str]] = [(name, "bold", name_size, strong)]
        rest: tuple[tuple[str, Face, int, str], ...] = (
            (number, "mono", small, theme.text),
            (role, "sans", small, theme.muted),
        )
        for more in rest:
            if not more[0]:
                continue
            lines.insert(1, more)
            if sum(self.texts.height(face, height) for _, face, height, _ in lines) > diameter * 0.66:
                lines.pop(1)
        y = middle.y - sum(self.texts.height(face, height) for _, face, height, _ in lines) / 2
        for words, face, height, colour in lines:
            pen.words(words, middle.x, y, face, height, colour, middle=True)
            y += self.texts.height(face, height)

    def _captions(self, look: Style) -> list[tuple[str, Face, int, str]]:
        """What is written beneath: the model, and what the persona does or how it feels."""
        theme, persona = look.theme, self.persona
        if persona is None:
            return []
        small, text, room = size(SMALL, look.scale), size(TEXT, look.scale), CAPTION * look.scale
        lines: list[tuple[str, Face, int, str]] = [
            # That the profile gives the model says nothing to whoever looks; which one it is, the first turn says.
            (self.texts.cut(persona.model.replace(BY_PROFILE, ""), "mono", small, room), "mono", small, theme.muted),
            (self.texts.cut(persona.activity or persona.mood, "sans", text, room), "sans", text, theme.text),
        ]
        return [each for each in lines if each[0]]

    def _step(self, look: Style) -> float:
        return size(TEXT, look.scale) * 1.35

    def _draw_collapsed(self, morph: Morph, look: Style, colour: str) -> None:
        rect = Rect(0, 0, morph.rect.width, min(TITLE_HEIGHT, morph.rect.height))
        pill(self.pen, rect, look, colour, self.name, "bold")


def _short(role: str) -> str:
    """The first of several roles."""
    return role.split(",", 1)[0].split(" and ", 1)[0]


class WindowView(MorphView):
    """A frame with a title bar; its body is drawn apart."""

    def __init__(self, morph: Morph, texts: Texts, plots: Plots) -> None:
        super().__init__(morph, texts)
        self.body = Body(morph.id, texts, plots)
        self.title = ""
        self.blocks: tuple[Block, ...] = ()
        self._rectangle: Any = None
        #: "collapse" or "close" while the pointer is on that button.
        self.hot = ""

    def show_blocks(self, title: str, blocks: Any, look: Style) -> None:
        """Show this in it."""
        if title != self.title or look != self.look:
            self.title = title
            self.look = look
            self.pen.clear()
            self.blocks = blocks
            self.draw(self.morph, look)
        elif blocks is not self.blocks:
            self.blocks = blocks
            self.fill(self.morph, look)

    def body_rect(self, morph: Morph) -> Rect:
        """Where the body is, relative to the morph's corner."""
        top = TITLE_HEIGHT + 1
        return Rect(1, top, max(1.0, morph.rect.width - 2), max(1.0, morph.rect.height - top - ROUND + 2))

    def fill(self, morph: Morph, look: Style) -> None:
        """Draw the body anew."""
        if morph.collapsed:
            return
        rect = self.body_rect(morph)
        self.body.set(
            self.blocks, rect.width, rect.height, look.theme, look.scale,
            ground=look.theme.window, sticks=morph.state.get("pane") == "transcript",
        )  # fmt: skip
        self.renew()

    def renew(self) -> None:
        """The body was drawn: its rectangle shows it."""
        if self._rectangle is not None:
            self._rectangle.texture = self.body.texture
            self._rectangle.tex_coords = self.body.tex_coords()

    def heat(self, hot: str) -> bool:
        """The pointer is on that button of the title, "" for none; whether it was not before."""
        if hot == self.hot or self.look is None:
            return False
        self.hot = hot
        self.pen.clear()
        self.draw(self.morph, self.look)
        return True

    def draw(self, morph: Morph, look: Style) -> None:
        theme, pen = look.theme, self.pen
        whole = Rect(0, 0, morph.rect.width, seen_rect(morph).height)
        pen.shadow(whole, theme.shadow)
        accent = morph.colour or self._accent(morph, theme)
        bar = mixed(theme.title, morph.colour, 0.22) if morph.colour else theme.title
        title = Rect(0, 0, whole.width, TITLE_HEIGHT)
        if morph.collapsed:
            pen.box(title, bar, ROUND)
        else:
            rect = self.body_rect(morph)
            pen.frame(whole, theme.window, ROUND)
            pen.top(title, bar, ROUND)
            pen.fill(Rect(0, TITLE_HEIGHT, whole.width, 1), theme.edge)
            self.fill(morph, look)
            pen.tint("#FFFFFF")
            self._rectangle = pen.add(
                Rectangle(
                    texture=self.body.texture, tex_coords=self.body.tex_coords(),
                    pos=(rect.x, rect.y), size=(rect.width, rect.height),
                )
            )  # fmt: skip
        pen.outline(whole, theme.calm if look.focused else theme.edge, ROUND)
        self._draw_title(morph, look, accent)
        if not morph.collapsed:
            for step in (5, 9):
                a = Point(whole.width - 3 - step, whole.height - 4)
                pen.stroke((a, Point(whole.width - 4, whole.height - 3 - step)), 1, theme.muted, 0.6)

    def _accent(self, morph: Morph, theme: Theme) -> str:
        """The dot in the title: the colour of the persona that the window is about, or of what waits for the user."""
        subject = str(morph.state.get("subject", ""))
        if subject in theme.personas:
            return theme.persona(subject)
        pane = str(morph.state.get("pane", ""))
        if pane == "approvals":
            return theme.warn if self.title != approvals.AT_REST else theme.muted
        return theme.bad if pane == "debugger" else theme.muted

    def _draw_title(self, morph: Morph, look: Style, accent: str) -> None:
        theme, pen = look.theme, self.pen
        height = min(size(TEXT + 0.5, look.scale), 17)
        pen.disc(Point(16, TITLE_HEIGHT / 2), 9, accent)
        right = morph.rect.width - 2 * BUTTON_WIDTH - 6
        shown = self.texts.cut(self.title, "bold", height, max(12.0, right - 28))
        down = (TITLE_HEIGHT - self.texts.height("bold", height)) / 2
        pen.words(shown, 28, down, "bold", height, theme.strong)
        for number, (name, sign) in enumerate((("collapse", "+" if morph.collapsed else "−"), ("close", "×"))):
            x = morph.rect.width - (2 - number) * BUTTON_WIDTH
            if self.hot == name:
                ground = theme.button_bad if name == "close" else theme.hover
                pen.box(Rect(x + 2, 4, BUTTON_WIDTH - 5, TITLE_HEIGHT - 8), ground, 5)
            colour = theme.strong if self.hot == name else theme.muted
            sign_down = (TITLE_HEIGHT - self.texts.height("sans", 15)) / 2
            pen.words(sign, x + BUTTON_WIDTH / 2 - 1, sign_down, "sans", 15, colour, middle=True)


class NoteView(MorphView):
    """A note, or what stands for something that this version does not know. `blocks` are what it shows."""

    def __init__(self, morph: Morph, texts: Texts, plots: Plots) -> None:
        super().__init__(morph, texts)
        self.body = Body(morph.id, texts, plots)
        self.blocks: tuple[Block, ...] = ()
        self._rectangle: Any = None

    def body_rect(self, morph: Morph) -> Rect:
        """Where the body is, relative to the morph's corner."""
        return Rect(ROUND // 2, ROUND // 2, max(1.0, morph.rect.width - ROUND), max(1.0, morph.rect.height - ROUND))

    def show_blocks(self, blocks: Any, look: Style) -> None:
        """Show these in it."""
        if blocks != self.blocks or look != self.look:
            self.blocks = tuple(blocks)
            self.look = look
            self.pen.clear()
            self.draw(self.morph, look)

    def renew(self) -> None:
        """The body was drawn: its rectangle shows it."""
        if self._rectangle is not None:
            self._rectangle.texture = self.body.texture
            self._rectangle.tex_coords = self.body.tex_coords()

    def draw(self, morph: Morph, look: Style) -> None:
        theme, pen = look.theme, self.pen
        whole = Rect(0, 0, morph.rect.width, seen_rect(morph).height)
        if morph.collapsed:
            pill(pen, whole, look, morph.colour or theme.warn, first_line(morph), "sans")
            return
        fill = mixed(theme.title, morph.colour, 0.18) if morph.colour else theme.hover
        pen.shadow(whole, theme.shadow, 0.5)
        pen.frame(whole, fill, ROUND)
        rect = self.body_rect(morph)
        self.body.set(self.blocks, rect.width, rect.height, theme, look.scale, ground=fill)
        pen.tint("#FFFFFF")
        self._rectangle = pen.add(
            Rectangle(
                texture=self.body.texture, tex_coords=self.body.tex_coords(),
                pos=(rect.x, rect.y), size=(rect.width, rect.height),
            )
        )  # fmt: skip
        edge = theme.calm if look.focused else mixed(theme.edge, morph.colour or theme.warn, 0.4)
        pen.outline(whole, edge, ROUND)


class ToolView(MorphView):
    """A tool: its name on a small plate."""

    def draw(self, morph: Morph, look: Style) -> None:
        rect = Rect(0, 0, morph.rect.width, seen_rect(morph).height)
        pill(self.pen, rect, look, morph.colour or look.theme.calm, str(morph.state.get("name", "")), "mono")


def pill(pen: Pen, rect: Rect, look: Style, colour: str, name: str, face: Any) -> None:
    """A plate with a coloured dot and a name."""
    theme = look.theme
    pen.shadow(rect, theme.shadow, 0.5)
    pen.box(rect, theme.title, 8)
    pen.outline(rect, theme.calm if look.focused else theme.edge, 8)
    height = size(TEXT, look.scale)
    pen.disc(Point(15, rect.height / 2), 8, colour)
    shown = pen.texts.cut(name, face, height, max(10.0, rect.width - 34))
    pen.words(shown, 26, (rect.height - pen.texts.height(face, height)) / 2, face, height, theme.text)


def first_line(morph: Morph) -> str:
    text = str(morph.state.get("text", "")) or morph.kind
    return text.split("\n", 1)[0][:200]


def placeholder_blocks(morph: Morph) -> tuple[Block, ...]:
    """What a morph of an unknown kind shows."""
    kind = str(morph.state.get("kind", "")) or "unknown"
    return (
        say(f"This version knows no morph {kind!r}.", "warn"),
        say("Its data is kept, and is there when it does.", "muted"),
    )
