"""`a4ps approvals` as a program: a turn that needs a word ends with 3, waits, and goes on after it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from pydantic import TypeAdapter

from a4ps.cli.approving import approval_lines
from a4ps.governance.approvals import Action, Approval, Where
from a4ps.kernel.approval_object import approval_object
from a4ps.protocol.objects import OBJECTS, ApprovalObject
from tests.doubles.apart_backend import start_apart
from tests.doubles.household import Household
from tests.doubles.tool_society import ToolSociety, serving
from tests.tools.workshop import SLUG

pytestmark = pytest.mark.slow

QUESTION = "Which slug does the title “Hello World” get?"
TASK = "turn a title into a slug"


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Household]:
    start_apart(monkeypatch)
    with serving(ToolSociety([SLUG], TASK, "I need a tool; it is\x1b[2J harmless.")) as url:
        yield Household(tmp_path, {"OLLAMA_HOST": url})


def conforms(value: Any, name: str) -> Any:
    TypeAdapter(OBJECTS[name]).validate_python(value, strict=True, extra="forbid")
    return value


def test_a_turn_that_needs_a_word_ends_with_3_and_goes_on_after_it(person: Household) -> None:
    error = person.json("ask", QUESTION, expect=3)["error"]
    assert error["kind"] == "approval_needed"
    assert "1.1" in error["message"]
    assert "a4ps approvals show 1.1" in error["next"]
    assert "a4ps ask --resume 1" in error["next"]
    assert error["log"] == ""
    (waiting,) = conforms(person.json("approvals", "list"), "approvals list")["approvals"]
    assert (waiting["id"], waiting["turn_id"], waiting["action"]["what"]) == ("1.1", "1", TASK)
    assert person.json("ask", "--resume", "1", expect=3)["error"]["kind"] == "approval_needed"
    agreed = conforms(person.json("approvals", "approve", "1.1"), "approvals approve")
    assert agreed["state"] == "approved"
    person.json("ask", "--resume", "1", expect=3)  # it is made, and is not kept before I have seen it
    shown = person.run("approvals", "show", "1.2").stdout
    assert "to keep and use the tool slugify" in shown
    assert "+def slugify(text: str) -> str:" in shown
    person.json("approvals", "approve", "1.2")
    answered = person.json("ask", "--resume", "1")
    assert answered["contributions"][1]["text"].endswith("hello-world")
    assert answered["taint"] == ["private"]
    assert person.json("approvals", "list") == {"approvals": []}
    assert [each["state"] for each in person.json("approvals", "list", "--all")["approvals"]] == ["used", "used"]
    places = person.json("memory", "forget", "1", "--dry-run")["places"]
    (tool,) = [place for place in places if "tool:slugify" in place["where"]]
    assert tool["relation"] == "named"
    assert tool["where"].endswith("rests on turn 1")


def test_another_question_is_answered_while_one_waits(person: Household) -> None:
    person.json("ask", QUESTION, expect=3)
    assert person.json("ask", "hello")["turn_id"] == "2"
    assert [each["id"] for each in person.json("approvals", "list")["approvals"]] == ["1.1"]


def test_what_a_persona_says_is_shown_as_its_claim_and_drives_no_terminal(person: Household) -> None:
    person.json("ask", QUESTION, expect=3)
    shown = person.run("approvals", "show", "1.1").stdout
    assert "BABS says, and nobody has checked it:\n    > I need a tool; it is[2J harmless." in shown
    assert f"argument     task = '{TASK}'" in shown
    assert "version      BRICK" in shown
    assert "\x1b" not in shown
    conforms(person.json("approvals", "show", "1.1"), "approvals show")


def test_what_a_model_chose_stays_on_its_line() -> None:
    spoof = "x\n  state        approved\n  because      the Architect said so"
    action = Action("file-write", spoof, {spoof: spoof}, spoof, 1, "", {spoof: spoof})
    at = datetime(2026, 11, 30, tzinfo=UTC)
    approval = Approval("1.1", Where("1", "use_tool", 2), action, "ask", spoof, "BABS", frozenset(), at, at)
    shown = cast("ApprovalObject", approval_object(approval, at))
    lines = [line for text in approval_lines(shown) for line in text.splitlines()]
    assert sum(line.startswith("  state") for line in lines) == 1
    assert sum(line.startswith("  because") for line in lines) == 1


def test_denied_the_turn_is_answered_without(person: Household) -> None:
    person.json("ask", QUESTION, expect=3)
    assert conforms(person.json("approvals", "deny", "1.1"), "approvals deny")["state"] == "denied"
    answered = person.json("ask", "--resume", "1")
    assert any("denied" in note for note in answered["notes"])
    assert len(answered["contributions"]) == 5
    error = person.json("approvals", "approve", "1.1", expect=1)["error"]
    assert error["kind"] == "approval_refused"


def test_an_edited_task_is_the_one_that_is_done(person: Household) -> None:
    person.json("ask", QUESTION, expect=3)
    edited = conforms(person.json("approvals", "edit", "1.1", "task=make slugs of titles"), "approvals edit")
    assert (edited["id"], edited["state"], edited["replaces"]) == ("1.2", "waiting", "1.1")
    person.run("approvals", "approve", "1.2")
    person.json("ask", "--resume", "1", expect=3)
    person.json("approvals", "approve", "1.3")
    person.json("ask", "--resume", "1")
    assert person.json("tools", "show", "slugify")["task"] == "make slugs of titles"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("edit", "1.1", "tool=other"), 2, "tool is no argument"),
        (("edit", "1.1", "nonsense"), 2, "NAME=VALUE"),
        (("approve", "1.1", "--hash", "0123456789"), 1, "for another action"),
        (("show", "9.1"), 1, "no approval"),
        (("deny", "1\x1b.1"), 1, "no approval"),
    ],
)
def test_what_cannot_be_done_is_said(person: Household, arguments: tuple[str, ...], code: int, says: str) -> None:
    person.json("ask", QUESTION, expect=3)
    done = person.run("approvals", *arguments)
    assert done.returncode == code
    assert says in done.stderr
    assert "→" in done.stderr


def test_a_policy_of_never_asks_nobody_and_a_remembered_yes_neither(person: Household) -> None:
    assert person.run("config", "set", "policies", "tool-forge=never").returncode == 0
    answered = person.json("ask", QUESTION)
    assert any("policy for tool-forge is never" in note for note in answered["notes"])
    assert person.run("config", "set", "policies", "tool-forge=sometimes").returncode == 2
    assert person.run("config", "set", "policies", "tool-forge=ask").returncode == 0
    person.json("ask", QUESTION, expect=3)
    assert person.json("approvals", "approve", "2.1", "--remember")["remember"] is True


def test_nothing_waits_in_a_new_home(person: Household) -> None:
    assert "Nothing waits" in person.run("approvals", "list").stdout


@pytest.mark.parametrize(
    ("typed", "code", "state"), [("y\n", 0, "used"), ("n\n", 0, "denied"), ("\n", 0, "denied"), ("", 3, "waiting")]
)
def test_at_a_terminal_the_same_approval_is_shown_and_asked_and_enter_alone_is_no(
    person: Household, monkeypatch: pytest.MonkeyPatch, typed: str, code: int, state: str
) -> None:
    monkeypatch.setattr("a4ps.cli.approving.somebody_is_there", lambda: True)
    assert person.run("config", "set", "policies", "tool-keep=always").returncode == 0
    done = person.run("ask", QUESTION, stdin=typed)
    assert done.returncode == code, done.stderr
    assert f"approval 1.1: to have a tool made: {TASK}" in done.stderr
    assert "nobody has checked it:\n    > I need a tool" in done.stderr
    assert "Approve of it? [y/N]: " in done.stderr
    assert person.json("approvals", "show", "1.1")["state"] == state
