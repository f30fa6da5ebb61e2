"""Story 1, first evening: from a fresh clone to four minds arguing, and from there to a real model."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.doubles.file_server import file_server
from tests.doubles.household import ROOT, Household, ollama_server
from tests.models import manifest

QUESTION = "I have two free weekends: should I learn Rust or Go to write a command-line tool?"


@pytest.mark.timeout(600)
def test_clone_start_ask_then_a_real_model(tmp_path: Path) -> None:
    """Two commands after cloning, with an empty home; the seconds are printed, and the bar of two minutes is a bench's."""
    clone = tmp_path / "a4ps"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, capture_output=True)
    person = Household(tmp_path / "home")
    person.folder.mkdir()
    env = {key: value for key, value in person.env.items() if key != "PYTHONPATH"}

    def start(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        began = time.monotonic()
        done = subprocess.run(
            [str(clone / "start"), *arguments],
            env={**env, **more},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        print(f"  ./start {arguments[0]} {more}: {time.monotonic() - began:.1f} s")
        return done

    first = start("ask", QUESTION)
    assert first.returncode == 0, first.stderr
    assert "[1/2]" in first.stderr
    assert "ready after" in first.stderr
    assert "Rehearsal" in first.stdout
    assert "a4ps models pull" in first.stdout
    assert all(name in first.stdout for name in ("ALFRED", "BRICK", "ROBIN", "BABS"))

    again = start("ask", "hello")
    assert again.returncode == 0
    assert "[1/2]" not in again.stderr

    # The one command, with no Ollama anywhere: a model file, and real inference in this very process tree.
    with file_server((manifest.FOLDER / "tiny.gguf").read_bytes()) as hub:
        fetched = start("models", "pull", A4PS_HUB=hub.url)
    assert fetched.returncode == 0, fetched.stderr
    assert "2.7 GB" in fetched.stderr
    own = start("ask", QUESTION)
    assert own.returncode == 0, own.stderr
    assert "llamacpp: Qwen3.5-4B-Q4_K_M" in own.stdout
    assert "Rehearsal" not in own.stdout
    assert "remembers turn" not in own.stdout  # a rehearsed turn is nothing to remember

    with ollama_server("--missing-models") as url:
        missing = start("ask", QUESTION, OLLAMA_HOST=url)
        assert missing.returncode == 1
        assert "a4ps models pull" in missing.stderr
        pulled = start("models", "pull", OLLAMA_HOST=url)
        assert pulled.returncode == 0, pulled.stderr
        real = start("ask", QUESTION, OLLAMA_HOST=url)
    assert real.returncode == 0, real.stderr
    assert "ollama: qwen3.5:4b" in real.stdout
    assert "Rehearsal" not in real.stdout
