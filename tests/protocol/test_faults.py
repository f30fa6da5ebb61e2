"""Errors across the wire: each class there is arrives as itself, with its fields, and what is none arrives as a bug."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from a4ps.errors import A4PSError, Conflict, EngineRefused, EngineTimeout, ModelMissing, Stopped, UsageError
from a4ps.protocol.codec import encode, from_backend
from a4ps.protocol.faults import UnknownFault, error_of, fault_of, internal
from a4ps.protocol.messages import Failure, Fault


def kinds(kind: type[A4PSError] = A4PSError) -> list[type[A4PSError]]:
    found = [kind, *(each for below in kind.__subclasses__() for each in kinds(below))]
    return [each for each in dict.fromkeys(found) if each.__module__.startswith("a4ps.") and each is not UnknownFault]


def made(kind: type[A4PSError]) -> A4PSError:
    """An error of that class with something in every field."""
    samples = {"int": 7, "float": 1.5, "bool": True, "str": "Wort", "tuple[str, ...]": ("a", "b"), "object": None}
    arguments: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        value = samples.get(str(parameter.annotation), "Wort")
        if parameter.kind is parameter.VAR_POSITIONAL:
            arguments += ["more", "most"]
        elif parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = value
        else:
            arguments.append(value)
    return kind(*arguments, **named)


def carried(error: A4PSError) -> A4PSError:
    message = from_backend(encode(Failure(key="k", fault=fault_of(error, "/log"))))
    assert isinstance(message, Failure)
    return error_of(message.fault)


@pytest.mark.parametrize("kind", kinds(), ids=lambda kind: str(kind.__name__))
def test_every_error_there_is_survives_the_trip(kind: type[A4PSError]) -> None:
    error = made(kind)
    found = carried(error)
    assert type(found) is kind
    assert str(found) == error.message
    assert found.kind == error.kind
    assert found.exit_code == error.exit_code
    assert {**vars(found), "log": ""} == {**vars(error), "log": ""}
    assert found.log == "/log"


def test_there_are_many_of_them_and_no_two_share_a_name() -> None:
    names = [kind.__new__(kind).kind for kind in kinds()]
    assert len(names) > 40
    assert len(set(names)) == len(names)


def test_what_an_object_wears_over_its_class_travels_too() -> None:
    error = ModelMissing("gemma", "qwen")
    error.engine = "ollama"
    assert carried(error).engine == "ollama"  # type: ignore[attr-defined]
    late = error_of(Fault(kind="stopped", message="the deadline is over", exit_code=1))
    assert isinstance(late, Stopped)
    assert late.exit_code == 1


def test_fields_that_cannot_travel_are_none() -> None:
    found = carried(Conflict("changed", base=object(), current={1: 2}, parts=("codex",)))
    assert isinstance(found, Conflict)
    assert (found.base, found.current, found.parts) == (None, None, ("codex",))
    refused = carried(EngineRefused("no", status=1 << 70))
    assert refused.status is None  # type: ignore[attr-defined]


def test_a_message_of_any_text_can_be_told() -> None:
    found = carried(EngineTimeout("\ud800" + "x" * 5_000_000, stage="\udcff", next_step="\ud800"))
    assert len(found.message) == 1_000_000
    assert found.next_step == "?"


def test_a_kind_of_another_version_arrives_as_what_it_says() -> None:
    found = error_of(Fault(kind="time_travelled", message="m", next="n", log="l", exit_code=9))
    assert isinstance(found, UnknownFault)
    assert (found.kind, found.message, found.next_step, found.log, found.exit_code) == (
        "time_travelled",
        "m",
        "n",
        "l",
        9,
    )
    assert carried(found).kind == "time_travelled"
    assert error_of(Fault(kind="unknown_fault", message="m")).kind == "unknown_fault"


def test_a_bug_is_internal_and_names_its_log() -> None:
    fault = internal(ZeroDivisionError("\ud800" * 3), "/log")
    assert "ZeroDivisionError" in fault.message
    found = error_of(fault)
    assert (found.kind, found.log, found.exit_code) == ("internal", "/log", 1)
    encode(Failure(key="k", fault=fault))


def test_a_plain_error_keeps_its_exit_code() -> None:
    assert carried(UsageError("no")).exit_code == 2
