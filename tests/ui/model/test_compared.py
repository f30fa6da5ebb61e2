"""Two texts side by side: each line of both is there, in its order, and what is alike stands in one row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.compared import side_by_side

TEXTS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=12).map("\n".join)


@given(TEXTS, TEXTS)
def test_every_line_is_there_in_its_order(left: str, right: str) -> None:
    rows = side_by_side(left, right, ("l", "r")).rows
    assert [one for one, _ in rows if one is not None] == left.splitlines()
    assert [other for _, other in rows if other is not None] == right.splitlines()
    assert all(row != (None, None) for row in rows)


@given(TEXTS)
def test_the_same_text_has_the_same_rows(text: str) -> None:
    assert all(one == other for one, other in side_by_side(text, text, ("l", "r")).rows)


def test_what_is_alike_stands_in_one_row() -> None:
    rows = side_by_side("one\ntwo\nthree", "zero\none\n2\nthree", ("before", "after")).rows
    assert rows == ((None, "zero"), ("one", "one"), ("two", "2"), ("three", "three"))
    assert side_by_side(None, "x", ("before", "after")).rows == ((None, "x"),)


def test_long_texts_are_compared_where_they_differ() -> None:
    lines = [str(at) for at in range(5_000)]
    changed = [*lines[:2_000], "new", *lines[2_000:]]
    rows = side_by_side("\n".join(lines), "\n".join(changed), ("before", "after")).rows
    assert [row for row in rows if row[0] != row[1]] == [(None, "new")]
