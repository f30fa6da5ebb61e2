"""The gate of a turn: every effect goes through it, is judged, asked about where it must be, and done once.

    ledger read → action built → policy and taint → the Architect asked, if so → built again → intent → effect → done

What is done is read from the ledger, whatever a model would say now. An effect of which only the intent is recorded was cut
off by a crash: one that reaches out of A4PS may have happened, so the Architect is asked before it is tried once more; any
other is simply done again. Where nobody is there to ask, `ApprovalNeeded` ends the run; the turn stays open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any, Literal, TypeAlias

from a4ps.clock import Clock
from a4ps.errors import ApprovalNeeded
from a4ps.governance.approvals import Action, Approval, Where
from a4ps.governance.policy import Decision, decide
from a4ps.governance.taint import Taint, union
from a4ps.governance.ways_out import is_way_out
from a4ps.image.approvals import Approvals
from a4ps.image.effects import Effects
from a4ps.settings import ActionName, PolicyName

#: Asks the Architect about an approval and waits: yes, no, or None where nobody answered.
Approver: TypeAlias = Callable[[Approval], Awaitable[bool | None]]


@dataclass(frozen=True, slots=True)
class Means:
    """What acting takes: how an action is built now, what it does, and what it gives as JSON data.

    `built` gets the action as it was recorded, None where there is none yet; it may ask a model only then. `do` gets the
    action that was agreed to. `found` is asked of an effect whose intent alone is recorded: its result where it can be
    told that it happened all the same, NOT_DONE where it can be told that it did not, UNKNOWN else.
    """

    built: Callable[[Action | None], Awaitable[Action]]
    do: Callable[[Action], Awaitable[Any]]
    found: Callable[[Action], Awaitable[Any]]


class Fate(Enum):
    """What is known of an effect that was cut off."""

    NOT_DONE = "not done"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it: the action and its `result`, or, where it was `refused`, why, as a sentence."""

    action: Action
    result: Any = None
    refused: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate of one turn. `approver` is None where nobody can be asked; `author` is the persona that acts."""

    approvals: Approvals
    effects: Effects
    policies: Mapping[ActionName, PolicyName]
    clock: Clock
    approver: Approver | None = None
    author: str = "BABS"
    background: bool = False

    async def act(self, where: Where, means: Means, *, taint: Taint, claim: str) -> Outcome:
        """Have an effect happen at `where`, once. Raises ApprovalNeeded, and what building and doing it raise."""
        recorded = await asyncio.to_thread(self.effects.at, where)
        if recorded is not None and recorded.state == "done":
            return Outcome(recorded.action, recorded.result)
        asked = await asyncio.to_thread(self.approvals.at, where)
        before = None if asked is None else asked.action
        again: Decision | None = None
        if recorded is not None:
            taint = union(taint, recorded.taint)
            fate = await means.found(recorded.action)
            if not isinstance(fate, Fate):
                return await self._done(where, recorded.action, taint, fate)
            attempt = recorded.action.attempt
            if fate is Fate.UNKNOWN and is_way_out(recorded.action.kind):
                attempt += 1
                again = Decision("ask", "it was begun and cut off: whether it happened already, nobody knows")
            if before is None or before.attempt != attempt:
                before = replace(recorded.action, attempt=attempt)
        action = await means.built(before)
        while True:
            approval, refused = await self._permit(where, action, taint, claim, again, redone=recorded is not None)
            if refused:
                return Outcome(action, refused=refused)
            now = await means.built(action if approval is None else approval.action)
            if approval is None or now.digest == approval.action.digest:
                break
            action = now  # something that takes part has changed while the Architect was asked
        using = () if approval is None else (await asyncio.to_thread(self.approvals.used, approval),)
        await asyncio.to_thread(self.effects.begin, where, now, taint, author=self.author, using=using)
        return await self._done(where, now, taint, await means.do(now))

    async def _done(self, where: Where, action: Action, taint: Taint, result: Any) -> Outcome:
        await asyncio.to_thread(self.effects.done, where, action, taint, result, author=self.author)
        return Outcome(action, result)

    async def _permit(
        self, where: Where, action: Action, taint: Taint, claim: str, again: Decision | None, *, redone: bool
    ) -> tuple[Approval | None, str]:
        """The approval that an action goes on with (None where it needs none), or why it may not happen."""
        approval = await asyncio.to_thread(self.approvals.at, where)
        if approval is not None and approval.action.digest != action.digest:
            approval = None  # it was for another action
        state = "" if approval is None else approval.state_at(self.clock.now())
        if state in ("denied", "expired"):  # whatever the policy has become
            return None, f"Not approved of: to {action} ({_HOW[state]})."
        remembered = await asyncio.to_thread(self.approvals.agreed_for_good, action)
        decision = decide(action.kind, self.policies, taint, remembered=remembered)
        if decision.verdict == "refused":
            return None, f"Refused: to {action}; {decision.why}."
        if again is not None:
            decision = again
        if decision.verdict == "allowed":
            return None, ""
        if state == "used" and redone:
            return None, ""  # by this effect, when it was begun
        if approval is None or state in ("used", "replaced"):
            approval = await asyncio.to_thread(
                lambda: self.approvals.ask(
                    where, action, decision, claim=claim, asked_by=self.author, taint=taint, background=self.background
                )
            )
        return (approval, "") if state == "approved" else await self._ask(approval)

    async def _ask(self, approval: Approval) -> tuple[Approval | None, str]:
        answer = None if self.approver is None else await self.approver(approval)
        if answer is None:
            raise ApprovalNeeded(
                f"turn {approval.where.turn} needs your approval {approval.id}: to {approval.action}",
                approval=approval.id,
                next_step=f"look at it: a4ps approvals show {approval.id}, then approve or deny it",
            )
        step: Literal["approve", "deny"] = "approve" if answer else "deny"
        approval = await asyncio.to_thread(self._settled, approval.id, step)
        return (approval, "") if answer else (None, f"Not approved of: to {approval.action}.")

    def _settled(self, approval_id: str, step: Literal["approve", "deny"]) -> Approval:
        """The approval as it was decided: by an answer to the question, or by whoever decided about it meanwhile."""
        approval = self.approvals.get(approval_id)
        if approval.state == ("approved" if step == "approve" else "denied"):
            return approval
        return self.approvals.decide(approval_id, step)


_HOW: Mapping[str, str] = {"denied": "it was denied", "expired": "it has expired, which counts as denied"}
