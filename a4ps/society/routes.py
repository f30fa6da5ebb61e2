"""Where a turn goes next: pure functions of its state and the time it has used.

Every turn walks plan → thesis → antithesis → research → synthesis. Four things change that: a trifle ends with the plan,
a tool that the plan asks for is used before the thesis, strong dissonance sends thesis and antithesis round again if ALFRED
thinks it worth while, and a turn that runs late leaves out further rounds and research first, then the antithesis. The
synthesis is never left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from a4ps.society.state import PlanKind, TurnState

# A trifle is a row of such phrases and of whom they address: "how are you" is one, "how many are there" is not.
_TRIFLE_PHRASE = "|".join(
    (
        r"hi|hello|hey|hallo|hiya|howdy|yo|greetings|welcome",
        r"good (?:morning|afternoon|evening|night|day|bye)",
        r"(?:many )?thanks(?: a lot| so much| very much)?|thank you(?: so much| very much)?|cheers|please",
        r"how(?: are|'re) (?:you|things)(?: all| today| doing)*|how(?: is|'s) (?:it going|everyone)|what's up|sup",
        r"(?:very |so )?(?:ok|okay|good|great|nice|cool|perfect|well done)",
        r"bye|goodbye|see (?:you|ya)(?: all| later| soon| again)*",
    )
)
_ADDRESSED = r"(?:to )?(?:you )?(?:there|all|everyone|friends?|again|alfred|brick|robin|babs|and)"
_TRIFLE = re.compile(rf"(?:{_TRIFLE_PHRASE})(?: (?:{_TRIFLE_PHRASE}|{_ADDRESSED}))*")


#: Who speaks after a step in an ordinary turn, in order: so that models can be kept or made ready for them.
SPEAKERS_AFTER: Mapping[str, tuple[str, ...]] = {
    "plan": ("BRICK", "ROBIN", "BABS", "ALFRED"),
    "thesis": ("ROBIN", "BABS", "ALFRED"),
    "antithesis": ("BABS", "ALFRED"),
    "word": ("BRICK", "ROBIN", "BABS", "ALFRED"),
    "findings": ("ALFRED",),
}


@dataclass(frozen=True, slots=True)
class Pace:
    """The time of one turn in seconds: what it may use, what it has used, and what one call of a model takes."""

    budget_s: float
    used_s: float
    call_s: float

    def affords(self, calls: int) -> bool:
        """Whether `calls` more calls fit into the budget, at the pace of those so far."""
        return self.used_s + calls * self.call_s <= self.budget_s


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long the society may argue: most rounds, and the dissonance under which it has converged."""

    rounds_max: int
    converged_below: float


def is_trifle(question: str) -> bool:
    """Whether a message is a greeting, thanks or the like, beyond doubt. ALFRED's plan may find others."""
    words = re.findall(r"[\w']+", question.lower().replace("’", "'"))
    return len(words) <= 8 and _TRIFLE.fullmatch(" ".join(words)) is not None


def after_plan(kind: PlanKind, wants_tool: bool = False) -> Literal["use_tool", "thesis", "__end__"]:
    """A trifle, or a question of what was said, has been answered by the plan itself; a tool comes before all else."""
    if kind != "question":
        return "__end__"
    return "use_tool" if wants_tool else "thesis"


def after_thesis(state: TurnState, pace: Pace) -> tuple[Literal["antithesis", "synthesis"], tuple[str, ...]]:
    """The antithesis, unless the turn is so late that only the synthesis can still be afforded."""
    if state["rounds"] == 0 and pace.used_s > pace.budget_s:
        return "synthesis", ("antithesis", "research")
    return "antithesis", ()


#: Why an argument ended. They agreed, the rounds were used up, the time was, or ALFRED said so.
End = Literal["converged", "bound", "time", "word"]


StepT_co = TypeVar("StepT_co", bound=str, covariant=True)


@dataclass(frozen=True, slots=True)
class Onward(Generic[StepT_co]):
    """Where an argument goes next, what was dropped for time on the way, and why it ended, "" where it goes on."""

    step: StepT_co
    dropped: tuple[str, ...] = ()
    ended: End | Literal[""] = ""


def after_antithesis(state: TurnState, pace: Pace, bounds: Bounds) -> Onward[Literal["weigh", "research", "synthesis"]]:
    """ALFRED's word on another round while they disagree, there is a round left and time for it; else the argument ends.

    A round costs three calls with his word, research one, and the synthesis one, which is always kept in reserve.
    """
    if (state["dissonance"] or 0.0) < bounds.converged_below:
        return _ended("converged", pace)
    if state["rounds"] >= bounds.rounds_max:
        return _ended("bound", pace)
    return Onward("weigh") if pace.affords(5) else _ended("time", pace, ("a further round",))


def after_word(goes_on: bool, pace: Pace) -> Onward[Literal["thesis", "research", "synthesis"]]:
    """Another round, or the end of the argument, as ALFRED has said, or as the time his word took leaves room."""
    if not goes_on:
        return _ended("word", pace)
    return Onward("thesis") if pace.affords(3) else _ended("time", pace, ("a further round",))


def _ended(why: End, pace: Pace, dropped: tuple[str, ...] = ()) -> Onward[Literal["research", "synthesis"]]:
    """Research, if there is time for it."""
    return Onward("research", dropped, why) if pace.affords(2) else Onward("synthesis", (*dropped, "research"), why)
