"""The one place that names concrete adapters: from places and settings to an open kernel."""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from a4ps.clock import Clock, SystemClock
from a4ps.errors import A4PSError, EngineUnreachable, ModelMissing, PeerError
from a4ps.holders import HolderOfText, Holders
from a4ps.image.forgetting import ImageTexts, is_unfinished
from a4ps.image.kept_images import KeptImages
from a4ps.image.keys import KeyFolder
from a4ps.image.model_ledger import ModelLedger
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.image.treatments import IMAGE_TREATMENTS, Treatments
from a4ps.image.turns import TurnLog
from a4ps.inference import lexical
from a4ps.inference.catalog import lacking, load_catalog
from a4ps.inference.engine import Engine, EngineStatus
from a4ps.inference.llamacpp import LlamaCppEngine
from a4ps.inference.llamacpp_seat import Deadlines as EmbeddedDeadlines
from a4ps.inference.local_models import find_model
from a4ps.inference.memory_budget import MemoryBudget
from a4ps.inference.model_manager import BY_OLLAMA, Ledger, ModelManager, Parts
from a4ps.inference.ollama import Deadlines, OllamaEngine
from a4ps.inference.ollama_wire import base_url, is_loopback
from a4ps.inference.rehearsal import MODEL as REHEARSAL_MODEL
from a4ps.inference.rehearsal import RehearsalEngine
from a4ps.kernel.engine_choice import Choice, Signs, choose
from a4ps.kernel.forgetter import Forgetter
from a4ps.kernel.health import LOCAL_OLLAMA
from a4ps.kernel.held_files import CrashTexts, Leftovers, LogTexts, OtherFiles, TypedHistory
from a4ps.kernel.held_worlds import WorldTexts
from a4ps.kernel.invoker import EngineInvoker
from a4ps.memory.following import Means
from a4ps.memory.forgetting import MEMORY_TREATMENTS, VectorTexts
from a4ps.memory.records import Records
from a4ps.memory.scrapbook import Scrapbook, Watch, unwatched
from a4ps.memory.tuning import Options
from a4ps.personas.roster import BY_PROFILE, NAMES, enrol
from a4ps.places import Places
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.settings import Loaded, Settings, load
from a4ps.society.checkpoint_texts import CheckpointTexts
from a4ps.tools.asking import Asker, Voice
from a4ps.tools.forgetting import TOOL_RULES, TOOL_TREATMENTS
from a4ps.tools.registry import ToolRegistry
from a4ps.tools.tool_forge import ForgeParts, ToolForge

if TYPE_CHECKING:
    from a4ps.kernel.kernel import Kernel

_log = logging.getLogger(__name__)

#: The models of the service that Ollama's installer makes. Only its home, two levels up, is open to others.
SERVICE_MODELS = Path("/usr/share/ollama/.ollama/models")


#: How rows of each kind are forgotten, whoever makes them.
TREATMENTS: Treatments = {**IMAGE_TREATMENTS, **MEMORY_TREATMENTS, **TOOL_TREATMENTS}


@dataclass(frozen=True, slots=True)
class Environment:
    """What every command starts from: where things are and what is set."""

    places: Places
    loaded: Loaded

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    @property
    def models(self) -> dict[str, str]:
        """Persona → model, by profile and overrides, as Ollama calls them."""
        return load_catalog().models_for(self.settings.profile, self.settings.models)

    @property
    def embedded_models(self) -> dict[str, str]:
        """The same models as the embedded engine calls them."""
        return {persona: load_catalog().embedded(model) for persona, model in self.models.items()}

    def models_of(self, choice: Choice) -> dict[str, str]:
        """Persona → model of the engine that was chosen."""
        if choice == "rehearsal":
            return dict.fromkeys(NAMES, REHEARSAL_MODEL)
        return self.embedded_models if choice == "llamacpp" else self.models


def environment(home: str | None, environ: Mapping[str, str] = os.environ) -> Environment:
    """Find the places and read the settings. Raises `SettingsError`."""
    places = Places.find(home, environ)
    return Environment(places, load(places.settings_file, environ))


def ollama_engine(settings: Settings) -> OllamaEngine:
    """The engine that speaks with the Ollama server of the settings; nothing is asked of it yet."""
    deadlines = Deadlines(
        connect_s=settings.connect_s, first_byte_s=settings.first_byte_s, between_tokens_s=settings.between_tokens_s
    )
    return OllamaEngine(settings.ollama_host, deadlines=deadlines)


