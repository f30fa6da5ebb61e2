"""The terminal chat with a person at it: a real pseudo-terminal, history, Ctrl-C that stops the answer alone."""

from __future__ import annotations

from pathlib import Path

from tests.doubles.household import Household, at_terminal, ollama_server

QUESTION = "Should the greenhouse face south or west?"


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        with at_terminal(person, "chat") as (terminal, process):
            terminal.wait_for("❯")
            terminal.type(f"{QUESTION}\r")
            terminal.wait_for("thesis")
            terminal.type("\x03")
            terminal.wait_for("Stopped")
            terminal.wait_for("❯")
            terminal.type("/resume\r")
            terminal.wait_for("Going on with turn 1")
            terminal.wait_for("s in the model")
            terminal.wait_for("❯")
            terminal.type("hello\r")
            terminal.wait_for("answered alone")
            terminal.wait_for("❯")
            terminal.type("\x04")
            assert process.wait(30) == 0
    assert QUESTION in (person.home / "chat_history").read_text()
    assert (person.home / "chat_history").stat().st_mode & 0o077 == 0


def test_a_missing_model_is_offered_and_fetched(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--missing-models") as url:
        person.environ["OLLAMA_HOST"] = url
        with at_terminal(person, "chat") as (terminal, process):
            terminal.wait_for("Fetch it now?")
            terminal.type("y\r")
            terminal.wait_for("❯")
            terminal.type("hello\r")
            terminal.wait_for("answered alone")
            terminal.wait_for("❯")
            terminal.type("\x04")
            assert process.wait(30) == 0
