"""Plots: which figures are shown of which time, and what can be done with them."""

from __future__ import annotations

from dataclasses import replace

from a4ps.kernel.backend import Backend
from a4ps.ui.model.blocks import Plot
from a4ps.ui.model.society import Society
from tests.doubles.pane_driver import Driven

POINTS = tuple((float(second), second / 1_000) for second in range(0, 600, 10))
LIVE = Society(
    series={"latency": POINTS, "dissonance": POINTS, "character.ROBIN": POINTS, "vram_bytes": ((590.0, 5e9),)}
)


async def plots_of(window: Driven) -> dict[str, Plot]:
    return {block.name: block for block in await window.look() if isinstance(block, Plot)}


async def test_dissonance_is_first_and_what_is_bounded_has_its_whole_axis(backend: Backend) -> None:
    found = await plots_of(Driven(backend, "plots", LIVE))
    assert list(found) == ["dissonance", "character.ROBIN", "latency", "vram_bytes"]
    assert (found["dissonance"].low, found["dissonance"].high) == (0.0, 1.0)
    assert found["character.ROBIN"].title == "characterological dissonance · ROBIN"
    assert found["vram_bytes"].points == [(590.0, 5.0)], "in GB"


async def test_a_shorter_range_shows_less_and_a_pause_holds_it(backend: Backend) -> None:
    window = Driven(backend, "plots", LIVE)
    await window.look()
    await window.press("1 min")
    assert len((await plots_of(window))["latency"].points) == 7
    await window.press("Pause")
    window.society = Society(series={"latency": (*POINTS, (700.0, 1.0))})
    assert (await plots_of(window))["latency"].points[-1] == POINTS[-1]
    await window.press("Go on")
    assert (await plots_of(window))["latency"].points == [(700.0, 1.0)]


async def test_a_long_range_joins_what_the_image_has(backend: Backend) -> None:
    window = Driven(backend, "plots", LIVE)
    await window.look()
    await window.press("all")
    assert (await plots_of(window))["latency"].points == list(POINTS)


async def test_one_persona_is_shown_with_what_is_everybodys(backend: Backend) -> None:
    assert "character.ROBIN" not in await plots_of(Driven(backend, "plots", LIVE, subject="BRICK"))
    assert "latency" in await plots_of(Driven(backend, "plots", LIVE, subject="BRICK"))


async def test_a_curve_has_the_axis_of_its_range(backend: Backend) -> None:
    window = Driven(backend, "plots", LIVE)
    assert (await plots_of(window))["latency"].seconds == 600.0
    await window.press("all")
    assert (await plots_of(window))["latency"].seconds == POINTS[-1][0] - POINTS[0][0]


async def test_where_there_is_nothing_it_says_when_there_will_be(backend: Backend) -> None:
    assert any("first answer" in text for text in await Driven(backend, "plots").texts())


async def test_a_word_that_is_said_has_no_curve_drawn_anew(backend: Backend) -> None:
    window = Driven(backend, "plots", LIVE)
    before = await plots_of(window)
    window.society = replace(LIVE, sequence=9, series={**LIVE.series, "latency": (*POINTS, (600.0, 1.0))})
    after = await plots_of(window)
    assert after["dissonance"].points is before["dissonance"].points
    assert after["latency"].points is not before["latency"].points
