"""A scripted engine: says what a script tells it, at once. Drives decisions, faults and overhead benches.

It passes the engine contract and proves nothing about inference.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from a4ps.errors import EngineRefused, ModelMissing, PromptTooLong
from a4ps.inference import lexical
from a4ps.inference.calls import WEIGHTLESS, SwitchCost
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    JsonSchema,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
)
from a4ps.inference.tokens import estimate_prompt

MODEL = "scripted"

#: What is said in each step when a script gives nothing else. A mapping becomes JSON.
LINES: Mapping[str, str | Mapping[str, Any]] = {
    "greeting": "Good day.",
    "plan": {"kind": "question", "say": "First the aim, then the price.", "research": "what a first release needs"},
    "thesis": "Take Go.\n1. It compiles to one file.\n2. It is small enough for two weekends.\nWrong if speed decides.",
    "antithesis": {
        "stances": [
            {"point": 1, "stance": "agree", "weight": 0.5},
            {"point": 2, "stance": "partly", "weight": 0.5},
        ],
        "say": "The file is no argument to someone who wants to learn.",
    },
    "findings": "Record: nothing.\nKnown: both make one binary.\nOpen: which one you would still open in March.",
    "synthesis": "Take Go for this tool, and keep Rust for the winter.",
}

Script = Callable[[ChatRequest], Awaitable["str | Mapping[str, Any] | None"]]


async def _default(request: ChatRequest) -> None:
    del request


@dataclass
class ScriptedEngine:
    """`script` may answer a request with text or an object, return None for the step's line, or raise.

    It embeds as `lexical`, and holds the model "in memory" from its first stream until it is unloaded.
    """

    script: Script = _default
    name: str = "scripted"
    model: str = MODEL
    requests: list[ChatRequest] = field(default_factory=list)
    closed: int = 0
    resident: bool = False
    cost: SwitchCost = WEIGHTLESS

    async def status(self) -> EngineStatus:
        return EngineStatus(True, "1", "scripted")

    async def models(self) -> tuple[ModelInfo, ...]:
        return (ModelInfo(self.model), ModelInfo(lexical.NAME))

    async def inspect(self, model: str) -> ModelCard:
        if model not in (self.model, lexical.NAME):
            raise ModelMissing(model)
        ability = "completion" if model == self.model else "embedding"
        return ModelCard(model, "scripted", weights_bytes=1, base=model, capabilities=frozenset({ability}))

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        if model != self.model:
            raise ModelMissing(model)
        self.resident = True

    async def loaded(self) -> tuple[Resident, ...]:
        return (Resident(self.model, 1, 1),) if self.resident else ()

    async def unload(self, model: str) -> None:
        if model == self.model:
            self.resident = False

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if model == self.model:
            raise EngineRefused(f"{model} cannot embed", next_step=f"name the embedder {lexical.NAME}")
        if model != lexical.NAME:
            raise ModelMissing(model)
        return lexical.embed_all(texts)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        if request.model != self.model:
            raise ModelMissing(request.model)
        prompt_tokens = estimate_prompt(request.messages)
        if prompt_tokens > request.num_ctx:
            raise PromptTooLong(f"{prompt_tokens} tokens do not fit {request.num_ctx}", next_step="ask for less")
        self.requests.append(request)
        self.resident = True
        said = await self.script(request)
        if said is None:
            said = LINES.get(request.step, "Well.")
            if request.schema is not None and isinstance(said, str):
                said = instance_of(request.schema)
        whole = said if isinstance(said, str) else json.dumps(said)
        pieces = re.findall(r"\s*\S+|\s+$", whole)
        for piece in pieces[: request.max_tokens]:
            yield Text(piece)
        reason: Literal["stop", "length"] = "length" if len(pieces) > request.max_tokens else "stop"
        yield Finished(reason, prompt_tokens, min(len(pieces), request.max_tokens))

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        yield PullProgress(f"pulled {model}", 1, 1)

    async def aclose(self) -> None:
        self.closed += 1


def instance_of(schema: JsonSchema) -> Any:
    """A small instance of a JSON schema, for requests that no script knows."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: instance_of(part) for name, part in schema.get("properties", {}).items()}
        case "array":
            return [instance_of(schema.get("items", {})) for _ in range(max(1, schema.get("minItems", 1)))]
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case _:
            return "Well."
