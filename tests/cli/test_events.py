"""`a4ps events`: what has happened, each commit once and in order, and what happens meanwhile."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.doubles.household import Household, ollama_server
from tests.doubles.standing import backend_of, following, kill, wait_until

pytestmark = pytest.mark.slow

QUESTION = "Should the greenhouse face south or west?"


def test_the_newest_events(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.json("ask", "hello")
    lines = [json.loads(line) for line in person.run("events", "--json").stdout.splitlines()]
    newest = backend_of(person)["image"]["generation"]
    assert [event["sequence"] for event in lines] == list(range(1, newest + 1))
    assert any(row["kind"] == "reply" and row["key"] == "1" for event in lines for row in event["rows"])
    assert {"sequence", "at", "author", "rows"} == lines[0].keys()
    last = person.run("events", "--last", "2").stdout.splitlines()
    assert [int(line.split()[0]) for line in last] == [newest - 1, newest]
    assert person.run("events", "--last", "0").stdout == ""


def test_another_commands_turn_is_seen_as_it_happens(tmp_path: Path) -> None:
    person = Household(tmp_path)
    with ollama_server("--delay-ms", "1") as url:
        person.environ["OLLAMA_HOST"] = url
        person.json("ask", "Is clay soil good for tomatoes?")
        with following(person) as events:
            events.until(lambda told: any(row["key"] == "1" for row in told.get("rows", ()) if row["kind"] == "reply"))
            wait_until(lambda: backend_of(person)["sessions"] > 1)  # it follows, besides who asks for the status
            answered = person.json("ask", QUESTION)
            events.until(lambda told: any(row["key"] == "2" for row in told.get("rows", ()) if row["kind"] == "reply"))
            person.run("console", stdin="brick.mood = 'calm'\n")
            change = events.until(lambda told: any(row["kind"] == "proto" for row in told.get("rows", ())))
    assert change["author"] == "architect"
    newest = events.numbers()[-1]
    assert events.numbers() == list(range(1, newest + 1))  # none is missed, none comes twice, none out of turn
    turn = [told for told in events.seen if told.get("turn") == "2"]
    said = "".join(told["text"] for told in turn if told["step"] == "token" and told["persona"] == "ALFRED")
    assert answered["answer"] in said
    assert {"accepted", "began", "spoke", "measured", "ended"} <= {told["step"] for told in turn}
    assert any(told.get("step") == "figure" for told in events.seen)


def test_a_backend_that_is_killed_and_followed_by_another_leaves_no_gap(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.json("ask", "hello")
    before = backend_of(person)
    with following(person) as events:
        wait_until(lambda: backend_of(person)["sessions"] > 1)
        kill(before["pid"])
        person.json("ask", "Is clay soil good for tomatoes?")
        person.json("ask", "And peat?")
        events.until(lambda told: any(row["key"] == "3" for row in told.get("rows", ()) if row["kind"] == "reply"))
        assert backend_of(person)["epoch"] != before["epoch"]
    assert events.numbers() == list(range(1, events.numbers()[-1] + 1))
