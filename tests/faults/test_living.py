"""What the world does to a living backend: its disk fills up, its home vanishes, its clock jumps."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from a4ps.client.client import As, Client
from a4ps.clock import SystemClock
from a4ps.protocol.requests.system import EventsSince, Status
from a4ps.protocol.requests.turns import Ask
from tests.doubles.household import Household
from tests.doubles.served import served
from tests.doubles.standing import backend_of, standing
from tests.faults.full_disk import NOT_PERMITTED
from tests.faults.killing import ROOT


def test_a_full_disk_reaches_who_asks_and_the_backend_lives(tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("an own mount namespace is not permitted here (needs root or CAP_SYS_ADMIN)")
    played = subprocess.run(
        [
            *("unshare", "-m", "--propagation", "private"),
            *(sys.executable, "-m", "tests.faults.full_disk_asking", str(tmp_path)),
            str(Path("/proc/self/ns/mnt").readlink()),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if played.returncode == NOT_PERMITTED:
        pytest.skip("mounting a tmpfs is not permitted here")
    assert played.returncode == 0, played.stderr
    seen = json.loads(played.stdout)
    code, error = seen.pop("code"), seen.pop("error")
    assert (code, error["kind"]) == (1, "disk_full")
    assert "no space" in error["message"]
    assert error["next"]
    assert {name for name, held in seen.items() if not held} == set()


def test_a_home_that_vanishes_is_told_and_nothing_is_acknowledged_for_it(tmp_path: Path) -> None:
    person = Household(tmp_path, {"A4PS_ENGINE": "rehearsal"})
    with standing(person) as (process, _):
        person.json("ask", "hello")
        shutil.rmtree(person.home)
        refused = person.json("ask", "hello again", expect=1)["error"]
        assert "Traceback" not in refused["message"]
        assert refused["kind"] != "internal", refused
        assert backend_of(person)["pid"] == process.pid
        assert not (person.home / "image.a4ps").exists()
        assert person.run("down").returncode == 0
        assert process.wait(30) == 0


async def test_a_clock_that_jumps_moves_no_deadline_and_keeps_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = timedelta()
    monkeypatch.setattr(SystemClock, "now", lambda _: datetime.now(UTC) + off)
    async with served(tmp_path) as house:
        client = await Client.connect(house.places, As("test"), starts=False)
        welcome, began = client.welcome, datetime.now(UTC)
        for days in (0, 30, -30):
            off = timedelta(days=days)
            await client.call(Ask(text=f"Is it {days} days later?"), deadline_s=60.0)
        status = await client.call(Status())
        found = (await client.call(EventsSince(after=0)))["events"]
        assert client.welcome is welcome  # the session was never lost
        await client.aclose()
    assert 0 <= status["uptime_s"] < 60
    assert (status["epoch"], status["turns"]["answered"]) == (welcome.epoch, 3)
    assert [event["sequence"] for event in found] == list(range(1, len(found) + 1))
    replies = [event for event in found if any(row["kind"] == "reply" for row in event["rows"])]
    later = [round((datetime.fromisoformat(event["at"]) - began) / timedelta(days=1)) for event in replies]
    assert later == [0, 30, -30]  # as the clock said, whatever it said
