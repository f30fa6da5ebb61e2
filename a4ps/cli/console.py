"""`a4ps console`: the Architect's workspace in the living image."""

from __future__ import annotations

import asyncio
import codeop
import re
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from a4ps.cli.connected import connected
from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame, framed
from a4ps.cli.interrupts import interrupts_are
from a4ps.cli.lines import Lines
from a4ps.cli.plain import spelt_out
from a4ps.cli.prompting import history
from a4ps.cli.streams import json_line, somebody_is_there
from a4ps.errors import A4PSError
from a4ps.protocol.objects import EvaluatedObject
from a4ps.protocol.requests.console import Complete, Evaluate, Interrupt

if TYPE_CHECKING:
    from prompt_toolkit.completion import CompleteEvent, Completion
    from prompt_toolkit.document import Document

    from a4ps.client.client import Client

GREETING = "image, brick, robin, babs, alfred and ask(...) are at hand; each entry is one change. Ctrl-D leaves."


@click.command("console")
@framed
def command(frame: Frame) -> int:
    """Evaluate Python in the backend, among the living objects: brick.mood = "calm", ask("..."), image.names().

    What an entry changes is one recorded change, made when it has ended well; history, diff and revert know it. In a
    terminal with history and completion; lines of a pipe are evaluated one after the other, and the exit code is 1 where one
    of them raised. With --json, one object for each entry.
    """
    return asyncio.run(_console(frame))


async def _console(frame: Frame) -> int:
    failed = False
    async with connected(frame) as client:
        if somebody_is_there() and not frame.as_json:
            click.secho(GREETING, dim=True)
        async for source in _entries(frame, client):
            if not source.strip():
                continue
            try:
                found = await _evaluated(client, source)
            except A4PSError as error:
                tell_failure(error.message, error.next_step)
                failed = True
                continue
            failed = failed or bool(found["error"])
            _show(frame, found)
    return 1 if failed and not somebody_is_there() else 0  # who is there has seen it, and may have gone on


async def _evaluated(client: Client, source: str) -> EvaluatedObject:
    """Ctrl-C interrupts the entry, and its outcome is awaited: what it had done is told."""
    asked: set[asyncio.Task[object]] = set()

    def interrupt() -> None:
        async def ask() -> None:
            with suppress(A4PSError):
                await client.call(Interrupt())

        task = asyncio.ensure_future(ask())
        asked.add(task)
        task.add_done_callback(asked.discard)

    with interrupts_are(interrupt):
        found: EvaluatedObject = await client.call(Evaluate(source=source))
    return found


def _show(frame: Frame, found: EvaluatedObject) -> None:
    if frame.as_json:
        click.echo(json_line(found))
        return
    if found["output"]:
        click.echo(spelt_out(found["output"].rstrip("\n")))
    if found["value"]:
        click.echo(spelt_out(found["value"]))
    if found["error"]:
        click.secho(spelt_out(found["error"].rstrip("\n")), fg="red")
    if found["cut"]:
        click.secho("(there was more, which is not shown)", dim=True)
    if found["change"] is not None:
        click.secho(f"change {found['change']}", dim=True)


async def _entries(frame: Frame, client: Client) -> AsyncIterator[str]:
    """What is entered, each whole: lines that go on are taken together."""
    if somebody_is_there():
        async for source in _prompted(frame, client):
            yield source
        return
    lines, source = Lines(), ""
    while (line := await lines.read()) is not None:
        source = f"{source}\n{line}" if source else line
        if _is_whole(source):
            yield source
            source = ""
    if source:
        yield source


async def _prompted(frame: Frame, client: Client) -> AsyncIterator[str]:
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.completion import Completer, Completion
    from prompt_toolkit.filters import Condition
    from prompt_toolkit.formatted_text import HTML
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

    class Names(Completer):
        def get_completions(self, document: Document, complete_event: CompleteEvent) -> list[Completion]:  # noqa: ARG002
            return []  # asked in the event loop only

        async def get_completions_async(
            self,
            document: Document,
            complete_event: CompleteEvent,  # noqa: ARG002
        ) -> AsyncGenerator[Completion, None]:
            with suppress(A4PSError):
                found = await client.call(Complete(text=document.text, cursor=document.cursor_position))
                begun = re.search(r"\w*$", document.text_before_cursor)
                for name in found["names"]:
                    yield Completion(name, start_position=-len(begun[0]) if begun else 0)

    keys = KeyBindings()
    session: PromptSession[str] = PromptSession(
        history=history(frame.places.console_history),
        auto_suggest=AutoSuggestFromHistory(),
        completer=Names(),
        complete_while_typing=False,
        multiline=True,
        key_bindings=keys,
        prompt_continuation="  … ",
    )

    # The next line of a block begins as the one before it does: one that has only that is an empty one.
    @keys.add("enter", filter=Condition(lambda: _is_whole(session.default_buffer.text.rstrip(" \t"))))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    while True:
        try:
            yield await session.prompt_async(HTML("<b>a4ps</b> ❯ "))
        except KeyboardInterrupt:
            click.secho("Ctrl-D leaves.", dim=True)
        except EOFError:
            return


def _is_whole(source: str) -> bool:
    """Whether nothing is missing at the end; a block ends with an empty line, as at Python's own prompt."""
    try:
        return codeop.compile_command(source, symbol="single") is not None
    except (SyntaxError, ValueError, OverflowError):
        return True  # the backend says what is wrong with it
