"""Requests about the console: the Architect's workspace in the backend."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import CompletedObject, EvaluatedObject, InterruptedObject
from a4ps.protocol.requests.base import Request

Source = Annotated[str, Field(max_length=1_000_000)]


class Evaluate(Request, name="evaluate", gives=EvaluatedObject, needs=Role.ARCHITECT, once=True):
    """Evaluate an expression or statements in the console; what they change is one commit. Cancelled, it is interrupted.
    With `proto`, `self` is that Proto.
    """

    source: Source
    proto: Annotated[str, Field(max_length=200)] = ""


class Interrupt(Request, name="interrupt", gives=InterruptedObject, needs=Role.ARCHITECT, again=True):
    """Interrupt what the console evaluates; its outcome says so."""


class Complete(Request, name="complete", gives=CompletedObject, needs=Role.ARCHITECT, again=True):
    """What the last name before `cursor` could become, where `self` is `proto`."""

    text: Source
    cursor: Annotated[int, Field(ge=0, le=1_000_000)]
    proto: Annotated[str, Field(max_length=200)] = ""
