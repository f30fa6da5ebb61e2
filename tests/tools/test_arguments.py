"""A tool's arguments as they are typed, and its values as they are shown and as JSON."""

from __future__ import annotations

import json

import pytest

from a4ps.errors import UsageError
from a4ps.tools.arguments import as_json, read_arguments, read_value, shown, spelt
from a4ps.tools.specification import Specification, SpecificationShape


def spec(**types: str) -> Specification:
    parameters = [{"name": name, "type": kind} for name, kind in types.items()]
    return Specification.of(
        SpecificationShape.model_validate({"name": "t", "parameters": parameters, "returns": "int", "contract": "x"})
    )


def test_arguments_are_read_by_the_types_of_the_parameters() -> None:
    files: dict[str, bytes | str] = {"track.gpx": b"<gpx/>", "gone": "cannot be read: No such file", "\xff": b"\xff"}
    assert read_arguments(["12", "12"], spec(a="str", b="int"), {}) == (["12", 12], {})
    assert read_arguments(["-1.5", "b=[1, 2]"], spec(a="float", b="list[int]"), {}) == ([-1.5], {"b": [1, 2]})
    assert read_arguments(["@track.gpx", "b=@track.gpx"], spec(a="str", b="bytes"), files) == (
        ["<gpx/>"],
        {"b": b"<gpx/>"},
    )
    assert read_arguments(["@@x", "true"], spec(a="str", b="bool"), {}) == (["@x", True], {})
    assert read_arguments(["plain words", "x=y"], spec(a="Any", b="str"), {}) == (["plain words", "x=y"], {})
    for name in ("@", "@gone", "@\xff"):
        with pytest.raises(UsageError):
            read_arguments([name], spec(a="str"), files)
    assert [read_value(text, files) for text in ("x", "@@x", "@track.gpx")] == ["x", "@x", b"<gpx/>"]


def test_every_plain_value_has_a_json_form() -> None:
    value = {(1, 2): {3, 1}, "b": b"\xff", "n": float("nan"), "t": (1, [2.5, None])}
    assert json.loads(json.dumps(as_json(value))) == {
        "(1, 2)": [1, 3], "b": "/w==", "n": "nan", "t": [1, [2.5, None]],
    }  # fmt: skip


def test_a_result_is_shown_as_python_spells_it_and_a_text_as_it_is() -> None:
    assert [shown(value) for value in ("a b", (1, b"x"), {2})] == ["a b", "(1, b'x')", "{2}"]


def test_a_number_too_long_for_python_to_write_is_written() -> None:
    for value in (16**5000, [16**5000], {16**5000: -(16**5000)}):
        assert "0x1000" in spelt(value)
        assert "0x1000" in json.dumps(as_json(value))
