"""The one place that names concrete adapters: from places and settings to an open kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from a4ps.clock import SystemClock
from a4ps.errors import EngineUnreachable, ModelMissing
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.inference.catalog import lacking, load_catalog
from a4ps.inference.engine import Engine, EngineStatus
from a4ps.inference.ollama import Deadlines, OllamaEngine
from a4ps.inference.ollama_wire import base_url, is_loopback
from a4ps.inference.rehearsal import MODEL as REHEARSAL_MODEL
from a4ps.inference.rehearsal import RehearsalEngine
from a4ps.kernel.engine_choice import Signs, choose
from a4ps.kernel.health import LOCAL_OLLAMA
from a4ps.kernel.invoker import EngineInvoker
from a4ps.kernel.kernel import KEPT_OPEN, Kernel
from a4ps.personas.roster import NAMES, enrol
from a4ps.places import Places
from a4ps.settings import Loaded, Settings, load

#: The models of the service that Ollama's installer makes. Only its home, two levels up, is open to others.
SERVICE_MODELS = Path("/usr/share/ollama/.ollama/models")
INSTALL_OLLAMA = "install Ollama (https://ollama.com/download), then: a4ps models pull"


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
        """Persona → model of a real engine, by profile and overrides."""
        return load_catalog().models_for(self.settings.profile, self.settings.models)


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
        host_given=env.loaded.origins["ollama_host"] != "default",
        on_path=shutil.which("ollama") is not None,
        last_engine=last_engine,
    )


@contextmanager
def open_log(env: Environment) -> Iterator[TurnLog]:
    """The turns alone, without engine or society. Raises as `Store.open` does."""
    with Store.open(env.places.image, KeyFolder(env.places.keys), SystemClock()) as store:
        yield TurnLog(store)


async def open_kernel(env: Environment) -> Kernel:
    """Open image, engine and society. Raises every kind of `A4PSError`; nothing stays open then."""
    from a4ps.society.graph import Deliberation  # LangGraph takes a second to import; doctor and config do without
    from a4ps.society.society import Society

    clock = SystemClock()
    async with AsyncExitStack() as undo:
        store = undo.enter_context(Store.open(env.places.image, KeyFolder(env.places.keys), clock))
        log = TurnLog(store)
        engine, models, notice = await _choose_engine(env, log)
        undo.push_async_callback(engine.aclose)
        deliberation = await Deliberation.open(env.places.checkpoints)
        undo.push_async_callback(deliberation.aclose)
        await deliberation.sweep(keep=log.open_ids[-KEPT_OPEN:])
        manager = ProtoManager.over(store)
        enrol(manager)
        manager.bind_invoker(EngineInvoker(engine, env.settings, models, clock))
        society = Society(manager, models, engine, env.settings, deliberation, log, clock)
        undo.pop_all()
    return Kernel(store, log, engine, society, clock, notice)


async def _choose_engine(env: Environment, log: TurnLog) -> tuple[Engine, dict[str, str], str]:
    """The engine, the model of each persona, and what the user should know of it.

    Raises `EngineUnreachable`, and `ModelMissing` before a turn is accepted for a model that is not there.
    """
    ollama = ollama_engine(env.settings)
    try:
        status = EngineStatus(False) if env.settings.engine == "rehearsal" else await ollama.status()
        last = log.latest(1)
        choice = choose(signs(env, status, last[0][0].engine if last else ""))
        if choice == "ollama":
            await _need_models(ollama, env.models)
            return ollama, env.models, _where(env.settings)
    except BaseException:
        await ollama.aclose()
        raise
    await ollama.aclose()
    if choice == "unreachable":
        raise EngineUnreachable(
            f"Ollama is of no use at {env.settings.ollama_host}: {status.detail}",
            next_step="start it: ollama serve   (or rehearse without a model: A4PS_ENGINE=rehearsal a4ps ask ...)",
        )
    if env.settings.engine == "rehearsal":
        why, mend = "the setting engine asks for it", "a4ps config set engine auto"
    else:
        why, mend = "no Ollama is installed here", INSTALL_OLLAMA
    notice = f"Rehearsal: {why}, so the four speak prepared lines. For a real model: {mend}"
    return RehearsalEngine(), dict.fromkeys(NAMES, REHEARSAL_MODEL), notice


def _where(settings: Settings) -> str:
    if not elsewhere(settings):
        return ""
    return f"Your words go to Ollama at {settings.ollama_host}, beyond this machine. To keep them here: {LOCAL_OLLAMA}"


async def _need_models(engine: Engine, models: Mapping[str, str]) -> None:
    """Raises `ModelMissing` with all models that the engine lacks, before a turn is accepted for them."""
    missing = lacking(models.values(), (model.name for model in await engine.models()))
    if missing:
        raise ModelMissing(*missing)
