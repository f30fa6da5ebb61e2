"""In the terminal chat: the making of a tool is asked for, told step by step, and what was made is approved of or not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doubles.household import Household, at_terminal
from tests.doubles.tool_society import ToolSociety, serving
from tests.sandbox.tiers_here import missing
from tests.tools.workshop import SLUG, SLUG_RAW

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

QUESTION = "Which slug does the title Hello, World get?"
TASK = "turn a title into a slug\x1b[2J for an address"


@pytest.fixture
def person(tmp_path: Path) -> Iterator[Household]:
    if missing(""):
        pytest.skip(missing(""))
    with serving(ToolSociety([SLUG_RAW, SLUG], TASK)) as url:
        yield Household(tmp_path, {"OLLAMA_HOST": url})


def test_a_tool_is_asked_for_told_of_approved_of_used_and_kept(person: Household) -> None:
    with at_terminal(person, "chat") as (terminal, process):
        terminal.wait_for("❯")
        terminal.type(f"{QUESTION}\r")
        asked = terminal.wait_for("Approve of it? [y/N]: ")
        assert "to have a tool made: turn a title into a slug[2J for an address" in asked
        assert "\x1b[2J" not in asked.partition("to have a tool made")[2]
        terminal.type("y\n")
        told = terminal.wait_for("Approve of it? [y/N]: ")
        for line in ("BRICK specifies slugify", "attempt 1: failed", "attempt 2: passed", "slugify('Hello World') =="):
            assert line in told
        terminal.type("y\n")
        assert "gave:" in terminal.wait_for("hello-world")
        terminal.wait_for("s in the model")
        terminal.wait_for("❯")
        terminal.type("\x04")
        assert process.wait(60) == 0
    assert person.json("tools", "run", "slugify", "A B")["result"] == "a-b"


@pytest.mark.parametrize("where", ["before", "after"])
def test_one_that_is_not_approved_of_is_not_kept_and_the_turn_goes_on(person: Household, where: str) -> None:
    with at_terminal(person, "chat") as (terminal, process):
        terminal.wait_for("❯")
        terminal.type(f"{QUESTION}\r")
        terminal.wait_for("Approve of it? [y/N]: ")
        if where == "after":
            terminal.type("y\n")
            terminal.wait_for("Approve of it? [y/N]: ")
        terminal.type("n\n")
        terminal.wait_for("Not approved of")
        terminal.wait_for("s in the model")
        terminal.wait_for("❯")
        terminal.type("\x04")
        assert process.wait(60) == 0
    assert person.json("tools", "list")["tools"] == []


def test_ctrl_c_at_the_question_stops_the_answer_and_not_the_program(person: Household) -> None:
    with at_terminal(person, "chat") as (terminal, process):
        terminal.wait_for("❯")
        terminal.type(f"{QUESTION}\r")
        terminal.wait_for("Approve of it? [y/N]: ")
        terminal.type("\x03")
        terminal.wait_for("Stopped")
        terminal.wait_for("❯")
        terminal.type("/resume\r")
        terminal.wait_for("Approve of it? [y/N]: ")
        terminal.type("n\n")
        terminal.wait_for("s in the model")
        terminal.wait_for("❯")
        terminal.type("\x04")
        assert process.wait(60) == 0
