"""Checks that follow from a signature alone: a result of the declared type, no error that is not declared, and equal
results for equal input where the specification promises that.

The inputs are Hypothesis' (generated.py), drawn on this side. All are tried in one call, and again in a second sandbox,
whose results must be the same: sets and hashes differ between processes. A candidate can see that it is called in a row,
and can forge what these checks see; they add to the cases with expected values and never stand for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from a4ps.tools.cases import Case, Completes, Ended, Outcome, Raised, Returned, shown
from a4ps.tools.generated import generated_inputs
from a4ps.tools.running import Runner, outcome_of, told
from a4ps.tools.specification import Specification
from a4ps.tools.value_types import PLAIN_TYPES, same

#: What a function may raise for an argument that makes no sense to it, declared or not.
_OF_THE_DOMAIN = frozenset({"ValueError", "OverflowError"})

#: The function that is put behind a candidate's text.
_DRIVER = "a4ps_try_all"
_PLAIN_NAMES = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in PLAIN_TYPES)
_DRIVER_SOURCE = """

def {driver}(inputs):
    def plain(value, depth=0):
        if depth > 40:
            return False
        if type(value) in (list, tuple, set, frozenset):
            return all(plain(each, depth + 1) for each in value)
        if type(value) is dict:
            return all(plain(key, depth + 1) and plain(value[key], depth + 1) for key in value)
        kind = f"{{type(value).__module__}}.{{type(value).__qualname__}}"
        return value is None or kind in {plain}

    outcomes = []
    for arguments in inputs:
        try:
            value = {name}(*arguments)
        except Exception as error:
            outcomes.append(["raised", type(error).__name__, str(error)[:200]])
        else:
            outcomes.append(["gave", value] if plain(value) else ["odd", type(value).__name__])
    return outcomes
"""


@dataclass(frozen=True, slots=True)
class PropertyReport:
    """`tried` inputs, what was wrong (one sentence each), and what could not be told."""

    tried: int
    faults: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


#: Of a candidate that did not get so far.
UNTRIED = PropertyReport(0)


def check_properties(runner: Runner, source: str, specification: Specification, timeout_s: float) -> PropertyReport:
    """Try the generated inputs in two sandboxes. Raises SandboxUnavailable."""
    inputs = generated_inputs(specification)
    text = source + _DRIVER_SOURCE.format(driver=_DRIVER, name=specification.name, plain=_PLAIN_NAMES)
    first, why = _all_outcomes(runner, text, inputs, timeout_s)
    if first is None:
        return PropertyReport(
            0, notes=(f"The {len(inputs)} generated inputs could not be tried: the row of calls {why}.",)
        )
    faults = _faults(specification, inputs, first)
    if faults or not specification.deterministic:
        return PropertyReport(len(inputs), tuple(faults))
    second, why = _all_outcomes(runner, text, inputs, timeout_s)
    if second is None:
        return PropertyReport(len(inputs), notes=(f"They could not be tried twice: the row of calls {why}.",))
    return PropertyReport(len(inputs), tuple(_differences(specification, inputs, first, second)))


def _all_outcomes(
    runner: Runner, text: str, inputs: Sequence[Any], timeout_s: float
) -> tuple[list[Outcome] | None, str]:
    outcome, _ = outcome_of(runner, text, _DRIVER, (list(inputs),), timeout_s)
    match outcome:
        case Ended(why):
            return None, why
        case Raised(exception, message):
            return None, f"raised {exception}: {message}"
        case Returned(list() as row) if len(row) == len(inputs):
            return [_outcome(entry) for entry in row], ""
    return None, "came back as something else"


def _outcome(entry: Any) -> Outcome:
    match entry:
        case ["gave", value] | ("gave", value):
            return Returned(value)
        case ["raised", str() as exception, str() as message] | ("raised", str() as exception, str() as message):
            return Raised(told(exception), told(message))
        case ["odd", str() as kind] | ("odd", str() as kind):
            return Ended(f"gave a {told(kind)}, which is no plain value")
    return Ended("gave something else than an outcome")


def _faults(specification: Specification, inputs: Sequence[list[Any]], outcomes: Sequence[Outcome]) -> list[str]:
    faults = []
    for arguments, outcome in zip(inputs, outcomes, strict=True):
        if isinstance(outcome, Raised) and outcome.exception in _OF_THE_DOMAIN:
            continue
        case = Case(tuple(arguments), Completes(), "alfred")
        why = case.fault(outcome, specification)
        if why:
            faults.append(f"{case.call_text(specification.name)} {why}.")
    return faults


def _differences(
    specification: Specification, inputs: Sequence[list[Any]], first: Sequence[Outcome], second: Sequence[Outcome]
) -> list[str]:
    return [
        f"{Case(tuple(arguments), Completes(), 'alfred').call_text(specification.name)} gave {_told(one)} in one "
        f"process and {_told(other)} in another."
        for arguments, one, other in zip(inputs, first, second, strict=True)
        if not _agree(one, other)
    ]


def _agree(one: Outcome, other: Outcome) -> bool:
    match one, other:
        case Returned(value), Returned(again):
            return same(value, again)
        case Raised(exception), Raised(again):
            return exception == again
    return type(one) is type(other)


def _told(outcome: Outcome) -> str:
    match outcome:
        case Returned(value):
            return shown(value)
        case Raised(exception):
            return exception
        case Ended(why):
            return why
