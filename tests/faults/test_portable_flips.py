"""I2 and I1 for the portable file: every changed bit and every cut is found before anything is unpickled, and a kill in
the middle of a save leaves the old file or the new one."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.errors import IntegrityError, KeyLost
from a4ps.image import plain
from a4ps.image.codec import decode_slot, encode_slot
from a4ps.image.drafts import PREFIX
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.snapshot import PortableImage, ProtoSnapshot
from tests.faults.killing import LONG, ROOT
from tests.image.images import CREATED, an_image

FLIPS = 10_000 if LONG else 1_000
CUTS = 1_000 if LONG else 100
KILLS = 300 if LONG else 20
HEAD_BYTES = 66
IMAGE_ID = bytes(range(16))


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    folder = KeyFolder(tmp_path / "keys")
    folder.create(IMAGE_ID)
    return folder


@pytest.fixture
def file(tmp_path: Path, keys: KeyFolder) -> Path:
    path = tmp_path / "image.portable"
    write_portable(path, an_image(), keys, IMAGE_ID)
    return path


@pytest.fixture
def no_unpickling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that unpickles may be reached."""

    def reached(*_: object, **__: object) -> None:
        pytest.fail("unpickled before it was verified")

    monkeypatch.setattr(plain, "loads", reached)
    monkeypatch.setattr(ProtoSnapshot, "from_payload", reached)


def examine(file: Path, keys: KeyFolder) -> str:
    with pytest.raises(IntegrityError) as found:
        read_portable(file, keys)
    return (
        "no such key"
        if isinstance(found.value, KeyLost)
        else re.sub(r"\d+", "N", found.value.message.removeprefix(str(file)))[:26]
    )


def flips(length: int) -> Iterator[tuple[int, int]]:
    """Every bit of the head, and as many of the rest as are asked for."""
    yield from ((at, bit) for at in range(HEAD_BYTES) for bit in range(8))
    chance = random.Random(3)
    yield from ((chance.randrange(length), chance.randrange(8)) for _ in range(FLIPS))


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("no_unpickling")
def test_every_flipped_bit_is_found_before_anything_is_unpickled(file: Path, keys: KeyFolder) -> None:
    whole = file.read_bytes()
    found: Counter[str] = Counter()
    for at, bit in flips(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << bit
        file.write_bytes(changed)
        found[examine(file, keys)] += 1
    assert found.total() == FLIPS + 8 * HEAD_BYTES
    print(f"\nportable file, {found.total()} flips, all found: {dict(found)}")


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("no_unpickling")
def test_every_cut_is_found_before_anything_is_unpickled(file: Path, keys: KeyFolder) -> None:
    whole = file.read_bytes()
    chance = random.Random(4)
    pages = range(0, len(whole), 512)
    lengths = [*range(HEAD_BYTES + 2), *pages, *(chance.randrange(len(whole)) for _ in range(CUTS)), len(whole) - 1]
    found: Counter[str] = Counter()
    for length in lengths:
        file.write_bytes(whole[:length])
        found[examine(file, keys)] += 1
        # The same length as was written, the end lost to a power cut.
        file.write_bytes(whole[:length].ljust(len(whole), b"\0"))
        found[examine(file, keys)] += 1
    print(f"\nportable file, {2 * len(lengths)} cuts, all found: {dict(found)}")


def numbered(number: int) -> PortableImage:
    """An image that says its number in each of its Protos, so that a mixed one would show."""
    slots = {"n": encode_slot(number, "n"), "ballast": encode_slot(os.urandom(40_000), "ballast")}
    return PortableImage(CREATED, {f"P{n}": ProtoSnapshot(f"P{n}", {"role": "r"}, slots=slots) for n in range(50)})


SAVING = """
import sys
from pathlib import Path
from a4ps.image.drafts import PREFIX
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import write_portable
from tests.faults.test_portable_flips import IMAGE_ID, numbered

file, keys = Path(sys.argv[1]), KeyFolder(Path(sys.argv[2]))
for number in range(1, 100):
    content = numbered(number)
    print(f"begin {number}", flush=True)
    write_portable(file, content, keys, IMAGE_ID)
    print(f"done {number}", flush=True)
"""
WARM_UP_SAVES = 2


@pytest.mark.timeout(600)
def test_a_kill_during_a_save_leaves_the_old_file_or_the_new(tmp_path: Path, keys: KeyFolder) -> None:
    file = tmp_path / "image.portable"
    chance = random.Random(5)
    found: Counter[str] = Counter()
    for _ in range(KILLS):
        done, begun = save_and_kill(file, keys, chance.uniform(0.5, 1.6))
        content = read_portable(file, keys)
        assert len(content.protos) == 50
        (number,) = {decode_slot(proto.slots["n"], "n") for proto in content.protos.values()}
        assert number in (done, begun), "neither the last save nor the one in flight"
        found["finished" if done == begun else "new" if number == begun else "old"] += 1
        found["a draft left"] += sum(path.name.startswith(PREFIX) for path in tmp_path.iterdir())
        write_portable(file, numbered(0), keys, IMAGE_ID)
        assert {path.name for path in tmp_path.iterdir()} == {file.name, keys.path.name}
    print(f"\nportable file, {KILLS} kills during a save: {dict(found)}")


def save_and_kill(file: Path, keys: KeyFolder, instant: float) -> tuple[int, int]:
    """Kill a child in the middle of a save, at `instant` of the time that its last one took.

    Returns the number of the last save it finished, and of the last it began.
    """
    reached = {"begin": 0, "done": 0}
    at = {"begin": 0.0, "done": 0.0}
    with subprocess.Popen(
        [sys.executable, "-c", SAVING, str(file), str(keys.path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word, number = line.split()
            took_s = at["done"] - at["begin"]
            reached[word], at[word] = int(number), time.perf_counter()
            if word == "begin" and int(number) > WARM_UP_SAVES:
                break
        while time.perf_counter() < at["begin"] + instant * took_s:
            pass
        child.send_signal(signal.SIGKILL)
        for line in child.stdout:
            word, number = line.split()
            reached[word] = int(number)
    return reached["done"], reached["begin"]
