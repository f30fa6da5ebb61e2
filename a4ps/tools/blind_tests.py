"""ALFRED's tests of a tool, written blind: from its specification, without sight of any code. Their schema and reading."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from a4ps.errors import ToolRefused
from a4ps.tools.cases import Case, Expected, Gives, Raises
from a4ps.tools.specification import Specification
from a4ps.tools.value_types import same

#: Tests that are asked for, and how few of them are still an answer.
WANTED = 8
LEAST = 3


def tests_schema(specification: Specification) -> dict[str, Any]:
    """The JSON schema of a reply."""
    raised = ["", *dict.fromkeys(case.exception for case in specification.errors)]
    case = {
        "type": "object",
        "properties": {
            "arguments": specification.arguments_schema(),
            "raises": {"type": "string", "enum": raised},
            "expected": specification.returns.json_schema(),
        },
        "required": ["arguments", "raises", "expected"],
    }
    cases = {"type": "array", "items": case, "minItems": LEAST, "maxItems": WANTED + 2}
    return {"type": "object", "properties": {"cases": cases}, "required": ["cases"]}


def read_tests(reply: str, specification: Specification) -> list[Case]:
    """The cases of a reply, each input once, every second held out. What does not fit the signature is left out.

    Raises ValueError where it is no such JSON, ToolRefused where fewer than LEAST are of use.
    """
    given = json.loads(reply)
    entries = given.get("cases") if isinstance(given, dict) else None
    if not isinstance(entries, list):
        raise ValueError('the reply has no list "cases"')  # noqa: TRY004 - of the reply's content
    cases: list[Case] = []
    why = ""
    for entry in entries[: 4 * WANTED]:
        try:
            case = _case(entry, specification, held_out=len(cases) % 2 == 1)
        except ToolRefused as error:
            why = error.message
            continue
        if not any(same(case.args, earlier.args) for earlier in cases):
            cases.append(case)
    if len(cases) < LEAST:
        raise ToolRefused(
            f"only {len(cases)} of the tests can be used{': ' + why if why else ''}",
            next_step=f"give at least {LEAST} with different arguments of the declared types",
        )
    return cases


def without_contradiction(tests: Sequence[Case], examples: Sequence[Case]) -> tuple[list[Case], int]:
    """`tests` less those whose input an example has; and how many of these contradicted it. The caller's word counts."""
    kept: list[Case] = []
    contradicted = 0
    for test in tests:
        known = next((example for example in examples if same(example.args, test.args)), None)
        if known is None:
            kept.append(test)
        elif not _agree(known.expected, test.expected):
            contradicted += 1
    return kept, contradicted


def _case(entry: Any, specification: Specification, *, held_out: bool) -> Case:
    if not isinstance(entry, dict) or not isinstance(entry.get("arguments"), dict):
        raise ToolRefused("a test has no arguments", next_step='give "arguments" as an object')
    bound = specification.bound((), entry["arguments"])
    raised = entry.get("raises")
    if raised:
        if raised not in {case.exception for case in specification.errors}:
            raise ToolRefused(f"{str(raised)[:40]} is not declared", next_step="test declared errors only")
        return Case(tuple(bound.values()), Raises(str(raised)), "alfred", held_out)
    expected = specification.returns.shaped(entry.get("expected"), texts=True)
    if "expected" not in entry or not specification.returns.fits(expected):
        raise ToolRefused(f"a result expected is no {specification.returns}", next_step="give one of that type")
    return Case(tuple(bound.values()), Gives(expected), "alfred", held_out)


def _agree(one: Expected, other: Expected) -> bool:
    match one, other:
        case Gives(value), Gives(again):
            return same(value, again)
        case Raises(exception), Raises(again):
            return exception == again
    return False
