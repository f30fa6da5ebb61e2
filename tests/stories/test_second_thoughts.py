"""Story: a change of ROBIN's character is regretted a day later, and taken back without losing what was learnt since."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.doubles.household import Household

CHANGE = """
from dataclasses import replace
from a4ps import ProtoManager
with ProtoManager() as manager:
    with manager.transaction(reason="less gentle", evidence={"turn": 1}) as tx:
        robin = tx.edit("ROBIN")
        robin.codex = replace(robin.codex, voice="sharp and impatient")
        robin.state["patience"] = 0.1
"""

LATER = """
from a4ps import ProtoManager
with ProtoManager() as manager:
    with manager.transaction(reason="what the Architect likes") as tx:
        tx.edit("ROBIN").state["likes"] = ["short answers"]
"""

LOOK = """
import copy, json
from a4ps import ProtoManager
with ProtoManager() as manager:
    robin = manager.get_proto("ROBIN")
    print(json.dumps([robin.codex.voice, copy.deepcopy(robin.state)]))
"""


def program(person: Household, code: str) -> str:
    person.json("down")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=person.env)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_change_is_taken_back_and_what_came_later_stays(tmp_path: Path) -> None:
    person = Household(tmp_path)
    person.json("ask", "Should I learn to juggle or to whistle this winter?")
    gentle, _ = json.loads(program(person, LOOK))
    program(person, CHANGE)
    program(person, LATER)
    second = person.json("ask", "Should I plant a hedge or build a fence at the street?")
    assert json.loads(program(person, LOOK)) == [
        "sharp and impatient",
        {"patience": 0.1, "likes": ["short answers"]},
    ]

    changes = person.json("image", "history", "ROBIN")["changes"]
    assert [change["reason"] for change in changes][-2:] == ["less gentle", "what the Architect likes"]
    regretted = next(change for change in changes if change["reason"] == "less gentle")
    assert (regretted["author"], regretted["evidence"]) == ("architect", {"turn": 1})

    shown = person.run("image", "diff", str(regretted["change"])).stdout
    assert "+ sharp and impatient" in shown
    assert 'ROBIN.state["patience"]' in shown
    assert "likes" not in shown

    done = person.json("image", "revert", str(regretted["change"]), "--reason", "too sharp")
    assert [change["act"] for change in done["changes"]] == ["revert"]
    assert json.loads(program(person, LOOK)) == [gentle, {"likes": ["short answers"]}]
    assert [change["reason"] for change in person.json("image", "history", "ROBIN")["changes"]][-1] == "too sharp"
    assert person.json("ask", "--turn", second["turn_id"]) == second
    assert person.json("image", "verify", "--deep")["ok"]

    again = person.json("image", "revert", str(regretted["change"]), expect=1)
    assert again["error"]["kind"] == "conflict"
