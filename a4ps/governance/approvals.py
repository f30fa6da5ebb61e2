"""What an approval is: one action, described by code alone, about which the Architect says yes or no.

All that is shown of an action is computed from the action itself: its exact arguments, where it leads, how many bytes, the
difference it makes. What a persona says of it is a claim, and is quoted as one. An approval is bound to the digest of its
action, in which the versions of everything that takes part are; change any of it and it is another action. Pure.

    waiting ──approve──▶ approved ──use──▶ used
       │ deny               │ deny
       ▼                    ▼
     denied               denied            an edit, or an action that has changed meanwhile: → replaced
    expired: waiting or approved for longer than it may be; it counts as denied
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from textwrap import shorten
from typing import Any, Literal, TypeAlias

from a4ps.errors import ApprovalRefused
from a4ps.governance.taint import Taint, as_plain, is_tainted
from a4ps.governance.trust import ARCHITECT

State: TypeAlias = Literal["waiting", "approved", "denied", "replaced", "used", "expired"]
Step: TypeAlias = Literal["approve", "deny", "replace", "use"]

#: (state, step) → the state after it. What is not here cannot be done.
TRANSITIONS: Mapping[tuple[State, Step], State] = {
    ("waiting", "approve"): "approved",
    ("waiting", "deny"): "denied",
    ("waiting", "replace"): "replaced",
    ("approved", "deny"): "denied",
    ("approved", "replace"): "replaced",
    ("approved", "use"): "used",
}

#: Approvals that work in the background may have open at once.
BACKGROUND_MAX = 3

#: A difference is shown of texts up to so many bytes and lines, on either side.
DIFF_BYTES = 200_000
DIFF_LINES = 2_000

#: What an action is about is cut here where it is named in a line; its arguments have all of it.
SHOWN_CHARS = 160


@dataclass(frozen=True, slots=True)
class Where:
    """The place of an effect: the `ordinal`-th of a step of a turn, counted from 0."""

    turn: str
    step: str
    ordinal: int = 0

    def __str__(self) -> str:
        return f"{self.turn}/{self.step}/{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Action:
    """What is to happen. `kind` is an `ActionName`; `what` names the tool, the file, or the task.

    `arguments` are spelt as in Python, each exactly; `destination` is where it leads, "" for nowhere; `size_bytes` what
    would be handed over; `diff` a unified difference where it changes a text; `versions` name → version of all that takes
    part. `attempt` counts from 1: a second one follows an attempt of which nobody knows how far it came.
    """

    kind: str
    what: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    destination: str = ""
    size_bytes: int = 0
    diff: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1

    @property
    def digest(self) -> str:
        """SHA-256 over all of it, hex: two actions with one digest are the same."""
        plain = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()

    def __str__(self) -> str:
        """In one line, whatever `what` holds: it can be a model's words."""
        what = shorten(self.what, SHOWN_CHARS, placeholder=" …") or "…"
        return {
            "tool-use": f"call the tool {what}",
            "tool-in-process": f"call the tool {what} in A4PS's own process",
            "tool-forge": f"have a tool made: {what}",
            "tool-keep": f"keep and use the tool {what}",
            "tool-mend": f"have the tool {what} mended, which failed",
            "file-write": f"write {self.size_bytes} bytes to {what}",
            "turn-restart": f"begin turn {what} anew",
        }.get(self.kind, f"{self.kind}: {what}") + (" once more" if self.attempt > 1 else "")


@dataclass(frozen=True, slots=True)
class Approval:
    """One question to the Architect and what came of it. `id` is the turn's number, a dot, and a count from 1.

    `why` says what made it necessary; `claim` is what `asked_by` said of it, and proves nothing. `taint` is that of the
    context. `replaced_by` and `replaces` are the approvals after and before it, "" for none.
    """

    id: str
    where: Where
    action: Action
    why: str
    claim: str
    asked_by: str
    taint: Taint
    asked_at: datetime
    expires_at: datetime
    state: State = "waiting"
    decided_at: datetime | None = None
    background: bool = False
    rememberable: bool = False
    remember: bool = False
    replaces: str = ""
    replaced_by: str = ""

    def state_at(self, now: datetime) -> State:
        """Its state, "expired" where its time is over."""
        return "expired" if self.is_undone and now >= self.expires_at else self.state

    @property
    def is_undone(self) -> bool:
        """Whether it has led to nothing yet, and nothing has ended it."""
        return self.state in ("waiting", "approved")


