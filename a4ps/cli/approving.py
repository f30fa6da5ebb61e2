"""How an approval looks in a terminal, and how the person there is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame
from a4ps.cli.lines import answer
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.transcript import Transcript
from a4ps.errors import A4PSError
from a4ps.governance.taint import is_tainted
from a4ps.protocol.objects import ApprovalObject
from a4ps.protocol.requests.approvals import Decide

if TYPE_CHECKING:
    from a4ps.client.client import Client

#: A value is cut here, and what was left out is counted; `--json` has all of it.
SHOWN_CHARS = 2_000


def approval_lines(approval: ApprovalObject) -> list[str]:
    """Everything about an approval, as lines. What code found out comes first; the persona's word is a quotation."""
    action = approval["action"]
    lines = [f"approval {approval['id']}: to {plain(action['text'])}", f"  state        {approval['state']}"]
    if approval["replaced_by"]:
        lines.append(f"  replaced by  {approval['replaced_by']}")
    if approval["replaces"]:
        lines.append(f"  replaces     {approval['replaces']}")
    lines.append(f"  because      {_line(approval['why'])}")
    for name, value in action["arguments"].items():
        lines.append(f"  argument     {_line(name)} = {_line(_shown(value))}")
    if action["destination"]:
        lines.append(f"  leads to     {_line(action['destination'])}")
    lines.append(f"  size         {action['size_bytes']} bytes")
    for name, version in action["versions"].items():
        lines.append(f"  version      {_line(name)} {_line(version)}")
    labels = approval["taint"]
    warning = "; something in it may have been written to lead a model astray" if is_tainted(frozenset(labels)) else ""
    lines.append(f"  made from    {', '.join(labels) or 'nothing private'} data{warning}")
    lines.append(f"  hash         {action['hash']}")
    expires = datetime.fromisoformat(approval["expires_at"]).astimezone()
    lines.append(f"  expires      {expires:%Y-%m-%d %H:%M}, which counts as denied")
    if action["diff"]:
        lines.append("  difference")
        lines += [f"    {line}" for line in _shown(action["diff"]).splitlines()]
    if approval["claim"].strip():
        lines.append(f"  {_line(approval['asked_by'])} says, and nobody has checked it:")
        lines += [f"    > {line}" for line in _shown(approval["claim"].strip()).splitlines()]
    return lines


def attending(client: Client, transcript: Transcript | None) -> Callable[[dict[str, Any]], None]:
    """Hears the steps of a command: shows them, and asks the person at the terminal where the Architect's word is wanted.

    Where nobody is there, or nothing is to be shown, the approval is left to wait: the command ends with it.
    """
    asking: set[asyncio.Task[None]] = set()

    async def ask(approval: ApprovalObject) -> None:
        assert transcript is not None
        transcript.end_line()
        click.echo("\n".join(approval_lines(approval)), err=True)
        yes = await answer("Approve of it?", default=False)
        with suppress(asyncio.CancelledError):
            try:
                await client.call(
                    Decide(id=approval["id"], step="leave" if yes is None else "approve" if yes else "deny")
                )
            except A4PSError as error:
                tell_failure(error.message, error.next_step)

    def hear(step: dict[str, Any]) -> None:
        if step.get("step") == "wanted":
            task = asyncio.ensure_future(ask(step["approval"]))
            asking.add(task)
            task.add_done_callback(asking.discard)
        elif transcript is not None:
            transcript(step)

    return hear


def can_attend(frame: Frame) -> bool:
    """Whether a person is there who can be asked."""
    return not frame.as_json and somebody_is_there()


def _line(text: str) -> str:
    """A text on one line: what a model chose must not look like a line of ours."""
    return plain(text).replace("\n", "⏎").replace("\t", " ")


def _shown(text: str) -> str:
    left_out = len(text) - SHOWN_CHARS
    return plain(text if left_out <= 0 else f"{text[:SHOWN_CHARS]}… ({left_out} more characters)")
