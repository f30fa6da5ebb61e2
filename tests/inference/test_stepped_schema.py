"""A schema's fractions between bounds become a choice that a grammar can hold; all else stays."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from a4ps.inference.stepped_schema import stepped


@pytest.mark.parametrize(
    ("low", "high", "some"),
    [(0, 1, 0.37), (0.0, 1.0, 0.5), (-1, 1, -0.02), (0, 100, 42), (0.001, 0.002, 0.00137), (3, 3, 3), (-5e6, 5e6, 0)],
)
def test_a_bounded_fraction_is_a_choice_of_steps_within_its_bounds(low: float, high: float, some: float) -> None:
    schema = {"type": "array", "items": {"type": "number", "minimum": low, "maximum": high}}
    choice = stepped(schema)["items"]["enum"]
    assert (choice[0], choice[-1]) == (low, high)
    assert some in choice
    assert len(choice) == len(set(choice)) <= 101
    jsonschema.validate(choice, schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "minimum": 0},
        {"type": "number"},
        {"type": "integer", "minimum": 0, "maximum": 5},
        {"type": "number", "minimum": 2, "maximum": 1},
        {"enum": [{"type": "number", "minimum": 0, "maximum": 1}]},
        {"const": {"type": "number", "minimum": 0, "maximum": 1}},
        {"type": "number", "minimum": False, "maximum": True},
        {"minimum": 0, "maximum": 1},
        {"properties": {"minimum": {"type": "string"}, "maximum": {"type": "string"}}},
        True,
    ],
)
def test_other_schemas_stay_as_they_are(schema: Any) -> None:
    assert stepped(schema) == schema
