"""One backend for all commands: several at once, Ctrl-C, other settings, and a backend that is killed under them."""

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


def test_two_questions_at_once_are_both_answered_by_one_backend(person: Household) -> None:
    questions = ["Is clay soil good for tomatoes?", "Which pump fits a rain barrel?"]
    asking = [person.start("ask", "--json", question) for question in questions]
    answered = [json.loads(process.communicate(timeout=60)[0]) for process in asking]
    assert [process.returncode for process in asking] == [0, 0]
    assert [each["question"] for each in answered] == questions
    assert {each["turn_id"] for each in answered} == {"1", "2"}
    assert backend_of(person)["turns"]["answered"] == 2


def test_ctrl_c_stops_the_turn_and_not_the_backend(person: Household) -> None:
    with ollama_server("--delay-ms", "5") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "thesis")
        before = backend_of(person)
        asking.send_signal(signal.SIGINT)
        _, err = asking.communicate(timeout=30)
        after = backend_of(person)
    assert asking.returncode == 130
    assert "a4ps ask --resume" in err.decode()
    assert (before["running"], after["running"]) == (1, 0)
    assert (after["pid"], after["epoch"]) == (before["pid"], before["epoch"])
    assert after["turns"] == {"answered": 0, "stopped": 1, "open": 1}


def test_other_settings_replace_a_passing_backend(person: Household) -> None:
    person.json("ask", "hello")
    before = backend_of(person)
    person.run("config", "set", "rounds_max", "3")
    changed = person.run("ask", "--json", "Is clay soil good for tomatoes?")
    assert (changed.returncode, "settings" in changed.stderr) == (0, False)
    after = backend_of(person)
    assert after["pid"] != before["pid"]
    assert after["turns"]["answered"] == 1
    assert person.json("ask", "--turn", "1")["question"] == "hello"


def test_other_settings_only_warn_of_a_backend_that_stays(person: Household) -> None:
    with standing(person) as (process, _):
        assert "settings" not in person.run("ask", "hello").stderr
        person.environ["A4PS_ROUNDS_MAX"] = "3"
        told = person.run("ask", "hello")
        assert told.returncode == 0
        assert "The backend runs with the settings that it was started with. For these: a4ps down" in told.stderr
        assert "settings" not in person.run("ask", "--json", "hello").stderr
        assert backend_of(person)["pid"] == process.pid


def test_other_settings_do_not_end_a_passing_backend_that_is_at_work(person: Household) -> None:
    with ollama_server("--delay-ms", "2") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", "--json", QUESTION)
        while not backend_of_if_any(person).get("running"):
            pass
        person.environ["A4PS_ROUNDS_MAX"] = "3"
        refused = person.run("ask", "Is clay soil good for tomatoes?")
        out, _ = asking.communicate(timeout=60)
    assert refused.returncode == 1
    assert "at work with other settings" in refused.stderr
    assert (asking.returncode, json.loads(out)["question"]) == (0, QUESTION)


def test_a_backend_killed_under_a_question_answers_it_all_the_same_and_once(person: Household) -> None:
    with ollama_server("--delay-ms", "3") as url:
        person.environ["OLLAMA_HOST"] = url
        asking = person.start("ask", QUESTION)
        read_until(asking, "ROBIN")
        before = backend_of(person)
        kill(before["pid"])
        out, err = asking.communicate(timeout=60)
        assert (asking.returncode, err) == (0, b""), out + err
        assert "turn 1 · dissonance" in out.decode()
        after = backend_of(person)
        assert after["epoch"] != before["epoch"]
        lines = person.run("events", "--json", "--last", "100").stdout.splitlines()
        rows = [(row["kind"], row["key"]) for line in lines for row in json.loads(line)["rows"]]
        assert rows.count(("turn", "1")) == rows.count(("reply", "1")) == 1
        assert ("turn", "2") not in rows
        assert len(person.json("ask", "--turn", "1")["contributions"]) == 5


def test_a_chat_goes_on_over_a_killed_backend(person: Household) -> None:
    person.json("ask", "hello")
    with at_terminal(person, "chat") as (terminal, process):
        terminal.wait_for("1 turn remembered")
        terminal.wait_for("❯")
        before = backend_of(person)
        kill(before["pid"])
        terminal.type("hello again\r")
        terminal.wait_for("answered alone")
        terminal.wait_for("❯")
        terminal.type("/last\r")
        terminal.wait_for("hello again")
        terminal.wait_for("❯")
        terminal.type("/quit\r")
        assert process.wait(30) == 0
        assert "Traceback" not in terminal.rest()
    assert backend_of(person)["pid"] != before["pid"]


def backend_of_if_any(person: Household) -> dict[str, object]:
    found = json.loads(person.run("status", "--json").stdout)["backend"]
    return found or {}
