"""The engine port: what A4PS asks of anything that runs language models.

An engine turns one `ChatRequest` into a stream of `Chunk`s. It knows nothing of turns, personas' characters or budgets.
Adding one means writing a single file that passes `tests/contracts/engine_contract.py`.

The contract of a stream, for every engine:

1. It ends with exactly one `Finished`, or it raises one of `PeerError`'s children. A stream that stops without
   `Finished` does not exist: the engine raises `EngineBroke` with the partial text instead.
2. The reply is the concatenation of `Text`; `Thinking` is never part of it.
3. With a `schema`, a reply whose reason is "stop" is JSON that has the schema's shape.
4. Closing the iterator early, or cancelling its task, stops the work at the peer; the engine serves the next call.
5. `max_tokens` bounds the reply (reason "length"); `think_tokens` bounds the hidden thinking apart from it.
6. A prompt is never cut silently: one that does not fit raises `PromptTooLong`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from a4ps.inference.calls import SwitchCost, Who
from a4ps.inference.layout import Layout

JsonSchema: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call of a model. `persona` and `step` say on whose behalf and for what ("thesis"): for logs and rehearsal.

    `turn` names the turn it belongs to, "" for none; `coming` are the models that this turn will call next, in order, as
    far as it knows; `shares` is what the prompt is made of. Engines need not look at these, nor at `who`.
    """

    model: str
    messages: tuple[Message, ...]
    persona: str
    step: str
    schema: JsonSchema | None = None
    think: bool = False
    num_ctx: int = 8192
    max_tokens: int = 512
    think_tokens: int = 1024
    temperature: float = 0.7
    seed: int | None = None
    keep_alive_s: float = 300.0
    turn: str = ""
    coming: tuple[str, ...] = ()
    who: Who = "architect"
    shares: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Loading:
    """The model is being loaded; no text can come yet. Sent at most once, before all else."""

    model: str


@dataclass(frozen=True, slots=True)
class Thinking:
    """A piece of hidden reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of a reply, with the engine's own counts. `notes` are sentences the user should see (a capped thought)."""

    reason: Literal["stop", "length"]
    prompt_tokens: int
    completion_tokens: int
    load_ms: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """The call waits for others, and why, in words for the user. Sent by the model manager only, before all else."""

    model: str
    why: str


Chunk: TypeAlias = Held | Loading | Thinking | Text | Finished


@dataclass(frozen=True, slots=True)
class EngineStatus:
    """Whether an engine can be used now. `detail` is one line for `doctor`; `version` is "" where unknown.

    `hazard` says why fetching models with this version is unsafe, "" where nothing is known against it.
    """

    reachable: bool
    version: str = ""
    detail: str = ""
    hazard: str = ""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that an engine has. `digest` identifies the weights; "" where the engine has none."""

    name: str
    size_bytes: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class Resident:
    """A model that is in memory now. `vram_bytes` is the part of `size_bytes` on the card: less means that it spilled."""

    name: str
    size_bytes: int
    vram_bytes: int
    num_ctx: int = 0
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is known of a model without loading it.

    `base` names the weights: models of one base take one place in memory; `lora` is the adapter that is laid over them, ""
    for none. `file` is its path on this machine, "" where the engine does not tell. `layout` is what its memory is
    reckoned from, None where it cannot be told. `capabilities` are "completion", "thinking", "tools", "embedding",
    "vision".
    """

    name: str
    architecture: str
    weights_bytes: int
    base: str
    lora: str = ""
    context_length: int = 0
    digest: str = ""
    file: str = ""
    capabilities: frozenset[str] = frozenset()
    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class PullProgress:
    """One report of a download; `total_bytes` is 0 while unknown."""

    status: str
    completed_bytes: int = 0
    total_bytes: int = 0


class Engine(Protocol):
    """What the society calls. One instance serves many concurrent streams; every method may raise `PeerError`."""

    name: str
    cost: SwitchCost

    async def status(self) -> EngineStatus:
        """Asked before a turn and by `doctor`; answers within two seconds and never raises."""
        ...

    async def models(self) -> tuple[ModelInfo, ...]:
        """Asked once a turn at most."""
        ...

    def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """See the contract above. Raises `ModelMissing` before any chunk where the model is absent."""
        ...

    async def inspect(self, model: str) -> ModelCard:
        """Asked once a model and process, before its first call. Raises `ModelMissing`."""
        ...

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """Return when the model is in memory, with that context, and answers. Raises `PeerError`; nothing is loaded then."""
        ...

    async def loaded(self) -> tuple[Resident, ...]:
        """What is in memory now, by the peer's own word; one that is still loading may be absent."""
        ...

    async def unload(self, model: str) -> None:
        """Return when the model is out of memory, or was not in it. Raises `EngineTimeout` where it stays."""
        ...

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """One vector a text, all of one length. Raises `EngineRefused` where the model cannot embed."""
        ...

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Fetch a model. Interrupted, it can be called again and goes on where the engine is able to."""
        ...

    async def aclose(self) -> None:
        """Called once, last. Frees connections; idempotent."""
        ...
