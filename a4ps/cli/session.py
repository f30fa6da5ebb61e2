"""What `ask` and `chat` share: how a session with the society begins, with the offers that a person expects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from a4ps.cli.approving import attending, can_attend
from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame
from a4ps.cli.lines import confirm
from a4ps.cli.plain import plain
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.transcript import Transcript
from a4ps.errors import A4PSError, ModelMissing
from a4ps.protocol.objects import AskObject, CutOffObject
from a4ps.protocol.requests.turns import CutOff, Resume

if TYPE_CHECKING:
    from a4ps.client.client import Client


async def begin(frame: Frame, client: Client, *, silent: bool) -> CutOffObject:
    """The society is ready to be asked: what it says of itself is shown, and the turns that a crash cut off are returned.

    Where models are missing and somebody is there, offers to fetch all of them. Raises `ModelMissing` if nobody is there or
    the offer is declined.
    """
    try:
        found: CutOffObject = await client.call(CutOff())
    except ModelMissing as missing:
        if frame.as_json or not somebody_is_there():
            raise
        click.secho(f"{plain(missing.message)}.", fg="yellow", err=True)
        if not await confirm(f"Fetch {'it' if len(missing.models) == 1 else 'them'} now?"):
            raise
        from a4ps.cli.pulling import pull_files, pull_models

        await (pull_files if missing.engine == "llamacpp" else pull_models)(frame, missing.models)
        found = await client.call(CutOff())
    if found["notice"]:
        click.secho(plain(found["notice"]), fg="yellow", err=silent)
    return found


async def offer_to_resume(
    frame: Frame, client: Client, found: CutOffObject, transcript: Transcript | None, *, ask: bool
) -> AskObject | None:
    """Offer to finish a turn that a crash cut off, and do so if wanted.

    Where nobody is there to ask, or the turn began with another engine, says on stderr how to do it. Declined or not
    answered, the turn is set aside with the next question, and `--resume` still finds it. A resumed turn that fails is told
    and counts as declined.
    """
    if not found["turns"]:
        return None
    turn = next((turn for turn in reversed(found["turns"]) if turn["engine"] == found["engine"]), found["turns"][-1])
    question = plain(" ".join(turn["question"].split()))[:80]
    click.secho(f"Turn {turn['turn_id']} was interrupted before its answer: {question}", fg="yellow", err=True)
    if turn["engine"] != found["engine"]:
        how = f"A4PS_ENGINE={plain(turn['engine'])} a4ps ask --resume {turn['turn_id']}"
        click.echo(f"  → it began with another engine; resume it with: {how}", err=True)
        return None
    if not ask or not somebody_is_there():
        click.echo(f"  → resume it with: a4ps ask --resume {turn['turn_id']}", err=True)
        return None
    if not await confirm("Resume it now?"):
        return None
    try:
        request = Resume(turn=turn["turn_id"], attended=transcript is not None and can_attend(frame))
        resumed: AskObject = await client.call(request, attending(client, transcript))
    except A4PSError as error:
        tell_failure(error.message, error.next_step)
        return None
    return resumed
