"""Damage done to copies of an image, by some processes at once, and what becomes of each. Used by test_flips.py."""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from a4ps.clock import ManualClock
from a4ps.errors import A4PSError
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Row, Store

PROCESSES = 4
"""More than there are cores: most of their time they wait for the disk."""

PAGE_BYTES = 4096
LOG_HEAD_BYTES, FRAME_HEAD_BYTES = 32, 24
IMAGE, LOG = "image.a4ps", "image.a4ps-wal"

Rows = dict[tuple[str, str, str], bytes | None]


def rows_in(store: Store) -> Rows:
    """Every head's payload, by (way of reading, kind, key)."""
    found: Rows = {}
    for kind in ("turn", "log"):
        for row in store.newest(kind, limit=100_000):
            head = store.head(kind, row.key)
            found["newest", kind, row.key] = row.payload
            found["head", kind, row.key] = head.payload if head else None
    return found


def examine(folder: Path, expected: Rows) -> str:
    """Open, read and verify a damaged copy; tell where the damage was found, or fail if it was not and did harm."""
    keys = KeyFolder(folder / "keys")
    image = folder / IMAGE
    try:
        store = Store.open(image, keys, ManualClock())
    except A4PSError:
        return "at open"
    with store:
        try:
            same = rows_in(store) == expected
        except A4PSError:
            return "at read"
        report = store.verify(deep=True)
        if report.faults:
            return "by verify"
        assert same, "rows differ, and nothing says so"
        if report.warnings:
            assert any("full-text" in warning for warning in report.warnings), report.warnings
            outcome = "mended index"
        else:
            outcome = "harmless"
        store.commit([Row("turn", "after", b"after")], author="test", reason="test")
    with Store.open(image, keys, ManualClock()) as store:
        ways = {(way, "turn", "after"): b"after" for way in ("newest", "head")}
        assert rows_in(store) == {**expected, **ways}
        assert store.verify(deep=True).faults == ()
    return outcome


@dataclass(frozen=True, slots=True)
class Original:
    """The folder that is copied, the file in it that is damaged, its length, and what is in the image."""

    folder: Path
    name: str
    expected: Rows

    @property
    def length(self) -> int:
        return (self.folder / self.name).stat().st_size

    def boundaries(self) -> list[int]:
        """Where a page of the image, or a frame of the log, begins."""
        if self.name == IMAGE:
            return list(range(0, self.length, PAGE_BYTES))
        return [0, *range(LOG_HEAD_BYTES, self.length, FRAME_HEAD_BYTES + PAGE_BYTES)]


def flipped(original: Original, number: int) -> str:
    """What becomes of a copy with one bit changed, which one being drawn from `number`."""
    chance = random.Random(number)
    return flipped_at(original, 8 * chance.randrange(original.length) + chance.randrange(8))


def flipped_at(original: Original, bit: int) -> str:
    content = bytearray((original.folder / original.name).read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    return _outcome(original, bytes(content), f"flip of bit {bit}")


def cut(original: Original, length: int) -> str:
    return _outcome(original, (original.folder / original.name).read_bytes()[:length], f"cut at {length}")


def _outcome(original: Original, content: bytes, what: str) -> str:
    scratch = original.folder.with_name(f"copy of {os.getpid()}")
    shutil.copytree(original.folder, scratch)
    (scratch / original.name).write_bytes(content)
    try:
        return examine(scratch, original.expected)
    except Exception as error:
        error.add_note(f"{original.name}, {what}")
        raise
    finally:
        shutil.rmtree(scratch)


@contextmanager
def damaging() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(
        PROCESSES,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=logging.disable,
        initargs=(logging.CRITICAL,),
    ) as pool:
        yield pool


def campaign(original: Original, *, flips: int, cuts: int) -> tuple[Counter[str], Counter[str]]:
    """What became of `flips` changed bits; and of cuts at all boundaries and at `cuts` random lengths."""
    chance = random.Random(original.name)
    lengths = [*original.boundaries(), *(chance.randrange(original.length) for _ in range(cuts))]
    with damaging() as pool:
        return (
            Counter(pool.map(partial(flipped, original), range(flips), chunksize=20)),
            Counter(pool.map(partial(cut, original), lengths, chunksize=20)),
        )
