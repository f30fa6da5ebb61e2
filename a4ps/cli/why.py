"""`a4ps why`: what an answer rests on."""

from __future__ import annotations

import json

import click

from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.transcript import ENDINGS, memory_name, mind_line
from a4ps.image.changes import Change
from a4ps.kernel.why import TOOL, Why, why
from a4ps.kernel.wiring import open_records

#: How much of a memory or a tool's result is shown, in characters.
SHOWN_CHARS = 160


@click.command("why")
@click.argument("turn_id", metavar="TURN")
@framed
def command(frame: Frame, turn_id: str) -> None:
    """Show what the answer of TURN rests on.

    The memories that it used with score and source, what kinds of data it was made from, the versions of the personas that
    spoke and the models they spoke with, the calls of tools with their evidence, how the argument went, and what each prompt
    was made of.
    """
    with open_records(frame.env) as records:
        found = why(records, turn_id)
    if frame.as_json:
        frame.print_object(found.as_json())
        return
    tell_why(found)


def tell_why(found: Why) -> None:
    """For people."""
    turn, reply = found.turn, found.reply
    again = f" (turn {turn.again} asked again)" if turn.again else ""
    click.secho(f"{turn.asked_at.astimezone():%Y-%m-%d %H:%M}  {plain(turn.question)}{again}", bold=True)
    _section("Who spoke", [line for voice in found.voices for line in (
        f"{voice.persona}: {', '.join(voice.steps)} · {_made(voice.version, voice.change)}",
        *(f"  with {plain(model)} {digest.removeprefix('sha256:')[:12]}".rstrip() for model, digest in voice.models.items()),
    )])  # fmt: skip
    _section(
        "Remembered",
        [
            f"{memory_name(memory.id)} ({plain(memory.source)}, {memory.score:.2f}): {_short(memory.text) or 'forgotten'}"
            for memory in found.memories
        ],
    )
    _section("Made from", [f"{', '.join(reply.taint)} data"] if reply.taint else [])
    _section("Tools", [line for call in found.tools for line in (
        f"{_short(call.text)} · {call.ms:.0f} ms",
        f"  {_made(call.version, call.change)}",
        *([f"  evidence: {_short(json.dumps(call.change.evidence, ensure_ascii=False))}"]
          if call.change is not None and call.change.evidence else []),
    )])  # fmt: skip
    _section("The argument", [
        *(
            f"round {number}: dissonance {argued.dissonance:.2f}{' (estimated)' if argued.estimated else ''}"
            + "".join(f" · {point} {stance}" for point, stance, _ in argued.stances)
            for number, argued in enumerate(reply.argued, 1)
        ),
        *(mind_line(mind) for mind in reply.minds),
        *([ENDINGS[reply.ended]] if reply.ended else []),
    ])  # fmt: skip
    _section("The prompts, in tokens", [
        f"{said.persona}, {said.role}: {said.prompt_tokens}"
        + (f" ({', '.join(f'{part} {tokens}' for part, tokens in said.shares.items())})" if said.shares else "")
        for said in reply.contributions
        if said.role != TOOL
    ])  # fmt: skip
    _section("Notes", [plain(note) for note in reply.notes])
    click.echo()
    click.echo(plain(reply.answer))


def _section(title: str, lines: list[str]) -> None:
    if lines:
        click.secho(f"\n{title}", dim=True)
        for line in lines:
            click.echo(f"  {line}")


def _made(version: int | None, change: Change | None) -> str:
    if version is None:
        return "of an unknown version"
    if change is None:
        return f"version {version}"
    reason = f": {plain(change.reason)}" if change.reason else ""
    return f"version {version} ({change.act} by {plain(change.author)}{reason})"


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"
