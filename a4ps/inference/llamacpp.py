"""The embedded engine: llama.cpp in a process of its own for each base in use, for machines without Ollama.

This process never imports xllamacpp: a model file that makes llama.cpp crash, hang or eat memory costs a worker, which is
killed, and the call, which raises; the next call starts a fresh one. A worker has its base and all LoRAs that are known to
belong to it, so that changing between them loads nothing. What names stand for is in `llamacpp_files`, how workers live
and end in `llamacpp_seat`.

Calls of one base are served one after another, in the order in which they came; bases run beside each other. Deadlines
count from a call's turn. A call with a larger `num_ctx` than its base was loaded with reloads it, a smaller one does not.

Not covered: pictures and sound; models split into several files; fetching (`pull`).
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import itertools
import json
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from a4ps.errors import EngineBroke, EngineGarbled, EngineRefused, ModelMissing, PeerError, PromptTooLong
from a4ps.inference import llamacpp_wire as wire
from a4ps.inference.calls import EMBEDDED
from a4ps.inference.engine import (
    ChatRequest,
    Chunk,
    EngineStatus,
    Finished,
    Loading,
    ModelCard,
    ModelInfo,
    PullProgress,
    Resident,
    Text,
    Thinking,
)
from a4ps.inference.llamacpp_files import ModelFiles, Named
from a4ps.inference.llamacpp_seat import Deadlines, Means, Seat

#: Every layer on the card, where there is a card and a build of xllamacpp for it; without, llama.cpp ignores it.
ALL_LAYERS = 9999
#: How many texts are embedded at a time, and how long an embedder stays after the last.
EMBED_BATCH = 32
EMBED_IDLE_S = 300.0


class LlamaCppEngine:
    """Models of a folder, run here. Serves many streams at once within one event loop; see `Engine` for its contract.

    A method that raised, was closed early or was cancelled leaves the engine usable. The workers die with the thread that
    runs the loop.
    """

    name = "llamacpp"
    cost = EMBEDDED

    def __init__(
        self,
        folder: Path,
        *,
        models: Iterable[str] = (),
        deadlines: Deadlines | None = None,
        gpu_layers: int = ALL_LAYERS,
        threads: int = 0,
        memory_bytes: int = 0,
    ) -> None:
        """Starts nothing. `models` are the names that will be called: their LoRAs are loaded along with their bases.

        `gpu_layers`: how many layers go to the card. `threads` 0 is one for every two logical processors, since llama.cpp
        on more than are free becomes far slower than on one. `memory_bytes`: what each worker may write to in RAM, 0
        without limit; weights that are mapped from their file do not count.
        """
        self.files = ModelFiles(folder, models)
        self._deadlines = deadlines or Deadlines()
        self._means = Means(threads or max(1, (os.cpu_count() or 1) // 2), gpu_layers, memory_bytes)
        self._calls = itertools.count(1)
        self._seats: dict[tuple[Path, bool], Seat] = {}

    async def status(self) -> EngineStatus:
        """Whether xllamacpp is installed, found out without importing it."""
        if importlib.util.find_spec("xllamacpp") is None:
            return EngineStatus(reachable=False, detail="xllamacpp is not installed")
        version = importlib.metadata.version("xllamacpp")
        detail = f"llama.cpp (xllamacpp {version}), models in {self.files.folder}"
        return EngineStatus(reachable=True, version=version, detail=detail)

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """The processes that hold a model now."""
        return tuple(seat.pid for seat in self._seats.values() if seat.taken)

    async def models(self) -> tuple[ModelInfo, ...]:
        """The bases of the folder, and the names given at the start; a LoRA's file alone is no model."""
        return await self.files.listed()

    async def inspect(self, model: str) -> ModelCard:
        """Raises `ModelMissing`, or `EngineRefused` for a file that is no model, or no LoRA for this one."""
        return await self.files.card(self.files.find(model))

    async def loaded(self) -> tuple[Resident, ...]:
        """Each base with a worker and, apart from it, each LoRA beside it. Embedders are not listed: they use no card."""
        found = []
        for (base, embedding), seat in self._seats.items():
            if embedding or not seat.taken:
                continue
            name, whole = self.files.name_of(base), seat.memory_bytes()
            extras = [
                Resident(f"{name}+{self.files.name_of(lora)}", lora.stat().st_size, 0, seat.num_ctx)
                for lora in seat.loras
                if lora.is_file()
            ]
            rest = max(0, whole - sum(extra.size_bytes for extra in extras))
            digest = Named(name, base, None).digest
            found += [Resident(name, rest, min(rest, seat.vram_bytes), seat.num_ctx, digest), *extras]
        return tuple(found)

    async def load(self, model: str, *, num_ctx: int, keep_alive_s: float) -> None:
        """Start the worker of the model's base, after the calls before this one; its known LoRAs come along.

        Raises `EngineRefused`, `EngineTimeout` ("load"), `EngineUnreachable`.
        """
        named = self.files.find(model)
        seat = self._seat(named.base, embedding=False)
        async with seat.turn:
            seat.stay()
            await self._loaded(seat, named, num_ctx)
            seat.rest(keep_alive_s)

    async def _loaded(self, seat: Seat, named: Named, num_ctx: int) -> float:
        """Have the seat serve `named`; ms of loading, 0 where it did. The caller has the seat's turn."""
        if seat.serves(named.lora, num_ctx):
            return 0.0
        await self.files.check(named, chat=True)
        return await seat.load(named.model, self.files.loras_beside(named), named.paths[1:], num_ctx)

    async def unload(self, model: str) -> None:
        """End the workers of the model's base, its LoRAs with it, after the calls before this one. Its RAM is free then."""
        try:
            named = self.files.find(model)
        except ModelMissing:
            return
        for embedding in (False, True):
            seat = self._seats.get((named.base, embedding))
            if seat is not None:
                async with seat.turn:
                    await seat.end()

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """One reply. What had been said when a worker fell silent or died is in the error's `partial`."""
        named = self.files.find(request.model)
        seat = self._seat(named.base, embedding=False)
        call = _Call(next(self._calls))
        await seat.turn.acquire()
        try:
            seat.stay()
            if not seat.serves(named.lora, request.num_ctx):
                await self.files.check(named, chat=True)
                yield Loading(request.model)
            load_ms = await self._loaded(seat, named, request.num_ctx)
            async for chunk in self._speak(seat, named, request, call):
                yield replace(chunk, load_ms=load_ms) if isinstance(chunk, Finished) else chunk
        finally:
            seat.leave(call.number if call.running else 0, request.keep_alive_s)

    async def _speak(self, seat: Seat, named: Named, request: ChatRequest, call: _Call) -> AsyncGenerator[Chunk, None]:
        """Ask the worker of `seat`, which is loaded, and pass on what it says."""
        ends = asyncio.get_running_loop().time() + self._deadlines.total_s
        limit_s, stage = self._deadlines.first_byte_s, "load"
        call.running = True
        seat.send(_speak_message(request, call.number, seat.loras.index(named.lora) if named.lora else -1))
        unbidden = False
        while True:
            message = await seat.receive(limit_s, stage, model=request.model, ends=ends, partial=call.said)
            match message:
                case wire.Began(call=call.number):
                    pass
                case wire.Piece(call=call.number, thinking=True, text=text):
                    limit_s, stage = self._deadlines.between_tokens_s, "token"
                    unbidden |= not request.think and bool(text.strip())
                    yield Thinking(text)
                case wire.Piece(call=call.number, text=text):
                    limit_s, stage = self._deadlines.between_tokens_s, "token"
                    call.said.append(text)
                    yield Text(text)
                case wire.Ended(call=call.number, reason="stop" | "length"):
                    call.running = False
                    yield _finish(message, request, "".join(call.said), unbidden=unbidden)
                    return
                case wire.Failed(call=call.number):
                    call.running = False
                    raise _refused(message, request.model, "".join(call.said))
                case _:
                    seat.drop()
                    raise EngineGarbled(
                        f"the worker of {request.model} sent a {type(message).__name__} out of turn",
                        next_step="resume the turn",
                    )

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Unit vectors: the mean over a text's tokens, on the CPU in a worker of its own. Cancelled, that worker is killed.

        Raises `PromptTooLong` for a text of more than 2,048 tokens, `EngineRefused` for a name with a LoRA.
        """
        named = self.files.find(model)
        if named.lora is not None:
            raise EngineRefused(f"{model}: embeddings are made by a base alone", next_step="name the base")
        seat = self._seat(named.base, embedding=True)
        rows: list[tuple[float, ...]] = []
        async with seat.turn:
            seat.stay()
            if not seat.serves(None, 0):
                await self.files.check(named, chat=False)
                await seat.load(model, (), (), 0)
            for start in range(0, len(texts), EMBED_BATCH):
                rows += await self._embed_batch(seat, model, texts[start : start + EMBED_BATCH])
            seat.rest(EMBED_IDLE_S)
        return tuple(rows)

    async def _embed_batch(self, seat: Seat, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        number = next(self._calls)
        seat.send(wire.Embed(number, tuple(texts)))
        try:
            answer = await seat.receive(self._deadlines.first_byte_s, "load", model=model)
        except asyncio.CancelledError:
            seat.drop()
            raise
        match answer:
            case wire.Vectors(call=of, rows=rows) if of == number and len(rows) == len(texts):
                return rows
            case wire.Failed(call=of) if of == number:
                raise _refused(answer, model, "")
        seat.drop()
        raise EngineGarbled(f"the worker of {model} sent no embeddings", next_step="try again")

    def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Raises `EngineRefused` at once: this engine reads its folder, and others fill it."""
        raise EngineRefused(
            f"the embedded engine cannot fetch {model}", next_step=f"put its GGUF file into {self.files.folder}"
        )

    async def aclose(self) -> None:
        """Kill all workers and wait for them; streams that are still open, and calls that come later, end as broken."""
        seats = tuple(self._seats.values())
        for seat in seats:
            seat.drop()
        for seat in seats:
            await seat.close()

    def _seat(self, base: Path, *, embedding: bool) -> Seat:
        key = base, embedding
        if key not in self._seats:
            self._seats[key] = Seat(base, embedding=embedding, deadlines=self._deadlines, means=self._means)
        return self._seats[key]


