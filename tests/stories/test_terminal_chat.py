"""The terminal chat with a person at it: a real pseudo-terminal, history, Ctrl-C that stops the answer alone."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.doubles.household import Household, ollama_server

QUESTION = "Should the greenhouse face south or west?"


class Terminal:
    """The person's side of a pseudo-terminal. A read that finds nothing for ever is ended by the test's time limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._descriptor, text.encode())

    def wait_for(self, text: str) -> str:
        """Read until `text` appears in what has not been waited for yet; returns all up to it."""
        while text not in self.seen:
            self.seen += os.read(self._descriptor, 4096).decode("utf-8", "replace")
        before, _, self.seen = self.seen.partition(text)
        return before


def _take_terminal() -> None:
    """Make standard input the terminal that Ctrl-C comes from: the first one that a session's leader opens."""
    os.close(os.open(os.ttyname(0), os.O_RDWR))


@contextmanager
def chat(person: Household) -> Iterator[tuple[Terminal, subprocess.Popen[bytes]]]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        person.command(["chat"]), stdin=theirs, stdout=theirs, stderr=theirs, env={**person.env, "TERM": "xterm"},
        start_new_session=True, preexec_fn=_take_terminal,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours), process
    finally:
        process.kill()
        process.wait(10)
        os.close(ours)


def test_ctrl_c_stops_the_answer_and_not_the_program(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        with chat(person) as (terminal, process):
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
        with chat(person) as (terminal, process):
            terminal.wait_for("Fetch it now?")
            terminal.type("y\r")
            terminal.wait_for("❯")
            terminal.type("hello\r")
            terminal.wait_for("answered alone")
            terminal.wait_for("❯")
            terminal.type("\x04")
            assert process.wait(30) == 0
