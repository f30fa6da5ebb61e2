"""Story 7: from an answer to the memories used, the versions that spoke, and how it was argued: one command."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter

from a4ps.protocol.objects import OBJECTS
from tests.doubles.household import Household

QUESTION = "I have two free weekends: should I learn Rust or Go?"


def test_why_did_you_say_that(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.run("ask", QUESTION)
    asked = person.json("ask", "Rust or Go for two free weekends?")
    value = person.json("why", asked["turn_id"])
    TypeAdapter(OBJECTS["why"]).validate_python(value, strict=True, extra="forbid")
    assert value["answer"] == asked["answer"]
    assert value["memories"] == asked["memories_used"] != []
    assert [voice["persona"] for voice in value["personas"]] == ["ALFRED", "BRICK", "ROBIN", "BABS"]
    assert all(voice["change"]["reason"] == "ships with A4PS" for voice in value["personas"])
    assert len(value["argued"]) == asked["rounds"]
    told = person.run("why", asked["turn_id"]).stdout
    for part in ("Who spoke", "Remembered", "turn 1 (", "The argument", "dissonance", "The prompts, in tokens"):
        assert part in told


def test_ask_it_again_of_who_they_are_now(tmp_path: Path) -> None:
    person = Household(tmp_path)
    first = person.json("ask", QUESTION)
    again = person.json("ask", "--rerun", first["turn_id"])
    TypeAdapter(OBJECTS["ask"]).validate_python(again, strict=True, extra="forbid")
    assert again["compared"]["turn_id"] == first["turn_id"]
    assert again["compared"]["likeness"] == 1.0
    assert again["compared"]["personas_changed"] == {}
    told = person.run("ask", "--rerun", first["turn_id"])
    assert "Asked first as turn 1" in told.stdout
    assert "the same personas and models" in told.stdout
    missing = person.run("ask", "--rerun", "99")
    assert missing.returncode == 1
    assert "no turn 99" in missing.stderr


def test_why_is_asked_in_a_conversation_too(tmp_path: Path) -> None:
    person = Household(tmp_path)
    done = person.run("chat", stdin=f"/why\n{QUESTION}\n/why\n/why 7\n")
    assert done.returncode == 0
    assert "there is no turn 0" in done.stderr
    assert "Who spoke" in done.stdout
    assert "there is no turn 7" in done.stderr
