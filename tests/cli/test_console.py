"""`a4ps console`: Python among the living objects, from a terminal and through a pipe, whatever is entered."""

from __future__ import annotations

import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from a4ps.kernel.wiring import holders_of
from a4ps.places import Places
from a4ps.protocol.objects import EvaluatedObject
from a4ps.sought import Sought
from tests.doubles.household import Household, at_terminal
from tests.doubles.standing import backend_of

pytestmark = pytest.mark.slow

PROMPT = "❯"


@pytest.fixture
def person(tmp_path: Path) -> Household:
    return Household(tmp_path)


def entered(person: Household, source: str, expect: int = 0) -> list[dict[str, Any]]:
    """What becomes of each entry of `source`, as `--json` tells it."""
    done = person.run("console", "--json", stdin=source)
    assert done.returncode == expect, done.stdout + done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for each in found:
        Draft202012Validator(TypeAdapter(EvaluatedObject).json_schema()).validate(each)
    return found


def test_through_a_pipe_each_entry_is_told_of(person: Household) -> None:
    source = "x = 20\nx + 1\nfor n in range(3):\n    print(n)\n\nask('hello')[:9]\n"
    done = person.run("console", stdin=source)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "21\n0\n1\n2\n'Good day.'\n"
    assert person.run("console", stdin="x\n").stdout == "20\n"  # its names live as long as the backend
    failed = person.run("console", stdin="1 / 0\n2\n")
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stdout
    assert failed.stdout.endswith("\n2\n")
    assert person.run("console", stdin="").stdout == ""


def test_with_json_one_object_for_each_entry(person: Household) -> None:
    found = entered(person, "1 + 1\n\nprint('a')\nbrick.x = 1\n1 +\n", expect=1)
    assert [(each["value"], each["output"], each["change"] is not None) for each in found] == [
        ("2", "", False),
        ("", "a\n", False),
        ("", "", True),
        ("", "", False),
    ]
    assert "SyntaxError" in found[-1]["error"]


def test_an_entry_that_changes_a_persona_is_one_change_that_history_and_revert_know(person: Household) -> None:
    (changed,) = entered(person, "brick.mood = 'stern'; brick.hat = 'grey'\n")
    person.run("down")
    history = person.json("image", "history", "BRICK")["changes"]
    assert history[-1]["change"] == changed["change"]
    assert (history[-1]["author"], history[-1]["reason"]) == ("architect", "brick.mood = 'stern'; brick.hat = 'grey'")
    assert person.run("image", "revert", str(changed["change"])).returncode == 0
    assert entered(person, "hasattr(brick, 'mood'), hasattr(brick, 'hat')\n")[0]["value"] == "(False, False)"


def test_what_never_ends_is_given_up_and_the_console_goes_on(person: Household) -> None:
    person.environ["A4PS_CONSOLE_S"] = "0.3"
    found = entered(
        person,
        "brick.x = 1; spin = True\n"
        "while True: pass\n\n"
        "import threading; lock = threading.Lock(); lock.acquire()\n"
        "brick.x = 2; lock.acquire()\n"
        "brick.x\n",
        expect=1,
    )
    assert [bool(each["error"]) for each in found] == [False, True, False, True, False]
    assert found[-1]["value"] == "1"  # what was given up has changed nothing
    assert backend_of(person)["turns"]["answered"] == 0  # and the backend lives


def test_a_gigabyte_is_cut(person: Household) -> None:
    huge, printed, after = entered(person, "bytes(10**9)\nprint('x' * 3_000_000)\n1\n")
    assert (huge["cut"], printed["cut"]) == (True, True)
    assert max(len(huge["value"]), len(printed["output"])) <= 20_000
    assert after["value"] == "1"


def test_an_entry_that_ends_the_backend_is_told_of_and_not_done_again(person: Household) -> None:
    marks = person.folder / "marks"
    source = f"brick.x = 1\nimport os; open({str(marks)!r}, 'a').write('once '); os._exit(3)\nbrick.x\n"
    done = person.run("console", stdin=source)
    assert done.returncode == 1
    assert marks.read_text() == "once "
    assert "whether it was done to its end is not known" in done.stderr
    assert "a4ps events" in done.stderr
    assert done.stdout.endswith("1\n")  # another backend goes on with the same image


def test_in_a_terminal(person: Household) -> None:
    person.json("ask", "hello")
    with at_terminal(person, "console") as (terminal, process):
        terminal.wait_for("each entry is one change")
        terminal.wait_for(PROMPT)
        terminal.type("bri\t")
        terminal.wait_for("ck")
        terminal.type(".mood = 'zinnwald'\r")
        terminal.wait_for("change ")
        terminal.wait_for(PROMPT)
        terminal.type("brick.mood\r")
        terminal.wait_for("'zinnwald'")
        terminal.wait_for(PROMPT)
        terminal.type("def twice(n):\r    return 2 * n\r\r")
        terminal.wait_for(PROMPT)
        terminal.type("twice(2100)\r")
        terminal.wait_for("4200")
        terminal.wait_for(PROMPT)
        terminal.type("print('begun', flush=True)\rwhile True: pass\r\r")
        terminal.wait_for("pass")
        while not backend_of(person)["running"]:
            time.sleep(0.02)
        terminal.type("\x03")
        terminal.wait_for("KeyboardInterrupt")
        terminal.wait_for(PROMPT)
        terminal.type("\x03")
        terminal.wait_for("Ctrl-D leaves.")
        terminal.wait_for(PROMPT)
        terminal.type("\x04")
        assert process.wait(30) == 0
        assert "Traceback" not in terminal.rest()
    history = person.home / "console_history"
    assert "+def twice(n):\n+    return 2 * n" in history.read_text()
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    person.run("down")
    holders = holders_of(Places(person.home, person.folder / ".local" / "state" / "a4ps"))
    sought = Sought(("zinnwald",))
    found = [place.holder for holder in holders for place in holder.find(sought)]
    assert "console history" in found
    for holder in holders:
        holder.remove(sought)
    assert "zinnwald" not in history.read_text()
    assert "twice" in history.read_text()
