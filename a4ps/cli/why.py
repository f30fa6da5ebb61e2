"""`a4ps why`: what an answer rests on."""

from __future__ import annotations

import json
from datetime import datetime

import click

from a4ps.cli.connected import call
from a4ps.cli.frame import Frame, framed
from a4ps.cli.plain import plain
from a4ps.cli.transcript import ENDINGS, memory_name, mind_line
from a4ps.protocol.objects import VersionObject, WhyObject
from a4ps.protocol.requests.turns import WhyRequest

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
    found = call(frame, WhyRequest(turn=turn_id))
    if frame.as_json:
        frame.print_object(found)
        return
    tell_why(found)


def tell_why(found: WhyObject) -> None:
    """For people."""
    again = f" (turn {found['again']} asked again)" if found["again"] else ""
    at = datetime.fromisoformat(found["asked_at"]).astimezone()
    click.secho(f"{at:%Y-%m-%d %H:%M}  {plain(found['question'])}{again}", bold=True)
    _section("Who spoke", [line for voice in found["personas"] for line in (
        f"{voice['persona']}: {', '.join(voice['steps'])} · {_made(voice['version'], voice['change'])}",
        *(f"  with {plain(model)} {digest.removeprefix('sha256:')[:12]}".rstrip()
          for model, digest in voice["models"].items()),
    )])  # fmt: skip
    _section(
        "Remembered",
        [
            f"{memory_name(memory['id'])} ({plain(memory['source'])}, {memory['score']:.2f}): "
            f"{_short(memory['text']) or 'forgotten'}"
            for memory in found["memories"]
        ],
    )
    _section("Made from", [f"{', '.join(found['taint'])} data"] if found["taint"] else [])
    _section("Tools", [line for tool in found["tool_calls"] for line in (
        f"{_short(tool['text'])} · {tool['ms']:.0f} ms",
        f"  {_made(tool['version'], tool['change'])}",
        *([f"  evidence: {_short(json.dumps(tool['change']['evidence'], ensure_ascii=False))}"]
          if tool["change"] is not None and tool["change"]["evidence"] else []),
    )])  # fmt: skip
    _section("The argument", [
        *(
            f"round {number}: dissonance {argued['dissonance']:.2f}{' (estimated)' if argued['estimated'] else ''}"
            + "".join(f" · {each['point']} {each['stance']}" for each in argued["stances"])
            for number, argued in enumerate(found["argued"], 1)
        ),
        *(mind_line(mind) for mind in found["minds_changed"]),
        *([ENDINGS[found["rounds_ended"]]] if found["rounds_ended"] else []),
    ])  # fmt: skip
    _section("The prompts, in tokens", [
        f"{said['persona']}, {said['step']}: {said['prompt_tokens']}"
        + (f" ({', '.join(f'{part} {tokens}' for part, tokens in said['shares'].items())})" if said["shares"] else "")
        for said in found["prompts"]
    ])  # fmt: skip
    _section("Notes", [plain(note) for note in found["notes"]])
    click.echo()
    click.echo(plain(found["answer"]))


def _section(title: str, lines: list[str]) -> None:
    if lines:
        click.secho(f"\n{title}", dim=True)
        for line in lines:
            click.echo(f"  {line}")


def _made(version: int | None, change: VersionObject | None) -> str:
    if version is None:
        return "of an unknown version"
    if change is None:
        return f"version {version}"
    reason = f": {plain(change['reason'])}" if change["reason"] else ""
    return f"version {version} ({change['act']} by {plain(change['author'])}{reason})"


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return flat if len(flat) <= SHOWN_CHARS else flat[: SHOWN_CHARS - 1] + "…"
