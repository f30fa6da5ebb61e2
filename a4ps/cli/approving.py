"""How an approval looks in a terminal, and how the person there is asked."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import click

from a4ps.cli.frame import Frame
from a4ps.cli.lines import answer
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.governance.approvals import Approval
from a4ps.governance.taint import as_plain, is_tainted
from a4ps.society.gate import Approver

#: A value is cut here, and what was left out is counted; `--json` has all of it.
SHOWN_CHARS = 2_000


def approval_lines(approval: Approval, now: datetime) -> list[str]:
    """Everything about an approval, as lines. What code found out comes first; the persona's word is a quotation."""
    action = approval.action
    state = approval.state_at(now)
    lines = [f"approval {approval.id}: to {plain(str(action))}", f"  state        {state}"]
    if approval.replaced_by:
        lines.append(f"  replaced by  {approval.replaced_by}")
    if approval.replaces:
        lines.append(f"  replaces     {approval.replaces}")
    lines.append(f"  because      {_line(approval.why)}")
    for name, value in action.arguments.items():
        lines.append(f"  argument     {_line(name)} = {_line(_shown(value))}")
    if action.destination:
        lines.append(f"  leads to     {_line(action.destination)}")
    lines.append(f"  size         {action.size_bytes} bytes")
    for name, version in action.versions.items():
        lines.append(f"  version      {_line(name)} {_line(version)}")
    warning = "; something in it may have been written to lead a model astray" if is_tainted(approval.taint) else ""
    lines.append(f"  made from    {', '.join(as_plain(approval.taint)) or 'nothing private'} data{warning}")
    lines.append(f"  hash         {action.digest}")
    lines.append(f"  expires      {approval.expires_at.astimezone():%Y-%m-%d %H:%M}, which counts as denied")
    if action.diff:
        lines.append("  difference")
        lines += [f"    {line}" for line in _shown(action.diff).splitlines()]
    if approval.claim.strip():
        lines.append(f"  {_line(approval.asked_by)} says, and nobody has checked it:")
        lines += [f"    > {line}" for line in _shown(approval.claim.strip()).splitlines()]
    return lines


def approver(frame: Frame, before: Callable[[], None]) -> Approver | None:
    """Asks the person at the terminal, after `before`; None where nobody is there or one object is wanted."""
    if frame.as_json or not somebody_is_there():
        return None

    async def approve(approval: Approval) -> bool | None:
        before()
        click.echo("\n".join(approval_lines(approval, approval.asked_at)), err=True)
        return await answer("Approve of it?", default=False)

    return approve


def _line(text: str) -> str:
    """A text on one line: what a model chose must not look like a line of ours."""
    return plain(text).replace("\n", "⏎").replace("\t", " ")


def _shown(text: str) -> str:
    left_out = len(text) - SHOWN_CHARS
    return plain(text if left_out <= 0 else f"{text[:SHOWN_CHARS]}… ({left_out} more characters)")
