"""What `doctor` judges: from facts about the machine to checks with a verdict and the one command that mends each.

Pure; the facts are gathered in `a4ps.kernel.examine`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from a4ps.inference import lexical
from a4ps.inference.catalog import Catalog, lacking
from a4ps.kernel.autostart import Autostart
from a4ps.kernel.engine_choice import Choice

Verdict = Literal["ok", "note", "bad"]

#: Room the image and its rebuildable files should have, in GB.
DISK_LOW_GB = 1.0

#: What keeps a conversation on this machine, where Ollama is asked elsewhere.
LOCAL_OLLAMA = "a4ps config set ollama_host 127.0.0.1:11434"

#: Programs of the system and the Debian package that brings each.
SYSTEM_PACKAGES: Mapping[str, str] = {"runsc": "runsc", "bwrap": "bubblewrap", "Xvfb": "xvfb"}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found. Sizes in GB (10^9 bytes); `vram_*` None without an NVIDIA card; faults "" where all is well.

    `sandbox` is the one that was tried and works, "" where none does; `sandbox_fault` then says why.
    `backend_pid` is the backend that runs, 0 where none does; `image_open` says that the image is open in it.
    `models` and `installed` are as the engine in use names them; `embedded` describes the embedded engine, "" where it is
    not installed. `embedder` embeds memories, "lexical" where nothing does.
    """

    python: str
    settings_ignored: tuple[str, ...]
    profile: str
    models: Mapping[str, str]
    engine_setting: str
    engine: Choice
    ollama_host: str
    ollama_version: str
    ollama_detail: str
    ollama_hazard: str
    ollama_elsewhere: bool
    embedded: str
    installed: frozenset[str]
    vram_total_gb: float | None
    vram_free_gb: float | None
    card: str
    ram_total_gb: float
    ram_free_gb: float
    disk_free_gb: float
    programs: frozenset[str]
    sandbox: str
    sandbox_version: str
    sandbox_weaker: bool
    sandbox_hazard: str
    sandbox_fault: str
    display: str
    image_path: str
    image_generation: int | None
    image_turns: int
    image_fault: str
    image_fault_next: str
    image_holder_pid: int
    image_open: bool
    backend_pid: int
    backend_stays: bool
    backend_fault: str
    backend_fault_next: str
    run_path: str
    run_fault: str
    run_fault_next: str
    keys_path: str
    keys_fault: str
    unwritable: str
    embedder: str
    card_without_driver: bool = False
    autostart: Autostart = Autostart()  # noqa: RUF009 - it is frozen


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the diagnosis. `mend` is a command or sentence, "" where nothing is to be done."""

    name: str
    verdict: Verdict
    detail: str
    mend: str = ""


def diagnose(facts: Facts, catalog: Catalog) -> tuple[Check, ...]:
    """Every check, in the order a newcomer needs them. "bad" means that asking will not work as it is set up."""
    return (
        Check("python", "ok", facts.python),
        _settings(facts),
        _engine(facts),
        _models(facts, catalog),
        _card(facts),
        Check("memory", "ok", f"{facts.ram_free_gb:.1f} of {facts.ram_total_gb:.1f} GB free"),
        _disk(facts),
        _profile(facts, catalog),
        _sandbox(facts),
        _display(facts),
        _backend(facts),
        _image(facts),
        _recall(facts, catalog),
        _keys(facts),
        _autostart(facts),
    )


def packages_missing(facts: Facts) -> tuple[str, ...]:
    """Debian packages that later parts use and that are not here."""
    return tuple(package for program, package in SYSTEM_PACKAGES.items() if program not in facts.programs)


def _settings(facts: Facts) -> Check:
    if facts.settings_ignored:
        names = ", ".join(facts.settings_ignored)
        return Check("settings", "note", f"set, but no setting of that name: {names}", "a4ps config show")
    return Check("settings", "ok", f"profile {facts.profile}")


def _engine(facts: Facts) -> Check:
    if facts.engine == "unreachable":
        return Check(
            "engine", "bad", f"Ollama is of no use at {facts.ollama_host}: {facts.ollama_detail}", "ollama serve"
        )
    if facts.engine == "ollama" and facts.ollama_hazard:
        where = f", and your words go to {facts.ollama_host}" if facts.ollama_elsewhere else ""
        return Check("engine", "note", f"{facts.ollama_hazard}; nothing is fetched with it{where}", "upgrade Ollama")
    if facts.engine == "ollama" and facts.ollama_elsewhere:
        detail = f"Ollama {facts.ollama_version} at {facts.ollama_host}, beyond this machine: your words go there"
        return Check("engine", "note", detail, LOCAL_OLLAMA)
    if facts.engine == "ollama":
        return Check("engine", "ok", f"Ollama {facts.ollama_version} at {facts.ollama_host}")
    if facts.engine == "llamacpp":
        if not facts.embedded:
            return Check("engine", "bad", "xllamacpp, the embedded engine, is not installed", "reinstall A4PS")
        return Check("engine", "ok", facts.embedded)
    if facts.engine_setting == "rehearsal":
        return Check("engine", "note", "the four rehearse, as the setting engine asks", "a4ps config set engine auto")
    return Check(
        "engine",
        "note",
        "no model here: the four rehearse with prepared lines, no model thinks",
        "a4ps models pull"
        if facts.embedded
        else "install Ollama (https://ollama.com/download), then: a4ps models pull",
    )


def _models(facts: Facts, catalog: Catalog) -> Check:
    wanted = sorted(set(facts.models.values()))
    if facts.engine in ("rehearsal", "unreachable"):
        return Check("models", "note", f"none in use; the profile {facts.profile} wants {', '.join(wanted)}")
    remote = [model for model in wanted if model.endswith(("-cloud", ":cloud"))]
    if remote:
        detail = f"{', '.join(remote)} run on somebody else's servers: your words leave this machine"
        return Check("models", "note", detail, "choose local ones: a4ps models list")
    missing = lacking(wanted, facts.installed)
    if missing:
        size = catalog.size_gb(missing)
        return Check("models", "bad", f"not installed: {', '.join(missing)} ({size:.1f} GB)", "a4ps models pull")
    return Check("models", "ok", ", ".join(wanted))


def _card(facts: Facts) -> Check:
    if facts.card_without_driver:
        detail = (
            "an NVIDIA card is here, but no driver answers for it: models run on the processor, several times slower"
        )
        return Check("card", "note", detail, "install NVIDIA's driver as your distribution says, then restart")
    if facts.vram_total_gb is None or facts.vram_free_gb is None:
        return Check("card", "note", "no NVIDIA card found: models run on the processor, several times slower")
    return Check("card", "ok", f"{facts.card}: {facts.vram_free_gb:.1f} of {facts.vram_total_gb:.1f} GB free")


def _disk(facts: Facts) -> Check:
    detail = f"{facts.disk_free_gb:.1f} GB free"
    if facts.disk_free_gb < DISK_LOW_GB:
        return Check("disk", "bad", f"only {detail}: the image may soon be unable to grow", "free some space")
    return Check("disk", "ok", detail)


def _profile(facts: Facts, catalog: Catalog) -> Check:
    following = catalog.next_profile(facts.profile, facts.vram_total_gb or 0.0, facts.ram_total_gb, facts.disk_free_gb)
    if following is None:
        return Check("profile", "ok", f"{facts.profile} is what this machine carries")
    models = [catalog.embedded(model) if facts.engine == "llamacpp" else model for model in following.models.values()]
    size = catalog.size_gb(lacking(models, facts.installed))
    return Check(
        "profile",
        "note",
        f"this machine can carry {following.name} ({following.description}); {size:.1f} GB to download",
        f"a4ps config set profile {following.name} && a4ps models pull",
    )


def _sandbox(facts: Facts) -> Check:
    named = f"{facts.sandbox} {facts.sandbox_version}".strip()
    if not facts.sandbox:
        detail = f"none works, so code that models write is refused: {facts.sandbox_fault}"
        return Check("sandbox", "note", detail, "sudo apt-get install runsc bubblewrap")
    if facts.sandbox_weaker:
        detail = f"{named}: weaker than gVisor, as code in it speaks with this machine's own kernel"
        return Check("sandbox", "note", detail, "sudo apt-get install runsc")
    if facts.sandbox_hazard:
        return Check(
            "sandbox", "note", f"gVisor ({named}), {facts.sandbox_hazard}", "install a newer runsc: https://gvisor.dev"
        )
    return Check("sandbox", "ok", f"gVisor ({named})")


def _display(facts: Facts) -> Check:
    return Check("display", "ok", facts.display or "none, and none is needed: this version lives in the terminal")


def _backend(facts: Facts) -> Check:
    if facts.run_fault:
        return Check("backend", "bad", facts.run_fault, facts.run_fault_next)
    if facts.backend_fault:
        return Check("backend", "bad", facts.backend_fault, facts.backend_fault_next)
    if facts.backend_pid:
        until = "stays until a4ps down" if facts.backend_stays else "ends by itself when idle"
        return Check("backend", "ok", f"process {facts.backend_pid}, which {until}")
    return Check("backend", "ok", f"none runs; a command starts one, whose sockets are in {facts.run_path}")


def _image(facts: Facts) -> Check:
    if facts.backend_fault:
        return Check("image", "ok", "held by the backend, so it was not examined")
    if facts.image_holder_pid > 0:
        return Check("image", "note", f"held by process {facts.image_holder_pid}, so it was not examined")
    if facts.image_holder_pid:
        return Check("image", "note", "held by another process, so it was not examined")
    if facts.image_fault:
        return Check("image", "bad", facts.image_fault, facts.image_fault_next)
    if facts.unwritable:
        return Check(
            "image", "bad", f"{facts.unwritable} cannot be written", "name another home: --home DIR or A4PS_HOME"
        )
    if facts.image_generation is None:
        return Check("image", "ok", f"none yet; the first question makes {facts.image_path}")
    turns = f"{facts.image_turns} turn{'s' if facts.image_turns != 1 else ''}"
    how = "open in the backend" if facts.image_open else "newest ones verified"
    return Check("image", "ok", f"{turns}, {facts.image_generation} commits, {how}")


def _recall(facts: Facts, catalog: Catalog) -> Check:
    if facts.embedder != lexical.NAME:
        return Check("recall", "ok", f"by full text, and by vectors of {facts.embedder}")
    detail = "memories are found by their words alone: no model here embeds them"
    return Check("recall", "note", detail, f"a4ps models pull {catalog.embedder.tag}")


def _keys(facts: Facts) -> Check:
    if facts.keys_fault:
        mend = f"put the key back, or: chmod -R go= {shlex.quote(facts.keys_path)}"
        return Check("keys", "bad", facts.keys_fault, mend)
    return Check("keys", "ok", f"in {facts.keys_path}; without them the image cannot be opened, so back them up apart")


def _autostart(facts: Facts) -> Check:
    autostart = facts.autostart
    if autostart.unit is None:
        return Check("autostart", "ok", "none: a command starts the backend when it needs one")
    if not autostart.program:
        return Check("autostart", "note", f"{autostart.unit} leads nowhere", "systemctl --user disable a4ps")
    if not autostart.can_start:
        detail = f"{autostart.unit} starts {autostart.program}, which is no program here"
        return Check("autostart", "note", detail, "put the program there, or: systemctl --user disable a4ps")
    if not autostart.enabled:
        detail = f"{autostart.unit} is there, and starts nothing by itself"
        return Check("autostart", "note", detail, "systemctl --user enable --now a4ps")
    return Check("autostart", "ok", f"the backend starts {'with the machine' if autostart.lingers else 'at login'}")
