"""Lays blocks out in a given width. No Kivy: how wide texts are is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from a4ps.ui.model.blocks import (
    Bar,
    Block,
    Buttons,
    Code,
    Columns,
    Entry,
    Line,
    Marks,
    Plot,
    Rule,
    SideBySide,
    Span,
    Tabs,
)
from a4ps.ui.model.geometry import Point, Rect
from a4ps.ui.model.palette import Theme
from a4ps.ui.view.fonts import LEADING, SMALL, TEXT, Face, size
from a4ps.ui.view.items import Box, Curve, Dot, Item, Laid, Part, PartKind, Words
from a4ps.ui.view.wrapping import Run, wrapped

#: A step to the right, and what is between two blocks, in px at scale 1.
INDENT, BETWEEN = 16.0, 6.0
#: No more rows of a difference or a code are laid out; what is left out is said.
ROWS_MAX = 20_000
#: A field's text begins so far within it.
FIELD_X, FIELD_Y = 8.0, 5.0


class Measuring(Protocol):
    """What of `Texts` is needed here."""

    def width(self, text: str, face: Face, size: int) -> float: ...

    def height(self, face: Face, size: int) -> float: ...

    def cut(self, text: str, face: Face, size: int, width: float) -> str: ...


@dataclass(frozen=True, slots=True)
class Showing:
    """How a plot is looked at: the last so many seconds, up to now or up to a moment (seconds since 1970)."""

    seconds: float = 600.0
    until_s: float | None = None

    def in_words(self) -> str:
        return f"{self.seconds / 60:g} min" if self.seconds >= 60 else f"{self.seconds:g} s"


@dataclass(slots=True)
class _Sheet:
    """What a block consists of, while it is laid out."""

    items: list[Item] = field(default_factory=list)
    parts: list[Part] = field(default_factory=list)


class Layout:
    """Lays out for one theme and scale.

    `draft` gives what is being typed in a field, else its own text; `showing` how a plot of that name is looked at.
    """

    def __init__(
        self,
        texts: Measuring,
        theme: Theme,
        scale: float,
        draft: Callable[[Entry], str],
        showing: Callable[[str], Showing] = lambda _: Showing(),
    ) -> None:
        self._texts, self.theme, self.scale, self._draft, self._showing = texts, theme, scale, draft, showing
        self._text = size(TEXT, scale)
        self._small = size(SMALL, scale)
        self._row = round(self._text * LEADING)

    def laid(self, block: Block, width: float, left: float = 0.0) -> Laid:
        """The block in that width. `left` is the height that is left for a field that takes it."""
        sheet = _Sheet()
        width = max(40.0, width)
        match block:
            case Line():
                height = self._line(sheet, block, width)
            case Columns():
                height = self._columns(sheet, block, width)
            case Tabs():
                height = self._tabs(sheet, block, width)
            case Buttons():
                height = self._buttons(sheet, block, width)
            case Entry():
                height = self._entry(sheet, block, width, left)
            case Code():
                height = self._code(sheet, block, width)
            case SideBySide():
                height = self._side_by_side(sheet, block, width)
            case Bar():
                height = self._bar(sheet, block, width)
            case Plot():
                height = self._plot(sheet, block, width)
            case Marks():
                height = self._marks(sheet, block, width)
            case Rule():
                sheet.items.append(Box(Rect(0, 4 * self.scale, width, 1), self.theme.edge, radius=0))
                height = 9 * self.scale
        return Laid(block, width, round(height), sheet.items, sheet.parts)

    def face_of(self, span: Span) -> Face:
        return "mono" if span.mono else "bold" if span.tone == "strong" else "sans"

    def colour_of(self, span: Span) -> str:
        return self.theme.persona(span.persona) if span.persona else self.theme.tone(span.tone)

    # Texts

    def _wrapped(self, spans: Sequence[Span], width: float) -> list[list[Run]]:
        faces = [self.face_of(each) for each in spans]
        return wrapped(
            [each.text for each in spans], width, lambda text, span: self._texts.width(text, faces[span], self._text)
        )

    def _put_spans(self, sheet: _Sheet, spans: Sequence[Span], x: float, y: float, width: float) -> float:
        """Put a paragraph there; its height is returned."""
        lines = self._wrapped(spans, width)
        for number, line in enumerate(lines):
            top = y + number * self._row
            for run in line:
                span = spans[run.span]
                self._put(
                    sheet, run.text, x + run.x, top, run.width, self.face_of(span), self._text, self.colour_of(span)
                )
                if span.act is not None:
                    sheet.parts.append(Part(Rect(x + run.x - 3, top, run.width + 6, self._row), "press", span.act))
        return len(lines) * self._row

    def _put(
        self, sheet: _Sheet, text: str, x: float, y: float, width: float, face: Face, size: int, colour: str,
        *, slides: bool = False,
    ) -> None:  # fmt: skip
        """One line of text in a row of the usual height."""
        down = (self._row - self._texts.height(face, size)) / 2
        sheet.items.append(Words(Rect(x, y + down, width, self._row), text, face, size, colour, slides))

    def _line(self, sheet: _Sheet, block: Line, width: float) -> float:
        x = min(block.indent * INDENT * self.scale, width * 0.6)
        before = len(sheet.items)
        if block.act is not None:
            sheet.parts.append(Part(Rect(x - 6, 0, width - x + 12, 1), "press", block.act))
        height = self._put_spans(sheet, block.spans, x, 0, width - x)
        whole = Rect(x - 6, 0, width - x + 12, height)
        if block.act is not None:
            sheet.parts[0] = Part(whole, "press", block.act)
        if block.chosen:
            sheet.items.insert(before, Box(whole, self.theme.chosen, radius=4))
        return height

    def _columns(self, sheet: _Sheet, block: Columns, width: float) -> float:
        gap = 10 * self.scale
        whole = sum(block.shares) or 1.0
        if block.act is not None:
            sheet.parts.append(Part(Rect(-6, 0, width + 12, 1), "press", block.act))
        x, height = 0.0, float(self._row)
        for cell, share in zip(block.cells, block.shares, strict=False):
            wide = width * share / whole
            height = max(height, self._put_spans(sheet, (cell,), x, 0, max(20.0, wide - gap)))
            x += wide
        row = Rect(-6, 0, width + 12, height)
        if block.act is not None:
            sheet.parts[0] = Part(row, "press", block.act)
        if block.chosen:
            sheet.items.insert(0, Box(row, self.theme.chosen, radius=4))
        return height

    # Things to press

    def _tabs(self, sheet: _Sheet, block: Tabs, width: float) -> float:
        gap, high = 18 * self.scale, self._row + 8 * self.scale
        x = y = 0.0
        for name in block.names:
            chosen = name == block.chosen
            face: Face = "bold" if chosen else "sans"
            shown = self._texts.cut(name, face, self._text, width)
            wide = self._texts.width(shown, face, self._text)
            if x > 0 and x + wide > width:
                x, y = 0.0, y + high
            colour = self.theme.strong if chosen else self.theme.muted
            self._put(sheet, shown, x, y, wide, face, self._text, colour)
            if chosen:
                sheet.items.append(Box(Rect(x, y + self._row + 2, wide, 2), self.theme.calm, radius=0))
            sheet.parts.append(Part(Rect(x - 6, y, wide + 12, high - 2), "press", block.act.with_value(name)))
            x += wide + gap
        sheet.items.insert(0, Box(Rect(0, y + self._row + 4, width, 1), self.theme.edge, radius=0))
        return y + high + 2

    def _buttons(self, sheet: _Sheet, block: Buttons, width: float) -> float:
        gap, high = 8 * self.scale, self._row + 8 * self.scale
        x = y = 0.0
        for button in block.buttons:
            face: Face = "bold" if button.tone != "plain" and button.enabled else "sans"
            shown = self._texts.cut(button.label, face, self._text, width - 24 * self.scale)
            words = self._texts.width(shown, face, self._text)
            wide = max(48 * self.scale, words + 24 * self.scale)
            if x > 0 and x + wide > width:
                x, y = 0.0, y + high + gap
            ground = {"plain": self.theme.button, "good": self.theme.button_good, "bad": self.theme.button_bad}[
                button.tone
            ]
            rect = Rect(x, y, round(wide), high)
            if button.enabled:
                sheet.items.append(Box(rect, ground, self.theme.edge))
                sheet.parts.append(Part(rect, "press", button.act))
            else:
                sheet.items.append(Box(rect, "", self.theme.edge))
            colour = self.theme.strong if button.enabled else self.theme.muted
            self._put(sheet, shown, x + (wide - words) / 2, y + 4 * self.scale, words, face, self._text, colour)
            x += round(wide) + gap
        if block.note is not None and block.note.text:
            lines = self._wrapped((block.note,), max(40.0, width - x - 4))
            if not block.buttons:
                return self._put_spans(sheet, (block.note,), 0, 0, width)
            if len(lines) <= 1:
                self._put_spans(sheet, (block.note,), x + 4, y + 4 * self.scale, width - x - 4)
            else:
                return y + high + 4 + self._put_spans(sheet, (block.note,), 0, y + high + 4, width) + 2
        return y + high + 2

    def _entry(self, sheet: _Sheet, block: Entry, width: float, left: float) -> float:
        x = y = 0.0
        face: Face = "mono" if block.mono else "sans"
        if block.label:
            beside = block.lines == 1 and not block.fills and width >= 260 * self.scale
            room = width * 0.38 if beside else width
            label = self._texts.cut(block.label, "sans", self._text, room - 12)
            down = FIELD_Y * self.scale if beside else 0.0
            self._put(sheet, label, 0, down, room, "sans", self._text, self.theme.muted)
            x, y = (room, 0.0) if beside else (0.0, self._row + 1.0)
        fault = self._wrapped((Span(block.fault, "bad"),), width - x) if block.fault else []
        fault_height = len(fault) * self._row + (2 if fault else 0)
        field_height = max(1, block.lines) * self._row + 2 * FIELD_Y * self.scale
        if block.fills:
            field_height = max(field_height, left - y - fault_height)
        rect = Rect(x, y, width - x, round(field_height))
        inner = Rect(
            rect.x + FIELD_X * self.scale, rect.y + FIELD_Y * self.scale,
            rect.width - 2 * FIELD_X * self.scale, rect.height - 2 * FIELD_Y * self.scale,
        )  # fmt: skip
        edge = self.theme.bad if block.fault else self.theme.edge
        sheet.items.append(Box(rect, "" if block.read_only else self.theme.entry, edge))
        text = self._draft(block)
        shown, colour = (text, self.theme.text) if text else (block.hint, self.theme.muted)
        rows = max(1, int(inner.height // self._row))
        if block.lines == 1 and not block.fills:
            one = self._texts.cut(shown.replace("\n", " ⏎ "), face, self._text, inner.width)
            self._put(sheet, one, inner.x, inner.y, inner.width, face, self._text, colour)
        else:
            lines = wrapped([shown], inner.width, lambda each, _: self._texts.width(each, face, self._text))
            for number, line in enumerate(lines[:rows]):
                for run in line:
                    at = inner.y + number * self._row
                    self._put(sheet, run.text, inner.x + run.x, at, run.width, face, self._text, colour)
        sheet.parts.append(Part(rect, "entry", block.act, entry=block, text=inner))
        if fault:
            self._put_spans(sheet, (Span(block.fault, "bad"),), x, rect.bottom + 2, width - x)
        return rect.bottom + fault_height

    # Texts that are compared or read

    def _code(self, sheet: _Sheet, block: Code, width: float) -> float:
        lines = block.text.split("\n")
        left_out = max(0, len(lines) - ROWS_MAX)
        lines = lines[:ROWS_MAX]
        digits = len(str(block.first + len(lines) - 1))
        advance = self._texts.width("0", "mono", self._text)
        gutter = (digits + 2) * advance
        row = self._row
        height = len(lines) * row + 8 * self.scale
        sheet.items.append(Box(Rect(0, 0, width, height), self.theme.entry, radius=4))
        marked = set(block.marked)
        for number, text in enumerate(lines):
            y = 4 * self.scale + number * row
            if block.first + number in marked:
                sheet.items.append(Box(Rect(0, y, width, row), self.theme.removed, radius=0))
            self._put(
                sheet,
                str(block.first + number).rjust(digits),
                advance / 2,
                y,
                gutter,
                "mono",
                self._text,
                self.theme.muted,
            )
            if text:
                wide = len(text) * advance
                self._put(sheet, text, gutter, y, wide, "mono", self._text, self.theme.text, slides=True)
        if block.act is not None:
            sheet.parts.append(Part(Rect(0, 0, width, height), "press", block.act))
        if left_out:
            self._put(sheet, f"{left_out:,} more lines", 0, height, width, "sans", self._text, self.theme.muted)
            height += row
        return height

    def _side_by_side(self, sheet: _Sheet, block: SideBySide, width: float) -> float:
        gap, row = 8 * self.scale, self._row
        half = (width - gap) / 2
        for number, title in enumerate(block.titles):
            shown = self._texts.cut(title, "bold", self._text, half)
            self._put(sheet, shown, number * (half + gap), 0, half, "bold", self._text, self.theme.muted)
        top = row + 2.0
        rows = block.rows[:ROWS_MAX]
        for side in (0, 1):
            rect = Rect(side * (half + gap), top, half, max(1, len(rows)) * row + 4)
            sheet.items.append(Box(rect, self.theme.entry, radius=4))
        for number, pair in enumerate(rows):
            y = top + 2 + number * row
            for side, text in enumerate(pair):
                x = side * (half + gap)
                if text is None:
                    continue
                if pair[0] != pair[1]:
                    colour = self.theme.removed if side == 0 else self.theme.added
                    sheet.items.append(Box(Rect(x, y, half, row), colour, radius=0))
                shown = self._texts.cut(text, "mono", self._text, half - 12)
                self._put(sheet, shown, x + 6, y, half, "mono", self._text, self.theme.text)
        height = top + max(1, len(rows)) * row + 4
        if len(block.rows) > ROWS_MAX:
            more = f"{len(block.rows) - ROWS_MAX:,} more lines"
            self._put(sheet, more, 0, height, width, "sans", self._text, self.theme.muted)
            height += row
        return height

    # Figures

    def _bar(self, sheet: _Sheet, block: Bar, width: float) -> float:
        thick = round(7 * self.scale)
        sheet.items.append(Box(Rect(0, 5 * self.scale, width, thick), self.theme.edge, radius=3))
        if block.fraction is not None and block.fraction > 0:
            wide = max(thick, width * min(1.0, block.fraction))
            sheet.items.append(Box(Rect(0, 5 * self.scale, wide, thick), self.theme.tone(block.tone), radius=3))
        height = thick + 10 * self.scale
        if block.label:
            height += self._put_spans(sheet, (Span(block.label, "muted"),), 0, height - 2, width)
        return height

    def _plot(self, sheet: _Sheet, block: Plot, width: float) -> float:
        title = self._row
        height = title + block.height * self.scale
        sheet.items.append(Box(Rect(0, 0, width, height), self.theme.entry, self.theme.edge))
        x = width - 8 * self.scale
        labels: list[tuple[PartKind, str]] = [("save", "save")]
        if block.seconds is None:
            showing = self._showing(block.name)
            labels += [("pause", "pause" if showing.until_s is None else "go on"), ("range", showing.in_words())]
        for kind, label in labels:
            wide = self._texts.width(label, "sans", self._small)
            x -= wide
            self._put(sheet, label, x, 1, wide, "sans", self._small, self.theme.link)
            sheet.parts.append(Part(Rect(x - 4, 0, wide + 8, title), kind, plot=block))
            x -= 12 * self.scale
        shown = self._texts.cut(block.title, "sans", self._small, max(20.0, x - 8))
        self._put(sheet, shown, 8 * self.scale, 1, x, "sans", self._small, self.theme.muted)
        sheet.items.append(Curve(Rect(1, title, width - 2, height - title - 1), block))
        return height

    def _marks(self, sheet: _Sheet, block: Marks, width: float) -> float:
        height, middle = 30 * self.scale, 15 * self.scale
        inset = 8 * self.scale
        span = max(1.0, width - 2 * inset)
        sheet.items.append(Box(Rect(0, round(middle), width, 1), self.theme.edge, radius=0))
        sheet.parts.append(Part(Rect(0, 0, width, height), "scrub", block.scrub, marks=block))
        for mark in block.marks:
            at = Point(inset + span * min(1.0, max(0.0, mark.place)), middle + 0.5)
            wide = round((11 if mark.large else 7) * self.scale)
            if mark.chosen:
                around = wide + 6
                sheet.items.append(Dot(Rect(at.x - around / 2, at.y - around / 2, around, around), self.theme.strong))
            sheet.items.append(Dot(Rect(at.x - wide / 2, at.y - wide / 2, wide, wide), self.theme.tone(mark.tone)))
            grip = max(wide, 12 * self.scale)
            rect = Rect(at.x - grip / 2, at.y - grip / 2, grip, grip)
            sheet.parts.append(Part(rect, "press", mark.act, marks=block))
        now = inset + span * min(1.0, max(0.0, block.now))
        sheet.items.append(
            Box(Rect(round(now), 3 * self.scale, 1, height - 6 * self.scale), self.theme.strong, radius=0)
        )
        return height
