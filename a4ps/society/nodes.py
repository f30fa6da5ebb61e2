"""The steps of a turn: each asks one persona once and returns what changes in the state.

Nodes hold no state of their own, so a step cut off by a crash is simply done again. All they need comes with the turn's
`TurnContext`; where a step goes next is decided in `routes`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from langgraph.runtime import Runtime
from langgraph.types import Command
from pydantic import BaseModel, Field

from a4ps.clock import Clock
from a4ps.image.turns import Contribution, flat
from a4ps.inference.engine import ChatRequest, Message
from a4ps.memory.recall import Recalled
from a4ps.personas import prompting
from a4ps.personas.roster import Codex
from a4ps.society import dissonance, routes
from a4ps.society.progress import Measured, Noted, Recollected
from a4ps.society.speaking import Shaped, Speaker
from a4ps.society.state import PlanKind, Remembered, Said, TurnState

#: Research the society does when ALFRED's plan names none: an ordinary question hears all four.
DEFAULT_RESEARCH = "which facts the answer rests on, and which of them nobody here has checked"

#: A call may always take this long, however late the turn is: less would only produce fragments.
SHORTEST_CALL_S = 15.0


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds a turn; the fields are those of `Settings`."""

    num_ctx: int
    reply_tokens: int
    think_tokens: int
    turn_budget_s: float
    bounds: routes.Bounds


@dataclass(frozen=True, slots=True)
class TurnContext:
    """All that a turn began with and keeps to its end: codices, models, limits, and the means to speak and recall."""

    codices: Mapping[str, Codex]
    models: Mapping[str, str]
    think: frozenset[str]
    limits: Limits
    speaker: Speaker
    recall: Callable[[str], tuple[Recalled, ...]]
    clock: Clock
    began_s: float

    def request(self, persona: str, step: str, messages: tuple[Message, ...]) -> ChatRequest:
        """One call on behalf of `persona`. Options are equal for all calls of one model, so that none reloads it."""
        return ChatRequest(
            model=self.models[persona],
            messages=messages,
            persona=persona,
            step=step,
            think=persona in self.think,
            num_ctx=self.limits.num_ctx,
            max_tokens=self.limits.reply_tokens,
            think_tokens=self.limits.think_tokens,
            temperature=self.codices[persona].temperature,
        )

    def ask(self, persona: str, step: str, template: str | None = None, **parts: str) -> ChatRequest:
        """The request in which `persona` speaks in `step` from its codex and the step's template."""
        return self.request(persona, step, prompting.speak_as(self.codices[persona], template or step, **parts))

    def pace(self, state: TurnState) -> routes.Pace:
        """Time used since the turn (or its resumption) began, and the mean of the calls so far."""
        calls = [said["ms"] / 1000 for said in state["said"]] or [0.0]
        return routes.Pace(self.limits.turn_budget_s, self.clock.monotonic_s() - self.began_s, sum(calls) / len(calls))

    def deadline_s(self, calls_after: int, state: TurnState) -> float:
        """Until when a plain call may speak: the budget less what the calls after it will take."""
        latest = self.began_s + self.limits.turn_budget_s - calls_after * self.pace(state).call_s
        return max(latest, self.clock.monotonic_s() + SHORTEST_CALL_S)


class PlanShape(Shaped):
    """ALFRED's judgement of a message, and his plan or reply. The order of the keys is the order of generation."""

    kind: PlanKind
    say: str
    research: str = ""


class PointStance(BaseModel):
    """ROBIN's stance on one point."""

    point: int
    stance: dissonance.StanceName
    weight: float = Field(0.5, ge=0, le=1)


class AntithesisShape(Shaped):
    """ROBIN's stances, taken before she speaks, and her antithesis."""

    stances: list[PointStance]
    say: str


Runs = Runtime[TurnContext]


async def plan(state: TurnState, runtime: Runs) -> Command[Literal["thesis", "__end__"]]:
    """ALFRED receives: recalls what belongs to the question, and either answers a trifle or plans the turn."""
    context = runtime.context
    question = state["question"]
    if routes.is_trifle(question) and not state["everyone"]:
        greeting = await context.speaker.say(context.ask("ALFRED", "greeting", question=question))
        return Command(update={"kind": "trifle", "said": [_said(greeting)]}, goto="__end__")

    memories = context.recall(question)
    if memories:
        context.speaker.listener(Recollected(memories))
    spoken = await context.speaker.say_shaped(
        context.ask("ALFRED", "plan", question=prompting.quote(question), memories=prompting.record(memories)),
        PlanShape,
    )
    shape = spoken.shape
    kind: PlanKind = "question" if shape is None or state["everyone"] else shape.kind
    if kind == "memory" and not memories:
        kind = "question"  # there is nothing on record to answer it from
    update: TurnState = {
        "kind": kind,
        "research": (shape.research.strip() if shape else "") or DEFAULT_RESEARCH,
        "memories": [_remembered(memory) for memory in memories],
        "said": [_said(spoken.contribution)] if spoken.contribution.text else [],
    }
    return Command(update=update, goto=routes.after_plan(kind))


