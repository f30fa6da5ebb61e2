"""The requests: each is served, gives an object with a type, and needs the role that was meant."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import is_typeddict

from a4ps.errors import ProtocolError
from a4ps.governance.roles import Role, may
from a4ps.kernel.dispatch import handler_of
from a4ps.protocol.requests import Request, known_requests, request_of
from a4ps.protocol.steps import AnyStep, Noted, Wanted, step_of

REQUESTS = known_requests()

#: What other programs may ask, and what is the owner's alone. Everything else is a client's.
GUESTS = {"ask", "status"}
OWNERS = {"decide", "down", "evaluate", "interrupt", "complete"}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_served_and_described(name: str) -> None:
    kind = REQUESTS[name]
    assert kind.name == name
    assert callable(handler_of(kind))
    assert is_typeddict(kind.gives)
    assert get_type_hints(kind.gives)
    assert (kind.__doc__ or "").strip(), "PROTOCOL.md has its docstring"
    assert kind.model_config.get("extra") == "forbid"


def test_names_are_unique_and_defined_once() -> None:
    assert len({kind.__qualname__ for kind in REQUESTS.values()}) == len(REQUESTS)
    with pytest.raises(TypeError, match="two requests"):
        type("Again", (Request,), {}, name="ask", gives=dict)


def test_roles_are_as_meant() -> None:
    assert {name for name, kind in REQUESTS.items() if kind.needs is Role.GUEST} >= GUESTS
    assert {name for name, kind in REQUESTS.items() if kind.needs is Role.ARCHITECT} >= OWNERS
    for low in Role:
        for high in Role:
            assert may(high, low) or high < low


@given(st.sampled_from(sorted(REQUESTS)), st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8)))
def test_a_request_goes_over_the_wire_and_back_or_is_refused(name: str, fields: dict[str, Any]) -> None:
    try:
        request = request_of({**fields, "do": name})
    except ProtocolError:
        return
    assert request_of(request.as_wire()) == request


def test_a_step_goes_over_the_wire_and_back() -> None:
    step = Noted(text="a line")
    assert step_of(step.model_dump()) == step
    assert step_of({**step.model_dump(), "of a later version": 1}) == step


@pytest.mark.parametrize(
    "data", [{}, {"step": "nonsense"}, {"step": ["x"]}, {"step": "noted"}, {"step": "noted", "text": []}]
)
def test_what_is_no_step(data: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError):
        step_of(data)


def test_steps_have_names_of_their_own() -> None:
    names = [kind.model_fields["step"].default for kind in get_args(get_args(AnyStep)[0])]
    assert len(set(names)) == len(names) > 10
    assert Wanted.model_fields["step"].default in names
