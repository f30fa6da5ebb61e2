"""Routes: where a turn goes next, as tables."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.society.routes import Bounds, Onward, Pace, after_antithesis, after_plan, after_thesis, after_word, is_trifle
from a4ps.society.state import PlanKind, TurnState

BOUNDS = Bounds(rounds_max=2, converged_below=0.5)
EARLY = Pace(budget_s=120, used_s=10, call_s=5)

TRIFLES = """hi
Hello!
hey there
Hi all
Good morning
good morning, everyone!
Good evening, ALFRED.
good night
Thanks
thanks!
Thanks a lot
thank you
Thank you very much!
Many thanks to you all
thank you all, good night
How are you?
hello, how are you today?
how’s it going?
What's up?
ok
good
Okay, thanks
Great, thank you so much
bye
Goodbye everyone, see you later!
well done, BRICK and ROBIN
Hello again, friends
yo
cheers""".splitlines()

QUESTIONS = """good morning, which database should I use?
is it going to rain
how are things structured in Rust?
how many are there
how much is it
how good is BRICK
how to thank everyone
hello, how much is it?
hi, I need help
Hello world in Go
thanks, and what about Rust?
thank you, but why?
Is it okay?
What's good?
What is up with my build?
ok go on
great, do it
yes
no
why
again
BRICK
all there
how
how so
How are you different from a chatbot?
How is it going to end?
thanks for nothing
Hi-fi or stereo?
good evening dress
cool down
see how it is going
1
?
...
hello hello hello hello hello hello hello hello hello""".splitlines()


class TestTrifles:
    @pytest.mark.parametrize("message", TRIFLES)
    def test_a_greeting_or_thanks_is_a_trifle(self, message: str) -> None:
        assert is_trifle(message)

    @pytest.mark.parametrize("message", [*QUESTIONS, "", "  ", "👋", "Привет"])
    def test_anything_else_may_be_a_question(self, message: str) -> None:
        """Only what is a trifle beyond doubt costs the user the society; ALFRED's plan finds the rest."""
        assert not is_trifle(message)

    @given(st.sampled_from(TRIFLES), st.sampled_from(QUESTIONS))
    def test_a_greeting_before_a_question_hides_no_question(self, trifle: str, question: str) -> None:
        assert not is_trifle(f"{trifle}. Which book, {question}")
        assert not is_trifle(f"{question} Which book? {trifle}")

    @given(st.sampled_from(TRIFLES), st.sampled_from(["", "!", " ?", "...", "\n", " 🙂"]))
    def test_case_and_marks_do_not_matter(self, trifle: str, mark: str) -> None:
        assert is_trifle(trifle.upper() + mark)
        assert is_trifle(f" {trifle.lower()}{mark}")

    @given(st.text())
    def test_any_message_is_judged(self, message: str) -> None:
        assert is_trifle(message) in (True, False)


@pytest.mark.parametrize(("kind", "step"), [("question", "thesis"), ("trifle", "__end__"), ("memory", "__end__")])
def test_only_a_question_goes_to_the_society(kind: PlanKind, step: str) -> None:
    assert after_plan(kind) == step


@pytest.mark.parametrize(
    ("used_s", "calls", "fits"), [(0, 0, True), (90, 6, True), (90, 7, False), (120, 0, True), (120.1, 0, False)]
)
def test_a_pace_affords_what_fits_into_the_rest(used_s: float, calls: int, fits: bool) -> None:
    assert Pace(budget_s=120, used_s=used_s, call_s=5).affords(calls) is fits


@pytest.mark.parametrize(
    ("rounds", "used_s", "step", "dropped"),
    [
        (0, 10, "antithesis", ()),
        (0, 120, "antithesis", ()),
        (0, 121, "synthesis", ("antithesis", "research")),
        (1, 10, "antithesis", ()),
        (1, 500, "antithesis", ()),
    ],
)
def test_after_the_thesis(rounds: int, used_s: float, step: str, dropped: tuple[str, ...]) -> None:
    """ROBIN is heard unless the time is over already; a round that was begun is finished."""
    assert after_thesis({"rounds": rounds}, Pace(120, used_s, 5)) == (step, dropped)


