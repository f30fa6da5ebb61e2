"""`a4ps approvals`: what waits for the Architect's word."""

from __future__ import annotations

import click

from a4ps.cli.approving import approval_lines
from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.client.given_files import files_of
from a4ps.protocol.objects import ApprovalObject, ApprovalsObject
from a4ps.protocol.requests.approvals import Approval, Approvals, Decide, EditApproval


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
    found: ApprovalsObject = call(frame, Approvals(everything=everything))
    if frame.as_json:
        frame.print_object(found)
        return
    for approval in found["approvals"]:
        state = "" if approval["state"] == "waiting" else f"  ({approval['state']})"
        click.echo(f"{approval['id']:>6}  {plain(approval['action']['text'])}{state}")
    if not found["approvals"]:
        click.echo("Nothing waits for your approval.")


@command.command("show")
@click.argument("id_", metavar="ID")
@framed
def show(frame: Frame, id_: str) -> None:
    """Show all of approval ID: what would happen, as code has found it out, and what a persona says of it."""
    approval: ApprovalObject = call(frame, Approval(id=id_))
    if frame.as_json:
        frame.print_object(approval)
        return
    click.echo("\n".join(approval_lines(approval)))
    if approval["state"] == "waiting":
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
    approval: ApprovalObject = call(frame, Decide(id=id_, step="approve", digest=digest, remember=remember))
    if frame.as_json:
        frame.print_object(approval)
        return
    click.echo(f"Approved: to {plain(approval['action']['text'])}{', from now on' if remember else ''}.")
    click.echo(f"Go on with the turn: a4ps ask --resume {approval['turn_id']}")


@command.command("deny")
@click.argument("id_", metavar="ID")
@framed
def deny(frame: Frame, id_: str) -> None:
    """Forbid what approval ID asks for, or take an approval back.

    The turn goes on without it. For one that was remembered: it is not, from now on.
    """
    approval: ApprovalObject = call(frame, Decide(id=id_, step="deny"))
    if frame.as_json:
        frame.print_object(approval)
        return
    if approval["state"] == "used":
        click.echo(f"Not remembered any more: to {plain(approval['action']['text'])}.")
        return
    click.echo(f"Denied: to {plain(approval['action']['text'])}.")
    click.echo(f"Go on with the turn: a4ps ask --resume {approval['turn_id']}")


@command.command("edit", context_settings={"ignore_unknown_options": True})
@click.argument("id_", metavar="ID")
@click.argument("changes", nargs=-1, required=True, type=click.UNPROCESSED, metavar="NAME=VALUE...")
@framed
def edit(frame: Frame, id_: str, changes: tuple[str, ...]) -> None:
    """Change arguments of what approval ID asks for: a new approval takes its place, and waits.

    Values are written as for `tools run`: texts as they are, others as in Python or JSON, files as @FILE.
    """
    approval: ApprovalObject = call(frame, EditApproval(id=id_, changes=list(changes), files=files_of(changes)))
    if frame.as_json:
        frame.print_object(approval)
        return
    click.echo("\n".join(approval_lines(approval)))
    click.echo(f"\nIt waits. Approve of it: a4ps approvals approve {approval['id']}")
