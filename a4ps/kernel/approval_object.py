"""An approval as a client sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from a4ps.governance.approvals import Approval, State
from a4ps.governance.taint import as_plain


def approval_object(approval: Approval, now: datetime) -> dict[str, Any]:
    """As `approvals show --json` prints it."""
    state: State = approval.state_at(now)
    action = approval.action
    return {
        "id": approval.id,
        "state": state,
        "turn_id": approval.where.turn,
        "action": {
            "kind": action.kind,
            "what": action.what,
            "text": str(action),
            "arguments": dict(action.arguments),
            "destination": action.destination,
            "size_bytes": action.size_bytes,
            "diff": action.diff,
            "versions": dict(action.versions),
            "attempt": action.attempt,
            "hash": action.digest,
        },
        "why": approval.why,
        "claim": approval.claim,
        "asked_by": approval.asked_by,
        "taint": as_plain(approval.taint),
        "asked_at": approval.asked_at.isoformat(),
        "expires_at": approval.expires_at.isoformat(),
        "decided_at": None if approval.decided_at is None else approval.decided_at.isoformat(),
        "remember": approval.remember,
        "replaces": approval.replaces,
        "replaced_by": approval.replaced_by,
    }
