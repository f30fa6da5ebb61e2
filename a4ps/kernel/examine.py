"""Gathers the facts that `health` judges. Makes nothing; an image that is there is opened, checked, and closed."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from a4ps.errors import A4PSError, ImageHeld, PeerError
from a4ps.inference.card import is_plugged_in, read_card
from a4ps.inference.engine import Engine
from a4ps.kernel.autostart import read_autostart
from a4ps.kernel.engine_choice import choose
from a4ps.kernel.health import SYSTEM_PACKAGES, Facts
from a4ps.kernel.wiring import (
    Environment,
    elsewhere,
    embedder_of,
    llamacpp_engine,
    ollama_engine,
    open_log,
    signs,
    tier_of,
)
from a4ps.sandbox.tiers import find_tier


async def examine(env: Environment, environ: Mapping[str, str] = os.environ) -> Facts:
    """Look at everything once; what fails becomes a fact. Raises `SettingsError` for an address that is none."""
    keys_fault = _keys_fault(env)  # before the image is opened, which tightens what is loose
    ollama = ollama_engine(env.settings)
    embedded = llamacpp_engine(env)
    try:
        status = await ollama.status()
        beside = await embedded.status()
        image = _image(env)
        choice = choose(signs(env, status, image.last_engine))
        installed = await _installed(embedded if choice == "llamacpp" else ollama)
        embedder = await embedder_of(env, ollama if choice == "ollama" else None)
    finally:
        await ollama.aclose()
        await embedded.aclose()
    card = read_card()
    memory = _memory()
    found = await asyncio.to_thread(find_tier, tier_of(env.settings))
    sandbox = found.tier
    return Facts(
        python=f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        settings_ignored=env.loaded.ignored,
        profile=env.settings.profile,
        models=env.embedded_models if choice == "llamacpp" else env.models,
        engine_setting=env.settings.engine,
        engine=choice,
        ollama_host=env.settings.ollama_host,
        ollama_version=status.version,
        ollama_detail=status.detail,
        ollama_hazard=status.hazard,
        ollama_elsewhere=elsewhere(env.settings),
        embedded=beside.detail if beside.reachable else "",
        installed=installed,
        vram_total_gb=card.total_bytes / 1e9 if card else None,
        vram_free_gb=card.free_bytes / 1e9 if card else None,
        card=card.name if card else "",
        ram_total_gb=memory["MemTotal"],
        ram_free_gb=memory["MemAvailable"],
        disk_free_gb=shutil.disk_usage(_existing(env.places.home)).free / 1e9,
        programs=frozenset(program for program in SYSTEM_PACKAGES if shutil.which(program)),
        sandbox=sandbox.name if sandbox else "",
        sandbox_version=sandbox.version if sandbox else "",
        sandbox_weaker=sandbox.weaker if sandbox else False,
        sandbox_hazard=sandbox.hazard if sandbox else "",
        sandbox_fault=found.why_not,
        display=environ.get("WAYLAND_DISPLAY") or environ.get("DISPLAY") or "",
        image_path=str(env.places.image),
        image_generation=image.generation,
        image_turns=image.turns,
        image_fault=image.fault,
        image_fault_next=image.mend,
        image_holder_pid=image.holder_pid,
        keys_path=str(env.places.keys),
        keys_fault=keys_fault,
        unwritable=_unwritable(env),
        embedder=embedder,
        card_without_driver=card is None and is_plugged_in(),
        autostart=read_autostart(environ),
    )


async def _installed(engine: Engine) -> frozenset[str]:
    """The models that an engine has; none where it does not answer."""
    try:
        return frozenset(info.name for info in await engine.models())
    except PeerError:
        return frozenset()


@dataclass(frozen=True, slots=True)
class _Image:
    generation: int | None = None
    turns: int = 0
    fault: str = ""
    mend: str = ""
    holder_pid: int = 0
    last_engine: str = ""


def _memory() -> dict[str, float]:
    """/proc/meminfo in GB."""
    rows = (line.split() for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return {row[0].rstrip(":"): int(row[1]) * 1024 / 1e9 for row in rows}


def _image(env: Environment) -> _Image:
    if not env.places.image.exists():
        return _Image()
    try:
        with open_log(env) as log:
            last = log.latest(1)
            return _Image(log.generation, log.count(), last_engine=last[0][0].engine if last else "")
    except ImageHeld as held:
        return _Image(holder_pid=held.pid or -1)
    except A4PSError as error:
        return _Image(fault=error.message, mend=error.next_step)


def _keys_fault(env: Environment) -> str:
    """What is wrong with the keys, "" if nothing: one is missing, or others could read it."""
    folder = env.places.keys
    keys = list(folder.glob("*.key")) if folder.is_dir() else []
    if not keys and env.places.image.exists():
        return f"no key in {folder}: without it the image cannot be opened"
    for path in (folder, *keys) if keys else ():
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            return f"{path} could be read by others (mode {mode:o})"
    return ""


def _unwritable(env: Environment) -> str:
    """The first folder that asking must write to and cannot, "" if none."""
    for wanted in (env.places.home, env.places.keys):
        folder = _existing(wanted)
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            return str(folder)
    return ""


def _existing(path: Path) -> Path:
    """The nearest folder above `path` that exists."""
    return next(folder for folder in (path, *path.parents) if folder.exists())
