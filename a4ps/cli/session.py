"""What `ask` and `chat` share: a kernel opened with the offers that a person expects."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame
from a4ps.cli.lines import confirm
from a4ps.cli.plain import plain
from a4ps.cli.pulling import pull_files, pull_models
from a4ps.cli.streams import somebody_is_there
from a4ps.errors import A4PSError, ModelMissing
from a4ps.kernel.answered import Answered
from a4ps.kernel.kernel import Kernel
from a4ps.kernel.wiring import open_kernel
from a4ps.society.gate import Approver
from a4ps.society.progress import Listener


@asynccontextmanager
async def opened_kernel(frame: Frame) -> AsyncIterator[Kernel]:
    """An open kernel. Where models are missing and somebody is there, offers to fetch all of them.

    Raises `ModelMissing` if nobody is there or the offer is declined.
    """
    try:
        kernel = await open_kernel(frame.env)
    except ModelMissing as missing:
        if frame.as_json or not somebody_is_there():
            raise
        click.secho(f"{plain(missing.message)}.", fg="yellow", err=True)
        if not await confirm(f"Fetch {'it' if len(missing.models) == 1 else 'them'} now?"):
            raise
        await (pull_files if missing.engine == "llamacpp" else pull_models)(frame, missing.models)
        kernel = await open_kernel(frame.env)
    try:
        yield kernel
    finally:
        await kernel.aclose()


async def offer_to_resume(
    kernel: Kernel, listener: Listener, *, ask: bool, approve: Approver | None
) -> Answered | None:
    """Offer to finish a turn that a crash cut off, and do so if wanted; `approve` asks the Architect where it has to.

    Where nobody is there to ask, or the turn began with another engine than the kernel's, says on stderr how to do it.
    Declined or not answered, the turn is set aside with the next question, and `--resume` still finds it. A resumed turn
    that fails is told and counts as declined.
    """
    waiting = kernel.log.cut_off()
    if not waiting:
        return None
    turn = next((turn for turn in reversed(waiting) if turn.engine == kernel.engine.name), waiting[-1])
    question = plain(" ".join(turn.question.split()))[:80]
    click.secho(f"Turn {turn.id} was interrupted before its answer: {question}", fg="yellow", err=True)
    if turn.engine != kernel.engine.name:
        how = f"A4PS_ENGINE={plain(turn.engine)} a4ps ask --resume {turn.id}"
        click.echo(f"  → it began with another engine; resume it with: {how}", err=True)
        return None
    if not ask or not somebody_is_there():
        click.echo(f"  → resume it with: a4ps ask --resume {turn.id}", err=True)
        return None
    if not await confirm("Resume it now?"):
        return None
    try:
        return await kernel.resume(turn.id, listener, approve=approve)
    except A4PSError as error:
        tell_failure(error.message, error.next_step)
        return None
