"""`a4ps chat`: a conversation in the terminal that holds the image open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from a4ps.cli.approving import attending, can_attend
from a4ps.cli.connected import connected
from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame, framed
from a4ps.cli.interrupts import interrupt_cancels
from a4ps.cli.lines import Lines
from a4ps.cli.plain import plain
from a4ps.cli.prompting import history
from a4ps.cli.session import begin, offer_to_resume
from a4ps.cli.streams import is_typed, somebody_is_there
from a4ps.cli.transcript import Transcript, close, retell
from a4ps.cli.why import tell_why
from a4ps.errors import A4PSError, UsageError
from a4ps.protocol.objects import AskObject, CutOffObject
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.turns import Ask, Latest, Resume, Turn, WhyRequest

if TYPE_CHECKING:
    from a4ps.client.client import Client

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
    chat(frame)


def chat(frame: Frame) -> None:
    """Talk until they leave."""
    asyncio.run(_chat(frame))


async def _chat(frame: Frame) -> None:
    async with connected(frame) as client:
        found = await begin(frame, client, silent=False)
        count = (await client.call(Latest(limit=0)))["count"]
        click.echo(f"{count} turn{'s' if count != 1 else ''} remembered. Ask anything; /help lists the commands.")
        if found["turns"]:
            await _guarded(_offer(frame, client, found))
        async for line in _lines(frame):
            if line in ("/quit", "/exit"):
                return
            if line:
                await _guarded(_respond(frame, client, line))


async def _offer(frame: Frame, client: Client, found: CutOffObject) -> AskObject | None:
    resumed = await offer_to_resume(frame, client, found, Transcript(), ask=True)
    return _closed(resumed) if resumed else None


async def _respond(frame: Frame, client: Client, line: str) -> AskObject | None:
    """One line of the user's. Returns the turn that was shown, if any."""
    word, _, rest = line.partition(" ")
    rest = rest.strip()
    attended = can_attend(frame)
    if not line.startswith("/"):
        return await _asked(client, Ask(text=line, attended=attended, untrusted=not is_typed()))
    if word == "/all":
        return await _asked(client, Ask(text=rest, everyone=True, attended=attended, untrusted=not is_typed()))
    if word == "/resume":
        return await _asked(client, Resume(turn=rest, attended=attended))
    if word == "/turn":
        answered: AskObject = await client.call(Turn(turn=rest))
        retell(answered)
        return _closed(answered)
    if word == "/why":
        tell_why(await client.call(WhyRequest(turn=rest)))
        return None
    if word == "/last":
        await _list_latest(client, rest)
        return None
    if word == "/help":
        for name, text in SLASH.items():
            click.echo(f"  {name} {text}")
        return None
    raise UsageError(f"there is no command {word}", next_step="/help lists them")


async def _asked(client: Client, request: Request) -> AskObject:
    transcript = Transcript()
    try:
        answered: AskObject = await client.call(request, attending(client, transcript))
    except BaseException:
        transcript.end_line()
        raise
    return _closed(answered)


def _closed(answered: AskObject) -> AskObject:
    close(answered)
    return answered


async def _list_latest(client: Client, rest: str) -> None:
    if rest and not rest.isdecimal():
        raise UsageError(f"/last takes a number, not {rest!r}", next_step="/last 5")
    digits = (rest.lstrip("0") or "0") if rest else "10"
    count = int(digits) if len(digits) < 7 else 1_000_000
    for turn in reversed((await client.call(Latest(limit=count)))["turns"]):
        question = plain(" ".join(turn["question"].split()))[:70]
        at = datetime.fromisoformat(turn["asked_at"]).astimezone()
        click.echo(f"  {turn['turn_id']:>4}  {at:%Y-%m-%d %H:%M}  {question}")


async def _guarded(work: Coroutine[Any, Any, AskObject | None]) -> None:
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
        history=history(frame.places.chat_history),
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
