"""Whether an action may happen: a policy for each kind, set by the Architect, and one rule that no policy lifts.

The rule: where private and untrusted data have come together, nothing takes a way out (`ways_out`) before the Architect
has seen it and agreed; and what was agreed to in a context with untrusted data is agreed to this once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, TypeAlias, get_args

from a4ps.governance.taint import Taint, could_leak, is_tainted
from a4ps.governance.ways_out import is_way_out
from a4ps.settings import ActionName, PolicyName


class Policy(StrEnum):
    """What the Architect has said of a kind of action."""

    ALWAYS = "always"
    ASK = "ask"
    NEVER = "never"


#: What stands where the settings say nothing. Each of these is an action that a turn can want.
DEFAULTS: Mapping[ActionName, Policy] = {
    "tool-use": Policy.ALWAYS,
    "tool-in-process": Policy.ASK,
    "tool-forge": Policy.ASK,
    "tool-keep": Policy.ASK,
    "tool-mend": Policy.ASK,
    "file-write": Policy.ASK,
    "turn-restart": Policy.ASK,
}
ACTIONS: tuple[ActionName, ...] = get_args(ActionName)

Verdict: TypeAlias = Literal["allowed", "ask", "refused"]


@dataclass(frozen=True, slots=True)
class Decision:
    """`why` is a phrase for the Architect, "" where it is allowed. `rememberable`: a yes may count for the next time."""

    verdict: Verdict
    why: str = ""
    rememberable: bool = False


def policy_of(kind: str, policies: Mapping[ActionName, PolicyName]) -> Policy:
    """The policy of a kind: the settings', else the default. A kind that nobody has heard of is asked about."""
    said = {**DEFAULTS, **policies}
    return next((Policy(policy) for name, policy in said.items() if name == kind), Policy.ASK)


def decide(kind: str, policies: Mapping[ActionName, PolicyName], taint: Taint, *, remembered: bool = False) -> Decision:
    """Whether an action of `kind` may happen in a context of `taint`.

    `remembered`: the Architect has agreed to this very action for good.
    """
    policy = policy_of(kind, policies)
    if policy is Policy.NEVER:
        return Decision("refused", f"the policy for {kind} is never")
    if is_way_out(kind) and could_leak(taint):
        return Decision("ask", "private and untrusted data have come together, and this is a way out")
    if policy is Policy.ALWAYS or (remembered and not is_tainted(taint)):
        return Decision("allowed")
    return Decision("ask", f"the policy for {kind} is ask", rememberable=not is_tainted(taint))
