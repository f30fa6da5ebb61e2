"""Who changed whose mind, between two rounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from a4ps.image.turns import Mind
from a4ps.society.dissonance import Stance, StanceName
from a4ps.society.minds import POINT_CHARS, changed

FILE = "It compiles to one file."
SMALL = "It is small enough for two weekends."
POINTS = (FILE, SMALL)


def stances(*names: StanceName) -> list[Stance]:
    return [Stance(number, name, 0.5) for number, name in enumerate(names, 1)]


def test_a_stance_that_moved_on_the_same_point_was_moved_by_brick() -> None:
    minds = changed((POINTS, stances("disagree", "agree")), ((SMALL, FILE), stances("agree", "partly")), 2)
    assert minds == (Mind("ROBIN", "BRICK", 2, FILE, "disagree", "partly"),)


def test_a_point_that_is_not_made_any_more_after_an_objection_was_given_up() -> None:
    minds = changed((POINTS, stances("partly", "agree")), ((SMALL,), stances("agree")), 2)
    assert minds == (Mind("BRICK", "ROBIN", 2, FILE, "held", "given up"),)


def test_a_point_that_was_granted_and_dropped_changed_nobody() -> None:
    assert changed((POINTS, stances("agree", "agree")), ((SMALL,), stances("agree")), 2) == ()


def test_other_words_around_the_same_matter_are_the_same_point() -> None:
    later = "It is small: two weekends are enough for it."
    assert changed(((SMALL,), stances("disagree")), ((later,), stances("agree")), 3) == (
        Mind("ROBIN", "BRICK", 3, SMALL, "disagree", "agree"),
    )


def test_rounds_without_stances_show_no_change() -> None:
    assert changed((POINTS, []), (POINTS, stances("agree", "agree")), 2) == ()
    assert changed((POINTS, stances("disagree", "disagree")), (POINTS, []), 2) == ()


def test_a_point_without_content_words_is_itself() -> None:
    assert changed((("42",), stances("disagree")), (("42",), stances("agree")), 2)[0].persona == "ROBIN"


POINT = st.text(max_size=200)
STANCES = st.lists(
    st.builds(Stance, st.integers(0, 9), st.sampled_from(["agree", "partly", "disagree"]), st.floats(0, 1)), max_size=8
)


@given(st.lists(POINT, max_size=6), STANCES, st.lists(POINT, max_size=6), STANCES)
def test_whatever_was_said_each_point_changes_at_most_one_mind(
    old: list[str], before: list[Stance], new: list[str], after: list[Stance]
) -> None:
    minds = changed((old, before), (new, after), 2)
    assert len(minds) <= len(old)
    for mind in minds:
        assert mind.before != mind.after
        assert len(mind.point) <= POINT_CHARS


@given(st.lists(POINT, max_size=6, unique=True), STANCES)
def test_a_round_that_repeats_itself_changes_no_mind(points: list[str], taken: list[Stance]) -> None:
    assert changed((points, taken), (points, taken), 2) == ()
