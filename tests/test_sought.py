"""What is sought is found in any case and spelling, and barred so that none of it is left."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.sought import BAR, Sought

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), min_size=3, max_size=12)


@pytest.mark.parametrize(
    "data",
    [
        b"my PIN is Ab'c\\d\xc3\xa9",
        json.dumps({"args": repr(("Ab'c\\dé",))}).encode(),
        json.dumps(["Ab'c\\dé"]).encode(),
        json.dumps(["AB'C\\DÉ"], ensure_ascii=False).encode(),
    ],
    ids=["plain", "Python in JSON", "ASCII JSON", "JSON"],
)
def test_found_however_it_was_written_down(data: bytes) -> None:
    assert Sought(texts=("ab'c\\dé",)).in_bytes(data)
    assert not Sought(texts=("ab'c\\dx",)).in_bytes(data)


@given(before=WORDS, secret=WORDS, after=WORDS)
def test_nothing_is_left_under_a_bar(before: str, secret: str, after: str) -> None:
    """Except where the words are in the bar itself, which the forgetter refuses."""
    sought = Sought(texts=(secret,))
    left = sought.barred(f"{before}{secret}{after}")
    assert BAR in left
    assert not sought.in_text(left.replace(BAR, "")) or sought.in_text(BAR) or left == BAR


@given(st.recursive(WORDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3)))
def test_what_does_not_hold_it_stays_as_it_is(value: object) -> None:
    sought = Sought(texts=("a secret that is longer than any of these words",))
    assert sought.barred_value(value) == value


def test_values_are_barred_at_every_depth_and_keep_their_shape() -> None:
    shared = ["my secret"]
    value: dict[str, Any] = {
        "a": [shared, shared, ("secret", 1)],
        "secret": {"SECRET", "other"},
        "n": 2,
        "b": b"a secret",
    }
    barred = Sought(texts=("secret",)).barred_value(value)
    assert barred == {"a": [[f"my {BAR}"], [f"my {BAR}"], (BAR, 1)], BAR: {BAR, "other"}, "n": 2, "b": BAR.encode()}
    assert barred["a"][0] is barred["a"][1]
    assert value["a"][0] == ["my secret"]


def test_a_short_text_counts_where_an_entry_is_nothing_else() -> None:
    sought = Sought(whole=("hello",))
    assert sought.is_entry(" hello ")
    assert not sought.is_entry("hello world")


def test_what_is_sought_survives_being_written_down() -> None:
    sought = Sought(("ä\ud800",), ("b",), (("turn", "7"),), True)
    assert Sought.from_json(sought.to_json()) == sought
