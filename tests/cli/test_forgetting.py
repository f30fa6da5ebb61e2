"""`a4ps memory forget` as a program: the plan, the question, what it refuses and with which exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from a4ps.image.forgetting import ImageTexts
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.forgetter import Forgetter
from a4ps.protocol.objects import OBJECTS
from tests.cli.test_image import keys_of
from tests.doubles.byte_search import found_in
from tests.doubles.household import Household, at_terminal

pytestmark = pytest.mark.slow

SECRET = "Rumpelstilz-7734"
QUESTION = f"My PIN is {SECRET}, is tea or coffee better in the morning?"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    """Somebody who has told a secret, and asked something else."""
    person = Household(tmp_path)
    person.json("ask", QUESTION)
    person.json("ask", "hello")
    return person


def forget(person: Household, *arguments: str, expect: int = 0, stdin: str = "") -> Any:
    value = person.json("memory", "forget", *arguments, expect=expect, stdin=stdin)
    TypeAdapter(OBJECTS["memory forget" if expect == 0 else "error"]).validate_python(
        value, strict=True, extra="forbid"
    )
    return value


def opened(person: Household) -> ProtoManager:
    person.end_backends()
    return ProtoManager.open(person.home / "image.a4ps", keys=keys_of(person))


def test_a_dry_run_shows_the_plan_and_changes_nothing(person: Household) -> None:
    before = person.json("image", "verify", "--deep")
    value = forget(person, "1", "--dry-run")
    assert not value["forgotten"]
    assert [(place["where"], place["relation"]) for place in value["places"]] == [
        ("turn 1: the question, what was said", "holds"),
        ("backups, saved files and exports outside the home are not looked into", "named"),
    ]
    assert person.json("image", "verify", "--deep") == before


def test_it_is_forgotten_by_number_or_by_what_it_says(person: Household) -> None:
    assert forget(person, "2", "--yes")["forgotten"]
    assert forget(person, "--text", "rumpelSTILZ", "--yes")["forgotten"]
    assert found_in(person.folder, "rumpelstilz") == []
    value = forget(person, "--text", "rumpelstilz", "--yes")
    assert not value["forgotten"]
    assert [place["relation"] for place in value["places"]] == ["named"]
    assert person.json("image", "verify", "--deep")["ok"]
    assert forget(person, "1", expect=1)["error"]["kind"] == "forgotten"


def test_the_text_is_read_from_standard_input(person: Household) -> None:
    """So that no shell keeps it."""
    assert forget(person, "--text", "-", "--yes", stdin=f"{SECRET}\n")["forgotten"]
    assert found_in(person.folder, SECRET) == []


def test_what_derives_from_it_can_be_spared(person: Household) -> None:
    again = person.json("ask", "Is tea better than coffee in the morning?")
    assert [memory["id"] for memory in again["memories_used"]] == ["1"]
    plan = forget(person, "1", "--dry-run")["places"]
    assert ("turn 3: the question, what was said: rests on turn 1", "derives") in [
        (place["where"], place["relation"]) for place in plan
    ]
    forget(person, "1", "--spare-derived", "--yes")
    (memory,) = person.json("ask", "--turn", "3")["memories_used"]
    assert (memory["id"], memory["text"]) == ("1", "")


def test_a_person_is_shown_the_plan_and_asked(person: Household) -> None:
    with at_terminal(person, "memory", "forget", "1") as (terminal, process):
        terminal.wait_for("turn 1: the question")
        terminal.wait_for("Forget this for good? [y/N]")
        terminal.type("n\r")
        assert "nothing was changed" in terminal.rest()
        assert process.wait(30) == 130
    assert found_in(person.home, SECRET)
    with at_terminal(person, "memory", "forget", "1") as (terminal, process):
        terminal.wait_for("[y/N]")
        terminal.type("y\r")
        assert "Forgotten." in terminal.rest()
        assert process.wait(30) == 0
    assert found_in(person.folder, SECRET) == []


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (("1", "--text", "x"), "usage_error", 2),
        (("--text", "ab"), "usage_error", 2),
        (("--text", "BRICK"), "usage_error", 2),
        (("--text", "forgotten"), "usage_error", 2),
        (("99",), "no_such_turn", 1),
        (("nothing",), "no_such_turn", 1),
        ((), "usage_error", 2),
    ],
)
def test_what_it_cannot_do_is_said_with_a_next_step(
    person: Household, arguments: tuple[str, ...], kind: str, code: int
) -> None:
    error = forget(person, *arguments, expect=code)["error"] if arguments else None
    if error is None:
        done = person.run("memory", "forget")
        assert (done.returncode, "nothing is waiting" in done.stderr) == (code, True)
    else:
        assert error["kind"] == kind
        assert error["next"]
    assert person.json("ask", "--turn", "1")["question"] == QUESTION


def test_without_an_image_nothing_is_made(tmp_path: Path) -> None:
    person = Household(tmp_path)
    assert forget(person, "1", expect=1)["error"]["next"]
    assert not person.home.exists()


@pytest.mark.parametrize("command", [("ask", "hello"), ("memory", "search", SECRET), ("why", "2")])
def test_a_forgetting_that_was_cut_off_is_finished_by_whatever_opens_next(
    person: Household, command: tuple[str, ...]
) -> None:
    with opened(person) as manager:
        ImageTexts(manager).begin(Forgetter.by_text(SECRET))
        assert manager.verify(deep=True).ok
    assert found_in(person.home, SECRET)
    person.json(*command)
    assert found_in(person.home, SECRET) == []


def test_without_a_name_it_finishes_what_was_cut_off(person: Household) -> None:
    with opened(person) as manager:
        ImageTexts(manager).begin(Forgetter.by_text(SECRET))
    done = person.run("memory", "forget")
    assert (done.returncode, done.stdout) == (0, "What was cut off is forgotten now.\n")
    assert found_in(person.home, SECRET) == []


def test_history_and_revert_say_what_was_forgotten(person: Household) -> None:
    with opened(person) as manager:
        for notes in (f"PIN {SECRET}", "none"):
            with manager.transaction(reason=notes) as tx:
                tx.edit("BRICK").state["notes"] = notes
    forget(person, "--text", SECRET, "--yes")
    changes = person.json("image", "history", "BRICK")["changes"]
    first, second = changes[-2:]
    assert (first["reason"], first["forgotten"], second["forgotten"]) == ("PIN ⟦forgotten⟧", True, False)
    assert "forgotten in part: PIN ⟦forgotten⟧" in person.run("image", "history", "BRICK").stdout
    assert "+ 'PIN ⟦forgotten⟧'" in person.run("image", "diff", str(first["change"])).stdout
    error = person.json("image", "revert", str(second["change"]), expect=1)["error"]
    assert error["kind"] == "forgotten"
    assert 'BRICK.state["notes"]' in error["message"]


def test_where_nobody_can_be_asked_it_has_to_be_said_beforehand(person: Household) -> None:
    """What cannot be undone is done on no silence."""
    assert "--yes" in forget(person, "1", expect=2)["error"]["next"]
    assert person.json("ask", "--turn", "1")["question"] == QUESTION
