"""Specifications and static checks: what is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from a4ps.errors import ToolRefused, UsageError
from a4ps.tools.cases import Gives, Raises, held_out_places, parse_example
from a4ps.tools.specification import Specification, SpecificationShape
from a4ps.tools.static_checks import SOURCE_MAX, faults
from tests.tools.workshop import SLUG, SLUG_SPEC

FIELDS: dict[str, Any] = {
    "name": "total",
    "parameters": [{"name": "prices", "type": "dict[str, float]"}, {"name": "count", "type": "int"}],
    "returns": "float",
    "contract": "The sum. Zero for none.",
    "errors": [{"exception": "ValueError", "when": "count is negative"}],
}


def spec(**changes: Any) -> Specification:
    return Specification.of(SpecificationShape.model_validate({**FIELDS, **changes}))


def test_a_specification_is_a_signature_and_survives_storage() -> None:
    total = spec()
    assert total.signature == "total(prices: dict[str, float], count: int) -> float"
    assert total.summary == "The sum."
    assert Specification.from_plain(total.as_plain()) == total


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Total"},
        {"name": "class"},
        {"name": "print"},
        {"name": "x" * 49},
        {"name": "a.b"},
        {"name": ""},
        {"contract": "  "},
        {"returns": "Path"},
        {"parameters": [{"name": "a", "type": "int"}] * 2},
        {"parameters": [{"name": "self.x", "type": "int"}]},
        {"errors": [{"exception": "SystemExit", "when": "x"}]},
        {"errors": [{"exception": "NoSuchError", "when": "x"}]},
    ],
)
def test_what_cannot_be_a_tool_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises((ToolRefused, ValueError)):
        spec(**changes)


def test_arguments_are_held_to_the_signature() -> None:
    total = spec()
    assert total.bound(({"a": 1},), {"count": 2}) == {"prices": {"a": 1}, "count": 2}
    for args, kwargs in (
        ((), {}),
        (({},), {}),
        (({}, 1, 2), {}),
        (({}, "1"), {}),
        (({}, True), {}),
        (({"a": "b"}, 1), {}),
        (({}, 1), {"count": 1}),
        (({},), {"cuont": 1}),
    ):
        with pytest.raises(ToolRefused, match="total"):
            total.bound(args, kwargs)


SLUGIFY = Specification.from_plain(SLUG_SPEC)


def test_a_plain_function_with_helpers_and_constants_passes() -> None:
    text = '"""Doc."""\nimport re\nfrom collections import Counter\nLIMIT = 3\nNAMES: list = ["a"]\n\n'
    assert faults(text + "def helper(x, n=3):\n    return x\n\n" + SLUG, SLUGIFY) == []


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def other(text): return 1", "defines slugify 0 times"),
        (SLUG + SLUG.partition("\n")[2], "defines slugify 2 times"),
        ("def slugify(text: str\n", "not Python"),
        ("async def slugify(text): return 1", "coroutine"),
        ("def slugify(text):\n    yield text", "generator"),
        ("def slugify(txt): return txt", "it must take (text)"),
        ("def slugify(*text): return text", "it must take (text)"),
        ("def slugify(text, *, more=1): return text", "it must take (text)"),
        ("import numpy\n" + SLUG, "no package numpy"),
        ("def slugify(text):\n    import requests\n    return requests.get(text).text", "no package requests"),
        ("import subprocess\n" + SLUG, "subprocess is forbidden"),
        ("import ctypes.util\n" + SLUG, "ctypes is forbidden"),
        ("from os import *\n" + SLUG, "instead of *"),
        ("from . import x\n" + SLUG, "no package of its own"),
        ("print('hello')\n" + SLUG, "Expr at the top level"),
        ("PATTERN = open('/etc/passwd').read()\n" + SLUG, "Assign at the top level"),
        ("class A:\n    x = 1\n" + SLUG, "ClassDef at the top level"),
        ("import functools\n@functools.cache\n" + SLUG.partition("\n\n")[2], "decorator"),
        ("def slugify(text=print(1)): return text", "default value"),
        ("def slugify(text): return eval(text)", "eval is forbidden"),
        ("def slugify(text): return __import__(text)", "__import__ is forbidden"),
        ("def slugify(text): return '\u202e'", "'\\u202e'"),
        ("def slugify(text): return '\x1b'", "'\\x1b'"),
        ("def slugify(text):\n    return text # fine\rimport os", "'\\r'"),
        ("def slugify(text): return '\u3164'", "does not see"),
        ("import \u043es\n" + SLUG, "no package \u043es"),
        ("import \u043es\n" + SLUG, r"'\u043es' is not ASCII"),
        ("def slugify(text):\n    l\u0435n = 1\n    return text", "is not ASCII"),
        ("def slugify(text): return text.upp\u0435r()", "is not ASCII"),
        ("def slugify(text: print('now')): return text", "an annotation must be a type"),
        ("def slugify(text) -> print('x'): return text", "an annotation must be a type"),
        ("def slugify(y=" + "lambda:" * 2500 + "0): return y", "nested too deeply"),
        ("A: print('now') = 1\n" + SLUG, "an annotation must be a type"),
        ("x" * (SOURCE_MAX + 1), "characters; at most"),
        ("def slugify(text): return '" + "\x00" + "'", "does not see"),
    ],
)
def test_what_is_not_worth_a_run_is_told_in_words(source: str, says: str) -> None:
    assert says in " ".join(faults(source, SLUGIFY))


def test_odd_code_warns_nobody() -> None:
    assert faults("def slugify(text): return '\\d' if text is 1 else {1}[0]", SLUGIFY) == []


def test_a_package_that_the_sandbox_has_is_allowed() -> None:
    assert faults("import numpy\n" + SLUG, SLUGIFY, packages=["numpy"]) == []


def test_examples_are_read_and_never_run() -> None:
    example = parse_example('slugify("a b", sep="_") == "a_b"')
    assert (example.name, example.args, dict(example.kwargs)) == ("slugify", ("a b",), {"sep": "_"})
    assert example.expected == Gives("a_b")
    assert parse_example("f(-1) raises ValueError").expected == Raises("ValueError")
    assert parse_example("f() is None").expected == Gives(None)
    assert parse_example((2, 4)).args == (2,)
    assert parse_example(((2, [3]), {"a": 1})).args == (2, [3])


@pytest.mark.parametrize(
    "text",
    ["", "f(2)", "2 == 2", "f(2) > 1", "f(x) == 1", "f(*[1]) == 1", "f(**{}) == 1", "f(2) == open('x')", "a.f(2) == 1",
     "f(2) == f(3)", "f(2) == 4 == 4", "f(2 == 4"],
)  # fmt: skip
def test_what_is_no_example_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError):
        parse_example(text)


@pytest.mark.parametrize(
    ("count", "places"), [(0, []), (1, []), (2, [1]), (3, [2]), (4, [2]), (6, [2, 5]), (9, [2, 5, 8])]
)
def test_some_examples_are_held_out_and_the_first_never(count: int, places: list[int]) -> None:
    assert sorted(held_out_places(count)) == places
