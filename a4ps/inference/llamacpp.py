"""The embedded engine: llama.cpp in a process of its own for each base in use, for machines without Ollama.

This process never imports xllamacpp: a model file that makes llama.cpp crash, hang or eat memory costs a worker, which is
killed, and the call, which raises; the next call starts a fresh one. A worker has its base and all LoRAs that are known to
belong to it, so that changing between them loads nothing.

Names: `NAME` is the file NAME.gguf of the models folder, or an absolute path; `NAME+LORA` is that base under LORA.gguf.

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
import math
import os
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from a4ps.errors import (
    EngineBroke,
    EngineGarbled,
    EngineRefused,
    EngineTimeout,
    EngineUnreachable,
    ModelFileBad,
    ModelMissing,
    ModelUnexamined,
    PeerError,
    PromptTooLong,
    WorldError,
)
from a4ps.inference import llamacpp_wire as wire
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
from a4ps.inference.examined import Examined
from a4ps.inference.examiner import examine
from a4ps.inference.llamacpp_process import WorkerDied, WorkerProcess
from a4ps.inference.local_models import SUFFIX, list_models, read_record

#: Every layer on the card, where there is a card and a build of xllamacpp for it; without, llama.cpp ignores it.
ALL_LAYERS = 9999
#: How many texts are embedded at a time.
EMBED_BATCH = 32
_EMBED_IDLE_S = 300.0
_EMBED_NICE = 5
_INSTALL = "install A4PS anew: xllamacpp came with it"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long the engine waits for a worker, in seconds; each runs out as `EngineTimeout`, and the worker is killed.

    `load_s`: process and model ("load"). `first_byte_s`: the reading of a prompt, or of a batch to embed ("load").
    `between_tokens_s` ("token"). `total_s`: one reply, the caller's own pauses included ("total"). `cancel_s`: how long
    a worker may take to stop when asked to, before it is killed for it; nobody waits for that.
    """

    load_s: float = 180.0
    first_byte_s: float = 180.0
    between_tokens_s: float = 60.0
    total_s: float = 600.0
    cancel_s: float = 5.0


@dataclass(frozen=True, slots=True)
class _Named:
    """What a model's name stands for."""

    model: str
    base: Path
    lora: Path | None


@dataclass(slots=True)
class _Seat:
    """The place of one base: who holds `turn` may speak with its worker, start and kill it."""

    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: WorkerProcess | None = None
    loras: tuple[Path, ...] = ()
    num_ctx: int = 0
    asked_ctx: int = 0
    vram_bytes: int = 0
    idle: asyncio.TimerHandle | None = None


