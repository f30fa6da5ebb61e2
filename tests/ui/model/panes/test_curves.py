"""Curves: of which figures they are made, and that none is made twice of the same."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.panes.curves import Curves, thinned, within

POINTS = tuple((float(second), second / 1_000) for second in range(0, 600, 10))


def kept(*points: tuple[float, float]) -> list[dict[str, Any]]:
    return [{"at": datetime.fromtimestamp(at_s, UTC).isoformat(), "mean": value} for at_s, value in points]


def test_what_was_heard_since_comes_after_what_the_image_has() -> None:
    found = Curves().of(kept((10.0, 1.0), (20.0, 2.0)), ((15.0, 9.0), (20.0, 9.0), (30.0, 3.0)))
    assert list(found) == [(10.0, 1.0), (20.0, 2.0), (30.0, 3.0)]


def test_the_same_figures_are_the_same_curve_and_others_are_another() -> None:
    curves, image = Curves(), kept((10.0, 1.0))
    first = curves.of(image, POINTS)
    assert curves.of(image, POINTS) is first
    assert curves.of(image, POINTS, seconds=60.0) is not first
    assert curves.of(image, (*POINTS, (600.0, 1.0))) is not first
    assert curves.of(kept((10.0, 5.0)), POINTS)[0] == (10.0, 5.0)


def test_curves_that_are_held_no_more_are_made_again() -> None:
    curves = Curves()
    many = [((float(number), 1.0),) for number in range(1_000)]
    for _ in range(2):
        assert [curves.of((), each) for each in many] == [list(each) for each in many]


def test_a_unit_is_another_scale() -> None:
    assert list(Curves().of((), ((1.0, 5e9),), 1e-9)) == [(1.0, 5.0)]


@pytest.mark.parametrize("seconds", [None, 0.0, 50.0])
def test_nothing_of_another_time_is_within(seconds: float | None) -> None:
    found = list(within(POINTS, seconds, 300.0))
    assert found[-1][0] == 300.0
    assert found[0][0] == (0.0 if seconds is None else 300.0 - seconds)


@given(st.lists(st.floats(-1e6, 1e6), max_size=400), st.integers(3, 50))
def test_thinned_a_curve_keeps_its_peaks_its_order_and_its_newest(values: list[float], most: int) -> None:
    points = [(float(at), value) for at, value in enumerate(values)]
    found = thinned(points, most)
    assert len(found) <= most
    assert set(found) <= set(points)
    assert list(found) == sorted(found)
    if points:
        assert found[-1] == points[-1]
        assert {min(values), max(values)} <= {value for _, value in found}
