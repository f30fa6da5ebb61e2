"""`a4ps models` where no Ollama is: files, what is in memory, and who speaks with what."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.file_server import FileServer, file_server
from tests.doubles.household import Household
from tests.models import manifest

pytestmark = pytest.mark.slow

TINY = (manifest.FOLDER / "tiny.gguf").read_bytes()


@pytest.fixture
def hub() -> Iterator[FileServer]:
    with file_server(TINY) as server:
        yield server


@pytest.fixture
def person(tmp_path: Path, hub: FileServer) -> Household:
    return Household(tmp_path, {"A4PS_HUB": hub.url})


def test_a_profile_is_fetched_as_files_and_then_speaks(person: Household, hub: FileServer) -> None:
    before = person.json("models", "list")
    assert (before["engine"], before["installed"]) == ("llamacpp", [])
    assert person.json("models", "pull") == {"pulled": ["Qwen3.5-4B-Q4_K_M"]}
    assert hub.asked[-1].path == "/unsloth/Qwen3.5-4B-GGUF/resolve/main/Qwen3.5-4B-Q4_K_M.gguf"
    assert [model["name"] for model in person.json("models", "list")["installed"]] == ["Qwen3.5-4B-Q4_K_M"]
    answered = person.json("ask", "Should we take the train or the car?")
    assert answered["engine"] == "llamacpp"
    assert {part["model"] for part in answered["contributions"]} == {"Qwen3.5-4B-Q4_K_M"}
    assert person.json("models", "pull") == {"pulled": []}
    engine = next(check for check in person.json("doctor")["checks"] if check["name"] == "engine")
    assert engine["verdict"] == "ok"


def test_a_backend_that_runs_finds_what_was_fetched_and_shows_what_it_holds(person: Household) -> None:
    assert person.json("ask", "Should we take the train or the car?")["engine"] == "rehearsal"
    backend = person.json("status")["backend"]["pid"]
    assert person.json("models", "ps")["residents"] == []
    person.json("models", "pull")
    assert person.json("ask", "Should we take the train or the car?")["engine"] == "llamacpp"
    told = person.json("models", "ps")
    assert (told["engine"], [each["name"] for each in told["residents"]]) == ("llamacpp", ["Qwen3.5-4B-Q4_K_M"])
    assert "as long as the backend runs" in person.run("models", "ps").stdout
    assert person.json("status")["backend"]["pid"] == backend


def test_a_file_is_fetched_by_hub_id_or_address(person: Household, hub: FileServer) -> None:
    person.json("models", "pull", "hf:some/one/sub/mine.gguf")
    done = person.run("models", "pull", f"{hub.url}/other.gguf")
    assert done.returncode == 0
    assert "a4ps models use BRICK other" in done.stdout
    assert [model["name"] for model in person.json("models", "list")["installed"]] == ["mine", "other"]


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["models", "pull", "no-such"], 2, "usage_error"),
        (["models", "pull", "hf:some"], 2, "usage_error"),
        (["models", "pull", "http://example.invalid/x.gguf"], 2, "usage_error"),
        (["models", "pull", "hf:a/b/c.gguf#sha256=12"], 2, "usage_error"),
        (["models", "pull", "hf:a/b/c.gguf#sha256=" + "0" * 64], 1, "model_file_bad"),
        (["models", "use", "BRICK", "no-such"], 1, "model_missing"),
        (["models", "use", "BRICK"], 2, "usage_error"),
        (["models", "use", "NOBODY", "x"], 2, "usage_error"),
    ],
)
def test_bad_requests_say_what_to_do(person: Household, arguments: list[str], code: int, kind: str) -> None:
    error = person.json(*arguments, expect=code)["error"]
    assert error["kind"] == kind
    assert error["next"]


def test_who_speaks_with_what_is_a_change_that_can_be_undone(person: Household) -> None:
    """Recorded as every change of a persona is; the profile can have the choice back."""
    person.json("models", "pull", "hf:some/one/mine.gguf")
    used = person.json("models", "use", "brick", "mine")
    assert (used["persona"], used["model"], used["before"]) == ("BRICK", "mine", "by profile")
    history = person.json("image", "history", "BRICK")["changes"]
    assert history[-1]["reason"] == "models use BRICK mine"
    assert person.json("models", "use", "BRICK", "mine")["change"] is None
    person.json("image", "revert", str(used["change"]))
    assert person.json("models", "use", "BRICK", "mine")["before"] == "by profile"
    assert person.json("models", "use", "BRICK", "--by-profile")["before"] == "mine"


def test_what_is_in_memory_is_told(person: Household) -> None:
    told = person.json("models", "ps")
    assert (told["engine"], told["residents"]) == ("llamacpp", [])
    assert told["budget_bytes"] > 0
    person.environ["A4PS_MEMORY_MB"] = "6000"
    assert person.json("models", "ps")["budget_bytes"] == 6_000_000_000
    assert "6.0 GB" in person.run("models", "ps").stdout


def test_a_model_that_is_too_large_is_refused_with_what_would_fit(person: Household) -> None:
    person.json("models", "pull")
    person.environ["A4PS_MEMORY_MB"] = "1"
    error = person.json("ask", "Should we take the train or the car?", expect=1)["error"]
    assert error["kind"] == "model_too_large"
    assert error["next"]
