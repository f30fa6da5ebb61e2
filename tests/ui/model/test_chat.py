"""What is entered in the chat field: questions, commands, and commands that there are not."""

from __future__ import annotations

import pytest

from a4ps.errors import UsageError
from a4ps.protocol.requests.turns import Resume
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.chat import SLASH, Question, completed, help_of, said
from a4ps.ui.model.command_palette import COMMANDS
from a4ps.ui.model.pane import Do, Open, Send, known_panes

CASES = [
    ("Rust or Go?", Question("Rust or Go?")),
    ("  /all hello ", Question("hello", everyone=True)),
    ("/why", Open("why", {})),
    ("/WHY 3", Open("why", {"subject": "3"})),
    ("/inspect robin", Open("inspector", {"subject": "ROBIN"})),
    ("/inspect tool:slugify", Open("inspector", {"subject": "tool:slugify"})),
    ("/browser babs", Open("browser", {"subject": "BABS"})),
    ("/forget my old street", Open("memory", {"query": "my old street"})),
    ("/world", Do(Act("worlds"))),
    ("/world evening walk", Do(Act("show-world", {"name": "evening walk"}))),
    ("/world save evening", Do(Act("keep-world", {"name": "evening"}))),
    ("/theme light", Do(Act("theme", {"name": "light"}))),
    ("/stop", Do(Act("stop"))),
]


@pytest.mark.parametrize(("line", "meant"), CASES)
def test_a_line_means_one_thing(line: str, meant: object) -> None:
    assert said(line) == meant


def test_an_empty_line_means_nothing() -> None:
    assert said("   ") is None


def test_a_turn_is_gone_on_with() -> None:
    meant = said("/resume 4")
    assert isinstance(meant, Send)
    assert meant.request == Resume(turn="4", attended=True)


@pytest.mark.parametrize(
    ("line", "next_step"),
    [
        ("/memry", "/memory"),
        ("/xyzzy", "/help"),
        ("/all", "QUESTION"),
        ("/theme pink", "dark"),
        ("/world save", "/world"),
    ],
)
def test_what_cannot_be_meant_says_what_could_be(line: str, next_step: str) -> None:
    with pytest.raises(UsageError) as caught:
        said(line)
    assert next_step in caught.value.next_step


def test_names_are_completed_until_one_is_written() -> None:
    assert completed("/re") == ["/resume ", "/remember ", "/redo"]
    assert completed("/") == [f"/{each.name}{' ' if each.takes else ''}" for each in SLASH]
    assert not completed("re")
    assert not completed("/why ")


def test_what_a_command_is_about_is_completed_of_the_names_that_are_known() -> None:
    assert completed("/inspect b") == ["/inspect BRICK", "/inspect BABS"]
    assert completed("/inspect to", ["ROBIN", "tool:slugify"]) == ["/inspect tool:slugify"]
    assert completed("/theme ") == ["/theme dark", "/theme light"]
    assert completed("/world ev", worlds=["evening", "morning"]) == ["/world evening"]
    assert not completed("/world evening", worlds=["evening"])


def test_every_window_that_is_named_somewhere_is_there() -> None:
    named = {command.act.about["pane"] for command in COMMANDS if command.act.verb == "open"}
    opened = {
        meant.pane for slash in SLASH if isinstance(meant := slash.does("x" if slash.name != "theme" else ""), Open)
    }
    assert named | opened <= known_panes().keys()


def test_each_command_that_a_line_could_become_says_what_it_does() -> None:
    assert all(help_of(each) for each in completed("/"))
    assert help_of("/all ").startswith("QUESTION")
    assert help_of("/inspect ROBIN") == ""