@dataclass(slots=True)
class _Call:
    """One call: `running` while the worker has it, `said` its text so far."""

    number: int
    running: bool = False
    said: list[str] = field(default_factory=list)


def _speak_message(request: ChatRequest, call: int, lora: int) -> wire.Speak:
    return wire.Speak(
        call=call,
        messages=tuple((message.role, message.content) for message in request.messages),
        lora=lora,
        schema="" if request.schema is None else json.dumps(request.schema),
        think=request.think,
        think_tokens=request.think_tokens,
        max_tokens=max(1, request.max_tokens),
        num_ctx=request.num_ctx,
        temperature=float(request.temperature),
        seed=-1 if request.seed is None else request.seed % 2**32,
    )


def _finish(ended: wire.Ended, request: ChatRequest, text: str, *, unbidden: bool) -> Finished:
    """Raises `EngineGarbled` for a reply that is none."""
    assert ended.reason != "cancelled"
    if not text.strip():
        raise EngineGarbled(f"{request.model} answered nothing", next_step="resume the turn, or choose another model")
    if request.schema is not None and ended.reason == "stop":
        try:
            json.loads(text)
        except ValueError as error:
            raise EngineGarbled(
                f"the reply was to be JSON and is not ({error})", next_step="resume the turn"
            ) from error
    notes = ("the model thinks although it was told not to",) if unbidden else ()
    return Finished(ended.reason, ended.prompt_tokens, ended.completion_tokens, notes=notes)


def _refused(failed: wire.Failed, model: str, partial: str) -> PeerError:
    if partial:
        return EngineBroke(f"{model} broke off: {failed.text}", partial=partial, next_step="resume the turn")
    if failed.kind == "too_long":
        return PromptTooLong(
            f"the prompt does not fit the model's context: {failed.text}",
            next_step="shorten the question, or give the profile a larger num_ctx",
        )
    return EngineRefused(f"{model} refused the call: {failed.text}", next_step="see the log, and what was asked for")
