"""How a turn looks in a terminal: each persona's words as they come, then the figures."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

import click

from a4ps.cli.forging import forge_line
from a4ps.cli.plain import plain
from a4ps.cli.wrapping import Wrapper
from a4ps.image.turns import Mind
from a4ps.kernel.answered import Answered
from a4ps.kernel.compared import Compared
from a4ps.society.progress import (
    Accepted,
    Began,
    Changed,
    Ended,
    Forging,
    LoadingModel,
    Measured,
    Noted,
    Progress,
    Recollected,
    Restarted,
    Spoke,
    Thought,
    Token,
    WaitingForModel,
)

_COLOURS = {"ALFRED": "bright_blue", "BRICK": "cyan", "ROBIN": "yellow", "BABS": "magenta"}
_TITLES = {
    "plan": "plan",
    "thesis": "thesis",
    "antithesis": "antithesis",
    "word": "a further round?",
    "findings": "findings",
    "tool": "tool",
    "synthesis": "answer",
}


#: Why an argument ended, in words.
ENDINGS = {
    "converged": "they are close enough: the argument ends",
    "bound": "the rounds are used up: the argument ends",
    "time": "the time for further rounds is over: the argument ends",
    "word": "ALFRED ends the argument",
}


class Transcript:
    """A listener that writes to `out`. On a terminal, waiting is shown on a line that vanishes."""

    def __init__(self, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._live = self._out.isatty()
        self._colours = self._live and not os.environ.get("NO_COLOR")
        self._waiting = False
        self._thinking = False
        self._streamed = False
        self._wrapper: Wrapper | None = None

    def __call__(self, progress: Progress) -> None:
        match progress:
            case Accepted(turn, resumed=True):
                self._line(f"Going on with turn {turn.id}: {_short(turn.question)}", dim=True)
            case Recollected(memories):
                for memory in memories:
                    self._line(
                        f"remembers {memory_name(memory.id)} ({plain(memory.source)}, {memory.score:.2f})", dim=True
                    )
            case Began(persona, step, model, round_):
                self._begin(persona, step, model, round_)
            case WaitingForModel(_, why):
                self._wait(f"{plain(why)} …")
            case LoadingModel(_, model):
                self._wait(f"loading {plain(model)} …")
            case Thought(persona, _) if not self._thinking:
                self._thinking = True
                self._wait(f"{persona} is thinking …")
            case Token(_, text):
                self._clear()
                self._streamed = True
                self._write(self._wrapper.feed(plain(text)) if self._wrapper else plain(text))
            case Restarted(persona):
                self.end_line()
                self._line(f"({persona} begins again: the reply did not have its shape)", dim=True)
                self._wrapper = Wrapper(shutil.get_terminal_size().columns) if self._live else None
            case Spoke(contribution):
                self._clear()
                if self._streamed:
                    self.end_line()
                else:
                    self._write(plain(contribution.text) + "\n")
            case Measured(figure, is_estimate, round_):
                estimate = " (estimated)" if is_estimate else ""
                self._line(f"dissonance after round {round_}: {_bar(figure)} {figure:.2f}{estimate}", dim=True)
            case Changed(mind):
                self._line(mind_line(mind), dim=True)
            case Ended(why):
                self._line(ENDINGS[why], dim=True)
            case Forging(step):
                self._clear()
                self._line(forge_line(step), dim=True)
            case Noted(text):
                self._clear()
                self._line(plain(text), fg="yellow")

    def end_line(self) -> None:
        """End the line on which a persona was speaking, so that what follows does not run into it."""
        self._clear()
        if self._streamed:
            self._write((self._wrapper.flush() if self._wrapper else "") + "\n")
            self._streamed = False

    def _begin(self, persona: str, step: str, model: str, round_: int) -> None:
        self._clear()
        self._thinking = self._streamed = False
        self._wrapper = Wrapper(shutil.get_terminal_size().columns) if self._live else None
        title = _TITLES.get(step, "")
        again = f", round {round_}" if round_ > 1 else ""
        heading = click.style(persona, fg=_COLOURS.get(persona), bold=True)
        detail = click.style(f" · {title}{again}" if title else "", dim=True)
        self._write(f"\n{self._styled(heading + detail)}\n")
        if step != "tool":
            self._wait(f"waiting for {plain(model)} …")

    def _wait(self, text: str) -> None:
        if self._live:
            self._clear()
            self._write(self._styled(click.style(text, dim=True)))
            self._waiting = True

    def _clear(self) -> None:
        if self._waiting:
            self._write("\r\x1b[2K")
            self._waiting = False

    def _line(self, text: str, *, fg: str | None = None, dim: bool = False) -> None:
        self._write(self._styled(click.style(text, fg=fg, dim=dim)) + "\n")

    def _styled(self, text: str) -> str:
        return text if self._colours else click.unstyle(text)

    def _write(self, text: str) -> None:
        self._out.write(text)
        self._out.flush()


def memory_name(id_: str) -> str:
    """What a person calls a memory: an earlier turn by its number, anything else by its id."""
    return f"turn {id_}" if id_.isdecimal() else plain(id_)


def retell(answered: Answered) -> None:
    """A committed turn from its record, as it was heard."""
    click.secho(f"{answered.turn.asked_at.astimezone():%Y-%m-%d %H:%M}  {plain(answered.turn.question)}", bold=True)
    tell = Transcript()
    for memory in answered.memories:
        click.secho(f"remembered {memory_name(memory.id)} ({plain(memory.source)}, {memory.score:.2f})", dim=True)
    round_ = 0
    for contribution in answered.reply.contributions:
        tell(Began(contribution.persona, contribution.role, contribution.model))
        tell(Spoke(contribution))
        if contribution.role == "antithesis" and round_ < len(answered.reply.argued):
            argued = answered.reply.argued[round_]
            round_ += 1
            tell(Measured(argued.dissonance, argued.estimated, round_))
            for mind in answered.reply.minds:
                if mind.round == round_:
                    tell(Changed(mind))
    if answered.reply.ended:
        tell(Ended(answered.reply.ended))
    for note in answered.reply.notes:
        tell(Noted(note))


def mind_line(mind: Mind) -> str:
    """A changed mind in a line."""
    point = plain(mind.point)
    if mind.persona == "BRICK":
        return f"BRICK gave up a point to ROBIN: {point}"
    return f"BRICK changed ROBIN's mind from {plain(mind.before)} to {plain(mind.after)}: {point}"


def close(answered: Answered) -> None:
    """The figures beneath an answer."""
    reply = answered.reply
    engine = answered.turn.engine
    models = sorted({said.model for said in reply.contributions if said.model})
    parts = [f"turn {answered.turn.id}"]
    if reply.alone:
        parts.append("ALFRED answered alone, in one call")
    if reply.dissonance is not None:
        parts.append(f"dissonance {reply.dissonance:.2f}{' (estimated)' if reply.estimated else ''}")
        parts.append(f"{reply.rounds} round{'s' if reply.rounds != 1 else ''}")
    parts.append(engine if models == [engine] else f"{engine}: {', '.join(models)}")
    parts.append(f"{reply.model_ms / 1000:.1f} s in the model, {reply.overhead_ms / 1000:.2f} s outside")
    click.echo()
    click.secho(plain(" · ".join(parts)), dim=True)


def tell_compared(found: Compared) -> None:
    """A question asked again, beside the first time."""
    click.secho(f"\nAsked first as turn {found.before.turn.id}, and answered then:", bold=True)
    click.echo(plain(found.before.reply.answer))
    changed = [
        *(f"{name} version {before} → {now}" for name, (before, now) in found.personas.items()),
        *(f"{name} {plain(before)} → {plain(now)}" for name, (before, now) in found.models.items()),
    ]
    figures = [
        "-" if reply.dissonance is None else f"{reply.dissonance:.2f}"
        for reply in (found.before.reply, found.now.reply)
    ]
    parts = [f"{found.likeness:.0%} of the words are the same", f"dissonance {figures[0]} → {figures[1]}"]
    click.secho(" · ".join([*parts, *(changed or ["the same personas and models"])]), dim=True)


def _bar(figure: float) -> str:
    full = round(figure * 10)
    return "█" * full + "░" * (10 - full)


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return f"“{flat if len(flat) <= 60 else flat[:59] + '…'}”"