class LlamaCppEngine:
    """Models of a folder, run here. Serves many streams at once within one event loop; see `Engine` for its contract.

    A method that raised, was closed early or was cancelled leaves the engine usable. The workers die with the thread that
    runs the loop.
    """

    name = "llamacpp"

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
        self.folder = folder
        self._models = tuple(dict.fromkeys(models))
        self._deadlines = deadlines or Deadlines()
        self._gpu_layers = gpu_layers
        self._threads = threads or max(1, (os.cpu_count() or 1) // 2)
        self._memory_bytes = memory_bytes
        self._calls = itertools.count(1)
        self._seats: dict[tuple[Path, bool], _Seat] = {}
        self._loras: dict[Path, tuple[Path, ...]] = {}
        self._examined: dict[tuple[Path, int, int], Examined] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    async def status(self) -> EngineStatus:
        """Whether xllamacpp is installed, found out without importing it."""
        if importlib.util.find_spec("xllamacpp") is None:
            return EngineStatus(reachable=False, detail="xllamacpp is not installed")
        version = importlib.metadata.version("xllamacpp")
        return EngineStatus(reachable=True, version=version, detail=f"llama.cpp (xllamacpp {version}), models in {self.folder}")

    async def models(self) -> tuple[ModelInfo, ...]:
        """The bases of the folder by name, then those of the names given at the start that are no such file but exist.

        A file is looked into when it is new; one that cannot be examined just now is listed.
        """
        found = [
            ModelInfo(local.name, local.size_bytes, local.record.sha256 if local.record else "")
            for local in list_models(self.folder)
            if await self._is_base(local.path)
        ]
        listed = {info.name for info in found}
        for name in self._models:
            with suppress(ModelMissing):
                named = self._find(name)
                if name not in listed:
                    files = [path for path in (named.base, named.lora) if path is not None]
                    found.append(ModelInfo(name, sum(path.stat().st_size for path in files), _digest(named)))
        return tuple(found)

    async def inspect(self, model: str) -> ModelCard:
        """Raises `ModelMissing`, or `EngineRefused` for a file that is no model, or no LoRA for this one."""
        named = self._find(model)
        about = await self._check(named.base, model, "model")
        weights = about.file_bytes
        if named.lora is not None:
            laid = await self._check(named.lora, model, "adapter")
            if laid.architecture != about.architecture:
                raise EngineRefused(
                    f"{model}: the LoRA is for {laid.architecture}, the base is {about.architecture}",
                    next_step="take a LoRA that was trained on this base",
                )
            weights += laid.file_bytes
        return ModelCard(
            name=model,
            architecture=about.architecture,
            weights_bytes=weights,
            base=_stem(named.base, self.folder),
            lora=_stem(named.lora, self.folder) if named.lora is not None else "",
            context_length=about.context_length,
            digest=_digest(named),
            capabilities=frozenset({"completion", "embedding"} if about.has_chat_template else {"embedding"}),
            layout=about.layout,
        )

    async def loaded(self) -> tuple[Resident, ...]:
        """Each base with a worker and, apart from it, each LoRA beside it. Embedders are not listed: they use no card."""
        found = []
        for (base, embedding), seat in self._seats.items():
            if embedding or seat.worker is None or not seat.worker.alive or not seat.num_ctx:
                continue
            name, whole = _stem(base, self.folder), seat.worker.memory_bytes() + seat.vram_bytes
            extras = [(f"{name}+{_stem(lora, self.folder)}", lora.stat().st_size) for lora in seat.loras if lora.is_file()]
            rest = max(0, whole - sum(size for _, size in extras))
            found.append(Resident(name, rest, min(rest, seat.vram_bytes), seat.num_ctx, _digest(_Named(name, base, None))))
            found += [Resident(extra, size, 0, seat.num_ctx) for extra, size in extras]
        return tuple(found)

    async def unload(self, model: str) -> None:
        """End the workers of the model's base, its LoRAs with it, after the calls before this one. Its RAM is free then."""
        named = self._find(model)
        for embedding in (False, True):
            seat = self._seats.get((named.base, embedding))
            if seat is not None:
                async with seat.turn:
                    await self._end(seat)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        """One reply. What had been said when a worker fell silent or died is in the error's `partial`."""
        named = self._find(request.model)
        seat = self._seat(named.base, embedding=False)
        await seat.turn.acquire()
        speaking = _Speaking(next(self._calls))
        try:
            self._stay(seat)
            load_ms = 0.0
            if not self._serves(seat, named, request.num_ctx):
                about = await self._check(named.base, request.model, "model")
                _need_template(about, request.model)
                if named.lora is not None:
                    await self._check(named.lora, request.model, "adapter")
                yield Loading(request.model)
                load_ms = await self._load(seat, named, request.num_ctx, embedding=False)
            async for chunk in self._speak(seat, named, request, speaking):
                yield chunk if not isinstance(chunk, Finished) or not load_ms else _loaded_in(chunk, load_ms)
        finally:
            self._leave(seat, speaking, request.keep_alive_s)

    async def _speak(
        self, seat: _Seat, named: _Named, request: ChatRequest, speaking: _Speaking
    ) -> AsyncGenerator[Chunk, None]:
        """Ask the worker of `seat`, which is loaded, and pass on what it says."""
        assert seat.worker is not None
        deadlines = self._deadlines
        ends = asyncio.get_running_loop().time() + deadlines.total_s
        limit_s, stage = deadlines.first_byte_s, "load"
        speaking.open = True
        seat.worker.send(_speak_message(request, speaking.call, seat.loras.index(named.lora) if named.lora else -1))
        unbidden = False
        while True:
            message = await self._next(seat, limit_s, stage, model=request.model, ends=ends, partial=speaking.said)
            match message:
                case wire.Began(call=speaking.call):
                    pass
                case wire.Piece(call=speaking.call):
                    limit_s, stage = deadlines.between_tokens_s, "token"
                    if message.thinking:
                        unbidden |= not request.think and bool(message.text.strip())
                        yield Thinking(message.text)
                    else:
                        speaking.said.append(message.text)
                        yield Text(message.text)
                case wire.Ended(call=speaking.call, reason="stop" | "length"):
                    speaking.open = False
                    yield _finish(message, request, "".join(speaking.said), unbidden=unbidden)
                    return
                case wire.Failed(call=speaking.call):
                    speaking.open = False
                    raise _refused(message, request.model, "".join(speaking.said))
                case _:
                    self._drop(seat)
                    raise EngineGarbled(
                        f"the worker of {request.model} sent a {type(message).__name__} out of turn",
                        next_step="resume the turn",
                    )

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        """Unit vectors: the mean over a text's tokens, on the CPU in a worker of its own. Cancelled, that worker is killed.

        Raises `PromptTooLong` for a text of more than 2,048 tokens, `EngineRefused` for a name with a LoRA.
        """
        named = self._find(model)
        if named.lora is not None:
            raise EngineRefused(f"{model}: embeddings are made by a base alone", next_step="name the base")
        seat = self._seat(named.base, embedding=True)
        rows: list[tuple[float, ...]] = []
        async with seat.turn:
            self._stay(seat)
            if not self._serves(seat, named, 0):
                await self._check(named.base, model, "model")
                await self._load(seat, named, 0, embedding=True)
            for start in range(0, len(texts), EMBED_BATCH):
                rows += await self._embed_batch(seat, model, texts[start : start + EMBED_BATCH])
            self._idle_after(seat, _EMBED_IDLE_S)
        return tuple(rows)

    async def _embed_batch(self, seat: _Seat, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        assert seat.worker is not None
        call = next(self._calls)
        seat.worker.send(wire.Embed(call, tuple(texts)))
        match await self._next(seat, self._deadlines.first_byte_s, "load", model=model):
            case wire.Vectors(call=of, rows=rows) if of == call and len(rows) == len(texts):
                return rows
            case wire.Failed() as failed:
                raise _refused(failed, model, "")
        self._drop(seat)
        raise EngineGarbled(f"the worker of {model} sent no embeddings", next_step="try again")

    async def pull(self, model: str) -> AsyncGenerator[PullProgress, None]:
        """Raises `EngineRefused`: this engine reads its folder, and others fill it."""
        raise EngineRefused(
            f"the embedded engine cannot fetch {model}", next_step=f"put its GGUF file into {self.folder}"
        )
        yield  # makes this a generator, as the port asks

    async def aclose(self) -> None:
        """Kill all workers and wait for them; streams that are still open end as broken."""
        self._closed = True
        for seat in self._seats.values():
            self._stay(seat)
            if seat.worker is not None:
                seat.worker.kill()
        for seat in self._seats.values():
            await self._end(seat)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _find(self, model: str) -> _Named:
        """Raises `ModelMissing`. A file whose own name has a plus goes before a base and a LoRA."""
        whole = self._file(model)
        if whole is not None:
            return _Named(model, whole, None)
        name, plus, lora = model.rpartition("+")
        base, laid = self._file(name), self._file(lora)
        if not plus or base is None or laid is None:
            raise ModelMissing(model)
        return _Named(model, base, laid)

    def _file(self, name: str) -> Path | None:
        if not name or "\0" in name:
            return None
        path = Path(name) if name.startswith("/") else self.folder / f"{name}{SUFFIX}"
        if "/" in name and not name.startswith("/"):
            return None
        return path if path.is_file() else None

    def _seat(self, base: Path, *, embedding: bool) -> _Seat:
        return self._seats.setdefault((base, embedding), _Seat())

    def _serves(self, seat: _Seat, named: _Named, num_ctx: int) -> bool:
        """Whether the worker of `seat` can take the call as it is."""
        return (
            seat.worker is not None
            and seat.worker.alive
            and num_ctx <= seat.asked_ctx
            and (named.lora is None or named.lora in seat.loras)
        )

    async def _check(self, path: Path, model: str, kind: str) -> Examined:
        """Read the file's header in a child, once for each file as it is. Raises `EngineRefused` for what is not `kind`."""
        try:
            examined = await self._examine(path)
        except (WorldError, OSError) as error:
            said = error.message if isinstance(error, WorldError) else str(error.strerror)
            step = error.next_step if isinstance(error, ModelFileBad) else "see that the file can be read"
            said = said.replace(str(path), "its file")
            raise EngineRefused(f"{model} cannot be used: {said}", next_step=step) from error
        if examined.kind != kind:
            wanted = {"model": "a model", "adapter": "a LoRA"}[kind]
            raise EngineRefused(
                f"{model} cannot be used: {path.name} is no {wanted.removeprefix('a ')} but of the kind {examined.kind}",
                next_step=f"name {wanted}",
            )
        return examined

    async def _is_base(self, path: Path) -> bool:
        try:
            return (await self._examine(path)).kind == "model"
        except ModelUnexamined:
            return True
        except (WorldError, OSError):
            return False

    async def _examine(self, path: Path) -> Examined:
        about = path.stat()
        key = (path, about.st_size, about.st_mtime_ns)
        if key not in self._examined:
            self._examined[key] = await examine(path)
        return self._examined[key]

    async def _load(self, seat: _Seat, named: _Named, num_ctx: int, *, embedding: bool) -> float:
        """Start a worker with everything that is known to belong to the base; ms. Raises `EngineRefused`.

        If it will not load so, it is tried once more with nothing but what this call needs.
        """
        asked = max(num_ctx, seat.asked_ctx)
        needed = () if named.lora is None else (named.lora,)
        known = () if embedding else self._known_loras(named)
        try:
            return await self._start(seat, named, known, asked, embedding=embedding)
        except EngineRefused:
            if known == needed and asked == num_ctx:
                raise
        return await self._start(seat, named, needed, num_ctx, embedding=embedding)

    def _known_loras(self, named: _Named) -> tuple[Path, ...]:
        """The LoRAs of this base among the names given at the start and those called since, in a steady order."""
        found = dict.fromkeys(self._loras.get(named.base, ()))
        for model in (*self._models, named.model):
            with suppress(ModelMissing):
                other = self._find(model)
                if other.base == named.base and other.lora is not None:
                    found[other.lora] = None
        self._loras[named.base] = tuple(found)
        return tuple(lora for lora in found if lora.is_file())

    async def _start(
        self, seat: _Seat, named: _Named, loras: tuple[Path, ...], num_ctx: int, *, embedding: bool
    ) -> float:
        await self._end(seat)
        if self._closed:
            raise EngineBroke("the engine was closed", next_step="resume the turn")
        try:
            seat.worker = await WorkerProcess.start()
        except OSError as error:
            raise EngineUnreachable(f"no process could be started: {error.strerror}", next_step="free memory") from error
        try:
            seat.worker.send(
                wire.Load(
                    base=str(named.base.absolute()),
                    loras=tuple(str(lora.absolute()) for lora in loras),
                    embedding=embedding,
                    num_ctx=num_ctx,
                    threads=self._threads,
                    gpu_layers=0 if embedding else self._gpu_layers,
                    memory_bytes=self._memory_bytes,
                    nice=_EMBED_NICE if embedding else 0,
                )
            )
            ready = await self._next(seat, self._deadlines.load_s, "load", model=named.model, loading=True)
            if isinstance(ready, wire.Failed):
                raise self._unloadable(seat, named.model, "llama.cpp refuses it")
            if not isinstance(ready, wire.Ready):
                raise EngineGarbled(f"the worker of {named.model} does not load", next_step="try again")
        except BaseException:
            self._drop(seat)
            raise
        seat.worker.tidy()
        seat.loras, seat.num_ctx, seat.asked_ctx, seat.vram_bytes = loras, ready.num_ctx, num_ctx, ready.vram_bytes
        return ready.load_ms

    def _unloadable(self, seat: _Seat, model: str, how: str) -> EngineRefused:
        said = seat.worker.said() if seat.worker is not None else ""
        memory = f" within {self._memory_bytes / 1e9:.1f} GB" if self._memory_bytes else ""
        return EngineRefused(
            f"{model} cannot be loaded{memory}: {said or how}", next_step="take another file, or a smaller num_ctx"
        )

    async def _next(
        self,
        seat: _Seat,
        limit_s: float,
        stage: str,
        *,
        model: str,
        ends: float = math.inf,
        partial: Sequence[str] = (),
        loading: bool = False,
    ) -> wire.Message:
        """The worker's next message. Whatever else happens, the worker is killed before this raises."""
        if seat.worker is None:
            raise EngineBroke("the engine was closed", partial="".join(partial), next_step="resume the turn")
        left_s = ends - asyncio.get_running_loop().time()
        if left_s < limit_s:
            limit_s, stage = left_s, "total"
        try:
            async with asyncio.timeout(limit_s):
                return await seat.worker.receive()
        except TimeoutError as error:
            self._drop(seat)
            raise self._silent(stage, model, "".join(partial)) from error
        except WorkerDied as death:
            self._drop(seat)
            if loading:
                raise self._unloadable(seat, model, str(death)) from death
            raise EngineBroke(
                f"the worker of {model} is gone: {death}", partial="".join(partial), next_step="resume the turn"
            ) from death
        except wire.WireError as error:
            self._drop(seat)
            raise EngineGarbled(f"the worker of {model}: {error}", next_step="resume the turn") from error
        except asyncio.CancelledError:
            if loading:
                self._drop(seat)
            raise

    def _silent(self, stage: str, model: str, partial: str) -> PeerError:
        deadlines = self._deadlines
        what = {
            "load": f"{model} did not begin to answer in time",
            "token": f"the reply stood still for {deadlines.between_tokens_s:g} s",
            "total": f"the reply was not complete after {deadlines.total_s:g} s",
        }[stage]
        step = "resume the turn; the model is loaded anew"
        return EngineTimeout(f"{what}; its worker was ended", stage=stage, partial=partial, next_step=step)

    def _leave(self, seat: _Seat, speaking: _Speaking, keep_alive_s: float) -> None:
        """Give the seat on: at once if the call is over, else when the worker has stopped it or was killed for not doing so."""
        if speaking.open and seat.worker is not None and seat.worker.alive:
            task = asyncio.create_task(self._hush(seat, speaking.call, keep_alive_s))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._idle_after(seat, keep_alive_s)
            seat.turn.release()

    async def _hush(self, seat: _Seat, call: int, keep_alive_s: float) -> None:
        try:
            assert seat.worker is not None
            seat.worker.send(wire.Cancel(call))
            async with asyncio.timeout(self._deadlines.cancel_s):
                while not isinstance(await seat.worker.receive(), wire.Ended | wire.Failed):
                    pass
        except (TimeoutError, WorkerDied, wire.WireError):
            self._drop(seat)
        finally:
            self._idle_after(seat, keep_alive_s)
            seat.turn.release()

    def _stay(self, seat: _Seat) -> None:
        if seat.idle is not None:
            seat.idle.cancel()
            seat.idle = None

    def _idle_after(self, seat: _Seat, keep_alive_s: float) -> None:
        """Let the worker go when nobody has called for that long: at once for 0, never for less or for infinity."""
        self._stay(seat)
        if keep_alive_s == 0:
            self._drop(seat)
        elif 0 < keep_alive_s < math.inf:
            seat.idle = asyncio.get_running_loop().call_later(keep_alive_s, self._expire, seat)

    def _expire(self, seat: _Seat) -> None:
        if not seat.turn.locked():
            self._drop(seat)

    def _drop(self, seat: _Seat) -> None:
        """Kill the worker without waiting."""
        if seat.worker is not None:
            seat.worker.kill()

    async def _end(self, seat: _Seat) -> None:
        """Kill the worker and wait until it is gone."""
        worker, seat.worker = seat.worker, None
        if worker is not None:
            worker.kill()
            await worker.ended()


@dataclass(slots=True)
class _Speaking:
    """One call: `open` while the worker has it, `said` its text so far."""

    call: int
    open: bool = False
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
        raise EngineGarbled(
            f"{request.model} answered nothing", next_step="resume the turn, or choose another model"
        )
    if request.schema is not None and ended.reason == "stop":
        try:
            json.loads(text)
        except ValueError as error:
            raise EngineGarbled(f"the reply was to be JSON and is not ({error})", next_step="resume the turn") from error
    notes = ("the model thinks although it was told not to",) if unbidden else ()
    return Finished(ended.reason, ended.prompt_tokens, ended.completion_tokens, notes=notes)


def _loaded_in(finished: Finished, load_ms: float) -> Finished:
    return Finished(
        finished.reason, finished.prompt_tokens, finished.completion_tokens, load_ms=load_ms, notes=finished.notes
    )


def _refused(failed: wire.Failed, model: str, partial: str) -> PeerError:
    if partial:
        return EngineBroke(f"{model} broke off: {failed.text}", partial=partial, next_step="resume the turn")
    if failed.kind == "too_long":
        return PromptTooLong(
            f"the prompt does not fit the model's context: {failed.text}",
            next_step="shorten the question, or give the profile a larger num_ctx",
        )
    return EngineRefused(f"{model} refused the call: {failed.text}", next_step="see the log, and what was asked for")


def _need_template(about: Examined, model: str) -> None:
    if not about.has_chat_template:
        raise EngineRefused(
            f"{model} has no chat template: how its messages are to be marked cannot be known",
            next_step="take the instruct or chat version of this model",
        )


def _stem(path: Path, folder: Path) -> str:
    """The name by which the engine knows the file."""
    return path.name.removesuffix(SUFFIX) if path.parent == folder else str(path)


def _digest(named: _Named) -> str:
    """The recorded sha256 of the files; "" where one has none."""
    records = [read_record(path) for path in (named.base, named.lora) if path is not None]
    return "+".join(record.sha256 for record in records if record) if all(records) else ""
