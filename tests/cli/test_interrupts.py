"""Ctrl-C at the terminal and into a pipe: it ends what it is meant to end, the first time."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from a4ps.cli.interrupts import interrupt_cancels
from a4ps.client.client import Client
from a4ps.clock import SystemClock
from a4ps.errors import EngineBroke
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.image.turns import Turn, TurnLog
from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.turns import Resume
from tests.doubles.household import Household, at_terminal, ollama_server, read_until

pytestmark = pytest.mark.slow

QUESTION = "Should the greenhouse face south or west?"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def cut_off(person: Household, *, question: str = QUESTION, engine: str = "rehearsal") -> None:
    """Leave in the image what a power cut does: a turn that was accepted and neither answered nor stopped."""
    keys = KeyFolder(person.folder / ".local" / "state" / "a4ps" / "keys")
    turn = Turn("", question, datetime.now(UTC), engine, models={}, pins={})
    with Store.open(person.home / "image.a4ps", keys, SystemClock()) as store:
        asyncio.run(TurnLog(store).accept(turn))


class TestAtAQuestion:
    def test_ask_leaves_the_offer_to_resume_with_130(self, person: Household) -> None:
        cut_off(person)
        with at_terminal(person, "ask", "Why is the sky blue?") as (terminal, process):
            terminal.wait_for("Resume it now?")
            terminal.type("\x03")
            assert "stopped" in terminal.rest()
            assert process.wait(30) == 130
        assert "Turn 1 was interrupted" in person.run("ask", "hello").stderr  # still there, and not set aside

    def test_chat_comes_to_its_prompt_and_goes_on(self, person: Household) -> None:
        cut_off(person)
        with at_terminal(person, "chat") as (terminal, process):
            terminal.wait_for("Resume it now?")
            terminal.type("\x03")
            terminal.wait_for("❯")
            terminal.type("hello\r")
            terminal.wait_for("answered alone")  # the Ctrl-C before it did not reach it
            terminal.wait_for("❯")
            terminal.type("\x04")
            assert process.wait(30) == 0

    @pytest.mark.parametrize("arguments", [("ask", "hello"), ("chat",)], ids=["ask", "chat"])
    def test_the_offer_to_fetch_is_left_with_130(self, person: Household, arguments: tuple[str, ...]) -> None:
        with ollama_server("--missing-models") as url:
            person.environ["OLLAMA_HOST"] = url
            with at_terminal(person, *arguments) as (terminal, process):
                terminal.wait_for("Fetch it now?")
                terminal.type("\x03")
                assert "stopped" in terminal.rest()
                assert process.wait(30) == 130


def test_the_offer_fetches_all_that_is_missing(person: Household) -> None:
    with ollama_server("--missing-models") as url:
        person.environ |= {"OLLAMA_HOST": url, "A4PS_PROFILE": "duo"}
        refused = person.run("ask", "hello")
        assert "the models nemotron-3-nano:4b and qwen3.5:4b are not installed" in refused.stderr
        assert "→ a4ps models pull\n" in refused.stderr
        with at_terminal(person, "ask", "hello") as (terminal, process):
            terminal.wait_for("Fetch them now?")
            terminal.type("y\r")
            terminal.wait_for("answered alone")
            terminal.rest()
            assert process.wait(30) == 0
        assert len(person.json("models", "list")["installed"]) == 2


async def test_what_stops_a_task_gives_ctrl_c_back_as_it_found_it() -> None:
    """While the task runs it is the one that Ctrl-C ends; once it is done, Ctrl-C is whose it was."""
    heard: list[int] = []
    outer = signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    try:
        task = asyncio.ensure_future(asyncio.Event().wait())
        with interrupt_cancels(task):
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert heard == []
            signal.raise_signal(signal.SIGINT)
            assert len(heard) == 1
        signal.raise_signal(signal.SIGINT)
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGINT, outer)


class TestPipedChat:
    def test_one_interrupt_ends_the_wait_for_a_line(self, person: Household) -> None:
        chat = subprocess.Popen(
            person.command(["chat"]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=person.env,
        )
        read_until(chat, "remembered")
        chat.send_signal(signal.SIGINT)
        chat.wait(30)  # with its standard input still open
        _, errors = chat.communicate()
        assert chat.returncode == 130
        assert b"stopped" in errors
        assert b"Traceback" not in errors

    def test_lines_come_from_a_fifo_and_the_last_may_lack_its_end(self, person: Household) -> None:
        done = person.run_apart("chat", stdin="/last\n/nonsense\nhello")
        assert done.returncode == 0
        assert "no command /nonsense" in done.stderr
        assert "answered alone" in done.stdout

    @pytest.mark.parametrize("arguments", [("chat",), ("ask", "-")])
    def test_a_closed_standard_input_is_said_to_be(self, person: Household, arguments: tuple[str, ...]) -> None:
        done = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", *person.command(arguments)],
            env=person.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "standard input is closed" in done.stderr
        assert done.returncode == 2


class TestTheOfferToResume:
    def test_a_turn_of_another_engine_is_told_with_the_way_to_resume_it(self, person: Household) -> None:
        cut_off(person, engine="ollama")
        done = person.run("ask", "hello")
        assert done.returncode == 0
        assert "A4PS_ENGINE=ollama a4ps ask --resume 1" in done.stderr

    def test_it_is_not_offered_to_a_person_either(self, person: Household) -> None:
        cut_off(person, engine="ollama")
        with at_terminal(person, "ask", "hello") as (terminal, process):
            told = terminal.wait_for("answered alone")
            terminal.rest()
            assert process.wait(30) == 0
        assert "A4PS_ENGINE=ollama a4ps ask --resume 1" in told
        assert "Resume it now?" not in told

    def test_the_new_question_is_answered_though_resuming_failed(
        self, person: Household, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        served = Client.call

        async def call(client: Client, request: Request, *arguments: Any, **named: Any) -> Any:
            if isinstance(request, Resume):
                raise EngineBroke("the model's process died", next_step="try again")
            return await served(client, request, *arguments, **named)

        async def agreed(_: str) -> bool:
            return True

        cut_off(person)
        monkeypatch.setattr(Client, "call", call)
        monkeypatch.setattr("a4ps.cli.session.somebody_is_there", lambda: True)
        monkeypatch.setattr("a4ps.cli.session.confirm", agreed)
        done = person.run("ask", "hello")
        assert done.returncode == 0
        assert "the model's process died" in done.stderr
        assert "turn 2" in done.stdout

    def test_a_question_is_shown_without_what_would_drive_the_terminal(self, person: Household) -> None:
        cut_off(person, question="south\x1b]0;owned\x07 or \u202ewest?")
        assert "its answer: south]0;owned or west?\n" in person.run("ask", "hello").stderr
