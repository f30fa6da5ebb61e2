"""`a4ps up` and `a4ps down`: a backend that stays, one at a time, and its end in order."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.doubles.household import Household, at_terminal, ollama_server, read_until
from tests.doubles.standing import backend_of, kill, standing

pytestmark = pytest.mark.slow

QUESTION = "Should the greenhouse face south or west?"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def test_in_the_foreground_it_says_that_it_is_ready_and_ends_when_it_is_told_to(person: Household) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        process = person.start("up", "--headless")
        assert process.stdout is not None
        ready = process.stdout.readline().decode()
        assert ready == f"A4PS is up: {person.home / 'image.a4ps'}, process {process.pid}. To end it: a4ps down\n"
        assert backend_of(person)["pid"] == process.pid
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
        assert (process.returncode, out, err) == (0, b"", b"")
        assert person.json("status", expect=1) == {"up": False, "backend": None}
        assert [path.name for path in person.run_base.glob("*/*")] == ["lock"]  # no socket is left behind


def test_its_json_is_one_object_and_no_second_one_runs(person: Household) -> None:
    with standing(person) as (process, said):
        assert said == {"ready": True, "pid": process.pid, "image": str(person.home / "image.a4ps")}
        assert backend_of(person)["fleeting"] is False
        refused = person.run_apart("up", "--headless")
        assert refused.returncode == 1
        assert "is up already" in refused.stderr
        assert "a4ps chat, or: a4ps down" in refused.stderr
        assert "Traceback" not in refused.stderr
        error = json.loads(person.run_apart("up", "--json").stdout)["error"]
        assert error["kind"] == "backend_busy"
        passing = person.run_apart("up", "--idle-exit", "5")  # as a command would start one
        assert passing.returncode == 1
        assert "a4ps status" in passing.stderr
        assert backend_of(person)["pid"] == process.pid
    assert process.returncode == 0


def test_one_that_was_started_in_passing_makes_room(person: Household) -> None:
    asked = person.json("ask", "hello")
    passing = backend_of(person)
    assert passing["fleeting"] is True
    with standing(person) as (process, _):
        found = backend_of(person)
        assert (found["pid"], found["fleeting"]) == (process.pid, False)
        assert passing["pid"] != process.pid
        assert person.json("ask", "--turn", "1") == asked


def test_of_two_at_once_one_is_up(person: Household) -> None:
    both = [person.start("up", "--headless", "--json") for _ in range(2)]
    said = []
    for process in both:
        assert process.stdout is not None
        said.append(json.loads(process.stdout.readline()))
    (won,) = [each for each in said if "ready" in each]
    (lost,) = [each["error"] for each in said if "error" in each]
    assert lost["kind"] == "backend_busy"
    assert backend_of(person)["pid"] == won["pid"]
    assert person.run("down").returncode == 0
    for process in both:
        process.communicate(timeout=30)
    assert {process.pid: process.returncode for process in both}[won["pid"]] == 0
    assert sorted(process.returncode for process in both) == [0, 1]


def test_with_an_idle_exit_it_ends_once_nobody_needs_it(person: Household) -> None:
    done = person.run_apart("up", "--idle-exit", "0.1")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("A4PS is up")


def test_in_a_terminal_a_chat_begins_and_leaving_it_ends_nothing(person: Household) -> None:
    person.run("status")  # the folders are there
    with at_terminal(person, "up") as (terminal, process):
        terminal.wait_for("0 turns remembered")
        terminal.wait_for("❯")
        terminal.type("hello\r")
        terminal.wait_for("answered alone")
        terminal.wait_for("❯")
        terminal.type("/quit\r")
        assert "goes on in the background. To end it: a4ps down" in terminal.rest()
        assert process.wait(30) == 0
    found = backend_of(person)
    assert (found["fleeting"], found["turns"]["answered"]) == (False, 1)
    with at_terminal(person, "up") as (terminal, process):  # once more is another chat with the same
        terminal.wait_for("1 turn remembered")
        terminal.wait_for("❯")
        terminal.type("\x04")
        assert process.wait(30) == 0
    assert backend_of(person)["pid"] == found["pid"]
    ended = person.run("down")
    assert (ended.returncode, ended.stdout) == (0, "The backend has ended.\n")
    assert person.json("status", expect=1)["up"] is False
    assert person.run("down").stdout == "No backend is running.\n"
    assert person.json("down") == {"pid": 0, "open_turns": 0}


def test_down_lets_a_turn_be_answered(person: Household) -> None:
    with ollama_server("--delay-ms", "2") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "thesis")
        ended = person.run("down", "--wait", "60")
        out, _ = asking.communicate(timeout=60)
    assert asking.returncode == 0
    assert "turn 1 · dissonance" in out.decode()
    assert (ended.returncode, ended.stdout) == (0, "The backend has ended.\n")
    person.environ["A4PS_ENGINE"] = "rehearsal"
    assert person.json("ask", "--turn", "1")["question"] == QUESTION


def test_what_down_does_not_wait_for_stays_open_and_is_finished_later(person: Household) -> None:
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "thesis")
        ended = person.run("down", "--wait", "0")
        _, err = asking.communicate(timeout=60)
        assert asking.returncode == 130
        assert "nothing is lost" in err.decode()
        assert ended.returncode == 0
        assert ended.stdout.endswith("A turn waits to be resumed: a4ps ask --resume\n")
        assert person.json("status", expect=1)["up"] is False
        resumed = person.json("ask", "--resume")
    assert (resumed["question"], len(resumed["contributions"])) == (QUESTION, 5)


def test_after_one_that_was_killed_another_comes_up(person: Household) -> None:
    with standing(person) as (process, _):
        answered = person.json("ask", "hello")
        kill(process.pid)
    assert person.run("down").stdout == "No backend is running.\n"
    with standing(person):
        assert person.json("ask", "--turn", "1") == answered
