"""Series: figures over time that stay small and stay true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.series import POINTS_MAX, Point, Sample, all_grown, drawn, grown

VALUES = st.lists(st.floats(0, 1), max_size=600)


def points(values: list[float]) -> list[Point]:
    return [Point.of(Sample("s", float(at), value)) for at, value in enumerate(values)]


@given(VALUES)
def test_a_series_is_bounded_and_tells_the_truth_of_all_its_figures(values: list[float]) -> None:
    series = grown((), points(values))
    assert len(series) <= POINTS_MAX
    assert sum(point.count for point in series) == len(values)
    if values:
        assert min(point.low for point in series) == min(values)
        assert max(point.high for point in series) == max(values)
        mean = sum(point.mean * point.count for point in series) / len(values)
        assert mean == pytest.approx(sum(values) / len(values))
        assert series[-1].at_s == len(values) - 1
    assert all(point.low <= point.mean + 1e-9 and point.mean <= point.high + 1e-9 for point in series)


@given(VALUES, st.integers(0, 600))
def test_it_does_not_matter_how_the_figures_came(values: list[float], cut: int) -> None:
    whole = points(values)
    assert grown(grown((), whole[:cut]), whole[cut:]) == grown((), whole)


def test_the_newest_stay_single_longest() -> None:
    series = grown((), points([0.5] * 1000))
    counts = [point.count for point in series]
    assert counts == sorted(counts, reverse=True)
    assert counts[-1] == 1


def test_a_clock_that_is_set_back_puts_nothing_into_the_past() -> None:
    series = grown((), [Point(100, 1, 1, 1), Point(40, 0, 0, 0), Point(110, 1, 1, 1)])
    assert [point.at_s for point in series] == [100, 100, 110]
    assert [point.mean for point in series] == [1, 0, 1]


def test_samples_go_to_their_series() -> None:
    series = all_grown({"a": (Point(0, 1, 1, 1),)}, [Sample("b", 1, 2), Sample("a", 2, 3)])
    assert {name: [point.mean for point in each] for name, each in series.items()} == {"a": [1, 3], "b": [2]}


def test_a_series_is_drawn() -> None:
    assert drawn(points([0, 0.5, 1]), 10) == "▁▅█"
    assert drawn(points([0.3, 0.3]), 10) == "▁▁"
    assert drawn((), 10) == ""
