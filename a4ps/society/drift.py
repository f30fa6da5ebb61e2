"""Drift: how far the personas of today are from their codices, measured on a fixed probe set so that days can be compared.

Each persona answers its probes (`personas/probes.toml`) alone, from its codex and nothing else. Every answer is measured as
a contribution is (`personas/character.py`), and judged by ALFRED item by item where his model gives the shape. That is two
calls a probe and never more than three; they stand behind the Architect's in the line for models. It is done by a command,
and by a process that rests, where the last time is long enough ago (setting drift_every_days).

Limits: ALFRED judges himself too. A judge of another model judges otherwise, so a change of models is a jump in the series.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from statistics import fmean

from pydantic import BaseModel

from a4ps.inference.engine import ChatRequest
from a4ps.personas import character, prompting
from a4ps.personas.roster import NAMES
from a4ps.series import Series
from a4ps.settings import Settings
from a4ps.society.cast import Cast
from a4ps.society.speaking import Speaker

#: The longest answer to a probe, and a judgement, in tokens.
ANSWER_TOKENS = 200

#: A call may take this long; past it, its reply ends where it is.
CALL_S = 120.0


class JudgedItem(BaseModel):
    """The judge's verdict on one item of a codex."""

    item: int
    kept: character.Kept


class JudgementShape(BaseModel):
    """The judge's verdicts, and the worst of it in words."""

    items: list[JudgedItem]
    say: str


@dataclass(frozen=True, slots=True)
class Probed:
    """One probe: what was asked and answered, its figures (None where there is none), and what the judge remarked."""

    persona: str
    question: str
    answer: str
    character: float | None
    judged: float | None
    remark: str


@cache
def probes() -> tuple[int, Mapping[str, Sequence[str]]]:
    """The number of the probe set, and persona → its probes."""
    text = resources.files("a4ps.personas").joinpath("probes.toml").read_text(encoding="utf-8")
    fields = tomllib.loads(text)
    return int(fields["set"]), {name: tuple(fields[name]) for name in NAMES}


async def probe(
    name: str, cast: Cast, models: Mapping[str, str], settings: Settings, speaker: Speaker
) -> tuple[Probed, ...]:
    """Put the persona's probes to it and judge the answers. Raises `PeerError`."""
    codex = cast.codices[name]
    items = character.to_be_judged(codex)
    listed = prompting.quote("\n".join(f"{number}. {item}" for number, item in enumerate(items, 1)))
    asked = []
    for question in probes()[1][name]:
        request = _request(name, "probe", cast, models, settings, question=prompting.quote(question))
        said = (await speaker.say(request, deadline_s=speaker.clock.monotonic_s() + CALL_S)).contribution
        asked.append((question, said.text))
    # All answers first: two models that do not fit together are then loaded once each.
    found = []
    for question, answer in asked:
        kept: dict[int, character.Kept] = {}
        remark = ""
        if items:
            parts = {"question": prompting.quote(question), "answer": prompting.quote(answer), "items": listed}
            request = _request("ALFRED", "judge_character", cast, models, settings, name=name, **parts)
            deadline_s = speaker.clock.monotonic_s() + CALL_S
            judgement = (await speaker.say_shaped(request, JudgementShape, deadline_s=deadline_s)).shape
            if judgement is not None:
                kept = {each.item: each.kept for each in reversed(judgement.items)}
                remark = judgement.say
        figure = character.distance(name, codex, answer)
        found.append(Probed(name, question, answer, figure, character.judged(kept, len(items)), remark))
    return tuple(found)


def figures(probed: Sequence[Probed]) -> dict[str, float]:
    """Series → figure: the means over the probes of each persona. A judged one only where every probe was judged.

    A series is named for its probe set too, since figures of two sets cannot be compared.
    """
    found: dict[str, float] = {}
    for name in dict.fromkeys(each.persona for each in probed):
        mine = [each for each in probed if each.persona == name]
        measured = [each.character for each in mine if each.character is not None]
        judged = [each.judged for each in mine if each.judged is not None]
        if measured:
            found[series_name(name)] = round(fmean(measured), 3)
        if len(judged) == len(mine):
            found[series_name(name, judged=True)] = round(fmean(judged), 3)
    return found


def is_due(series: Mapping[str, Series], now_s: float, every_s: float) -> bool:
    """Whether the probes of today were last put to anybody `every_s` ago or longer, or never. 0: never due."""
    began = f"drift-{probes()[0]}."
    last = [points[-1].at_s for name, points in series.items() if name.startswith(began) and points]
    return every_s > 0 and (not last or now_s - max(last) >= every_s)


def series_name(persona: str, *, judged: bool = False) -> str:
    """The series that a persona's drift is kept in: measured on the text, or judged."""
    return f"drift-{probes()[0]}.{persona}{'.judged' if judged else ''}"


def _request(
    persona: str, step: str, cast: Cast, models: Mapping[str, str], settings: Settings, **parts: str
) -> ChatRequest:
    codex = cast.codices[persona]
    return ChatRequest(
        models[persona],
        prompting.speak_as(codex, step, **parts),
        persona=persona,
        step=step,
        num_ctx=settings.num_ctx,
        max_tokens=min(ANSWER_TOKENS, settings.reply_tokens),
        temperature=codex.temperature,
        who="background",
    )
