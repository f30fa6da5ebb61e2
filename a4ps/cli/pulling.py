"""Fetching models with a progress bar."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import aclosing, suppress
from pathlib import Path

import click

from a4ps.cli.frame import Frame
from a4ps.cli.plain import plain
from a4ps.errors import DiskFull
from a4ps.inference.catalog import load_catalog
from a4ps.inference.engine import PullProgress
from a4ps.kernel.wiring import models_folder, ollama_engine


async def pull_models(frame: Frame, models: Sequence[str]) -> None:
    """Fetch each model through Ollama, telling progress on stderr.

    Raises `DiskFull` before a download that would not fit on the disk of a local Ollama, and `PeerError`.
    Interrupted, the same call goes on where Ollama stopped.
    """
    need_gb = load_catalog().size_gb(models)
    folder = models_folder(frame.env.settings)
    if folder is not None and need_gb > (free_gb := _free_gb(folder)):
        raise DiskFull(
            f"{', '.join(models)} need {need_gb:.1f} GB; {free_gb:.1f} GB are free for {folder}",
            next_step="free some space first",
        )
    engine = ollama_engine(frame.env.settings)
    try:
        for model in models:
            async with aclosing(engine.pull(model)) as reports:
                with click.progressbar(length=1000, label=plain(model), file=sys.stderr) as bar:
                    async for report in reports:
                        bar.update(_permille(report) - bar.pos)
                    bar.update(1000 - bar.pos)
    finally:
        await engine.aclose()


def _free_gb(folder: Path) -> float:
    """Space on the disk that will hold `folder`, which may not exist yet or be closed to us, in GB."""
    for place in (folder, *folder.parents):
        with suppress(OSError):
            return shutil.disk_usage(place).free / 1e9
    return 0.0


def _permille(report: PullProgress) -> int:
    return 1000 * report.completed_bytes // report.total_bytes if report.total_bytes else 0
