"""Story 2, power cut: killed in mid-sentence, the world is as it was and the turn offers to resume."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.doubles.household import Household, at_terminal, ollama_server, read_until

QUESTION = "Should the greenhouse face south or west?"


def test_killed_in_mid_sentence_then_resumed(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        before = person.json("ask", "Is clay soil good for tomatoes?")
        asking = person.start("ask", QUESTION)
        read_until(asking, "ROBIN")
        person.power_cut(asking)

        again = person.run("ask", "Why is the sky blue at noon?")
        assert again.returncode == 0
        assert "Turn 2 was interrupted before its answer: Should the greenhouse" in again.stderr
        assert "a4ps ask --resume 2" in again.stderr
        assert person.json("ask", "--turn", "1") == before

        assert "interrupted" not in person.run("ask", "And at dusk, why red?").stderr  # offered once, not for ever
        resumed = person.json("ask", "--resume", "2")
    assert resumed["question"] == QUESTION
    assert len(resumed["contributions"]) == 5


def test_resumed_at_once_the_turn_goes_on_where_it_stood(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "ROBIN")
        person.power_cut(asking)
        resumed = person.run("ask", "--resume")
    assert "Going on with turn 1" in resumed.stdout
    assert "ALFRED · plan" not in resumed.stdout  # what was said before the cut is not asked again
    assert "ROBIN · antithesis" in resumed.stdout


def test_ctrl_c_stops_with_130_and_loses_nothing(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "BRICK")
        asking.send_signal(signal.SIGINT)
        _, errors = asking.communicate(timeout=30)
        assert asking.returncode == 130
        assert b"a4ps ask --resume" in errors
        assert b"Traceback" not in errors
        resumed = person.run("ask", "--resume")
        assert resumed.returncode == 0


def test_the_backend_dies_with_everything_else_and_the_next_command_offers_to_resume(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        before = person.json("ask", "Is clay soil good for tomatoes?")
        asking = person.start("ask", QUESTION)
        read_until(asking, "ROBIN")
        person.power_cut(asking)
        assert person.json("status", expect=1)["up"] is False

        with at_terminal(person, "ask", "Why is the sky blue at noon?") as (terminal, process):
            terminal.wait_for("Turn 2 was interrupted before its answer: Should the greenhouse")
            terminal.wait_for("Resume it now?")
            terminal.type("y\r")
            terminal.wait_for("Going on with turn 2")
            terminal.wait_for("turn 2 · dissonance")
            terminal.wait_for("turn 3 · dissonance")
            assert process.wait(60) == 0
        assert person.json("ask", "--turn", "1") == before
        assert len(person.json("ask", "--turn", "2")["contributions"]) == 5
        person.run("down")
        assert person.json("image", "verify", "--deep")["ok"]


def test_where_only_the_terminal_dies_the_turn_is_answered_all_the_same(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "2") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "ROBIN")
        asking.kill()
        asking.communicate(timeout=30)
        again = person.run("ask", "Why is the sky blue at noon?")
        assert (again.returncode, "interrupted" in again.stderr) == (0, False)
        assert len(person.json("ask", "--turn", "1")["contributions"]) == 5
