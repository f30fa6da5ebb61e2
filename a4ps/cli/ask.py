"""`a4ps ask`: one question, one answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import click

from a4ps.cli.approving import approver
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.streams import standard_input
from a4ps.cli.transcript import Transcript, close, retell, tell_compared
from a4ps.errors import A4PSError, Stopped, UsageError
from a4ps.governance.taint import FILES, as_plain
from a4ps.kernel.answered import Answered, answered_turn
from a4ps.kernel.compared import Compared, compared
from a4ps.kernel.wiring import open_records
from a4ps.society.progress import Progress

#: Read of standard input stops here: far beyond any question that is accepted.
STDIN_BYTES = 4_000_000


@click.command("ask")
@click.argument("text", required=False)
@click.option("--all", "everyone", is_flag=True, help="Have all four heard, even on a greeting.")
@click.option(
    "--resume", "resume", is_flag=False, flag_value="", metavar="[ID]", help="Finish a turn that was interrupted."
)
@click.option("--turn", "turn_id", metavar="ID", help="Show an earlier turn again.")
@click.option("--rerun", "rerun", metavar="ID", help="Ask an earlier turn's question again, and compare.")
@click.option("-q", "--quiet", is_flag=True, help="Print the answer alone.")
@framed
def command(
    frame: Frame,
    text: str | None,
    everyone: bool,
    resume: str | None,
    turn_id: str | None,
    rerun: str | None,
    quiet: bool,
) -> None:
    """Ask the society TEXT; "-" reads it from standard input, and takes it for anybody's words: untrusted, as a file is.

    The four deliberate before you: ALFRED plans, BRICK states a thesis, ROBIN answers it, BABS brings findings, ALFRED
    judges. The answer is kept in the image; later questions can refer to it. --rerun has today's personas answer an earlier
    question once more, with what was known then, and shows how the answers differ.
    """
    if sum(given is not None for given in (text, resume, turn_id, rerun)) != 1:
        raise UsageError(
            "give one of: a question, --resume, --rerun ID, or --turn ID",
            next_step='a4ps ask "What should I read first?"',
        )
    if everyone and text is None:
        raise UsageError("--all belongs to a new question", next_step="a4ps ask --help")
    piped = text == "-"
    if piped:
        text = _read_stdin()
    beside = None
    if turn_id is not None:
        with open_records(frame.env) as records:
            answered = answered_turn(records, turn_id)
    else:
        answered, beside = asyncio.run(_ask(frame, Wish(text, everyone, resume, rerun, piped), quiet))
    if frame.as_json:
        frame.print_object({**answered.as_json(), **({} if beside is None else {"compared": beside.as_json()})})
    elif quiet:
        click.echo(plain(answered.reply.answer))
    else:
        if turn_id is not None:
            retell(answered)
        close(answered)
        if beside is not None:
            tell_compared(beside)


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: a question, `piped` or typed, else the turn to `resume` ("" for the newest), else the one to
    `rerun`."""

    text: str | None
    everyone: bool
    resume: str | None
    rerun: str | None
    piped: bool


async def _ask(frame: Frame, wish: Wish, quiet: bool) -> tuple[Answered, Compared | None]:
    from a4ps.cli.session import offer_to_resume, opened_kernel
    from a4ps.kernel.kernel import checked_question

    text = None if wish.text is None else checked_question(wish.text, frame.env.settings)
    silent = frame.as_json or quiet
    transcript = None if silent else Transcript()
    listener = transcript or _ignore
    async with opened_kernel(frame) as kernel:
        if kernel.notice:
            click.secho(plain(kernel.notice), fg="yellow", err=silent)
        try:
            approve = None if transcript is None else approver(frame, transcript.end_line)
            if wish.rerun is not None:
                answered = await kernel.rerun(wish.rerun, listener, approve=approve)
                return answered, compared(kernel.records, answered)
            if text is None:
                return await kernel.resume(wish.resume or None, listener, approve=approve), None
            resumed = await offer_to_resume(kernel, listener, ask=not frame.as_json, approve=approve)
            if resumed is not None and resumed.turn.question == text:
                return resumed, None
            if resumed is not None and transcript:
                close(resumed)
            taint = as_plain(FILES) if wish.piped else ()
            return await kernel.ask(text, listener, everyone=wish.everyone, approve=approve, taint=taint), None
        except (A4PSError, asyncio.CancelledError) as error:
            if transcript:
                transcript.end_line()
            if isinstance(error, A4PSError):
                raise
            # Ctrl-C, and this is the edge: nobody above waits for a cancellation.
            raise Stopped("stopped before the answer; nothing is lost", next_step="a4ps ask --resume") from None


def _ignore(progress: Progress) -> None:
    """A listener for those who want the result alone."""
    del progress


def _read_stdin() -> str:
    stream = standard_input()
    try:
        return stream.read(STDIN_BYTES).decode("utf-8")
    except OSError as error:
        raise UsageError(f"standard input cannot be read: {error.strerror}", next_step="a4ps ask --help") from error
    except UnicodeDecodeError as error:
        raise UsageError(
            f"standard input is not UTF-8 text (byte {error.start})", next_step="convert it, for example with iconv"
        ) from error
