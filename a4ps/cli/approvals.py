"""`a4ps approvals`: what waits for the Architect's word."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import click

from a4ps.cli.approving import approval_lines
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.tool_arguments import read_arguments, read_value
from a4ps.errors import ApprovalRefused, UsageError
from a4ps.governance.approvals import Approval, State
from a4ps.governance.taint import as_plain
from a4ps.image.approvals import Approvals
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.tools.actions import edited
from a4ps.tools.registry import ToolRegistry


@click.group("approvals")
def command() -> None:
    """Look at what the personas want to do, and allow or forbid it.

    A turn that needs your word, asked where nobody is there, ends with exit code 3 and waits. Approve, then: a4ps ask
    --resume ID. What kind of action needs it is set by policies: a4ps config set policies file-write=never
    """


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Show those that have been decided as well.")
@framed
def list_approvals(frame: Frame, everything: bool) -> None:
    """Show the approvals that wait."""
    with _opened(frame) as (approvals, _, now):
        found = approvals.all() if everything else approvals.waiting()
    if frame.as_json:
        frame.print_object({"approvals": [_object(approval, now) for approval in found]})
        return
    for approval in found:
        state = "" if approval.state_at(now) == "waiting" else f"  ({approval.state_at(now)})"
        click.echo(f"{approval.id:>6}  {plain(str(approval.action))}{state}")
    if not found:
        click.echo("Nothing waits for your approval.")


@command.command("show")
@click.argument("id_", metavar="ID")
@framed
def show(frame: Frame, id_: str) -> None:
    """Show all of approval ID: what would happen, as code has found it out, and what a persona says of it."""
    with _opened(frame) as (approvals, _, now):
        approval = approvals.get(id_)
    if frame.as_json:
        frame.print_object(_object(approval, now))
        return
    click.echo("\n".join(approval_lines(approval, now)))
    if approval.state_at(now) == "waiting":
        click.echo(f"\nApprove of it: a4ps approvals approve {id_}    Deny it: a4ps approvals deny {id_}")


@command.command("approve")
@click.argument("id_", metavar="ID")
@click.option("--hash", "digest", metavar="HASH", help="Approve only the action of this hash, as `show` prints it.")
@click.option("--remember", is_flag=True, help="Allow the very same action from now on, in every turn.")
@framed
def approve(frame: Frame, id_: str, digest: str | None, remember: bool) -> None:
    """Allow what approval ID asks for, once.

    It is bound to what `show` prints: where an argument, a version or the file has changed by then, you are asked again.
    What was asked for in a context with untrusted data cannot be remembered.
    """
    with _opened(frame) as (approvals, _, now):
        waiting = approvals.get(id_)
        if digest is not None and not (len(digest) >= 8 and waiting.action.digest.startswith(digest)):
            raise ApprovalRefused(
                f"approval {id_} is for another action: {waiting.action.digest[:16]}",
                next_step=f"a4ps approvals show {id_}",
            )
        approval = approvals.decide(id_, "approve", remember=remember)
    if frame.as_json:
        frame.print_object(_object(approval, now))
        return
    click.echo(f"Approved: to {plain(str(approval.action))}{', from now on' if remember else ''}.")
    click.echo(f"Go on with the turn: a4ps ask --resume {approval.where.turn}")


@command.command("deny")
@click.argument("id_", metavar="ID")
@framed
def deny(frame: Frame, id_: str) -> None:
    """Forbid what approval ID asks for, or take an approval back.

    The turn goes on without it. For one that was remembered: it is not, from now on.
    """
    with _opened(frame) as (approvals, _, now):
        approval = approvals.decide(id_, "deny")
    if frame.as_json:
        frame.print_object(_object(approval, now))
        return
    if approval.state == "used":
        click.echo(f"Not remembered any more: to {plain(str(approval.action))}.")
        return
    click.echo(f"Denied: to {plain(str(approval.action))}.")
    click.echo(f"Go on with the turn: a4ps ask --resume {approval.where.turn}")


@command.command("edit", context_settings={"ignore_unknown_options": True})
@click.argument("id_", metavar="ID")
@click.argument("changes", nargs=-1, required=True, type=click.UNPROCESSED, metavar="NAME=VALUE...")
@framed
def edit(frame: Frame, id_: str, changes: tuple[str, ...]) -> None:
    """Change arguments of what approval ID asks for: a new approval takes its place, and waits.

    Values are written as for `tools run`: texts as they are, others as in Python or JSON, files as @FILE.
    """
    with _opened(frame) as (approvals, registry, now):
        before = approvals.get(id_)
        action = edited(registry, before.action, _changes(registry, before, changes))
        approval = approvals.edit(id_, action)
    if frame.as_json:
        frame.print_object(_object(approval, now))
        return
    click.echo("\n".join(approval_lines(approval, now)))
    click.echo(f"\nIt waits. Approve of it: a4ps approvals approve {approval.id}")


@contextmanager
def _opened(frame: Frame) -> Iterator[tuple[Approvals, ToolRegistry, datetime]]:
    with ProtoManager.open(frame.env.places.image, keys=KeyFolder(frame.env.places.keys)) as manager:
        approvals = Approvals(manager.store, hours=frame.env.settings.approval_hours)
        yield approvals, ToolRegistry(manager, None), manager.store.clock.now()


def _changes(registry: ToolRegistry, approval: Approval, given: tuple[str, ...]) -> dict[str, Any]:
    """Argument → new value. Raises UsageError."""
    if approval.action.kind in ("tool-use", "tool-in-process"):
        specification = registry.get(approval.action.what).specification
        places, names = read_arguments(given, specification)
        if places:
            raise UsageError("each change needs a name", next_step=f"it is {specification.signature}")
        return names
    pairs = [each.partition("=") for each in given]
    if not all(equals for _, equals, _ in pairs):
        raise UsageError("each change is NAME=VALUE", next_step=f"a4ps approvals show {approval.id}")
    return {name: read_value(value) for name, _, value in pairs}


def _object(approval: Approval, now: datetime) -> dict[str, Any]:
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
