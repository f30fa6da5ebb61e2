"""Requests about approvals: what waits for the Architect's word."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from a4ps.governance.roles import Role
from a4ps.protocol.objects import ApprovalObject, ApprovalsObject
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.tools import Arguments, Files

ApprovalId = Annotated[str, Field(max_length=64)]


class Approvals(Request, name="approvals", gives=ApprovalsObject, again=True):
    """The approvals that wait; with `everything`, those that have been decided as well."""

    everything: bool = False


class Approval(Request, name="approval", gives=ApprovalObject, again=True):
    """All of one approval."""

    id: ApprovalId


class Decide(Request, name="decide", gives=ApprovalObject, needs=Role.ARCHITECT):
    """The Architect's word about an approval; `leave`: none, so that a command which waits for it ends, and it stays open.

    With `digest`, only where the action has that hash, or one that begins so; with `remember`, a yes counts from now on.
    """

    id: ApprovalId
    step: Literal["approve", "deny", "leave"]
    digest: Annotated[str, Field(max_length=64)] | None = None
    remember: bool = False


class EditApproval(Request, name="edit_approval", gives=ApprovalObject, needs=Role.ARCHITECT):
    """Change arguments of what is asked for, each as "NAME=VALUE": a new approval, which waits, takes its place."""

    id: ApprovalId
    changes: Arguments
    files: Files = Field(default_factory=dict)
