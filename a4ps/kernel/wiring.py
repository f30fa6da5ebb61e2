"""The one place that names concrete adapters: from places and settings to an open kernel."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from a4ps.clock import SystemClock
from a4ps.errors import EngineUnreachable, ModelMissing
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.image.turns import TurnLog
from a4ps.inference.catalog import load_catalog
from a4ps.inference.engine import Engine, EngineStatus
from a4ps.inference.ollama import Deadlines, OllamaEngine
from a4ps.inference.rehearsal import MODEL as REHEARSAL_MODEL
from a4ps.inference.rehearsal import RehearsalEngine
from a4ps.kernel.kernel import Kernel
from a4ps.personas.roster import NAMES, load_codices
from a4ps.places import Places
from a4ps.settings import Loaded, Settings, load

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


def rehearses(env: Environment, status: EngineStatus, last_engine: str) -> str:
    """Why the rehearsal engine is to be used, "" if Ollama is. Raises `EngineUnreachable`.

    With `engine = "auto"` a machine that never had Ollama rehearses. One that has it, or whose last turn was answered by
    it, is told that it does not answer: rehearsing in its place would look like a loss of mind.
    """
    settings = env.settings
    if settings.engine == "rehearsal":
        return "the setting engine asks for it"
    if status.reachable:
        return ""
    expected = (
        settings.engine == "ollama"
        or env.loaded.origins["ollama_host"] != "default"
        or last_engine == "ollama"
        or shutil.which("ollama") is not None
    )
    if expected:
        raise EngineUnreachable(
            f"Ollama does not answer at {settings.ollama_host}" + (f": {status.detail}" if status.detail else ""),
            next_step="start it: ollama serve   (or rehearse without a model: A4PS_ENGINE=rehearsal a4ps ask ...)",
        )
    return "no Ollama is installed here"


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
    store = Store.open(env.places.image, KeyFolder(env.places.keys), clock)
    try:
        log = TurnLog(store)
        engine, models, notice = await _choose_engine(env, log)
        try:
            deliberation = await Deliberation.open(env.places.checkpoints)
        except BaseException:
            await engine.aclose()
            raise
    except BaseException:
        store.close()
        raise
    await deliberation.sweep(keep=log.open_ids[-1:])
    society = Society(load_codices(), models, engine, env.settings, deliberation, log, clock)
    return Kernel(store, log, engine, society, clock, notice)


async def _choose_engine(env: Environment, log: TurnLog) -> tuple[Engine, dict[str, str], str]:
    ollama = ollama_engine(env.settings)
    try:
        status = EngineStatus(False) if env.settings.engine == "rehearsal" else await ollama.status()
        last = log.latest(1)
        why = rehearses(env, status, last[0][0].engine if last else "")
        if not why:
            await _need_models(ollama, env.models)
            return ollama, env.models, ""
    except BaseException:
        await ollama.aclose()
        raise
    await ollama.aclose()
    mend = "a4ps config set engine auto" if env.settings.engine == "rehearsal" else INSTALL_OLLAMA
    notice = f"Rehearsal: {why}, so the four speak prepared lines. For a real model: {mend}"
    return RehearsalEngine(), dict.fromkeys(NAMES, REHEARSAL_MODEL), notice


async def _need_models(engine: Engine, models: Mapping[str, str]) -> None:
    """Raises `ModelMissing` for the first model that the engine lacks, before a turn is accepted for it."""
    installed = {model.name.removesuffix(":latest") for model in await engine.models()}
    for model in models.values():
        if model.removesuffix(":latest") not in installed:
            raise ModelMissing(model)
