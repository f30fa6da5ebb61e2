"""Which model each persona speaks with, per profile, and what those models weigh: `catalog.toml` as values.

Pure: whether a model is installed is an engine's knowledge, not the catalog's.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

#: Order in which `doctor` proposes profiles, from the lightest.
PROFILE_ORDER = ("fast", "duo", "four")


def canonical(model: str) -> str:
    """One spelling for the names that Ollama takes for the same model: case, "library/" and ":latest" do not matter."""
    name = model.strip().lower().removeprefix("library/")
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


def lacking(wanted: Iterable[str], installed: Iterable[str]) -> tuple[str, ...]:
    """The models of `wanted` that are not among `installed`: each once, in the order and spelling of its first mention."""
    have = {canonical(model) for model in installed}
    missing: dict[str, str] = {}
    for model in wanted:
        if canonical(model) not in have:
            missing.setdefault(canonical(model), model)
    return tuple(missing.values())


@dataclass(frozen=True, slots=True)
class Profile:
    """A named assignment of models to personas. `vram_gb` is what its largest model needs to answer, context included."""

    name: str
    description: str
    vram_gb: float
    models: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ModelFile:
    """A GGUF file. `source` is what `models pull` takes, `name` what the embedded engine calls the model."""

    source: str
    size_gb: float

    @property
    def name(self) -> str:
        return self.source.rpartition("/")[2].removesuffix(".gguf")


@dataclass(frozen=True, slots=True)
class EmbedderEntry:
    """A model that embeds: its tag in Ollama's library, and what it wants before a question and before a memory."""

    tag: str
    question_prefix: str
    memory_prefix: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """All proposals, by canonical names. `sizes_gb` is the size of each download by Ollama, `files` the same models as
    files for the embedded engine; `embedder` is among both."""

    profiles: Mapping[str, Profile]
    sizes_gb: Mapping[str, float]
    files: Mapping[str, ModelFile]
    embedder: EmbedderEntry

    def models_for(self, profile: str, overrides: Mapping[Any, str]) -> dict[str, str]:
        """Persona → model, the user's overrides last."""
        return {**self.profiles[profile].models, **overrides}

    def embedded(self, model: str) -> str:
        """The name of a model in the embedded engine: that of its file, or the name itself where the catalog has none."""
        file = self.files.get(canonical(model))
        return model if file is None else file.name

    def source(self, model: str) -> str:
        """Where the embedded engine's file of a model can be fetched; "" where the catalog does not know."""
        named = (file for tag, file in self.files.items() if model == file.name or canonical(model) == tag)
        return next((file.source for file in named), "")

    def size_gb(self, models: Iterable[str]) -> float:
        """Size of the distinct models together; one the catalog does not know counts as 0."""
        known = {**self.sizes_gb, **{canonical(file.name): file.size_gb for file in self.files.values()}}
        return round(sum(known.get(model, 0.0) for model in {canonical(model) for model in models}), 1)

    def next_profile(self, current: str, vram_gb: float, ram_gb: float, disk_gb: float) -> Profile | None:
        """The profile after `current` if this machine can carry it, else None.

        A card is needed for more than `fast`: on a CPU a second model only makes every turn slower. Ollama maps model
        files into memory, so RAM must hold the largest of them too.
        """
        later = PROFILE_ORDER[PROFILE_ORDER.index(current) + 1 :]
        if not later:
            return None
        profile = self.profiles[later[0]]
        largest = max(self.sizes_gb[canonical(model)] for model in profile.models.values())
        fits = (
            vram_gb >= profile.vram_gb
            and ram_gb >= largest + 2
            and disk_gb >= self.size_gb(profile.models.values()) + 5
        )
        return profile if fits else None


@cache
def load_catalog() -> Catalog:
    """The catalog that ships with the package."""
    data = tomllib.loads(resources.files(__package__).joinpath("catalog.toml").read_text(encoding="utf-8"))
    profiles = {
        name: Profile(
            name,
            entry["description"],
            float(entry["vram_gb"]),
            {key: model for key, model in entry.items() if key not in ("description", "vram_gb")},
        )
        for name, entry in data["profiles"].items()
    }
    embedder = data["embedder"]
    models = {**data["models"], embedder["tag"]: embedder}
    sizes = {canonical(name): float(entry["size_gb"]) for name, entry in models.items()}
    files = {canonical(name): ModelFile(entry["gguf"], float(entry["gguf_gb"])) for name, entry in models.items()}
    prefixes = embedder["question_prefix"], embedder["memory_prefix"]
    return Catalog(profiles, sizes, files, EmbedderEntry(embedder["tag"], *prefixes))
