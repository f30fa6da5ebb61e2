"""Dissonance: exact where stances were given, and in the right order where only the text is there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.society.dissonance import POINTS_MAX, Stance, StanceName, estimated, measured, points_of

STANCES: tuple[StanceName, ...] = ("agree", "partly", "disagree")


def stances(*taken: tuple[int, StanceName, float]) -> list[Stance]:
    return [Stance(*one) for one in taken]


class TestMeasured:
    @pytest.mark.parametrize(
        ("taken", "points", "figure"),
        [
            ([(1, "agree", 1.0), (2, "agree", 0.2)], 2, 0.0),
            ([(1, "disagree", 1.0), (2, "disagree", 0.2)], 2, 1.0),
            ([(1, "partly", 0.7)], 1, 0.5),
            ([(1, "agree", 0.5), (2, "disagree", 0.5)], 2, 0.5),
            ([(1, "agree", 0.25), (2, "disagree", 0.75)], 2, 0.75),
            ([(1, "agree", 1.0), (2, "partly", 0.5), (3, "disagree", 0.5)], 3, 0.38),
            ([(1, "disagree", 0.0), (2, "agree", 1.0)], 2, 0.0),
            ([(1, "disagree", 0.0), (2, "agree", 0.0)], 2, 0.5),
        ],
    )
    def test_the_weighted_mean_of_the_stances(
        self, taken: list[tuple[int, StanceName, float]], points: int, figure: float
    ) -> None:
        assert measured(stances(*taken), points) == figure

    @pytest.mark.parametrize("weight", [7.0, 1e9, float("inf")])
    def test_a_weight_over_one_is_one(self, weight: float) -> None:
        assert measured(stances((1, "disagree", weight), (2, "agree", 1.0)), 2) == 0.5

    @pytest.mark.parametrize("weight", [-1.0, float("-inf"), float("nan")])
    def test_a_weight_under_zero_is_zero(self, weight: float) -> None:
        assert measured(stances((1, "disagree", weight), (2, "agree", 1.0)), 2) == 0.0

    def test_the_first_stance_on_a_point_counts(self) -> None:
        assert measured(stances((1, "agree", 1.0), (1, "disagree", 1.0)), 1) == 0.0

    def test_points_that_do_not_exist_do_not_count(self) -> None:
        taken = stances((0, "disagree", 1.0), (1, "agree", 1.0), (3, "disagree", 1.0), (-1, "disagree", 1.0))
        assert measured(taken, 2) == 0.0

    def test_points_without_a_stance_do_not_count(self) -> None:
        assert measured(stances((2, "disagree", 0.1)), 4) == 1.0

    @pytest.mark.parametrize(("taken", "points"), [([], 3), ([(4, "agree", 1.0)], 3), ([(1, "agree", 1.0)], 0)])
    def test_nothing_usable_is_no_figure(self, taken: list[tuple[int, StanceName, float]], points: int) -> None:
        """None, not 0: silence is not agreement."""
        assert measured(stances(*taken), points) is None

    @given(
        st.lists(st.builds(Stance, st.integers(-2, 8), st.sampled_from(STANCES), st.floats())),
        st.integers(0, POINTS_MAX),
    )
    def test_it_lies_between_the_stances_taken(self, taken: list[Stance], points: int) -> None:
        figure = measured(taken, points)
        values = [STANCES.index(one.stance) / 2 for one in taken if 1 <= one.point <= points]
        assert (figure is None) is (not values)
        assert figure is None or min(values) <= figure <= max(values)


THESIS = "Take Go.\n1. It compiles to one file.\n2. It is learnt in a weekend.\nWrong if speed decides."

#: One row a subject: a clear agreement, a partial one, a clear disagreement. Each must rank below the next.
RANKED = [
    ("I agree with both points.", "I agree with the first, but not the second.", "I disagree with both points."),
    ("Yes, he is right.", "He is right, but the second point fails.", "No, he is wrong."),
    ("You are not wrong here.", "You are partly wrong here.", "You are wrong here."),
    ("I do not disagree.", "I partly disagree.", "I do not agree."),
    ("That is true and well said.", "That is true to a degree.", "That is not true at all."),
    ("I can't disagree with any of it.", "Up to a point I can follow it.", "I can't agree with any of it."),
    ("I couldn’t agree more.", "I agree, though the cost is left out.", "I don’t agree. It ignores the cost."),
    ("There is nothing wrong with it.", "There is something in it, however thin.", "There is nothing right about it."),
    ("I have no objection.", "I have one small reservation, yet it stands.", "My objection is plain: it fails."),
    ("No doubt that is correct.", "It is correct in part.", "I doubt that this is correct."),
    ("I don't think that is wrong.", "I think that is half right.", "I don't think that is right."),
    ("BRICK never misses the point.", "BRICK is right; still, he forgets the evening.", "BRICK misses the point."),
    (
        "Point 1: agree. Point 2: agree. His reasons are sound.",
        "Point 1: agree. Point 2: partly agree, it takes longer than a weekend.",
        "Point 1: disagree. Point 2: disagree, it takes a month. The case collapses.",
    ),
    (
        "His thesis is strong. I share your hope, Architect, and I support it.",
        "His first point is strong. The second breaks on a tired evening.",
        "His first point breaks. The second ignores who has to live with it.",
    ),
    (
        "Not only is it true, it is well said.",
        "It is true, but he leaves out the person who asked.",
        "It isn't true, and it is harmful to the person who asked.",
    ),
    ("Indeed, the same holds for me.", "Perhaps. I could live with either.", "Nonsense, the contrary holds."),
]


class TestEstimated:
    @pytest.mark.parametrize(("agreement", "partial", "disagreement"), RANKED, ids=range(len(RANKED)))
    def test_clear_cases_rank_right(self, agreement: str, partial: str, disagreement: str) -> None:
        """For one thesis, an agreeing antithesis is nearer to it than a halting one, and that than a refusing one."""
        low, middle, high = estimated(agreement), estimated(partial), estimated(disagreement)
        assert low < middle < high, (low, middle, high)

    def test_the_rows_rank_right_across_each_other_too(self) -> None:
        """Every clear agreement is under every clear disagreement, with room between them for a threshold of 0.5."""
        assert max(estimated(row[0]) for row in RANKED) < 0.5 < min(estimated(row[2]) for row in RANKED)

    @pytest.mark.parametrize("text", ["", "\n", "It depends on the weather.", "你好", "?!."])
    def test_without_a_word_of_either_it_is_the_middle(self, text: str) -> None:
        assert estimated(text) == 0.5

    @given(st.text())
    def test_it_is_in_its_range(self, text: str) -> None:
        assert 0.0 <= estimated(text) <= 1.0

    @given(st.sampled_from([row[column] for row in RANKED for column in range(3)]), st.integers(1, 4))
    def test_saying_it_again_or_louder_changes_nothing(self, text: str, times: int) -> None:
        assert estimated("\n".join([text] * times)) == estimated(text)
        assert estimated(text.upper()) == estimated(text)


class TestPoints:
    @pytest.mark.parametrize(
        "lines",
        [
            ("1. It compiles to one file.", "2. It is small."),
            ("1) It compiles to one file.", "2) It is small."),
            ("(1) It compiles to one file.", "(2) It is small."),
            ("1: It compiles to one file.", "2: It is small."),
            ("**1.** It compiles to one file.", "**2.** It is small."),
            ("**1. It compiles to one file.**", "**2. It is small.**"),
            ("  1.  It compiles to one file.  ", "\t2.\tIt is small."),
            ("1.It compiles to one file.", "2.It is small."),
            ("### 1. It compiles to one file.", "### 2. It is small."),
            ("- 1. It compiles to one file.", "- 2. It is small."),
            ("Point 1: It compiles to one file.", "Point 2: It is small."),
            ("**Point 1:** It compiles to one file.", "**Point 2:** It is small."),
            ("- It compiles to one file.", "- It is small."),
            ("* It compiles to one file.", "* It is small."),
            ("• It compiles to one file.", "• It is small."),
            ("– **It compiles to one file.**", "– It is small."),
        ],
        ids=lambda lines: lines[0],
    )
    @pytest.mark.parametrize("end", ["\n", "\n\n", "\r\n"], ids=["tight", "loose", "dos"])
    def test_any_list_that_models_write_gives_its_points(self, lines: tuple[str, ...], end: str) -> None:
        """Points come without their marks; the position before and the caveat after are none."""
        thesis = end.join(("Take Go.", *lines, "I am wrong if speed decides."))
        assert points_of(thesis) == ("It compiles to one file.", "It is small.")

    def test_a_bold_title_stays_a_part_of_its_point(self) -> None:
        assert points_of("1. **One file**: it compiles to one.\n2. **Small**: it is.") == (
            "One file: it compiles to one.",
            "Small: it is.",
        )

    def test_a_figure_at_the_start_of_a_line_is_no_number_of_a_point(self) -> None:
        thesis = "Buy the small one.\n3.5 GB are enough for it.\n10:30 is the latest hour to decide.\n"
        assert points_of(thesis) == (
            "Buy the small one.",
            "3.5 GB are enough for it.",
            "10:30 is the latest hour to decide.",
        )

    def test_without_a_list_the_first_sentences_are_the_points(self) -> None:
        thesis = "Take Go. It compiles to one file of 3.5 MB, no more! Is it small? It is very small. And it is old."
        assert points_of(thesis) == (
            "It compiles to one file of 3.5 MB, no more!",
            "Is it small?",
            "It is very small.",
            "And it is old.",
        )

    def test_there_are_at_most_six(self) -> None:
        assert len(points_of("\n".join(f"{number}. point {number}" for number in range(1, 40)))) == POINTS_MAX

    @pytest.mark.parametrize("thesis", ["", "Yes.", "\n\n", "1.", "- \n* \n", "**"])
    def test_where_there_is_none_there_is_none(self, thesis: str) -> None:
        assert points_of(thesis) == ()

    @given(
        st.one_of(st.text(), st.lists(st.sampled_from(["1.", "**", "-", "\n", "a b c", "2)", " ", "#"])).map("".join))
    )
    def test_points_are_single_lines_with_something_in_them(self, thesis: str) -> None:
        points = points_of(thesis)
        assert len(points) <= POINTS_MAX
        assert all(point.strip() and "\n" not in point for point in points)


def test_stances_on_the_points_of_a_thesis_give_its_dissonance() -> None:
    """The two halves fit: what `points_of` counts is what `measured` accepts."""
    count = len(points_of(THESIS))
    assert count == 2
    assert measured(stances((1, "agree", 0.5), (2, "partly", 0.5)), count) == 0.25
