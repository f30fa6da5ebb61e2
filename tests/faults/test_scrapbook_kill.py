"""The index over the vectors is rebuildable: killed at any instant of writing it, it says what the image says."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.memory.records import VECTOR
from a4ps.memory.tuning import Options
from a4ps.memory.vector_index import VectorIndex
from a4ps.memory.vectors import of_payloads
from tests.doubles.household import ROOT
from tests.memory.books import DIMENSIONS, IDENTITY, book_of

KILLS = 40 if os.environ.get("A4PS_LONG") else 5


@pytest.mark.slow
@pytest.mark.timeout(60 * KILLS)
def test_killed_at_any_instant_the_index_says_what_the_image_says(tmp_path: Path) -> None:
    chance = random.Random(5)
    durable = 0
    for _ in range(KILLS):
        writer = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.scrapbook_writer", str(tmp_path)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 12)):
            line = writer.stdout.readline()
            assert line, "it ended by itself"
            durable = int(line)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        with Store.open(tmp_path / "image.a4ps", KeyFolder(tmp_path / "keys"), SystemClock()) as store:
            records = book_of(store)
            index = VectorIndex(tmp_path / "index", records, IDENTITY, DIMENSIONS, Options(flat_max=400))
            index.open().result()
            rows = list(records.rows(VECTOR + IDENTITY))
            assert len(rows) >= durable
            assert index.state is not None
            assert index.state.rows == len(rows)
            asked = rows[:: max(1, len(rows) // 50)]
            found = [index.near(vector, 1) for vector in of_payloads([row.payload for row in asked], DIMENSIONS)]
            hits = sum(near is not None and near[0][0] == row.key for near, row in zip(found, asked, strict=True))
            index.close()
            assert hits >= 0.9 * len(asked)  # an index that was built has the recall it was tuned to
