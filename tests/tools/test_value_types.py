"""The types of signatures: read from text, fitted, compared, generated."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from a4ps.errors import ToolRefused
from a4ps.tools.value_types import is_plain, parse_type, same
from tests.doubles.schema_instance import instance

KNOWN = [
    *("None", "bool", "int", "float", "str", "bytes", "Any", "list[int]", "set[str]", "dict[str, int]"),
    *("tuple[int, str]", "tuple[int, ...]", "int | None", "list[dict[str, float]]", "list[tuple[str, int]] | None"),
]

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@pytest.mark.parametrize("text", KNOWN)
def test_a_type_is_read_and_written_alike(text: str) -> None:
    assert str(parse_type(text)) == text
    assert parse_type(str(parse_type(text))) == parse_type(text)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("Optional[int]", "int | None"),
        ("Union[int, str, int]", "int | str"),
        ("List[Dict[str, int]]", "list[dict[str, int]]"),
        ("list", "list[Any]"),
        ("dict", "dict[Any, Any]"),
        ("tuple", "tuple[Any, ...]"),
        ("'int'", "int"),
    ],
)
def test_older_spellings_mean_the_same(text: str, meaning: str) -> None:
    assert parse_type(text) == parse_type(meaning)


@pytest.mark.parametrize(
    "text",
    ["", "object", "Path", "list[int, str]", "dict[str]", "int or str", "__import__('os')", "list[" * 9 + "int" + "]" * 9,
     "a.b", "int[str]", "Callable[[int], int]", "Optional[int, str]", "(" * 2000 + "int" + ")" * 2000, "'a b'", "list['(']"],
)  # fmt: skip
def test_anything_else_is_refused_and_never_evaluated(text: str) -> None:
    with pytest.raises(ToolRefused):
        parse_type(text)


@pytest.mark.parametrize("text", KNOWN)
def test_every_generated_value_fits_and_is_plain(text: str) -> None:
    kind = parse_type(text)
    for value in (*kind.edges(), *(kind.example(random.Random(seed)) for seed in range(200))):
        assert kind.fits(value), value
        assert is_plain(value)
        assert same(kind.shaped(value), value)


@pytest.mark.parametrize("text", [text for text in KNOWN if "bytes" not in text and text != "Any"])
def test_what_the_schema_admits_becomes_a_value_of_the_type(text: str) -> None:
    """The way of a value through constrained output: JSON has no tuples, sets or numbers as keys."""
    kind = parse_type(text)
    schema = kind.json_schema()
    Draft202012Validator.check_schema(schema)
    assert kind.fits(kind.shaped(json.loads(json.dumps(instance(schema)))))


@pytest.mark.parametrize(
    ("text", "value"),
    [("int", True), ("int", 1.0), ("bool", 1), ("float", "1"), ("str", b""), ("list[int]", (1,)), ("list[int]", [1, "2"]),
     ("dict[str, int]", {1: 1}), ("tuple[int, str]", (1,)), ("None", 0), ("set[int]", [1]), ("int | None", "x")],
)  # fmt: skip
def test_a_near_miss_does_not_fit(text: str, value: Any) -> None:
    assert not parse_type(text).fits(value)


@given(plain_values)
def test_a_value_is_the_same_as_itself(value: Any) -> None:
    assert same(value, value)
    assert is_plain(value)


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [(1, True, False), (0, False, False), (1, 1.0, True), (0.1 + 0.2, 0.3, True), (1e-12, 0.0, True), (1.0, 1.001, False),
     (float("nan"), float("nan"), True), ("a", b"a", False), ([1], (1,), True), ([1], [1, 2], False), (None, 0, False),
     ({"a": 1}, {"a": True}, False), ({1, 2}, {2, 1}, True), (10**400, 10**400, True), (10**400, 1.0, False),
     ("1", 1, False)],
)  # fmt: skip
def test_results_are_compared_strictly_but_for_rounding(one: Any, other: Any, alike: bool) -> None:
    assert same(one, other) is alike
    assert same(other, one) is alike


def test_a_thing_of_code_is_not_plain() -> None:
    class Text(str):
        pass

    assert not is_plain(Text("x"))
    assert not is_plain([print])
    deep: list[Any] = []
    for _ in range(100):
        deep = [deep]
    assert not is_plain(deep)
