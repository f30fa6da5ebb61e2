import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.glow import EASE_S, PULSE_S, STEPS_PER_S, Glow, eased

loads = st.floats(0, 1)
ages = st.floats(0, 4)


def test_a_glow_at_rest_is_still_and_asks_for_no_frame() -> None:
    assert Glow().next_s(1000.0) is None
    assert Glow().look(5.0) == Glow().look(7.0)
    assert Glow().towards(0.0, 3.0) == Glow()


@given(loads)
def test_once_the_load_is_steady_it_comes_to_rest_at_that_load(load: float) -> None:
    glow = Glow().towards(load, 10.0)
    assert glow.next_s(10.0 + PULSE_S) is None
    rest = glow.look(10.0 + PULSE_S)
    assert glow.look(9999.0) == rest
    assert rest.reach == pytest.approx(4 + 30 * glow.target)


@given(loads, ages)
def test_it_is_drawn_at_most_fifteen_times_a_second_and_the_same_between(load: float, age: float) -> None:
    glow = Glow(0.0, load, 10.0)
    now = 10.0 + age
    due = glow.next_s(now)
    if due is None:
        return
    assert now < due <= now + 1 / STEPS_PER_S + 1e-6
    assert glow.look(now) == glow.look(now + (due - now) * 0.9)


def test_a_second_has_fifteen_frames_and_a_pulse_has_no_more_than_thirty() -> None:
    glow, now, frames = Glow().towards(1.0, 0.0), 0.0, 0
    while (due := glow.next_s(now)) is not None:
        now, frames = due, frames + 1
    assert frames <= PULSE_S * STEPS_PER_S
    assert now == pytest.approx(PULSE_S)


def test_more_load_reaches_further_and_is_stronger_and_it_pulses_while_it_moves() -> None:
    low, high = (Glow(0.0, load, 0.0).look(PULSE_S) for load in (0.2, 0.9))
    assert high.reach > low.reach
    assert high.alpha > low.alpha
    reaches = [Glow(0.5, 0.8, 0.0).look(number / STEPS_PER_S).reach for number in range(3, 25)]
    assert max(reaches) > 4 + 30 * 0.8 > min(reaches)


def test_a_change_eases_from_where_it_is_within_150_ms() -> None:
    glow = Glow(0.0, 1.0, 0.0)
    turned = glow.towards(0.0, 0.05)
    assert 0 < turned.origin < 1
    assert turned._load(0.05) == turned.origin
    assert turned._load(0.05 + EASE_S) == 0.0
    assert [eased(x) for x in (-1, 0, 0.5, 1, 2)] == [0, 0, 0.5, 1, 1]


def test_what_cannot_be_seen_starts_nothing_but_falling_silent_does() -> None:
    glow = Glow().towards(0.5, 0.0)
    assert glow.towards(0.51, 9.0) is glow
    faint = Glow().towards(0.02, 0.0)
    assert faint.towards(0.0, 9.0).target == 0.0


@given(st.floats(), ages)
def test_no_load_makes_a_look_that_cannot_be_drawn(load: float, age: float) -> None:
    look = Glow().towards(load, 0.0).look(age)
    assert 0 <= look.alpha <= 1
    assert 0 <= look.reach <= 60
    assert math.isfinite(look.reach)
