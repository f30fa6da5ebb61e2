"""Arguments are written down so that a person can read them and that they read back as themselves."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import ToolRefused
from a4ps.tools.spelling import read_spelt, spelt

leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
plain = st.recursive(
    leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=10
)


@given(plain)
def test_every_plain_value_reads_back(value: Any) -> None:
    again = read_spelt(spelt(value))
    assert again == value
    assert type(again) is type(value)


@pytest.mark.parametrize("value", ["a text", b"\x00\xff", [1, (2.5, None)], {"a": {1}}])
def test_what_python_can_read_is_spelt_as_python(value: Any) -> None:
    assert spelt(value) == repr(value)


@pytest.mark.parametrize(
    "value", [float("inf"), [float("-inf")], [10**5_000], datetime(2026, 11, 30, tzinfo=UTC), set()]
)
def test_what_it_cannot_is_written_all_the_same(value: Any) -> None:
    assert read_spelt(spelt(value)) == value


@pytest.mark.parametrize("text", ["import os", "__import__('os')", "json:{", 'json:{"$record": 1}', "f(1)", ""])
def test_what_is_no_value_is_refused_and_runs_nothing(text: str) -> None:
    with pytest.raises(ToolRefused):
        read_spelt(text)


def test_what_is_no_value_cannot_be_spelt() -> None:
    with pytest.raises(ToolRefused):
        spelt(object())
