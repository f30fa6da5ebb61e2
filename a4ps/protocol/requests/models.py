"""Requests about models: what is in memory, and who speaks with what."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import OccupancyObject, UsedObject
from a4ps.protocol.requests.base import Request


class InMemory(Request, name="models_in_memory", gives=OccupancyObject, again=True):
    """The models in memory, verified, and what they may take."""


class UseModel(Request, name="use_model", gives=UsedObject, needs=Role.ARCHITECT):
    """Let a persona speak with a model from the next turn on; the one that the profile gives it where that is None."""

    persona: Annotated[str, Field(max_length=200)]
    model: Annotated[str, Field(max_length=500)] | None = None
