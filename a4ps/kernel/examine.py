"""Gathers the facts that `health` judges. Makes nothing; an image that is there is opened, checked, and closed.

Where a backend has the image, what it says of it counts: `Running`.
"""

from __future__ import annotations

import asyncio
import os
import platform
import shlex
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

#: How long the path of a socket may be, in bytes: `sun_path` of unix(7), less the zero that ends it.
_SOCKET_PATH_BYTES = 107


@dataclass(frozen=True, slots=True)
class Running:
    """What the backend that runs says of itself and its image; where it says nothing, `fault` and `mend` tell why.

    `read_only` is why the image takes no writes, "" where it does. `last_engine` spoke in the newest answer.
    """

    pid: int = 0
    stays: bool = False
    generation: int = 0
    turns: int = 0
    last_engine: str = ""
    read_only: str = ""
    fault: str = ""
    mend: str = ""


async def examine(env: Environment, running: Running | None = None, environ: Mapping[str, str] = os.environ) -> Facts:
    """Look at everything once; what fails becomes a fact. Raises `SettingsError` for an address that is none."""
    keys_fault = _keys_fault(env)  # before the image is opened, which tightens what is loose
    ollama = ollama_engine(env.settings)
    embedded = llamacpp_engine(env)
    try:
        status = await ollama.status()
        beside = await embedded.status()
        image = _image(env) if running is None else _image_of(running)
        choice = choose(signs(env, status, image.last_engine))
        installed = await _installed(embedded if choice == "llamacpp" else ollama)
        embedder = await embedder_of(env, ollama if choice == "ollama" else None)
    finally:
        await ollama.aclose()
        await embedded.aclose()
    card = read_card()
    memory = _memory()
    run_fault, run_mend = _run_fault(env)
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
        image_open=running is not None,
        backend_pid=running.pid if running is not None else 0,
        backend_stays=running is not None and running.stays,
        backend_fault=running.fault if running is not None else "",
        backend_fault_next=running.mend if running is not None else "",
        run_path=str(env.places.run),
        run_fault=run_fault,
        run_fault_next=run_mend,
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


def _image_of(running: Running) -> _Image:
    if running.read_only:
        return _Image(fault=f"writes are refused: {running.read_only}", mend="a4ps status")
    return _Image(running.generation, running.turns, last_engine=running.last_engine)


def _run_fault(env: Environment) -> tuple[str, str]:
    """What keeps a backend from having its sockets in the run-time folder, or others from being kept out of it, and what
    mends that; "" if nothing.
    """
    places = env.places
    another = "set XDG_RUNTIME_DIR to a folder of yours with a short path"
    longest = max(len(os.fsencode(path)) for path in (places.commands_socket, places.events_socket))
    if longest > _SOCKET_PATH_BYTES:
        return f"{places.run} is too long for the path of a socket, by {longest - _SOCKET_PATH_BYTES} bytes", another
    for folder in (places.run_base, places.run):
        try:
            found = folder.lstat()
        except FileNotFoundError:
            continue
        except OSError as error:
            return f"{folder} cannot be looked at: {error.strerror}", another
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            return f"{folder} is somebody else's, or no folder", another
        if stat.S_IMODE(found.st_mode) & 0o077:
            loose = f"{folder} could be entered by others (mode {stat.S_IMODE(found.st_mode):o})"
            return loose, f"chmod 700 {shlex.quote(str(folder))}"
    above = _existing(places.run)
    if not os.access(above, os.W_OK | os.X_OK):
        return f"{above} cannot be written, and the backend needs {places.run}", another
    return "", ""


def _keys_fault(env: Environment) -> str:
    """What is wrong with the keys and tokens, "" if nothing: a key is missing, or others could read one of them."""
    folder = env.places.keys
    keys = list(folder.glob("*.key")) if folder.is_dir() else []
    if not keys and env.places.image.exists():
        return f"no key in {folder}: without it the image cannot be opened"
    tokens = list(env.places.tokens.glob("*.token")) if env.places.tokens.is_dir() else []
    for path in (*((folder, *keys) if keys else ()), *((env.places.tokens, *tokens) if tokens else ())):
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
