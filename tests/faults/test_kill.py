"""I1: whatever is killed and whenever, the image opens and holds all that was acknowledged."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from a4ps.clock import SystemClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from tests.faults.dying import payload_of
from tests.faults.killing import LONG, killer

KILLS = 1000 if LONG else 60
KILLS_OF_CREATION = 300 if LONG else 30
LIVES_OF_AN_IMAGE = 12


@pytest.mark.timeout(1200)
def test_nothing_acknowledged_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1: after a SIGKILL at a random instant the image opens, every acknowledged commit is there with its generation
    and its payload, and at most the commits in flight (one a thread) are there besides."""
    chance = random.Random(20261122)
    acknowledged_in_all = extra_in_all = 0
    keys = tmp_path / "keys"
    with killer() as deaths:
        for seed in range(KILLS):
            image = tmp_path / str(seed // LIVES_OF_AN_IMAGE) / "image.a4ps"
            if seed % LIVES_OF_AN_IMAGE == 0:
                held: set[str] = set()
            threads = chance.choice((1, 1, 3))
            acks = chance.choice((0, chance.randrange(1, 40)))
            acknowledged = deaths.die(
                image, keys, seed=seed, threads=threads, acks=acks, wait_s=chance.uniform(0.0, 0.08)
            )
            with Store.open(image, KeyFolder(keys), SystemClock()) as store:
                for key, generation in acknowledged.items():
                    head = store.head("turn", key)
                    assert head is not None, f"{key} was acknowledged and is lost"
                    assert (head.generation, head.payload) == (generation, payload_of(key))
                present = {row.key for row in store.newest("turn", limit=100_000)}
                assert held <= present
                extra = present - held - acknowledged.keys()
                assert len(extra) <= threads
                assert present == {row.key for row in store.newest("log", limit=100_000)}
                assert store.generation == len(present)
                held = present
                if seed % LIVES_OF_AN_IMAGE == LIVES_OF_AN_IMAGE - 1:
                    report = store.verify(deep=True)
                    assert report.faults == report.warnings == ()
                    assert len(store.search("common", kind="turn", limit=100_000)) == len(present)
            acknowledged_in_all += len(acknowledged)
            extra_in_all += len(extra)
    with capsys.disabled():
        print(f"\n{KILLS} kills: {acknowledged_in_all} acknowledged commits, 0 lost, {extra_in_all} in flight kept")


@pytest.mark.timeout(600)
def test_killed_while_an_image_is_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1: a kill in the middle of the first opening leaves no image, or one that opens; never one that does not."""
    chance = random.Random(7)
    before = after = 0
    with killer() as deaths:
        for seed in range(KILLS_OF_CREATION):
            image = tmp_path / str(seed) / "image.a4ps"
            keys = tmp_path / "keys" / str(seed)
            acknowledged = deaths.die(image, keys, seed=seed, wait_s=chance.uniform(0.0, 0.03))
            before += not image.exists()
            after += image.exists()
            with Store.open(image, KeyFolder(keys), SystemClock()) as store:
                assert all(store.head("turn", key) is not None for key in acknowledged)
                assert store.generation <= len(acknowledged) + 1
                assert store.verify(deep=True).ok
            assert {file.name for file in image.parent.iterdir()} == {"image.a4ps", "image.a4ps.lock"}
    with capsys.disabled():
        print(f"\n{KILLS_OF_CREATION} kills while an image was made: {before} before it had its name, {after} after")
