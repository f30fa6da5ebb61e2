"""Fetching models with a progress bar: through Ollama, or as files for the embedded engine."""

from __future__ import annotations

import shutil
import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import click

from a4ps.cli.frame import Frame
from a4ps.cli.plain import plain
from a4ps.errors import DiskFull, UsageError
from a4ps.inference.catalog import load_catalog
from a4ps.inference.download import pull
from a4ps.inference.engine import PullProgress
from a4ps.inference.model_source import Source, parse_source
from a4ps.kernel.wiring import models_folder, ollama_engine


async def pull_models(frame: Frame, models: Sequence[str]) -> None:
    """Fetch each model through Ollama, telling progress on stderr.

    Raises `DiskFull` before a download that would not fit on the disk of a local Ollama, and `PeerError`.
    Interrupted, the same call goes on where Ollama stopped.
    """
    folder = models_folder(frame.env.settings)
    if folder is not None:
        _need_space(models, folder)
    engine = ollama_engine(frame.env.settings)
    try:
        for model in models:
            await _shown(model, engine.pull(model))
    finally:
        await engine.aclose()


async def pull_files(frame: Frame, models: Sequence[str]) -> None:
    """Fetch model files for the embedded engine: names of the catalog, `hf:OWNER/REPO/FILE.gguf`, or https addresses.

    Raises `UsageError` for a name that leads nowhere, and what `download.pull` raises; interrupted, the same call goes
    on where it stopped.
    """
    sources = [source_of(frame, model) for model in models]
    _need_space(models, frame.env.places.models)
    for source in sources:
        await _shown(source.file_name, pull(source, frame.env.places.models))


def source_of(frame: Frame, model: str) -> Source:
    """Where a model file comes from. Raises `UsageError`."""
    address = model if is_address(model) else load_catalog().source(model)
    if not address:
        raise UsageError(
            f"where the model {model} comes from is not known",
            next_step="name a file: a4ps models pull hf:OWNER/REPO/FILE.gguf, or https://…/FILE.gguf",
        )
    return parse_source(address, frame.env.settings.hub)


def is_address(model: str) -> bool:
    return model.startswith("hf:") or "://" in model


async def _shown(name: str, reports: AsyncGenerator[PullProgress, None]) -> None:
    async with aclosing(reports):
        with click.progressbar(length=1000, label=plain(name), file=sys.stderr) as bar:
            async for report in reports:
                bar.update(_permille(report) - bar.pos)
            bar.update(1000 - bar.pos)


def _need_space(models: Sequence[str], folder: Path) -> None:
    need_gb = load_catalog().size_gb(models)
    if need_gb > (free_gb := _free_gb(folder)):
        raise DiskFull(
            f"{', '.join(models)} need {need_gb:.1f} GB; {free_gb:.1f} GB are free for {folder}",
            next_step="free some space first",
        )


def _free_gb(folder: Path) -> float:
    """Space on the disk that will hold `folder`, which may not exist yet or be closed to us, in GB."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free / 1e9
    return 0.0


def _permille(report: PullProgress) -> int:
    return 1000 * report.completed_bytes // report.total_bytes if report.total_bytes else 0