def after(approval: Approval, step: Step, now: datetime) -> Approval:
    """The approval after a step that needs no more to be said. Raises ApprovalRefused where it cannot be taken."""
    state = approval.state_at(now)
    following = TRANSITIONS.get((state, step))
    if following is None:
        reached = (
            f"has {state}" if state == "expired" else f"is {state} already" if state != "waiting" else "is waiting"
        )
        raise ApprovalRefused(
            f"approval {approval.id} {reached}: it cannot be {_DONE[step]}",
            next_step=f"a4ps approvals show {approval.replaced_by or approval.id}",
        )
    return replace(approval, state=following)


def decided(approval: Approval, step: Literal["approve", "deny"], now: datetime, *, by: str, hours: float) -> Approval:
    """What the Architect's word makes of an approval; a yes holds for `hours` from now.

    Raises ApprovalRefused where it has been decided, has expired, or `by` is not the Architect.
    """
    if by != ARCHITECT:
        raise ApprovalRefused(f"{by or 'nobody'} cannot decide about an approval", next_step="only the Architect can")
    settled = replace(after(approval, step, now), decided_at=now)
    return replace(settled, expires_at=now + timedelta(hours=hours)) if step == "approve" else settled


def remembered(approval: Approval) -> Approval:
    """The approval as one that counts for every equal action from now on.

    Raises ApprovalRefused where it was asked for in a context with untrusted data, or for other reasons than a policy.
    """
    if is_tainted(approval.taint) or not approval.rememberable:
        raise ApprovalRefused(
            f"approval {approval.id} counts once: untrusted data, or an earlier attempt, is behind it",
            next_step=f"a4ps approvals approve {approval.id}",
        )
    return replace(approval, remember=True)


def withdrawn(approval: Approval) -> Approval:
    """A remembered approval that counts no longer; what it led to has happened."""
    return replace(approval, remember=False)


def may_ask(background: bool, open_in_background: int) -> bool:
    """Whether one more may be asked for: those who work in the background can have three open."""
    return not background or open_in_background < BACKGROUND_MAX


def diff_of(before: bytes | None, after_: bytes, name: str) -> str:
    """A unified difference between two contents of a file; a sentence where they are no texts, or too long to compare."""
    try:
        texts = [part.decode("utf-8") for part in (before or b"", after_)]
    except UnicodeDecodeError:
        return f"{_size(before)} become {_size(after_)}; at least one of them is no text"
    lines = [text.splitlines(keepends=True) for text in texts]
    if any(len(part or b"") > DIFF_BYTES for part in (before, after_)) or max(map(len, lines)) > DIFF_LINES:
        return f"{_size(before)} become {_size(after_)}; too long to be compared"
    old = "/dev/null" if before is None else name
    marked = [
        line if line.endswith("\n") else f"{line}\n\\ no newline at the end\n"
        for line in difflib.unified_diff(lines[0], lines[1], old, name)
    ]
    return "".join(marked).rstrip("\n") if marked else "nothing changes"


def as_record(approval: Approval) -> dict[str, Any]:
    """As JSON data; `from_record` takes it back."""
    plain = asdict(approval)
    return {
        **plain,
        "taint": as_plain(approval.taint),
        "asked_at": approval.asked_at.isoformat(),
        "expires_at": approval.expires_at.isoformat(),
        "decided_at": None if approval.decided_at is None else approval.decided_at.isoformat(),
    }


def from_record(plain: Mapping[str, Any]) -> Approval:
    """The inverse of `as_record`. Raises KeyError, TypeError or ValueError for anything else."""
    at = plain["decided_at"]
    return Approval(
        **{
            **plain,
            "where": Where(**plain["where"]),
            "action": Action(**plain["action"]),
            "taint": frozenset(plain["taint"]),
            "asked_at": datetime.fromisoformat(plain["asked_at"]),
            "expires_at": datetime.fromisoformat(plain["expires_at"]),
            "decided_at": None if at is None else datetime.fromisoformat(at),
        }
    )


_DONE: Mapping[Step, str] = {"approve": "approved", "deny": "denied", "replace": "replaced", "use": "used"}


def _size(content: bytes | None) -> str:
    return "no file" if content is None else f"{len(content)} bytes"