#: dissonance, rounds held, seconds used at 10 s a call of 120 → step, what is dropped, why the argument ended
AFTER_ANTITHESIS = [
    (0.0, 1, 20, "research", (), "converged"),
    (None, 1, 20, "research", (), "converged"),
    (0.49, 1, 20, "research", (), "converged"),
    (0.5, 1, 20, "weigh", (), ""),
    (1.0, 1, 20, "weigh", (), ""),
    (1.0, 2, 20, "research", (), "bound"),
    (1.0, 3, 20, "research", (), "bound"),
    (1.0, 1, 70, "weigh", (), ""),
    (1.0, 1, 71, "research", ("a further round",), "time"),
    (1.0, 1, 100, "research", ("a further round",), "time"),
    (1.0, 1, 101, "synthesis", ("a further round", "research"), "time"),
    (0.2, 1, 100, "research", (), "converged"),
    (0.2, 1, 101, "synthesis", ("research",), "converged"),
    (1.0, 2, 101, "synthesis", ("research",), "bound"),
    (0.2, 1, 500, "synthesis", ("research",), "converged"),
]


@pytest.mark.parametrize(("dissonance", "rounds", "used_s", "step", "dropped", "ended"), AFTER_ANTITHESIS)
def test_after_the_antithesis(
    dissonance: float | None, rounds: int, used_s: float, step: str, dropped: tuple[str, ...], ended: Any
) -> None:
    """Dissent asks for ALFRED's word while a round and its time are left; rounds are dropped first, then research."""
    state: TurnState = {"dissonance": dissonance, "rounds": rounds}
    assert after_antithesis(state, Pace(120, used_s, 10), BOUNDS) == Onward(step, dropped, ended)


@pytest.mark.parametrize(
    ("goes_on", "used_s", "step", "dropped", "ended"),
    [
        (True, 20, "thesis", (), ""),
        (True, 90, "thesis", (), ""),
        (True, 91, "research", ("a further round",), "time"),
        (True, 101, "synthesis", ("a further round", "research"), "time"),
        (False, 20, "research", (), "word"),
        (False, 101, "synthesis", ("research",), "word"),
    ],
)
def test_after_alfreds_word(goes_on: bool, used_s: float, step: str, dropped: tuple[str, ...], ended: Any) -> None:
    """His word ends the argument; where it took the time of the round it asks for, the time does."""
    assert after_word(goes_on, Pace(120, used_s, 10)) == Onward(step, dropped, ended)


@given(st.floats(0, 1), st.integers(1, 9), st.floats(0, 1000), st.floats(0, 100), st.integers(1, 8), st.floats(0, 1))
def test_every_turn_comes_to_its_synthesis(
    dissonance: float, rounds: int, used_s: float, call_s: float, rounds_max: int, converged_below: float
) -> None:
    """No round beyond the bound, none past the time, and whatever is left out is named."""
    pace = Pace(120, used_s, call_s)
    state: TurnState = {"dissonance": dissonance, "rounds": rounds}
    onward = after_antithesis(state, pace, Bounds(rounds_max, converged_below))
    assert (onward.step == "weigh") is (onward.ended == "")
    if onward.step == "weigh":
        assert rounds < rounds_max
        assert pace.affords(5)
        assert onward.dropped == ()
    assert ("research" in onward.dropped) is (onward.step == "synthesis")
    assert onward.step == "synthesis" or pace.affords(2)


def test_convergence_at_zero_holds_every_round() -> None:
    assert after_antithesis({"dissonance": 0.0, "rounds": 1}, EARLY, Bounds(2, 0.0)).step == "weigh"
