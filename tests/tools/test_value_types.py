"""The types of signatures: read from text, fitted, compared, generated."""

from __future__ import annotations

import json
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from a4ps.errors import ToolRefused
from a4ps.sandbox.wire import decode, encode
from a4ps.tools.arguments import as_json
from a4ps.tools.generated import generated_inputs
from a4ps.tools.specification import Parameter, Specification
from a4ps.tools.value_types import is_plain, parse_type, same
from tests.doubles.schema_instance import instance

SAID = ("date", "datetime", "time", "timedelta", "Decimal", "UUID", "list[bytes]", "dict[date, Decimal]")
KNOWN = [
    *("None", "bool", "int", "float", "str", "bytes", "Any", "list[int]", "set[str]", "dict[str, int]"),
    *SAID,
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
        ("datetime.date", "date"),
        ("decimal.Decimal | None", "Decimal | None"),
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
def test_every_generated_value_fits_is_plain_and_survives_the_sandbox(text: str) -> None:
    specification = Specification("f", (Parameter("x", parse_type(text)),), parse_type("None"), "Anything.")
    kind = parse_type(text)
    inputs = generated_inputs(specification)
    assert inputs == generated_inputs(specification)
    assert inputs
    for (value,) in inputs:
        assert kind.fits(value), value
        assert is_plain(value)
        assert same(kind.shaped(value), value)
        assert same(decode(encode(value)), value)
        assert (
            same(kind.shaped(as_json(value), texts=True), value) or "bytes" in text or "Any" in text or "float" in text
        )


@pytest.mark.parametrize(
    ("text", "said", "value"),
    [
        ("bytes", "ä", "ä".encode()),
        ("bytes", "hex:00ff", b"\x00\xff"),
        ("date", "2026-02-28", date(2026, 2, 28)),
        ("datetime", "2026-02-28T10:00:00+01:00", datetime.fromisoformat("2026-02-28T10:00:00+01:00")),
        ("time", "10:30", time(10, 30)),
        ("timedelta", 90, timedelta(seconds=90)),
        ("Decimal", "1.50", Decimal("1.50")),
        ("Decimal", 2, Decimal(2)),
        ("UUID", str(UUID(int=7)), UUID(int=7)),
        ("list[date | None]", ["2026-01-01", None], [date(2026, 1, 1), None]),
        ("str | bytes", "x", "x"),
        ("bytes | str", "x", "x"),
        ("dict[date, int]", {"2026-01-01": 1}, {date(2026, 1, 1): 1}),
    ],
)
def test_what_json_has_no_kind_for_is_said_as_text(text: str, said: object, value: object) -> None:
    kind = parse_type(text)
    assert kind.shaped(said, texts=True) == value
    assert kind.fits(kind.shaped(said, texts=True))
    if said != value:
        assert not kind.fits(kind.shaped(said))  # a function has to give the value itself


@pytest.mark.parametrize(
    ("text", "said"),
    [("bytes", "hex:0"), ("date", "yesterday"), ("Decimal", "sNaN"), ("Decimal", "x"), ("timedelta", True),
     ("timedelta", 1e300), ("timedelta", float("nan")), ("UUID", "7"), ("date", 7), ("bytes", [0])],
)  # fmt: skip
def test_a_text_that_says_no_such_value_is_left_as_it_is(text: str, said: object) -> None:
    assert not parse_type(text).fits(parse_type(text).shaped(said, texts=True))


@pytest.mark.parametrize("text", [text for text in KNOWN if text not in SAID and text != "Any"])
def test_what_the_schema_admits_becomes_a_value_of_the_type(text: str) -> None:
    """The way of a value through constrained output: JSON has no tuples, sets or numbers as keys."""
    kind = parse_type(text)
    schema = kind.json_schema()
    Draft202012Validator.check_schema(schema)
    assert kind.fits(kind.shaped(json.loads(json.dumps(instance(schema))), texts=True))


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
