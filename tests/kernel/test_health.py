"""The diagnosis: each fact gets its verdict, and each fault the one command that mends it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from a4ps.inference.catalog import load_catalog
from a4ps.kernel.health import SYSTEM_PACKAGES, Check, Facts, diagnose, packages_missing

CATALOG = load_catalog()
MODEL = "qwen3.5:4b"

#: A machine on which all is well: Ollama with the models of the heaviest profile, a card, room, an image.
WELL = Facts(
    python="3.11.7 on Linux x86_64",
    settings_ignored=(),
    profile="four",
    models=CATALOG.models_for("four", {}),
    engine_setting="auto",
    ollama_host="127.0.0.1:11434",
    engine="ollama",
    ollama_version="0.13.0",
    ollama_detail="",
    ollama_hazard="",
    ollama_elsewhere=False,
    embedded="llama.cpp (xllamacpp 1), models in /home/me/models",
    installed=frozenset(CATALOG.sizes_gb),
    vram_total_gb=8.6,
    vram_free_gb=8.0,
    card="NVIDIA RTX 4060",
    ram_total_gb=32.0,
    ram_free_gb=20.0,
    disk_free_gb=100.0,
    programs=frozenset(SYSTEM_PACKAGES),
    sandbox="runsc",
    sandbox_version="20260101.0",
    sandbox_weaker=False,
    sandbox_hazard="",
    sandbox_fault="",
    display=":0",
    image_path="/home/me/image.a4ps",
    image_generation=12,
    image_turns=6,
    image_fault="",
    image_fault_next="",
    image_holder_pid=0,
    image_open=False,
    backend_pid=0,
    backend_stays=False,
    backend_fault="",
    backend_fault_next="",
    run_path="/run/user/1000/a4ps/0123",
    run_fault="",
    run_fault_next="",
    keys_path="/home/me/state/keys",
    keys_fault="",
    unwritable="",
    embedder="nomic",
)
#: A machine as it comes: nothing of ours, no card.
BARE = replace(
    WELL,
    profile="fast",
    models=CATALOG.models_for("fast", {}),
    engine="rehearsal",
    ollama_version="",
    installed=frozenset(),
    vram_total_gb=None,
    vram_free_gb=None,
    card="",
    programs=frozenset(),
    display="",
    image_generation=None,
    image_turns=0,
)


def check(facts: Facts, name: str) -> Check:
    (found,) = [one for one in diagnose(facts, CATALOG) if one.name == name]
    return found


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    checks = diagnose(WELL, CATALOG)
    assert {one.verdict for one in checks} == {"ok"}
    assert {one.mend for one in checks} == {""}
    assert [one.name for one in checks] == (
        "python settings engine models card memory disk profile sandbox display backend image recall keys autostart".split()
    )
    assert packages_missing(WELL) == ()


def test_a_bare_machine_can_ask_all_the_same() -> None:
    """Nothing is bad where nothing was promised: without Ollama the four rehearse, and that is said."""
    assert "bad" not in {one.verdict for one in diagnose(BARE, CATALOG)}
    assert "rehearse" in check(BARE, "engine").detail
    assert packages_missing(BARE) == ("runsc", "bubblewrap", "xvfb")


def mended(**changes: object) -> Facts:
    return replace(WELL, **changes)  # type: ignore[arg-type]


FAULTS = [
    ("settings", mended(settings_ignored=("A4PS_ROUND",)), "note", "A4PS_ROUND", "a4ps config show"),
    ("engine", mended(ollama_hazard="has a hole"), "note", "has a hole", "upgrade Ollama"),
    ("engine", mended(ollama_elsewhere=True), "note", "beyond this machine: your words go", "127.0.0.1:11434"),
    ("engine", mended(ollama_elsewhere=True, ollama_hazard="a hole"), "note", "your words go to", "upgrade Ollama"),
    ("engine", mended(engine="unreachable"), "bad", "of no use at 127.0.0.1:11434", "ollama serve"),
    ("engine", mended(engine="rehearsal"), "note", "no model here", "a4ps models pull"),
    ("engine", mended(engine="rehearsal", embedded=""), "note", "no model here", "ollama.com/download"),
    ("engine", mended(engine="llamacpp"), "ok", "llama.cpp", ""),
    ("engine", mended(engine="llamacpp", embedded=""), "bad", "not installed", "reinstall A4PS"),
    ("models", mended(engine="llamacpp", installed=frozenset()), "bad", "not installed", "a4ps models pull"),
    ("engine", mended(engine="rehearsal", engine_setting="rehearsal"), "note", "as the setting", "set engine auto"),
    ("models", mended(installed=frozenset({MODEL})), "bad", "gemma4:e4b-it-qat", "a4ps models pull"),
    ("models", mended(engine="unreachable", installed=frozenset()), "note", "none in use", ""),
    (
        "models",
        mended(models={"BRICK": "big:cloud"}, installed=frozenset({"big:cloud"})),
        "note",
        "your words leave this machine",
        "choose local ones",
    ),
    (
        "models",
        mended(models={"BRICK": "big:9b-cloud"}, installed=frozenset({"big:9b-cloud"})),
        "note",
        "big:9b-cloud",
        "choose local ones",
    ),
    ("card", mended(vram_total_gb=None, vram_free_gb=None), "note", "no NVIDIA card", ""),
    ("disk", mended(disk_free_gb=0.99), "bad", "only 1.0 GB free", "free some space"),
    ("profile", mended(profile="duo"), "note", "can carry four", "a4ps config set profile four && a4ps models pull"),
    (
        "sandbox",
        mended(sandbox="", sandbox_fault="no room"),
        "note",
        "refused: no room",
        "apt-get install runsc bubblewrap",
    ),
    ("sandbox", mended(sandbox="bubblewrap", sandbox_weaker=True), "note", "bubblewrap 2026", "apt-get install runsc"),
    ("sandbox", mended(sandbox_hazard="older than the fix"), "note", "older than the fix", "newer runsc"),
    (
        "backend",
        mended(run_fault="/run/a4ps is somebody else's", run_fault_next="set XDG_RUNTIME_DIR"),
        "bad",
        "somebody else's",
        "set XDG_RUNTIME_DIR",
    ),
    (
        "backend",
        mended(backend_fault="it does not answer", backend_fault_next="try again", image_open=True),
        "bad",
        "not answer",
        "try again",
    ),
    ("image", mended(image_fault="row 3 changed", image_fault_next="restore it"), "bad", "row 3 changed", "restore it"),
    ("image", mended(image_holder_pid=77, image_generation=None), "note", "process 77", ""),
    ("image", mended(image_holder_pid=-1, image_generation=None), "note", "held by another process", ""),
    ("image", mended(unwritable="/home/me", image_generation=None), "bad", "/home/me cannot be written", "--home DIR"),
    ("recall", mended(embedder="lexical"), "note", "by their words alone", "a4ps models pull nomic-embed-text"),
    ("keys", mended(keys_fault="k is readable by others"), "bad", "k is readable", "chmod -R go= /home/me/state/keys"),
    ("keys", mended(keys_fault="x", keys_path="/home/my keys"), "bad", "x", "chmod -R go= '/home/my keys'"),
]


@pytest.mark.parametrize(("name", "facts", "verdict", "detail", "mend"), FAULTS)
def test_each_fault_has_its_verdict_and_its_mend(name: str, facts: Facts, verdict: str, detail: str, mend: str) -> None:
    found = check(facts, name)
    assert found.verdict == verdict
    assert detail in found.detail
    assert mend in found.mend
    assert bool(mend) is bool(found.mend)


@pytest.mark.parametrize(("name", "facts"), [(row[0], row[1]) for row in FAULTS])
def test_a_fault_is_told_in_its_own_line_only(name: str, facts: Facts) -> None:
    others = {one.name for one in diagnose(facts, CATALOG) if one.verdict != "ok"} - {name}
    assert others <= ({"models", "engine"} if facts.engine != "ollama" else set())


@pytest.mark.parametrize(
    ("facts", "name", "detail"),
    [
        (WELL, "engine", "Ollama 0.13.0 at 127.0.0.1:11434"),
        (WELL, "card", "NVIDIA RTX 4060: 8.0 of 8.6 GB free"),
        (WELL, "image", "6 turns, 12 commits"),
        (WELL, "backend", "none runs; a command starts one"),
        (replace(WELL, backend_pid=77), "backend", "process 77, which ends by itself"),
        (replace(WELL, backend_pid=77, backend_stays=True), "backend", "process 77, which stays until a4ps down"),
        (replace(WELL, backend_pid=77, image_open=True), "image", "6 turns, 12 commits, open in the backend"),
        (BARE, "image", "the first question makes /home/me/image.a4ps"),
        (BARE, "models", MODEL),
        (BARE, "profile", "fast is what this machine carries"),
        (WELL, "sandbox", "gVisor (runsc 20260101.0)"),
        (BARE, "display", "none is needed"),
    ],
)
def test_what_is_well_is_told_with_its_figures(facts: Facts, name: str, detail: str) -> None:
    assert detail in check(facts, name).detail


def test_missing_models_are_named_once_with_their_size() -> None:
    facts = replace(WELL, models=dict.fromkeys(WELL.models, MODEL), installed=frozenset())
    assert check(facts, "models").detail == f"not installed: {MODEL} (3.4 GB)"


def test_a_model_without_a_tag_is_its_latest() -> None:
    """As Ollama has it, and as the choice of the engine does."""
    facts = replace(WELL, models={"BRICK": "mine", "ROBIN": "yours:latest"})
    assert check(replace(facts, installed=frozenset({"mine:latest", "yours"})), "models").verdict == "ok"
    assert check(replace(facts, installed=frozenset({"mine:7b", "yours"})), "models").verdict == "bad"


def test_the_profile_offered_counts_only_what_is_to_be_fetched() -> None:
    offered = replace(WELL, profile="duo", installed=frozenset(set(CATALOG.sizes_gb) - {"qwen3.5:9b"}))
    assert "6.6 GB to download" in check(offered, "profile").detail
