"""`a4ps ask`: one question, one answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import click

from a4ps.cli.approving import attending, can_attend
from a4ps.cli.connected import call, connected
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.session import begin, offer_to_resume
from a4ps.cli.streams import standard_input
from a4ps.cli.transcript import Transcript, close, retell, tell_compared
from a4ps.errors import A4PSError, Stopped, UsageError
from a4ps.protocol.objects import AskObject
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.turns import Ask, Rerun, Resume, Turn

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
    wish = Wish(text, everyone, resume, rerun, piped)
    answered: AskObject = (
        call(frame, Turn(turn=turn_id)) if turn_id is not None else asyncio.run(_ask(frame, wish, quiet))
    )
    if frame.as_json:
        frame.print_object(answered)
    elif quiet:
        click.echo(plain(answered["answer"]))
    else:
        if turn_id is not None:
            retell(answered)
        close(answered)
        if "compared" in answered:
            tell_compared(answered["compared"])


@dataclass(frozen=True, slots=True)
class Wish:
    """What was asked for: a question, `piped` or typed, else the turn to `resume` ("" for the newest), else the one to
    `rerun`."""

    text: str | None
    everyone: bool
    resume: str | None
    rerun: str | None
    piped: bool

    def request(self, *, attended: bool) -> Request:
        """What is asked of the backend."""
        if self.rerun is not None:
            return Rerun(turn=self.rerun, attended=attended)
        if self.text is not None:
            return Ask(text=self.text, everyone=self.everyone, attended=attended, untrusted=self.piped)
        return Resume(turn=self.resume or "", attended=attended)


async def _ask(frame: Frame, wish: Wish, quiet: bool) -> AskObject:
    from a4ps.kernel.question import checked_question

    if wish.text is not None:
        checked_question(wish.text, frame.settings)  # before anything is started for it
    silent = frame.as_json or quiet
    transcript = None if silent else Transcript()
    async with connected(frame) as client:
        try:
            found = await begin(frame, client, silent=silent)
            if wish.text is not None:
                resumed = await offer_to_resume(frame, client, found, transcript, ask=not frame.as_json)
                if resumed is not None and resumed["question"] == wish.text.strip():
                    return resumed
                if resumed is not None and transcript:
                    close(resumed)
            request = wish.request(attended=transcript is not None and can_attend(frame))
            answered: AskObject = await client.call(request, attending(client, transcript))
        except (A4PSError, asyncio.CancelledError) as error:
            if transcript:
                transcript.end_line()
            if isinstance(error, A4PSError):
                raise
            # Ctrl-C, and this is the edge: nobody above waits for a cancellation.
            raise Stopped("stopped before the answer; nothing is lost", next_step="a4ps ask --resume") from None
        return answered


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