async def thesis(state: TurnState, runtime: Runs) -> Command[Literal["antithesis", "synthesis"]]:
    """BRICK builds, or builds again on what ROBIN objected to."""
    context = runtime.context
    earlier = _last(state, "antithesis")
    contribution = await context.speaker.say(
        context.ask(
            "BRICK",
            "thesis",
            question=prompting.quote(state["question"]),
            plan=prompting.quote(_last(state, "plan")),
            objections=prompting.section(
                "ROBIN objected to your last thesis. Concede what she is right in, and say what still stands:",
                prompting.quote(earlier),
            )
            if earlier
            else "",
        ),
        round_=state["rounds"] + 1,
        deadline_s=context.deadline_s(2, state),
    )
    said = [_said(contribution)]
    step, dropped = routes.after_thesis(state, context.pace({**state, "said": state["said"] + said}))
    return Command(update={"said": said, **_dropped(context, dropped)}, goto=step)


async def antithesis(state: TurnState, runtime: Runs) -> Command[Literal["thesis", "research", "synthesis"]]:
    """ROBIN answers the thesis point by point; the dissonance of the round is measured from her stances."""
    context = runtime.context
    thesis_text = _last(state, "thesis")
    points = dissonance.points_of(thesis_text)
    numbered = "\n".join(f"{number}. {point}" for number, point in enumerate(points, 1))
    quoted = {"question": prompting.quote(state["question"]), "thesis": prompting.quote(thesis_text)}
    round_ = state["rounds"] + 1
    spoken = await context.speaker.say_shaped(
        context.ask("ROBIN", "antithesis", points=prompting.quote(numbered), **quoted), AntithesisShape, round_=round_
    )
    contribution = spoken.contribution
    if not contribution.text:
        contribution = await context.speaker.say(
            context.ask("ROBIN", "antithesis", template="antithesis_plain", **quoted), round_=round_
        )
    measured = None
    if spoken.shape is not None:
        stances = [dissonance.Stance(taken.point, taken.stance, taken.weight) for taken in spoken.shape.stances]
        measured = dissonance.measured(stances, len(points))
    figure = dissonance.estimated(contribution.text) if measured is None else measured
    context.speaker.listener(Measured(figure, measured is None, round_))
    said = [_said(contribution)]
    update: TurnState = {"said": said, "rounds": round_, "dissonance": figure, "estimated": measured is None}
    after: TurnState = {**state, **update, "said": state["said"] + said}
    step, dropped = routes.after_antithesis(after, context.pace(after), context.limits.bounds)
    return Command(update={**update, **_dropped(context, dropped)}, goto=step)


async def research(state: TurnState, runtime: Runs) -> dict[str, Any]:
    """BABS brings what the record shows, what is commonly known, and what is open."""
    context = runtime.context
    contribution = await context.speaker.say(
        context.ask(
            "BABS",
            "findings",
            question=prompting.quote(state["question"]),
            research=prompting.quote(state["research"]),
            memories=prompting.record(recalled(state)),
            thesis=prompting.quote(_last(state, "thesis")),
            antithesis=prompting.quote(_last(state, "antithesis")),
        ),
        deadline_s=context.deadline_s(1, state),
    )
    return {"said": [_said(contribution)]}


async def synthesis(state: TurnState, runtime: Runs) -> dict[str, Any]:
    """ALFRED judges and answers."""
    context = runtime.context
    figure = state["dissonance"]
    contribution = await context.speaker.say(
        context.ask(
            "ALFRED",
            "synthesis",
            question=prompting.quote(state["question"]),
            memories=prompting.record(recalled(state)),
            thesis=prompting.quote(_last(state, "thesis")),
            antithesis=prompting.quote(_last(state, "antithesis") or "(she was not heard, for want of time)"),
            findings=prompting.section("BABS's findings:", prompting.quote(_last(state, "research"))),
            dissonance="an unmeasured amount" if figure is None else f"{figure:.2f}",
        ),
        deadline_s=context.deadline_s(0, state),
    )
    return {"said": [_said(contribution)]}


def recalled(state: TurnState) -> tuple[Recalled, ...]:
    """The state's memories as values again."""
    return tuple(
        Recalled(entry["id"], datetime.fromisoformat(entry["at"]), entry["text"], entry["score"], entry["source"])
        for entry in state["memories"]
    )


def _remembered(memory: Recalled) -> Remembered:
    return {
        "id": memory.id,
        "at": memory.at.isoformat(),
        "text": memory.text,
        "score": memory.score,
        "source": memory.source,
    }


def _said(contribution: Contribution) -> Said:
    return flat(contribution)  # type: ignore[return-value]


def _last(state: TurnState, role: str) -> str:
    """What was last said in a role; "" where nobody spoke in it."""
    return next((said["text"] for said in reversed(state["said"]) if said["role"] == role), "")


def _dropped(context: TurnContext, names: tuple[str, ...]) -> dict[str, list[str]]:
    """Record, and tell, what is left out for time."""
    if not names:
        return {}
    note = f"Left out to keep the turn within {context.limits.turn_budget_s:.0f} s: {', '.join(names)}."
    context.speaker.listener(Noted(note))
    return {"dropped": list(names), "notes": [note]}
