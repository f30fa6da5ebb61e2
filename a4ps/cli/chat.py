"""`a4ps chat`: a conversation in the terminal that holds the image open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.approving import approver
from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame, framed
from a4ps.cli.interrupts import interrupt_cancels
from a4ps.cli.lines import Lines
from a4ps.cli.plain import plain
from a4ps.cli.session import offer_to_resume, opened_kernel
from a4ps.cli.streams import is_typed, somebody_is_there
from a4ps.cli.transcript import Transcript, close, retell
from a4ps.cli.why import tell_why
from a4ps.errors import A4PSError, UsageError
from a4ps.governance.taint import FILES, as_plain
from a4ps.kernel.answered import Answered, answered_turn
from a4ps.kernel.kernel import Kernel
from a4ps.kernel.why import why

if TYPE_CHECKING:
    from prompt_toolkit.history import History

#: `/` commands and their help.
SLASH = {
    "/all": "QUESTION   have all four heard, even on a trifle",
    "/turn": "ID        show an earlier turn again",
    "/why": "[ID]       show what an answer rests on",
    "/last": "[N]       list the latest turns",
    "/resume": "[ID]    finish an interrupted turn",
    "/help": "          this list",
    "/quit": "          leave (Ctrl-D does too)",
}


@click.command("chat")
@framed
def command(frame: Frame) -> None:
    """Talk with the society in this terminal.

    Ctrl-C stops the answer that is being given; Ctrl-D leaves. "/help" lists the commands.
    """
    if frame.as_json:
        raise UsageError("chat is a conversation and has no --json", next_step='a4ps ask --json "..."')
    asyncio.run(_chat(frame))


async def _chat(frame: Frame) -> None:
    async with opened_kernel(frame) as kernel:
        if kernel.notice:
            click.secho(plain(kernel.notice), fg="yellow")
        count = kernel.log.count()
        click.echo(f"{count} turn{'s' if count != 1 else ''} remembered. Ask anything; /help lists the commands.")
        if kernel.log.cut_off():
            await _guarded(_offer(frame, kernel))
        async for line in _lines(frame):
            if line in ("/quit", "/exit"):
                return
            if line:
                await _guarded(_respond(frame, kernel, line))


async def _offer(frame: Frame, kernel: Kernel) -> Answered | None:
    transcript = Transcript()
    approve = approver(frame, transcript.end_line)
    resumed = await offer_to_resume(kernel, transcript, ask=True, approve=approve)
    return _closed(resumed) if resumed else None


async def _respond(frame: Frame, kernel: Kernel, line: str) -> Answered | None:
    """One line of the user's. Returns the turn that was shown, if any."""
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    if not line.startswith("/"):
        return _closed(await _asked(frame, kernel, line))
    if word == "/all":
        return _closed(await _asked(frame, kernel, rest, everyone=True))
    if word == "/resume":
        transcript = Transcript()
        approve = approver(frame, transcript.end_line)
        return _closed(await kernel.resume(rest or None, transcript, approve=approve))
    if word == "/turn":
        answered = answered_turn(kernel.society.scrapbook.records, rest)
        retell(answered)
        return _closed(answered)
    if word == "/why":
        latest = kernel.log.latest(1)
        tell_why(why(kernel.records, rest or (latest[0][0].id if latest else "0")))
        return None
    if word == "/last":
        _list_latest(kernel, rest)
        return None
    if word == "/help":
        for name, text in SLASH.items():
            click.echo(f"  {name} {text}")
        return None
    raise UsageError(f"there is no command {word}", next_step="/help lists them")


async def _asked(frame: Frame, kernel: Kernel, question: str, *, everyone: bool = False) -> Answered:
    transcript = Transcript()
    approve = approver(frame, transcript.end_line)
    taint = () if is_typed() else as_plain(FILES)
    return await kernel.ask(question, transcript, everyone=everyone, approve=approve, taint=taint)


def _closed(answered: Answered) -> Answered:
    close(answered)
    return answered


def _list_latest(kernel: Kernel, rest: str) -> None:
    if rest and not rest.isdecimal():
        raise UsageError(f"/last takes a number, not {rest!r}", next_step="/last 5")
    digits = (rest.lstrip("0") or "0") if rest else "10"
    count = int(digits) if len(digits) < 10 else kernel.log.count()
    for turn, _ in reversed(kernel.log.latest(count)):
        question = plain(" ".join(turn.question.split()))[:70]
        click.echo(f"  {turn.id:>4}  {turn.asked_at.astimezone():%Y-%m-%d %H:%M}  {question}")


async def _guarded(work: Coroutine[Any, Any, Answered | None]) -> None:
    """Do one thing. Ctrl-C stops it, or leaves what it asks; the conversation goes on, and so it does after an error."""
    task = asyncio.ensure_future(work)
    try:
        with interrupt_cancels(task):
            await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
        click.secho("\nStopped. /resume goes on with it.", fg="yellow")
    except A4PSError as error:
        click.echo(err=True)
        tell_failure(error.message, error.next_step.replace("a4ps ask --resume", "/resume"))


async def _lines(frame: Frame) -> AsyncIterator[str]:
    """The user's lines: edited, with history and completion on a terminal; plain ones from a pipe."""
    read = _prompt(frame) if somebody_is_there() else Lines().read
    while (line := await read()) is not None:
        yield line.strip()


def _prompt(frame: Frame) -> Callable[[], Coroutine[Any, Any, str | None]]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import WordCompleter
    from prompt_toolkit.formatted_text import HTML

    session: PromptSession[str] = PromptSession(
        history=_history(frame.env.places.chat_history),
        auto_suggest=AutoSuggestFromHistory(),
        completer=WordCompleter(list(SLASH), sentence=True),
        complete_while_typing=False,
    )

    async def read() -> str | None:
        while True:
            try:
                return await session.prompt_async(HTML("\n<b>you</b> ❯ "))
            except KeyboardInterrupt:
                click.secho("Ctrl-D leaves.", dim=True)
            except EOFError:
                return None

    return read


def _history(file: Path) -> History:
    """What was typed before, readable by its owner alone; forgotten at the end where the file cannot be had."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    try:
        file.touch(mode=0o600, exist_ok=True)
        file.chmod(0o600)
    except OSError as error:
        click.secho(f"{file} cannot be kept: {error.strerror}", fg="yellow", err=True)
        return InMemoryHistory()
    return FileHistory(str(file))
