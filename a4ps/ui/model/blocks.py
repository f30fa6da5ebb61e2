"""What a window shows, as values: a list of blocks, drawn one below the other. A view draws each kind in one way.

A part that can be pressed carries an `Act`; what it does is the pane's affair (`pane.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

#: How a text is meant; the palette gives each a colour. `persona:NAME` colours of personas are asked for by `Span.of`.
Tone: TypeAlias = Literal["text", "strong", "muted", "calm", "ok", "warn", "bad", "link"]


@dataclass(frozen=True, slots=True)
class Act:
    """What is to be done when something is pressed or entered: a verb of its pane, and what it is about.

    Where something was entered, the desk adds it: `with_value`.
    """

    verb: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def with_value(self, value: object) -> Act:
        return Act(self.verb, {**self.about, "value": value})


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text. `persona` paints it in that persona's own colour."""

    text: str
    tone: Tone = "text"
    mono: bool = False
    persona: str = ""
    act: Act | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A paragraph, wrapped. `indent` counts steps; `act` is what pressing it does; `chosen` marks it."""

    spans: Sequence[Span]
    indent: int = 0
    act: Act | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Columns:
    """A row of a table: each cell is wrapped in its share of the width."""

    cells: Sequence[Span]
    shares: Sequence[float]
    act: Act | None = None
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Tabs:
    """Names, of which one is chosen; pressing one does `act` with the name as value."""

    names: Sequence[str]
    chosen: str
    act: Act


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    act: Act
    tone: Literal["plain", "good", "bad"] = "plain"
    enabled: bool = True


@dataclass(frozen=True, slots=True)
class Buttons:
    """Side by side, wrapped where the width is small; `note` is said beside them."""

    buttons: Sequence[Button]
    note: Span | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A field that is edited in place. Entered (Return; Ctrl-Return in a `lines` > 1), it does `act` with the text as value.

    `key` names it within its window, so that what is being typed outlives a redraw. `fault`: why the last text was refused.
    With `live`, each change does `act`. `keys` are chords beside Return that do an act with the chosen text, or the line
    that the cursor is in: {"ctrl-d": Act("do")}. `fills`: it takes the height that is left.
    """

    key: str
    text: str
    act: Act
    label: str = ""
    hint: str = ""
    mono: bool = False
    lines: int = 1
    fault: str = ""
    live: bool = False
    read_only: bool = False
    fills: bool = False
    keys: Mapping[str, Act] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Code:
    """A source text that is read, not edited: monospace, not wrapped, with line numbers from `first`; `marked` are lines."""

    text: str
    first: int = 1
    marked: Sequence[int] = ()
    act: Act | None = None


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two texts, their lines matched: (left, right), None where one has no line; differing ones are shown in colour."""

    titles: tuple[str, str]
    rows: Sequence[tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Bar:
    """How far something is: a fraction from 0 to 1, or None where that is not known."""

    fraction: float | None
    label: str = ""
    tone: Tone = "calm"


@dataclass(frozen=True, slots=True)
class Plot:
    """A curve over time: (seconds, value), oldest first; `low` and `high` bound the axis where given.

    `name` is the series', and what its picture is saved as. `seconds` is the time up to the newest point that is shown;
    None: whoever looks at it chooses that.
    """

    name: str
    title: str
    points: Sequence[tuple[float, float]]
    unit: str = ""
    low: float | None = None
    high: float | None = None
    height: float = 90.0
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """One event of a timeline, at a place from 0 to 1."""

    place: float
    tone: Tone
    act: Act
    large: bool = False
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class Marks:
    """Events on a line; dragging along it does `scrub` with the place (0 to 1) as value."""

    marks: Sequence[Mark]
    scrub: Act
    now: float = 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """A thin line between parts."""


Block: TypeAlias = Line | Columns | Tabs | Buttons | Entry | Code | SideBySide | Bar | Plot | Marks | Rule


def say(text: str, tone: Tone = "text", *, mono: bool = False, indent: int = 0, act: Act | None = None) -> Line:
    """A line of one span."""
    return Line((Span(text, tone, mono),), indent, act)
