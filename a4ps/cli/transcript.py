"""How a turn looks in a terminal: each persona's words as they come, then the figures."""

from __future__ import annotations

import os
import shutil
import sys
from datetime import datetime
from typing import Any, TextIO

import click

from a4ps.cli.plain import plain
from a4ps.cli.wrapping import Wrapper
from a4ps.protocol import steps
from a4ps.protocol.objects import AskObject, ComparedObject, MindObject

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

    def __call__(self, told: dict[str, Any]) -> None:
        self.tell(steps.step_of(told))

    def tell(self, step: steps.AnyStep) -> None:
        """Write what a step tells of."""
        match step:
            case steps.Accepted(turn=turn, question=question, resumed=True):
                self._line(f"Going on with turn {plain(turn)}: {_short(question)}", dim=True)
            case steps.InLine(ahead=ahead):
                self._line(f"{ahead} question{'s' if ahead > 1 else ''} before this one …", dim=True)
            case steps.Recollected(memories=memories):
                for memory in memories:
                    self._line(
                        f"remembers {memory_name(memory.id)} ({plain(memory.source)}, {memory.score:.2f})", dim=True
                    )
            case steps.Began(persona=persona, role=role, model=model, round=round_):
                self._begin(persona, role, model, round_)
            case steps.Waiting(why=why):
                self._wait(f"{plain(why)} …")
            case steps.Loading(model=model):
                self._wait(f"loading {plain(model)} …")
            case steps.Thought(persona=persona) if not self._thinking:
                self._thinking = True
                self._wait(f"{persona} is thinking …")
            case steps.Token(text=text):
                self._clear()
                self._streamed = True
                self._write(self._wrapper.feed(plain(text)) if self._wrapper else plain(text))
            case steps.Restarted(persona=persona):
                self.end_line()
                self._line(f"({persona} begins again: the reply did not have its shape)", dim=True)
                self._wrapper = Wrapper(shutil.get_terminal_size().columns) if self._live else None
            case steps.Spoke(contribution=contribution):
                self._clear()
                if self._streamed:
                    self.end_line()
                else:
                    self._write(plain(contribution["text"]) + "\n")
            case steps.Measured(dissonance=figure, estimated=is_estimate, round=round_):
                estimate = " (estimated)" if is_estimate else ""
                self._line(f"dissonance after round {round_}: {_bar(figure)} {figure:.2f}{estimate}", dim=True)
            case steps.Changed(mind=mind):
                self._line(mind_line(mind), dim=True)
            case steps.Ended(why=why):
                self._line(ENDINGS[why], dim=True)
            case steps.Forging(line=line):
                self._clear()
                self._line(plain(line), dim=True)
            case steps.Noted(text=text):
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


def retell(answered: AskObject) -> None:
    """A committed turn from its record, as it was heard."""
    at = datetime.fromisoformat(answered["asked_at"]).astimezone()
    click.secho(f"{at:%Y-%m-%d %H:%M}  {plain(answered['question'])}", bold=True)
    transcript = Transcript()
    for memory in answered["memories_used"]:
        click.secho(
            f"remembered {memory_name(memory['id'])} ({plain(memory['source'])}, {memory['score']:.2f})", dim=True
        )
    round_ = 0
    for said in answered["contributions"]:
        transcript.tell(steps.Began(persona=said["persona"], role=said["role"], model=said["model"], round=1))
        transcript.tell(steps.Spoke(contribution=said))
        if said["role"] == "antithesis" and round_ < len(answered["argued"]):
            argued = answered["argued"][round_]
            round_ += 1
            transcript.tell(
                steps.Measured(dissonance=argued["dissonance"], estimated=argued["estimated"], round=round_)
            )
            for mind in answered["minds_changed"]:
                if mind["round"] == round_:
                    transcript.tell(steps.Changed(mind=mind))
    if answered["rounds_ended"]:
        transcript.tell(steps.Ended(why=answered["rounds_ended"]))
    for note in answered["notes"]:
        transcript.tell(steps.Noted(text=note))


def mind_line(mind: MindObject) -> str:
    """A changed mind in a line."""
    point = plain(mind["point"])
    if mind["persona"] == "BRICK":
        return f"BRICK gave up a point to ROBIN: {point}"
    return f"BRICK changed ROBIN's mind from {plain(mind['before'])} to {plain(mind['after'])}: {point}"


def close(answered: AskObject) -> None:
    """The figures beneath an answer."""
    engine = answered["engine"]
    models = sorted({said["model"] for said in answered["contributions"] if said["model"]})
    parts = [f"turn {answered['turn_id']}"]
    if answered["alone"]:
        parts.append("ALFRED answered alone, in one call")
    if answered["dissonance"] is not None:
        parts.append(
            f"dissonance {answered['dissonance']:.2f}{' (estimated)' if answered['dissonance_estimated'] else ''}"
        )
        parts.append(f"{answered['rounds']} round{'s' if answered['rounds'] != 1 else ''}")
    parts.append(engine if models == [engine] else f"{engine}: {', '.join(models)}")
    parts.append(f"{answered['model_ms'] / 1000:.1f} s in the model, {answered['overhead_ms'] / 1000:.2f} s outside")
    click.echo()
    click.secho(plain(" · ".join(parts)), dim=True)


def tell_compared(found: ComparedObject) -> None:
    """A question asked again, beside the first time."""
    click.secho(f"\nAsked first as turn {found['turn_id']}, and answered then:", bold=True)
    click.echo(plain(found["answer"]))
    changed = [
        *(f"{name} version {before} → {now}" for name, (before, now) in found["personas_changed"].items()),
        *(f"{name} {plain(before)} → {plain(now)}" for name, (before, now) in found["models_changed"].items()),
    ]
    figures = ["-" if figure is None else f"{figure:.2f}" for figure in found["dissonance"]]
    parts = [f"{found['likeness']:.0%} of the words are the same", f"dissonance {figures[0]} → {figures[1]}"]
    click.secho(" · ".join([*parts, *(changed or ["the same personas and models"])]), dim=True)


def _bar(figure: float) -> str:
    full = round(figure * 10)
    return "█" * full + "░" * (10 - full)


def _short(text: str) -> str:
    flat = plain(" ".join(text.split()))
    return f"“{flat if len(flat) <= 60 else flat[:59] + '…'}”"