def llamacpp_engine(env: Environment) -> LlamaCppEngine:
    """The embedded engine over the home's models folder; nothing is started yet."""
    settings = env.settings
    deadlines = EmbeddedDeadlines(load_s=settings.first_byte_s, between_tokens_s=settings.between_tokens_s)
    return LlamaCppEngine(env.places.models, models=env.embedded_models.values(), deadlines=deadlines)


def tier_of(settings: Settings) -> str:
    """The sandbox of the settings as an executor calls it."""
    return "" if settings.sandbox == "auto" else settings.sandbox


def executor_of(env: Environment) -> SecureCodeExecutor:
    """What runs code that is not trusted, in the sandbox of the settings; nothing is looked for or started."""
    return SecureCodeExecutor(tier=tier_of(env.settings))


def has_embedded_models(env: Environment) -> bool:
    """Whether the embedded engine is installed and has a file for every model that the four speak with."""
    if importlib.util.find_spec("xllamacpp") is None:
        return False
    return not lacking_files(env, env.embedded_models.values())


def lacking_files(env: Environment, models: Iterable[str]) -> tuple[str, ...]:
    """Those of `models` (names of the embedded engine) whose file, or whose LoRA's, is not there; each once."""
    missing: dict[str, None] = {}
    for model in models:
        for part in model.split("+"):
            try:
                find_model(env.places.models, part)
            except ModelMissing:
                missing[part] = None
    return tuple(missing)


def elsewhere(settings: Settings) -> bool:
    """Whether the Ollama of the settings is beyond this machine, so that what is asked leaves it.

    Raises `SettingsError`.
    """
    return not is_loopback(base_url(settings.ollama_host))


