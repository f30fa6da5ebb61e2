"""Character: how far a text is from a codex."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.image.codex import Codex
from a4ps.personas.character import distance, judged, rubric, to_be_judged
from a4ps.personas.roster import NAMES, shipped_codices

CODICES = shipped_codices()

#: Each persona as it ought to speak.
IN_CHARACTER = {
    "BRICK": "Take Go.\n1. It compiles to one file, so 3 minutes are enough to ship it.\n2. It costs 2 weekends; Rust takes "
    "6 because of lifetimes.\nWrong if speed decides, since Rust is 1.5 times faster.",
    "ROBIN": "You count the weekends and forget the tired evening after them. His second point I grant, it is true. But you "
    "wrote both names for a reason: one is useful and one tempts you. I would choose what you still want to open.",
    "BABS": "Record: turn [12] says that you shipped Python before. Known: both make one binary, unchecked. Open: nobody "
    "here knows which one you would open in March; the cheapest check is one hour with each.",
    "ALFRED": "Take Go for this tool, and keep Rust for the winter. From BRICK I take the price; from ROBIN that you must "
    "want to go on. One doubt remains. If your tool must be fast, the answer turns.",
}
SLIPPED = (
    "What an absolutely amazing question, friend! I love it so much! Maybe perhaps there are, like, many wonderful journeys "
    "that one could possibly take here, and it is kind of fantastic to think about all of it at great length without ever "
    "deciding on anything at all!"
)


@pytest.mark.parametrize("name", NAMES)
def test_a_voice_that_has_slipped_is_told_from_one_that_holds(name: str) -> None:
    held, slipped = (distance(name, CODICES[name], text) for text in (IN_CHARACTER[name], SLIPPED))
    assert held is not None
    assert slipped is not None
    assert held <= 0.1
    assert slipped >= 0.4


def test_nobody_is_nearer_to_a_codex_than_the_one_it_is_of() -> None:
    for name in NAMES:
        figures = {other: distance(name, CODICES[name], text) or 0.0 for other, text in IN_CHARACTER.items()}
        assert figures[name] == min(figures.values())
        assert max(figures.values()) > figures[name]


def test_a_few_words_tell_nothing() -> None:
    assert distance("BRICK", CODICES["BRICK"], "Take Go.") is None


def test_a_codex_may_have_a_rubric_of_its_own() -> None:
    shouting = replace(CODICES["BRICK"], extra={"rubric": [{"about": "shouts", "marks": "!", "least": 5}]})
    assert distance("BRICK", shouting, "Take Go! " * 12) == 0
    assert distance("BRICK", shouting, IN_CHARACTER["BRICK"]) == 1


def test_an_image_from_before_rubrics_has_the_shipped_one() -> None:
    bare = replace(CODICES["BRICK"], extra={})
    assert distance("BRICK", bare, SLIPPED) == distance("BRICK", CODICES["BRICK"], SLIPPED)
    assert distance("NEWCOMER", bare, SLIPPED) is None


@pytest.mark.parametrize(
    "given_rubric",
    [
        "none",
        7,
        [7],
        [{"about": "x", "least": 3, "most": 1}],
        [{"about": "x", "least": "many"}],
        [{"abuot": "x"}],
        [{}],
    ],
)
def test_a_rubric_that_cannot_be_read_measures_nothing(given_rubric: object) -> None:
    assert rubric(given_rubric) == ()
    codex = Codex("r", "m", "p", extra={"rubric": given_rubric})
    assert distance("BRICK", codex, SLIPPED) is None


@given(st.text(max_size=400))
def test_any_text_has_a_figure_between_0_and_1_or_none(text: str) -> None:
    for name in NAMES:
        figure = distance(name, CODICES[name], text)
        assert figure is None or 0 <= figure <= 1


def test_a_judgement_is_the_mean_over_what_was_judged() -> None:
    assert judged({1: "yes", 2: "partly", 3: "no"}, 3) == 0.5
    assert judged({1: "no", 9: "yes"}, 3) == 1.0
    assert judged({}, 3) is None


def test_a_judge_is_asked_about_pillars_and_voice() -> None:
    asked = to_be_judged(CODICES["BRICK"])
    assert asked[:3] == CODICES["BRICK"].pillars
    assert CODICES["BRICK"].voice in asked[3]
    assert to_be_judged(Codex("r", "m", "p")) == ()
