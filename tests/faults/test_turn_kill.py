"""I1 for whole turns: killed at random instants of a turn; nothing committed is lost, the accepted is offered."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from tests.doubles.household import Household, ollama_server, read_until

#: ./check runs this many kills; ./check --long ten times as many.
KILLS = 100 if os.environ.get("A4PS_LONG") else 10


@pytest.mark.timeout(60 * KILLS)
def test_a_turn_killed_at_any_instant_loses_nothing_committed(tmp_path: Path) -> None:
    chance = random.Random(22)
    person = Household(tmp_path)
    offered = finished = 0
    with ollama_server("--delay-ms", "10") as url:
        person.environ["OLLAMA_HOST"] = url
        person.json("ask", "Which came first, the plan or the garden?")
        committed = {"1"}
        for attempt in range(KILLS):
            asking = person.start("ask", f"Is plan number {attempt} better than the one before it?")
            if attempt % 2:  # half of them at an instant of the turn itself, half at one of the whole process
                read_until(asking, "ALFRED")
            try:
                out, _ = asking.communicate(timeout=chance.uniform(0.0, 1.0 if attempt % 2 else 5.0))
            except subprocess.TimeoutExpired:
                out = person.power_cut(asking)
            if told := re.search(r"^turn (\d+) · ", out.decode(), re.MULTILINE):
                committed.add(told[1])
                finished += 1
            after = person.run("ask", "hello", "--json")
            assert after.returncode == 0, after.stderr
            offered += "a4ps ask --resume" in after.stderr
            committed.add(json.loads(after.stdout)["turn_id"])
        for turn_id in committed:
            assert person.json("ask", "--turn", turn_id)["answer"]
    print(f"\n  {KILLS} kills of a turn: {finished} had finished, {offered} accepted ones were offered, 0 lost")
    assert offered > 0
