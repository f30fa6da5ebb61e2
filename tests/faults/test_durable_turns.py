"""A turn that acts, killed between and inside its steps: it goes on, repeats at most one step, and acts once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from a4ps.errors import NoSuchTurn
from a4ps.governance.approvals import Approval
from a4ps.kernel.answered import answered_turn
from tests.faults.dying_turn import acting_kernel, ignore
from tests.faults.killing import ROOT

INSIDE = [f"inside {step}" for step in ("plan", "thesis", "antithesis", "findings", "synthesis")]
#: The input's, and one after each of the six steps.
BETWEEN = [f"{when} checkpoint {count}" for count in range(1, 9) for when in ("before", "after")]
CALL = [f"{when} {what} 1" for what in ("intent", "done") for when in ("before", "after")]
FILE = [f"{when} {what} 2" for what in ("intent", "done") for when in ("before", "after")]
END = ["before the answer", "after the answer"]

Dies = Callable[[Path, str, str], int]


@pytest.fixture(scope="module")
def dies() -> Iterator[Dies]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.faults.dying_turn"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def ask(folder: Path, level: str, point: str) -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"folder": str(folder), "level": level, "point": point}) + "\n")
            process.stdin.flush()
            return int(json.loads(process.stdout.readline()))

        yield ask
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


#: Of a tool that is made: around the intent, while it is written, and once it is there.
MADE = [
    *(f"{when} {what} {place}" for place in (0, 100) for what in ("intent", "done") for when in ("before", "after")),
    "inside tool_writing",
    "inside thesis",
]


def account(folder: Path) -> Counter[str]:
    return Counter((folder / "account").read_text().splitlines())


async def finish(folder: Path, level: str) -> list[Approval]:
    """Go on with the killed turn to its answer. The Architect looks whether it happened. Returns what was asked."""
    asked: list[Approval] = []

    async def look(approval: Approval) -> bool:
        asked.append(approval)
        return not (folder / "notes" / "a.txt").exists()

    async with acting_kernel(folder, level) as kernel:
        with suppress(NoSuchTurn):  # it had been answered
            await kernel.resume(None, ignore, approve=look)
        assert answered_turn(kernel.records, "1").reply.answer
    return asked


def repeated(done: Counter[str]) -> int:
    """Steps of the turn that were done more than once; the calls that make a tool are all of one step."""
    return sum(count - 1 for line, count in done.items() if line.startswith("step ") and "tool_" not in line)


@pytest.mark.parametrize("point", [*INSIDE, *BETWEEN, *CALL, *FILE, *END])
async def test_a_killed_turn_goes_on_and_its_file_is_written_once(dies: Dies, memory_path: Path, point: str) -> None:
    assert dies(memory_path, "granted", point) == 9
    assert await finish(memory_path, "granted") == [], "nothing here needs the Architect"
    done = account(memory_path)
    assert repeated(done) <= 1
    assert (memory_path / "notes" / "a.txt").read_text() == "water"
    # Held back in the call, which may be made again, and put in place: once in all.
    assert done["put in place"] == 1


@pytest.mark.parametrize("point", [*INSIDE, *CALL, *END])
async def test_code_that_reaches_out_by_itself_runs_once_and_is_asked_about_where_nobody_knows(
    dies: Dies, memory_path: Path, point: str
) -> None:
    assert dies(memory_path, "in-process", point) == 9
    asked = await finish(memory_path, "in-process")
    assert (memory_path / "notes" / "a.txt").read_text() == "water\n"
    assert repeated(account(memory_path)) <= 1
    unknown = point in ("after intent 1", "before done 1")
    assert [approval.action.attempt for approval in asked] == ([2] if unknown else [])


@pytest.mark.parametrize("point", MADE)
async def test_a_tool_is_made_once(dies: Dies, memory_path: Path, point: str) -> None:
    assert dies(memory_path, "forge", point) == 9
    assert await finish(memory_path, "forge") == []
    done = account(memory_path)
    assert repeated(done) <= 1
    assert done["step tool_writing"] == (2 if point in ("inside tool_writing", "before done 0") else 1)
    async with acting_kernel(memory_path, "forge") as kernel:
        assert kernel.society.forge is not None
        assert kernel.society.forge.registry.names() == ["slugify"]
        assert kernel.society.forge.registry.get("slugify").version == 1
        assert "hello-world" in answered_turn(kernel.records, "1").reply.contributions[1].text
