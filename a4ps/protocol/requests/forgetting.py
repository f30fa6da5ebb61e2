"""Requests about forgetting for good: the plan first, then its carrying out.

What is sought is `thing`, a turn's number or a memory's id, or else `text`.
"""

from __future__ import annotations

from a4ps.governance.roles import Role
from a4ps.protocol.objects import ForgettingPlanObject, ForgottenObject
from a4ps.protocol.requests.base import Request


class PlanForgetting(Request, name="plan_forgetting", gives=ForgettingPlanObject, needs=Role.ARCHITECT, again=True):
    """Every place that holds what is sought or derives from it; changes nothing."""

    thing: str | None = None
    text: str | None = None
    spare_derived: bool = False


class Forget(Request, name="forget", gives=ForgottenObject, needs=Role.ARCHITECT):
    """Take what is sought out of every place. It cannot be undone, and is not stopped once it has begun."""

    thing: str | None = None
    text: str | None = None
    spare_derived: bool = False


class FinishForgetting(Request, name="finish_forgetting", gives=ForgottenObject, needs=Role.ARCHITECT, again=True):
    """Go on with a forgetting that was cut off; `forgotten` says whether there was one."""
