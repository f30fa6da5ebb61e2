"""Short texts of values: bounded, telling no secret, and without running anybody's code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.image.brief import brief, brief_locals, kind_of
from a4ps.image.readonly import Path, readonly

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=30)
    | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


class Loud:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"asked for {name}")

    def __repr__(self) -> str:
        raise AssertionError("asked for its repr")


@dataclass(frozen=True)
class Tea:
    kind: str
    grams: float


@given(VALUES, st.integers(1, 400))
def test_a_text_is_as_python_writes_it_up_to_its_bound(value: object, limit: int) -> None:
    whole, short = repr(value), brief(value, limit)
    assert len(short) <= limit + 1
    if len(whole) <= limit and "…" not in short:
        assert short == whole


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Loud, "Loud>"),
        (lambda: [Loud()], "Loud>]"),
        (lambda: {"a": (Loud(),)}, "Loud>,)}"),
        (lambda: Tea(Loud(), 1.0), "Loud>, grams=1.0)"),  # type: ignore[arg-type]
        (lambda: ValueError(Loud()), "<ValueError>"),
    ],
)
def test_no_code_of_an_object_is_run(make: Callable[[], object], said: str) -> None:
    assert brief(make()).endswith(said)


def test_values_that_have_parts_show_them() -> None:
    assert brief(Tea("green", 2.5)) == "Tea(kind='green', grams=2.5)"
    assert brief((1,)) == "(1,)"
    assert (
        brief(datetime(2026, 1, 2, tzinfo=UTC)) == "datetime.datetime(2026, 1, 2, 0, 0, tzinfo=datetime.timezone.utc)"
    )
    assert brief(readonly({"a": [1, {2}]}, Path("x"))) == "{'a': [1, {2}]}"
    assert brief(len) == "<builtin_function_or_method len>"
    assert brief(10**6_000).startswith("<int that cannot be written out")


def test_what_leads_back_to_itself_has_an_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert brief(endless) == "[" * 7 + "…" + "]" * 7


def test_secrets_of_a_frame_are_not_told() -> None:
    found = {"api_key": "abc", "Password": "x", "plain": "0123456789abcdef" * 4, "n": 1, "__builtins__": {}}
    assert brief_locals(found) == {"api_key": "[secret]", "Password": "[secret]", "plain": "'[secret]'", "n": "1"}
    assert len(brief_locals({f"n{at}": at for at in range(100)})) == 30


def test_kinds_are_those_of_what_a_view_shows() -> None:
    values: tuple[object, ...] = (None, "x", {}, [], {1})
    assert [kind_of(readonly(each, Path("x"))) for each in values] == ["None", "str", "dict", "list", "set"]
