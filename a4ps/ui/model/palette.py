"""The colours of the world, dark and light, and how they are told apart. Colours are "#RRGGBB"."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from a4ps.errors import CallerError
from a4ps.ui.model.blocks import Tone

#: Characterological dissonance as a colour: (value, colour), from agreement to a break. The same in both themes.
DISSONANCE_STOPS = ((0.0, "#4A90E2"), (0.35, "#50BEC8"), (0.6, "#F2BE5A"), (1.0, "#E84E46"))

#: What the recolour handle offers: (name, colour); "" gives a morph its own colour back.
SWATCHES = (
    ("its own", ""),
    ("blue", "#4A90E2"),
    ("cyan", "#50BEC8"),
    ("green", "#7BC77E"),
    ("yellow", "#F2BE5A"),
    ("orange", "#FFB74D"),
    ("red", "#E57373"),
    ("magenta", "#BA68C8"),
    ("grey", "#8D99A8"),
)


def rgb(colour: str) -> tuple[float, float, float]:
    """Red, green and blue from 0 to 1. Raises CallerError for what is not "#RRGGBB"."""
    if len(colour) == 7 and colour[0] == "#":
        try:
            whole = bytes.fromhex(colour[1:])
        except ValueError:
            pass
        else:
            if len(whole) == 3:
                return whole[0] / 255, whole[1] / 255, whole[2] / 255
    raise CallerError(f"{colour!r} is not a colour", next_step="write it as #RRGGBB, such as #5FB3B3")


def is_colour(colour: object) -> bool:
    """Whether it is "#RRGGBB"."""
    if not isinstance(colour, str):
        return False
    try:
        rgb(colour)
    except CallerError:
        return False
    return True


def mixed(a: str, b: str, share: float) -> str:
    """The colour that lies `share` (0 to 1) of the way from `a` to `b`."""
    parts = (round(255 * (one + (other - one) * share)) for one, other in zip(rgb(a), rgb(b), strict=True))
    return "#" + "".join(f"{part:02X}" for part in parts)


def dissonance_colour(value: float) -> str:
    """The colour of a dissonance, which is taken as 0 below 0 and as 1 above 1."""
    low, colour = DISSONANCE_STOPS[0]
    for high, next_colour in DISSONANCE_STOPS[1:]:
        if value <= high:
            return mixed(colour, next_colour, max(0.0, value - low) / (high - low))
        low, colour = high, next_colour
    return colour


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2). Text needs 4.5, what is no text 3."""
    lighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def readable_on(colour: str) -> str:
    """A near black or a near white, whichever is read better on `colour`."""
    return max("#0E1218", "#FFFFFF", key=lambda each: contrast(each, colour))


@dataclass(frozen=True, slots=True)
class Theme:
    """Every colour that the view uses. Each text tone has at least 4.5 : 1 on ground, window and title."""

    name: str
    # Surfaces
    ground: str
    grid: str
    window: str
    title: str
    entry: str
    edge: str
    hover: str
    chosen: str
    #: What lies under a window's edge.
    shadow: str
    # Texts
    text: str
    strong: str
    muted: str
    calm: str
    ok: str
    warn: str
    bad: str
    link: str
    # Buttons: their ground; `strong` is what is written on them
    button: str
    button_good: str
    button_bad: str
    # Lines of a difference: their ground
    added: str
    removed: str
    #: The arc within a persona's ring, whose length is its dissonance.
    arc: str
    #: Persona's name → the colour of what it says.
    personas: Mapping[str, str] = field(default_factory=dict)

    def tone(self, tone: Tone) -> str:
        """The colour of a text that is meant so."""
        return {
            "text": self.text,
            "strong": self.strong,
            "muted": self.muted,
            "calm": self.calm,
            "ok": self.ok,
            "warn": self.warn,
            "bad": self.bad,
            "link": self.link,
        }[tone]

    def persona(self, name: str) -> str:
        """A persona's own colour; that of strong text for one that is not known."""
        return self.personas.get(name, self.strong)


DARK = Theme(
    name="dark",
    ground="#0E1218",
    grid="#141A22",
    window="#1A202A",
    title="#222A36",
    entry="#12171F",
    edge="#313C4B",
    hover="#2A3442",
    chosen="#26414A",
    shadow="#06080B",
    text="#DDE3EA",
    strong="#F2F5F8",
    muted="#8D99A8",
    calm="#5FB3B3",
    ok="#7BC77E",
    warn="#FFB74D",
    bad="#E57373",
    link="#8FC1F5",
    button="#2A3442",
    button_good="#2C6B58",
    button_bad="#5C2C30",
    added="#1D3A2B",
    removed="#43262B",
    arc="#FFFFFF",
    personas=MappingProxyType({"ALFRED": "#8FB8F0", "BRICK": "#5FC6D6", "ROBIN": "#F5A45C", "BABS": "#BDABEA"}),
)

LIGHT = Theme(
    name="light",
    ground="#F1F3F7",
    grid="#E6EAF0",
    window="#FDFDFE",
    title="#E8ECF2",
    entry="#FFFFFF",
    edge="#BFC8D3",
    hover="#DCE3EB",
    chosen="#CFE6E6",
    shadow="#C9D0D9",
    text="#28313C",
    strong="#0E1218",
    muted="#566270",
    calm="#23696A",
    ok="#256D29",
    warn="#855200",
    bad="#B02A2A",
    link="#1B5C9E",
    button="#DCE3EB",
    button_good="#A9DBC8",
    button_bad="#F2C4C4",
    added="#D5EFDC",
    removed="#F8DCDC",
    arc="#28313C",
    personas=MappingProxyType({"ALFRED": "#23579E", "BRICK": "#13656F", "ROBIN": "#94500B", "BABS": "#5F45A8"}),
)

THEMES: Mapping[str, Theme] = MappingProxyType({each.name: each for each in (DARK, LIGHT)})
