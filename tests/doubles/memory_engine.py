"""An engine whose models take memory: it records what is loaded when, and refuses what no real one would allow.

Passes no judgement about inference: it says one line. A test holds loads and replies by its gates.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from a4ps.errors import EngineBroke, EngineRefused, ModelMissing, PeerError
from a4ps.inference.calls import SwitchCost
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
)

GB = 10**9
Gate = Callable[[str], Awaitable[None]]


async def open_gate(model: str) -> None:
    """Lets everything through at the next turn of the loop."""
    del model
    await asyncio.sleep(0)


@dataclass
class MemoryEngine:
    """`sizes` are models ("base" or "base+lora") and what their base takes; `card_bytes` is all that there is.

    `events` tells, in order: "load m", "unload m", "begin m", "end m".
    """

    sizes: Mapping[str, int]
    card_bytes: int = 8 * GB
    cost: SwitchCost = field(default_factory=lambda: SwitchCost("memory", lora_reloads=False))
    loading: Gate = open_gate
    speaking: Gate = open_gate
    name: str = "memory"
    events: list[str] = field(default_factory=list)
    resident: dict[str, int] = field(default_factory=dict)
    contexts: dict[str, int] = field(default_factory=dict)
    spill_over_ctx: int = 0
    fail_load: PeerError | None = None
    digests: dict[str, str] = field(default_factory=dict)
    busy: dict[str, int] = field(default_factory=dict)
    most_at_once: int = 0
    said: tuple[str, ...] = ("Well", ".")
    vectors: bool = False
    closed: bool = False

    async def status(self) -> EngineStatus:
        return EngineStatus(True, "1", "memory")

    async def models(self) -> tuple[ModelInfo, ...]:
        return tuple(ModelInfo(name, size) for name, size in self.sizes.items())

    async def inspect(self, model: str) -> ModelCard:
        if model not in self.sizes:
            raise ModelMissing(model)
        base, _, lora = model.partition("+")
        # The manager adds what a context takes; the sizes here are meant to be all.
        weights = self.sizes[model] - GB
        return ModelCard(model, "toy", weights, base, lora, digest=self.digests.get(model, ""))

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        self.events.append(f"load {model}")
        await self.loading(model)
        if self.fail_load is not None:
            raise self.fail_load
        base = model.partition("+")[0]
        self.resident[base] = self.sizes[model]
        self.contexts[base] = num_ctx
        if sum(self.resident.values()) > self.card_bytes:
            raise AssertionError(f"{self.resident} is more than the card holds")

    async def loaded(self) -> tuple[Resident, ...]:
        return tuple(
            Resident(name, size, self._on_card(name, size), self.contexts.get(name, 0))
            for name, size in self.resident.items()
        )

    def _on_card(self, name: str, size: int) -> int:
        return size // 2 if self.spill_over_ctx and self.contexts.get(name, 0) > self.spill_over_ctx else size

    async def unload(self, model: str) -> None:
        base = model.partition("+")[0]
        if self.busy.get(base):
            raise AssertionError(f"{base} is unloaded while it speaks")
        if self.resident.pop(base, None) is not None:
            self.events.append(f"unload {base}")
        await asyncio.sleep(0)

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        if not self.vectors:
            raise EngineRefused(f"{model} cannot embed")
        self.events.append(f"embed {model}")
        return ((1.0, 0.0),) * len(texts)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        base = request.model.partition("+")[0]
        if base not in self.resident:
            raise AssertionError(f"{request.model} speaks without being in memory")
        self.events.append(f"begin {request.model}")
        self.busy[base] = self.busy.get(base, 0) + 1
        self.most_at_once = max(self.most_at_once, sum(self.busy.values()))
        try:
            await self.speaking(request.model)
            if base not in self.resident:
                raise EngineBroke("the model's process died", partial="")
            for piece in self.said:
                yield Text(piece)
            yield Finished("stop", 1, len(self.said))
        finally:
            self.busy[base] -= 1
            self.events.append(f"end {request.model}")

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        yield PullProgress(f"pulled {model}", 1, 1)

    async def aclose(self) -> None:
        self.closed = True

    def loads(self) -> list[str]:
        return [event.partition(" ")[2] for event in self.events if event.startswith("load ")]
