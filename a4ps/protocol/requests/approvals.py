"""Requests about approvals: what waits for the Architect's word."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import ApprovalObject
from a4ps.protocol.requests.base import Request

ApprovalId = Annotated[str, Field(max_length=64)]


class Decide(Request, name="decide", gives=ApprovalObject, needs=Role.ARCHITECT):
    """The Architect's word about an approval; `leave`: none, so that a command which waits for it ends, and it stays open.

    With `digest`, only where the action has that hash, or one that begins so; with `remember`, a yes counts from now on.
    """

    id: ApprovalId
    step: Literal["approve", "deny", "leave"]
    digest: Annotated[str, Field(max_length=64)] | None = None
    remember: bool = False
