"""What a command reports on its way, and what of it everybody hears as provisional events. Only an outcome counts."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from a4ps.errors import ProtocolError
from a4ps.protocol.objects import ApprovalObject, ContributionObject, MindObject


class _Step(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Accepted(_Step):
    """The turn is durable and begins; `resumed` if it goes on from an earlier start."""

    step: Literal["accepted"] = "accepted"
    turn: str
    question: str
    resumed: bool


class InLine(_Step):
    """The question waits for so many others, which are answered before it."""

    step: Literal["in_line"] = "in_line"
    ahead: int


class RecalledMemory(_Step):
    id: str
    source: str
    score: float


class Recollected(_Step):
    """These memories enter the prompts."""

    step: Literal["recollected"] = "recollected"
    memories: list[RecalledMemory]


class Began(_Step):
    """A persona begins to speak in a step of the turn ("thesis"), in a round counted from 1."""

    step: Literal["began"] = "began"
    persona: str
    role: str
    model: str
    round: int


class Waiting(_Step):
    """A persona's model is in use or has to be loaded after others: why."""

    step: Literal["waiting"] = "waiting"
    persona: str
    why: str


class Loading(_Step):
    """The engine loads `model`."""

    step: Literal["loading"] = "loading"
    persona: str
    model: str


class Thought(_Step):
    """A piece of hidden reasoning."""

    step: Literal["thought"] = "thought"
    persona: str
    text: str


class Token(_Step):
    """A piece of what is being said."""

    step: Literal["token"] = "token"
    persona: str
    text: str


class Restarted(_Step):
    """What this persona said since it began is void."""

    step: Literal["restarted"] = "restarted"
    persona: str


class Spoke(_Step):
    """A contribution is complete."""

    step: Literal["spoke"] = "spoke"
    contribution: ContributionObject


class Measured(_Step):
    """The dissonance of a round."""

    step: Literal["measured"] = "measured"
    dissonance: float
    estimated: bool
    round: int


class Changed(_Step):
    """A mind was changed in the argument."""

    step: Literal["changed"] = "changed"
    mind: MindObject


class Ended(_Step):
    """The argument is over, and why."""

    step: Literal["ended"] = "ended"
    why: str


class Forging(_Step):
    """A step of making a tool, as a line for people; `attempt` counts from 1, 0 before the first."""

    step: Literal["forging"] = "forging"
    line: str
    attempt: int
    passed: bool | None


class Noted(_Step):
    """A sentence the user should see."""

    step: Literal["noted"] = "noted"
    text: str


class Wanted(_Step):
    """The command waits for the Architect's word about an approval: `decide` it."""

    step: Literal["wanted"] = "wanted"
    approval: ApprovalObject


class Working(_Step):
    """How far a longer work is: `done` of `of`, 0 where that is not known; `label` names what is being done."""

    step: Literal["working"] = "working"
    label: str
    done: float
    of: float
    per_s: float | None = None


class Figure(_Step):
    """A figure of a series."""

    step: Literal["figure"] = "figure"
    name: str
    at_s: float
    value: float


class Service(_Step):
    """A part of the backend failed: how, and when it is started again."""

    step: Literal["service"] = "service"
    name: str
    detail: str


class Failed(_Step):
    """A call of a live method raised; `failure` has where it stood."""

    step: Literal["failed"] = "failed"
    proto: str
    method: str
    error: str
    message: str


AnyStep: TypeAlias = Annotated[
    Accepted
    | InLine
    | Recollected
    | Began
    | Waiting
    | Loading
    | Thought
    | Token
    | Restarted
    | Spoke
    | Measured
    | Changed
    | Ended
    | Forging
    | Noted
    | Wanted
    | Working
    | Figure
    | Service
    | Failed,
    Field(discriminator="step"),
]

_STEP: TypeAdapter[AnyStep] = TypeAdapter(AnyStep)


def step_of(data: dict[str, Any]) -> AnyStep:
    """Raises `ProtocolError`."""
    try:
        return _STEP.validate_python(data)
    except ValidationError as error:
        raise ProtocolError(f"no step of this protocol: {data.get('step')!r:.60}") from error
