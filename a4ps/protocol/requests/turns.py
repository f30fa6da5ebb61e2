"""Requests about turns: asking, and looking at what was answered."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.messages import Text
from a4ps.protocol.objects import (
    AskObject,
    CutOffObject,
    LatestObject,
    WhyObject,
)
from a4ps.protocol.requests.base import Request

TurnId = Annotated[str, Field(max_length=64)]


class Ask(Request, name="ask", gives=AskObject, needs=Role.GUEST):
    """Answer a question. `everyone` has all four heard even on a trifle. `attended`: the client can be asked to decide about
    approvals (a step `wanted`) while it waits; only the Architect's can. `untrusted`: the text may be anybody's, as what
    came through a pipe; a guest's always is.
    """

    text: Text
    everyone: bool = False
    attended: bool = False
    untrusted: bool = False


class Rerun(Request, name="rerun", gives=AskObject):
    """Ask an earlier turn's question again, of today's personas; the answer has `compared`."""

    turn: TurnId
    attended: bool = False


class Resume(Request, name="resume", gives=AskObject):
    """Finish an interrupted turn, the newest where `turn` is ""."""

    turn: TurnId = ""
    attended: bool = False


class Turn(Request, name="turn", gives=AskObject, again=True):
    """An answered turn of the image."""

    turn: TurnId


class Latest(Request, name="latest", gives=LatestObject, again=True):
    """The newest answered turns, newest first, and how many there are."""

    limit: Annotated[int, Field(ge=0, le=1_000_000)] = 10


class CutOff(Request, name="cut_off", gives=CutOffObject, again=True):
    """The turns that a crash cut off and nobody has resumed or set aside, and the engine that speaks now."""


class WhyRequest(Request, name="why", gives=WhyObject, again=True):
    """What an answer rests on; of the newest turn where `turn` is ""."""

    turn: TurnId
