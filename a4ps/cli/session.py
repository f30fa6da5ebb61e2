"""What `ask` and `chat` share: a kernel opened with the offers that a person expects."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import click

from a4ps.cli.frame import Frame
from a4ps.cli.pulling import pull_models
from a4ps.errors import ModelMissing
from a4ps.kernel.answered import Answered
from a4ps.kernel.kernel import Kernel
from a4ps.kernel.wiring import open_kernel
from a4ps.society.progress import Listener


def somebody_is_there() -> bool:
    """Whether a person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()


@asynccontextmanager
async def opened_kernel(frame: Frame) -> AsyncIterator[Kernel]:
    """An open kernel. Where a model is missing and somebody is there, offers to fetch it; else raises `ModelMissing`."""
    try:
        kernel = await open_kernel(frame.env)
    except ModelMissing as missing:
        if frame.as_json or not somebody_is_there():
            raise
        click.echo(f"The model {missing.model} is not installed.")
        if not click.confirm("Fetch it now?", default=True):
            raise
        await pull_models(frame, (missing.model,))
        kernel = await open_kernel(frame.env)
    try:
        yield kernel
    finally:
        await kernel.aclose()


async def offer_to_resume(kernel: Kernel, listener: Listener, *, ask: bool) -> Answered | None:
    """Offer to finish a turn that a crash cut off, and do so if wanted.

    Where nobody is there to ask, says on stderr how to do it. Declined or not answered, the turn is set aside with the
    next question, and `--resume` still finds it.
    """
    waiting = kernel.log.cut_off()
    if not waiting:
        return None
    turn = waiting[-1]
    click.secho(f"Turn {turn.id} was interrupted before its answer: {turn.question[:80]}", fg="yellow", err=True)
    if ask and somebody_is_there():
        if click.confirm("Resume it now?", default=True, err=True):
            return await kernel.resume(turn.id, listener)
    else:
        click.echo(f"  → resume it with: a4ps ask --resume {turn.id}", err=True)
    return None
