"""Files stay bounded however many turns there are: checkpoints do not grow at all, the image by what a turn says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from a4ps.society.progress import Progress
from tests.doubles.kernels import open_kernel
from tests.doubles.scripted_engine import ScriptedEngine

#: ./check runs this many turns; ./check --long ten times as many.
TURNS = 1_000 if os.environ.get("A4PS_LONG") else 100

#: What an ordinary turn of the scripted engine may add to the image, and the checkpoint file may be, in bytes.
TURN_BYTES = 16_000
CHECKPOINT_BYTES = 2_000_000


def ignore(progress: Progress) -> None:
    del progress


def size(folder: Path) -> dict[str, int]:
    return {str(file.relative_to(folder)): file.stat().st_size for file in folder.rglob("*") if file.is_file()}


@pytest.mark.timeout(30 + TURNS)
async def test_a_thousand_turns_leave_bounded_files(memory_path: Path) -> None:
    async def turns(first: int, last: int) -> dict[str, int]:
        """Ask them, and the size of each file once all is closed."""
        async with open_kernel(memory_path, ScriptedEngine()) as kernel:
            for number in range(first, last):
                await kernel.ask(f"Which bed number {number} should be dug before the frost?", ignore)
        return size(memory_path)

    early = await turns(0, TURNS // 4)
    late = await turns(TURNS // 4, TURNS)
    grown = sum(late.values()) - sum(early.values())
    print(f"\n  {TURNS} turns: {sum(late.values())} bytes in {len(late)} files, {grown / (TURNS * 3 / 4):.0f} a turn")
    assert grown <= TURN_BYTES * TURNS * 3 / 4
    checkpoints = {name: bytes_ for name, bytes_ in late.items() if name.startswith("cache/")}
    assert sum(checkpoints.values()) <= CHECKPOINT_BYTES, checkpoints
    assert set(late) <= set(early), "a turn leaves no file behind"
