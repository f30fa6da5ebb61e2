"""The messages between a client and the backend, and those that the backend publishes.

    client → backend   hello, command, cancel, ping, bye
    backend → client   welcome, refused, accepted, step, result, failure, pong
    backend → all      durable, provisional, beat

A message is a map with its `kind`. What a command asks for is in its `request` (`a4ps.protocol.requests`), what comes of it
is an object of the type that the request names. PROTOCOL.md is generated from these types.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

#: Counted up whenever a message changes so that the other side would misunderstand it.
PROTOCOL_VERSION = 1

#: The two sides send a sign of life so often, and give each other up after so long without one.
HEARTBEAT_S, LOST_AFTER_S = 1.0, 5.0

Key = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
Short = Annotated[str, Field(max_length=200)]
Text = Annotated[str, Field(max_length=4_000_000)]


class Message(BaseModel):
    """What all messages share: nothing unknown in them, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Hello(Message):
    """The first of a session, and again whenever the backend does not know it. `settings` is what the client would run with.

    `token` says the role. `protocol` stays in every version, so that each can name the other.
    """

    kind: Literal["hello"] = "hello"
    protocol: int
    package: Short
    client: Short
    token: Annotated[str, Field(max_length=128)] = Field(repr=False)
    settings: Short = ""


class Command(Message):
    """One thing to do. Sent again under the same `key`, it is done once; `deadline_s` is how long it is worth waiting."""

    kind: Literal["command"] = "command"
    key: Key
    request: dict[str, Any]
    deadline_s: Annotated[float, Field(gt=0, le=86_400)] | None = None


class Cancel(Message):
    """Stop the command of that key. What is durable stays."""

    kind: Literal["cancel"] = "cancel"
    key: Key


class Ping(Message):
    """The client is there."""

    kind: Literal["ping"] = "ping"


class Bye(Message):
    """The client goes; its commands go on."""

    kind: Literal["bye"] = "bye"


class Welcome(Message):
    """The session is open. `epoch` is the backend's life: another one means that what was provisional is void.

    `sequence` is the newest durable event's number; `settings` is what the backend runs with, `fleeting` whether it was
    started in passing and ends when it is idle.
    """

    kind: Literal["welcome"] = "welcome"
    protocol: int
    package: Short
    role: Literal["guest", "client", "architect"]
    epoch: Short
    sequence: int
    settings: Short
    fleeting: bool
    busy: bool


class Fault(Message):
    """Why something was not done: as an error of `--json`, with the exit code that belongs to it."""

    kind: Annotated[str, Field(max_length=100)]
    message: Text
    next: Text = ""
    log: Text = ""
    exit_code: int = 1
    details: dict[str, Any] = Field(default_factory=dict)


class Refused(Message):
    """A message that was not understood or not allowed; the session is as it was. `key` names its command, if any."""

    kind: Literal["refused"] = "refused"
    fault: Fault
    key: str = ""


class Accepted(Message):
    """The command of that key is known here, and need not be sent again."""

    kind: Literal["accepted"] = "accepted"
    key: str


class Step(Message):
    """What a command reports on its way (`a4ps.protocol.steps`); `number` counts from 1 within the command."""

    kind: Literal["step"] = "step"
    key: str
    number: int
    step: dict[str, Any]


class Result(Message):
    """The command is done: the object that it gives."""

    kind: Literal["result"] = "result"
    key: str
    value: dict[str, Any]


class Failure(Message):
    """The command was not done, or not to its end."""

    kind: Literal["failure"] = "failure"
    key: str
    fault: Fault


class Pong(Message):
    """The backend is there."""

    kind: Literal["pong"] = "pong"
    epoch: Short
    sequence: int


class Durable(Message):
    """A commit of the image: its number, who made it, and the rows that it added, each by kind and key.

    Numbers have no gaps: who misses one asks for it (`events_since`).
    """

    kind: Literal["durable"] = "durable"
    epoch: Short
    sequence: int
    at: float
    author: str
    rows: list[Annotated[tuple[str, str], Field(strict=False)]]  # MessagePack has no tuples


class Provisional(Message):
    """What happens and is not durable yet, in the order in which it happened; void once the epoch is another.

    `number` is that of the first; a jump means that some were dropped, which harms nothing.
    """

    kind: Literal["provisional"] = "provisional"
    epoch: Short
    number: int
    events: list[dict[str, Any]]


class Beat(Message):
    """The backend is there, and this is its newest durable event."""

    kind: Literal["beat"] = "beat"
    epoch: Short
    sequence: int


FromClient: TypeAlias = Annotated[Hello | Command | Cancel | Ping | Bye, Field(discriminator="kind")]
FromBackend: TypeAlias = Annotated[
    Welcome | Refused | Accepted | Step | Result | Failure | Pong, Field(discriminator="kind")
]
Published: TypeAlias = Annotated[Durable | Provisional | Beat, Field(discriminator="kind")]