def models_folder(settings: Settings, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Where an Ollama on this machine keeps its models; None where the settings name one elsewhere.

    A guess in the order of Ollama's own rules: its variable, the user's folder, the folder of the service that its
    installer sets up. The folder may not exist yet, and the service's may be closed to us. Raises `SettingsError`.
    """
    if elsewhere(settings):
        return None
    if environ.get("OLLAMA_MODELS"):
        return Path(environ["OLLAMA_MODELS"]).absolute()
    users = Path.home() / ".ollama" / "models"
    return SERVICE_MODELS if not users.exists() and SERVICE_MODELS.parents[1].exists() else users


def signs(env: Environment, status: EngineStatus, last_engine: str) -> Signs:
    """What the choice of an engine rests on, here and now."""
    return Signs(
        setting=env.settings.engine,
        reachable=status.reachable,
        embedded=has_embedded_models(env),
        host_given=env.loaded.origins["ollama_host"] != "default",
        on_path=shutil.which("ollama") is not None,
        last_engine=last_engine,
    )


@contextmanager
def open_log(env: Environment) -> Iterator[TurnLog]:
    """The turns alone, less what was being forgotten. Raises as `Store.open` does."""
    with Store.open(env.places.image, KeyFolder(env.places.keys), SystemClock()) as store:
        if is_unfinished(store):
            finish_forgetting(env.places, ProtoManager.over(store))
        yield TurnLog(store)


@asynccontextmanager
async def scrapbook_over(env: Environment, records: Records, watch: Watch = unwatched) -> AsyncIterator[Scrapbook]:
    """Memory without a society, with the embedder of the settings; nothing is started."""
    ollama = ollama_engine(env.settings)
    async with AsyncExitStack() as undo:
        undo.push_async_callback(ollama.aclose)
        embedder = await embedder_of(env, ollama)
        manager = ModelManager(parts_of(env, ollama if embedder.startswith(BY_OLLAMA) else RehearsalEngine(), embedder))
        undo.push_async_callback(manager.aclose)
        scrapbook = Scrapbook(records, means_of(env, embedder, manager, SystemClock()), watch)
        undo.push_async_callback(scrapbook.aclose)
        yield scrapbook


def means_of(env: Environment, embedder: str, manager: ModelManager, clock: Clock) -> Means | None:
    """What the vectors are made with and kept in; None for the lexical embedder, with which full text finds as much."""
    if embedder == lexical.NAME:
        return None
    settings, entry = env.settings, load_catalog().embedder
    names = (load_catalog().embedded(entry.tag), f"{BY_OLLAMA}{entry.tag}")
    prefixes = (entry.question_prefix, entry.memory_prefix) if embedder in names else ("", "")
    options = Options(settings.vector_index, settings.vector_recall)
    return Means(manager, env.places.scrapbook, clock, settings.vector_floor, prefixes, options)


def holders_of(places: Places) -> Holders:
    """All that keeps words of a person in this home, but for the image: whoever adds a place adds its holder here."""
    holders = Holders()
    holders.add(TypedHistory(places.chat_history))
    holders.add(TypedHistory(places.console_history, "console history"))
    holders.add(WorldTexts(places.worlds))
    holders.add(LogTexts(places.log))
    holders.add(CrashTexts(places.crashes))
    holders.add(CheckpointTexts(places.checkpoints))
    holders.add(KeptImages(places.image, TREATMENTS))
    holders.add(VectorTexts(places.scrapbook))
    holders.add(Leftovers(places.home))
    return holders


def forgetter_of(places: Places, manager: ProtoManager) -> Forgetter:
    """What forgets in this home, with its image open and nothing else."""
    image = ImageTexts(manager, TREATMENTS, TOOL_RULES)
    holders = holders_of(places)
    known: list[HolderOfText] = [image, *holders]
    holders.add(OtherFiles(places, lambda: known))
    return Forgetter(image, holders, CheckpointTexts(places.checkpoints).turns_with)


def finish_forgetting(places: Places, manager: ProtoManager) -> bool:
    """Go on with a forgetting that was cut off; whether there was one, and it is done now.

    What keeps it from that keeps nobody from asking; the next opening, or `a4ps memory forget`, tries again.
    """
    try:
        return bool(forgetter_of(places, manager).finish())
    except A4PSError:
        _log.exception("a forgetting that was cut off could not be finished")
        return False


def open_image(env: Environment) -> tuple[ProtoManager, bool]:
    """The image with its Protos, less what was being forgotten, and whether that was finished here; it owns its store.

    Raises as `Store.open` does.
    """
    protos = ProtoManager.open(env.places.image, keys=KeyFolder(env.places.keys))
    return protos, finish_forgetting(env.places, protos)


async def kernel_over(
    env: Environment,
    protos: ProtoManager,
    executor: SecureCodeExecutor,
    tools: ToolRegistry,
    records: Records,
    watch: Watch = unwatched,
) -> Kernel:
    """Open engine and society over an open image, with the sandboxes and tools that are the caller's. `watch` is who looks
    after what runs in the background.

    Raises every kind of `A4PSError`; nothing more stays open then.
    """
    # LangGraph takes a second to import, which keeps nobody waiting but whoever wants a society.
    await asyncio.to_thread(importlib.import_module, "a4ps.society.graph")
    from a4ps.kernel.kernel import KEPT_OPEN, Kernel
    from a4ps.society.graph import Deliberation
    from a4ps.society.sleeping import Sleeper
    from a4ps.society.society import Society

    store = protos.store
    clock = store.clock
    async with AsyncExitStack() as undo:
        log = records.log
        last = log.latest(1)
        choice = await choose_engine(env, last[0][0].engine if last else "")
        engine = engine_of(env, choice)
        undo.push_async_callback(engine.aclose)
        models = env.models_of(choice)
        if choice != "rehearsal":
            await _need_models(engine, models)
        embedder = await embedder_of(env, engine)
        manager = ModelManager(parts_of(env, engine, embedder, ModelLedger(store)))
        deliberation = await Deliberation.open(env.places.checkpoints, store.seal)
        undo.push_async_callback(deliberation.aclose)
        await deliberation.sweep(keep=log.open_ids[-KEPT_OPEN:])
        enrol(protos)
        protos.bind_invoker(EngineInvoker(manager, env.settings, models, clock))
        made_of = forge_parts(env, tools, manager, models)
        forge = ToolForge(made_of)
        scrapbook = Scrapbook(records, means_of(env, embedder, manager, clock), watch)
        society = Society(protos, models, manager, env.settings, deliberation, scrapbook, clock, forge)
        scrapbook.start()
        undo.pop_all()
    sleeper = Sleeper(scrapbook.records, Asker(manager, made_of.voice, env.settings.num_ctx, who="background"))
    return Kernel(
        store,
        log,
        manager,
        society,
        clock,
        _notice(env, choice),
        executor,
        sleeper=sleeper,
        owns_image=False,
    )


def forge_parts(env: Environment, tools: ToolRegistry, engine: Engine, models: Mapping[str, str]) -> ForgeParts:
    """What the forge is made of; `models` are those by profile."""

    def voice(name: str) -> Voice:
        codex = tools.manager.get_proto(name).codex
        of_its_own = codex.model_name != BY_PROFILE and engine.name != "rehearsal"
        return Voice(codex, codex.model_name if of_its_own else models[name])

    return ForgeParts(tools, engine, voice, SystemClock(), env.settings.num_ctx)


async def choose_engine(env: Environment, last_engine: str) -> Choice:
    """Which engine speaks here and now. Raises `EngineUnreachable` where an Ollama that ought to answer does not."""
    status = EngineStatus(False)
    if env.settings.engine not in ("rehearsal", "llamacpp"):
        ollama = ollama_engine(env.settings)
        try:
            status = await ollama.status()
        finally:
            await ollama.aclose()
    choice = choose(signs(env, status, last_engine))
    if choice == "unreachable":
        raise EngineUnreachable(
            f"Ollama is of no use at {env.settings.ollama_host}: {status.detail}",
            next_step="start it: ollama serve   (or rehearse without a model: A4PS_ENGINE=rehearsal a4ps ask ...)",
        )
    return choice


def engine_of(env: Environment, choice: Choice) -> Engine:
    """The engine of a choice; it opens nothing before it is asked."""
    if choice == "ollama":
        return ollama_engine(env.settings)
    return llamacpp_engine(env) if choice == "llamacpp" else RehearsalEngine()


async def embedder_of(env: Environment, engine: Engine | None) -> str:
    """What embeds by the settings, as the model manager calls it; "lexical" where there is nothing that could.

    `engine` is asked for its models where the catalog's embedder is no file here, if it is Ollama.
    """
    if env.settings.embedder != "auto":
        named = env.settings.embedder
        return named if "/" in named else named.removesuffix(".gguf")
    tag = load_catalog().embedder.tag
    file = load_catalog().embedded(tag)
    if importlib.util.find_spec("xllamacpp") is not None and not lacking_files(env, [file]):
        return file
    if engine is not None and engine.name == "ollama":
        with suppress(PeerError):  # it is needed for more than that, and will be told of then
            if not lacking([tag], (model.name for model in await engine.models())):
                return f"{BY_OLLAMA}{tag}"
    return lexical.NAME


def parts_of(env: Environment, engine: Engine, embedder: str = lexical.NAME, ledger: Ledger | None = None) -> Parts:
    """What the model manager is made of."""
    settings = env.settings
    is_local = engine.name != "ollama" or not elsewhere(settings)
    return Parts(
        engine,
        embedder=None if engine.name == "llamacpp" else llamacpp_engine(env),
        embedder_model=embedder,
        budget=MemoryBudget(settings.memory_mb * 1_000_000, is_local=is_local).read,
        residency=settings.residency,
        num_ctx=settings.num_ctx,
        reply_tokens=settings.reply_tokens,
        sizes_gb=load_catalog().sizes_gb,
        ledger=ledger,
    )


def default_parts() -> Parts:
    """What `ModelManager()` is made of: the engine that the command line would find, without an image to remember in."""
    env = environment(None)
    choice, embedder = _chosen(env)
    return parts_of(env, engine_of(env, choice), embedder)


def default_forge() -> ForgeParts:
    """What `ToolForge()` is made of: the process's own image, the engine that the command line would find, a sandbox."""
    env = environment(None)
    choice, embedder = _chosen(env)
    protos = ProtoManager()
    enrol(protos)
    engine = ModelManager(parts_of(env, engine_of(env, choice), embedder))
    executor = executor_of(env)
    protos.close_with(executor.close)
    return forge_parts(env, ToolRegistry(protos, executor), engine, env.models_of(choice))


def _chosen(env: Environment) -> tuple[Choice, str]:
    """The engine and the embedder that the command line would find."""

    async def chosen() -> tuple[Choice, str]:
        choice = await choose_engine(env, "")
        engine = engine_of(env, choice)
        try:
            return choice, await embedder_of(env, engine)
        finally:
            await engine.aclose()

    with ThreadPoolExecutor(1) as thread:  # the caller's thread may have an event loop
        return thread.submit(lambda: asyncio.run(chosen())).result()


def _notice(env: Environment, choice: Choice) -> str:
    """What the user should know of the engine that was chosen, "" for nothing."""
    host = env.settings.ollama_host
    if choice == "ollama" and elsewhere(env.settings):
        return f"Your words go to Ollama at {host}, beyond this machine. To keep them here: {LOCAL_OLLAMA}"
    if choice != "rehearsal":
        return ""
    if env.settings.engine == "rehearsal":
        why, mend = "the setting engine asks for it", "a4ps config set engine auto"
    else:
        why, mend = "no model is here yet", "a4ps models pull"
    return f"Rehearsal: {why}, so the four speak prepared lines. For a real model: {mend}"


async def _need_models(engine: Engine, models: Mapping[str, str]) -> None:
    """Raises `ModelMissing` with all models that the engine lacks, before a turn is accepted for them."""
    missing = lacking(models.values(), (model.name for model in await engine.models()))
    if missing:
        lacks = ModelMissing(*missing)
        lacks.engine = engine.name
        raise lacks
