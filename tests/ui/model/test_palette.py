import colorsys
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import CallerError
from a4ps.ui.model.blocks import Tone
from a4ps.ui.model.palette import (
    DARK,
    DISSONANCE_STOPS,
    LIGHT,
    SWATCHES,
    THEMES,
    Theme,
    contrast,
    dissonance_colour,
    is_colour,
    readable_on,
    rgb,
)

TONES: tuple[Tone, ...] = get_args(Tone)


def test_the_dark_palette_is_that_of_the_concept() -> None:
    said = (DARK.ground, DARK.grid, DARK.window, DARK.title, DARK.edge, DARK.text, DARK.strong, DARK.muted)
    assert said == ("#0E1218", "#141A22", "#1A202A", "#222A36", "#313C4B", "#DDE3EA", "#F2F5F8", "#8D99A8")
    assert (DARK.calm, DARK.ok, DARK.warn, DARK.bad) == ("#5FB3B3", "#7BC77E", "#FFB74D", "#E57373")


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda each: each.name)
@pytest.mark.parametrize("tone", TONES)
def test_every_tone_can_be_read_on_every_surface(theme: Theme, tone: Tone) -> None:
    for surface in ("ground", "grid", "window", "title", "entry"):
        assert contrast(theme.tone(tone), getattr(theme, surface)) >= 4.5, surface


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda each: each.name)
def test_text_on_buttons_choices_and_differences_can_be_read(theme: Theme) -> None:
    for surface in ("button", "button_good", "button_bad", "hover", "chosen", "added", "removed"):
        for text in (theme.strong, theme.text):
            assert contrast(text, getattr(theme, surface)) >= 4.5, surface


@pytest.mark.parametrize("theme", [DARK, LIGHT], ids=lambda each: each.name)
def test_what_a_persona_says_can_be_read_and_told_from_another(theme: Theme) -> None:
    assert set(theme.personas) == {"ALFRED", "BRICK", "ROBIN", "BABS"}
    assert len(set(theme.personas.values())) == 4
    for name in theme.personas:
        for surface in (theme.ground, theme.window, theme.title):
            assert contrast(theme.persona(name), surface) >= 4.5, name
    assert theme.persona("a stranger") == theme.strong


@pytest.mark.parametrize("tone", ["calm", "ok", "warn", "bad", "link"])
def test_both_themes_have_the_same_hues(tone: Tone) -> None:
    dark, light = (colorsys.rgb_to_hsv(*rgb(theme.tone(tone)))[0] for theme in (DARK, LIGHT))
    assert min(abs(dark - light), 1 - abs(dark - light)) < 12 / 360


def test_dissonance_is_the_stops_colour_at_each_stop() -> None:
    for value, colour in DISSONANCE_STOPS:
        assert dissonance_colour(value) == colour
    assert dissonance_colour(-3) == "#4A90E2"
    assert dissonance_colour(7) == "#E84E46"
    assert dissonance_colour(0.8) == "#ED8650"


@given(st.floats(0, 1))
def test_dissonance_is_always_a_colour_that_shows_on_the_ground(value: float) -> None:
    assert contrast(dissonance_colour(value), DARK.ground) >= 3


def test_contrast_is_that_of_the_guidelines() -> None:
    assert contrast("#000000", "#FFFFFF") == pytest.approx(21)
    assert contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.01)
    assert contrast("#123456", "#123456") == 1


@pytest.mark.parametrize("bad", ["", "#12345", "123456", "#12345G", "#1234567", "#12 34 ", "red"])
def test_what_is_no_colour_is_refused_with_what_one_looks_like(bad: str) -> None:
    with pytest.raises(CallerError) as refused:
        rgb(bad)
    assert "#RRGGBB" in refused.value.next_step
    assert not is_colour(bad)


def test_signs_can_be_read_on_any_swatch() -> None:
    for _, swatch in SWATCHES[1:]:
        assert contrast(readable_on(swatch), swatch) >= 4.5
    assert THEMES["light"] is LIGHT
