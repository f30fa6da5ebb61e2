"""The approvals of one image: what the Architect was asked, and what they said; durable, and waiting at no cost.

    approval       key: the id, TURN.COUNT; payload: JSON, `governance.approvals.as_record`
    approval-kept  key: the digest of an action that counts as agreed to from now on; payload: JSON, {"approval": id}

Each step of an approval is a row; the newest counts. A waiting one is nothing but a row: it holds no model, sandbox, worker
or lock. The commits of questions are authored by the persona that asked, those of answers by the Architect. `event_bus` is
told of each once it is durable.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal

from a4ps.errors import ApprovalRefused, IntegrityError, UnknownApproval
from a4ps.events import Event, event_bus
from a4ps.governance import approvals as rules
from a4ps.governance.approvals import BACKGROUND_MAX, Action, Approval, Where
from a4ps.governance.policy import Decision
from a4ps.governance.taint import Taint
from a4ps.governance.trust import ARCHITECT
from a4ps.image.rows import GONE_SUFFIX, Row
from a4ps.image.snapshot import APPROVAL, KEPT
from a4ps.image.store import Store


class Approvals:
    """Reads and writes one store, from any thread. `hours` is how long an approval may wait, and then be used.

    Reading and writing raise what the store raises.
    """

    def __init__(self, store: Store, *, hours: float = 72.0) -> None:
        self._store = store
        self._hours = hours
        self._writing = threading.Lock()

    def get(self, approval_id: str) -> Approval:
        """Raises UnknownApproval."""
        found = self._find(approval_id)
        if found is None:
            raise UnknownApproval(
                f"there is no approval {ascii(approval_id)[1:-1][:40]}", next_step="a4ps approvals list --all"
            )
        return found

    def all(self) -> list[Approval]:
        """Every approval that was ever asked for, in the order of turns and questions."""
        keys = sorted(self._store.heads(APPROVAL), key=lambda key: tuple(map(int, key.split("."))))
        return [found for key in keys if (found := self._find(key)) is not None]

    def waiting(self) -> list[Approval]:
        """Those that the Architect has still to decide about."""
        now = self._store.clock.now()
        return [approval for approval in self.all() if approval.state_at(now) == "waiting"]

    def at(self, where: Where) -> Approval | None:
        """The newest approval of one place in a turn."""
        found = [approval for approval in self._of_turn(where.turn) if approval.where == where]
        return found[-1] if found else None

    def agreed_for_good(self, action: Action) -> bool:
        """Whether the Architect has agreed to this very action for every time."""
        return self._store.head(KEPT, action.digest) is not None

    def ask(
        self,
        where: Where,
        action: Action,
        decision: Decision,
        *,
        claim: str,
        asked_by: str,
        taint: Taint,
        background: bool = False,
    ) -> Approval:
        """Put a question to the Architect; one that waits at this place for another action is replaced by it.

        Raises ApprovalRefused where work in the background has enough of them open.
        """
        with self._writing:
            if not rules.may_ask(background, sum(each.background for each in self.waiting())):
                raise ApprovalRefused(
                    f"{BACKGROUND_MAX} approvals are waiting for work in the background",
                    next_step="decide about one of them: a4ps approvals list",
                )
            earlier = self._of_turn(where.turn)
            now = self._store.clock.now()
            asked = Approval(
                f"{where.turn}.{len(earlier) + 1}",
                where,
                action,
                decision.why,
                claim,
                asked_by,
                taint,
                now,
                now + timedelta(hours=self._hours),
                background=background,
                rememberable=decision.rememberable,
            )
            stale = [each for each in earlier if each.where == where and each.state_at(now) in ("waiting", "approved")]
            rows = [_row(replace(rules.after(each, "replace", now), replaced_by=asked.id)) for each in stale]
            asked = replace(asked, replaces=stale[-1].id if stale else "")
            self._store.commit([*rows, _row(asked)], author=asked_by, reason=f"ask to {action.kind}: {asked.id}")
        event_bus.notify(Event.APPROVAL_ASKED, asked)
        return asked

    def decide(
        self, approval_id: str, step: Literal["approve", "deny"], *, by: str = ARCHITECT, remember: bool = False
    ) -> Approval:
        """Record the Architect's word; with `remember`, a yes counts for every equal action to come.

        A no to one that was remembered withdraws that. Raises UnknownApproval, ApprovalRefused.
        """
        with self._writing:
            approval = self.get(approval_id)
            digest = approval.action.digest
            rows = [Row(KEPT + GONE_SUFFIX, digest, b"")] if step == "deny" and approval.remember else []
            if rows and approval.state == "used" and by == ARCHITECT:
                settled = rules.withdrawn(approval)
            else:
                settled = rules.decided(approval, step, self._store.clock.now(), by=by, hours=self._hours)
            if step == "approve" and remember:
                settled = rules.remembered(settled)
                rows = [Row(KEPT, digest, json.dumps({"approval": approval_id}).encode())]
            elif rows:
                settled = rules.withdrawn(settled)
            self._store.commit([_row(settled), *rows], author=by, reason=f"{step} {approval_id}")
        event_bus.notify(Event.APPROVAL_DECIDED, settled)
        return settled

    def edit(self, approval_id: str, action: Action, *, by: str = ARCHITECT) -> Approval:
        """Put `action` in the place of an approval's own: a new approval, which waits. Returns that.

        Raises UnknownApproval; ApprovalRefused where the old one has been decided against, used or replaced.
        """
        if by != ARCHITECT:
            raise ApprovalRefused(f"{by or 'nobody'} cannot edit an approval", next_step="only the Architect can")
        with self._writing:
            before = self.get(approval_id)
            now = self._store.clock.now()
            edited = replace(
                before,
                id=f"{before.where.turn}.{len(self._of_turn(before.where.turn)) + 1}",
                action=action,
                asked_at=now,
                expires_at=now + timedelta(hours=self._hours),
                state="waiting",
                decided_at=None,
                remember=False,
                replaces=before.id,
            )
            old = replace(rules.after(before, "replace", now), replaced_by=edited.id)
            self._store.commit([_row(old), _row(edited)], author=by, reason=f"edit {approval_id} as {edited.id}")
        event_bus.notify(Event.APPROVAL_DECIDED, old)
        event_bus.notify(Event.APPROVAL_ASKED, edited)
        return edited

    def asked_in(self, turn: str) -> bool:
        """Whether anything was ever asked in a turn."""
        return self._find(f"{turn}.1") is not None

    def lapse(self, turn: str) -> None:
        """Let what still waits in a turn that has been answered expire: nothing would come of it."""
        with self._writing:
            now = self._store.clock.now()
            undone = [each for each in self._counted(turn) if each.state_at(now) in ("waiting", "approved")]
            if undone:
                rows = [_row(replace(each, expires_at=now)) for each in undone]
                self._store.commit(rows, author="package", reason=f"turn {turn} is answered")

    def used(self, approval: Approval) -> Row:
        """The row with which an approval is used up, for the commit that begins its effect. Raises ApprovalRefused."""
        return _row(rules.after(self.get(approval.id), "use", self._store.clock.now()))

    def _of_turn(self, turn: str) -> list[Approval]:
        return list(self._counted(turn))

    def _counted(self, turn: str) -> Iterator[Approval]:
        count = 1
        while (found := self._find(f"{turn}.{count}")) is not None:
            yield found
            count += 1

    def _find(self, approval_id: str) -> Approval | None:
        row = self._store.head(APPROVAL, approval_id)
        if row is None:
            return None
        try:
            return rules.from_record(json.loads(row.payload))
        except (KeyError, TypeError, ValueError) as error:
            raise IntegrityError(
                f"the approval {row.key} cannot be read: {error}", next_step="a4ps image verify --deep"
            ) from error


def _row(approval: Approval) -> Row:
    plain = json.dumps(rules.as_record(approval), ensure_ascii=False, separators=(",", ":"))
    return Row(APPROVAL, approval.id, plain.encode("utf-8", "surrogatepass"))
