"""Requests about figures over time."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.protocol.objects import DriftObject, SeriesObject
from a4ps.protocol.requests.base import Request


class SeriesRequest(Request, name="series", gives=SeriesObject, again=True):
    """The series whose names begin with one of `names`; all where none is given."""

    names: Annotated[list[str], Field(max_length=1_000)] = Field(default_factory=list)


class Drift(Request, name="drift", gives=DriftObject):
    """Put the fixed probes to `personas`, to all four where none is named, and keep how far their answers are from their
    codices. Stopped, nothing is kept.
    """

    personas: Annotated[list[Annotated[str, Field(max_length=100)]], Field(max_length=4)] = Field(default_factory=list)
