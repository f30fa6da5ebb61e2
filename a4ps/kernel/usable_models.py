"""Which models can be used on this machine: those of Ollama where it answers, else those of the embedded engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from a4ps.inference.catalog import lacking, load_catalog
from a4ps.inference.engine import EngineStatus, ModelInfo
from a4ps.inference.model_manager import ModelManager, Occupancy
from a4ps.kernel.wiring import (
    Environment,
    engine_of,
    lacking_files,
    llamacpp_engine,
    ollama_engine,
    parts_of,
)


@dataclass(frozen=True, slots=True)
class UsableModels:
    """`personas` is persona → model by the profile, as the engine calls them."""

    ollama: bool
    status: EngineStatus
    installed: tuple[ModelInfo, ...]
    personas: Mapping[str, str]

    @property
    def engine(self) -> str:
        return "ollama" if self.ollama else "llamacpp"

    @property
    def usable(self) -> bool:
        """Whether the engine can run anything."""
        return self.status.reachable

    def lacks(self, models: Mapping[str, str]) -> tuple[str, ...]:
        """Those of persona → model that are not installed."""
        return lacking(models.values(), (info.name for info in self.installed))

    def named(self, models: Mapping[str, str]) -> dict[str, str]:
        """Persona → model of the catalog, as the engine calls them."""
        return {name: model if self.ollama else load_catalog().embedded(model) for name, model in models.items()}


async def usable_models(env: Environment) -> UsableModels:
    """What there is now. Nothing is loaded."""
    wants_embedded = env.settings.engine == "llamacpp"
    engine = ollama_engine(env.settings)
    try:
        status = EngineStatus(False) if wants_embedded else await engine.status()
        if status.reachable:
            return UsableModels(True, status, await engine.models(), env.models)
    finally:
        await engine.aclose()
    embedded = llamacpp_engine(env)
    try:
        status = await embedded.status()
        models = await embedded.models() if status.reachable else ()
        return UsableModels(False, status, models, env.embedded_models)
    finally:
        await embedded.aclose()


async def missing_for(env: Environment, persona: str, model: str) -> tuple[str, ...]:
    """What is not there of `model`, with which a persona is to speak; nothing where no engine could say so."""
    here = await usable_models(env)
    if not here.usable:
        return ()
    return here.lacks({persona: model}) if here.ollama else lacking_files(env, [model])


async def occupancy_without_society(env: Environment) -> tuple[str, Occupancy]:
    """The engine that can be used, and what it has in memory: of an Ollama, that of others too."""
    here = await usable_models(env)
    manager = ModelManager(parts_of(env, engine_of(env, "ollama" if here.ollama else "llamacpp")))
    try:
        return here.engine, await manager.ps()
    finally:
        await manager.aclose()
