"""I1 when the power goes: whatever of the unsynced writes is lost, torn or out of order, all that was acknowledged is
there, and everything opens. What the disk did is recorded with strace and replayed (power.py)."""

from __future__ import annotations

import random
import shutil
import sys
from collections import Counter
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.image.codec import decode_slot
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.proto_manager import ProtoManager
from tests.faults.killing import LONG
from tests.faults.power import Cut, Op, Said, cuts, need_strace, record
from tests.faults.powered import IMAGE_ID, PAIR, numbered

CUTS = 12_000 if LONG else 300
CUTS_OF_REOPENING = 1500 if LONG else 60
CUTS_OF_PORTABLE = 3000 if LONG else 200


def program(name: str, folder: Path) -> list[str]:
    return [sys.executable, "-m", "tests.faults.powered", name, str(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has been there for long, and its key folder in it."""
    need_strace(tmp_path)
    made = tmp_path / "disk"
    (made / "keys").mkdir(parents=True, mode=0o700)
    return made


def replay(cut: Cut, folder: Path, to: Path, *, deep: bool, lives: int = 1, home: str = ".") -> int:
    """Open what a cut left and look for all that was acknowledged; returns how much there is besides: at most the
    commits that were in flight, one for each of the `lives` whose end the disk has not heard of."""
    cut.lay_out(str(folder), to)
    acknowledged = {words[1]: int(words[2]) for words in cut.said if words[0] == "done"}
    begun = {words[1] for words in cut.said if words[0] == "begin"}
    backed_up = acknowledged.pop("backup", None) is not None
    where = f"cut after operation {cut.at}, {cut.fate}"
    keys = to / home / "keys"
    with ProtoManager.open(to / home / "image.a4ps", keys=KeyFolder(keys), clock=ManualClock()) as manager:
        changes = [change for name in manager.names() for change in manager.history(name)]
        present = {change.reason: change.generation for change in changes}
        assert present.items() >= acknowledged.items(), f"{where}: acknowledged and lost"
        extra = present.keys() - acknowledged.keys()
        assert extra <= begun, where
        assert len(extra) <= lives, where
        if set(PAIR) <= set(manager.names()):
            pin = manager.pin()
            assert pin["BRICK"].state["n"] + pin["ROBIN"].state["n"] == 0, f"{where}: half of a transaction"
            together = [key for key in present if sum(change.reason == key for change in changes) == 2]
            assert pin["BRICK"].state["n"] == len(together), where
        if deep:
            generation = manager.store.generation
            draft = manager.get_proto(manager.names()[0]).clone() if manager.names() else None
            if draft is not None:
                draft.state["after"] = True
                assert manager.atomic_swap(draft).generation == generation + 1
            assert manager.verify(deep=True).faults == (), where
    backup = to / home / "backup.a4ps"
    assert backup.exists() or not backed_up, f"{where}: the acknowledged backup is gone"
    if backup.exists() and deep:
        alone = KeyFolder(to / "other keys")
        shutil.copytree(keys, alone.path, ignore=shutil.ignore_patterns("*.witness"))
        with ProtoManager.open(backup, keys=alone, clock=ManualClock()) as manager:
            assert manager.verify(deep=True).faults == (), f"{where}: the backup"
            assert set(PAIR) <= set(manager.names())
    return len(extra)


def campaign(
    ops: list[Op], folder: Path, scratch: Path, *, count: int, first: int = 0, lives: int = 1, home: str = "."
) -> str:
    chance = random.Random(20261122)
    fates: Counter[str] = Counter()
    extra = 0
    for number, cut in enumerate(cuts(ops, folder, upto=count, chance=chance, first=first)):
        to = scratch / f"replay {number}"
        extra += replay(cut, folder, to, deep=number % 4 == 0, lives=lives, home=home)
        shutil.rmtree(to)
        fates[cut.fate] += 1
    said = sum(isinstance(op, Said) and op.words[0] == "done" for op in ops)
    assert len(fates) == 8
    return f"{fates.total()} power cuts in {len(ops)} operations and {said} acknowledgements, 0 lost, {extra} kept"


@pytest.mark.timeout(3000)
def test_a_power_cut_loses_nothing_acknowledged(
    tmp_path: Path, memory_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I1: an image that is made, lives three lives with its log written back many times, and is backed up."""
    ops = record(folder, program("image", folder), trace=tmp_path / "trace")
    figures = campaign(ops, folder, memory_path, count=CUTS)
    with capsys.disabled():
        print(f"\nimage: {figures}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("when", [3, 6, 9])
def test_a_power_cut_after_a_kill_loses_nothing_acknowledged(
    tmp_path: Path, memory_path: Path, folder: Path, capsys: pytest.CaptureFixture[str], when: int
) -> None:
    """I1: killed just before an fsync, opened again, and then the power goes: what the second life found in the page
    cache was not on the disk yet."""
    inject = f"fdatasync:signal=SIGKILL:when={when}"
    first = record(folder, program("one_life", folder), trace=tmp_path / "one", inject=inject, killed=True)
    assert (folder / "image.a4ps-wal").exists()
    # What the killed one had created is there for the second: its names must not be created twice.
    second = record(folder, program("reopened", folder), trace=tmp_path / "two")
    figures = campaign([*first, *second], folder, memory_path, count=CUTS_OF_REOPENING, first=len(first), lives=2)
    with capsys.disabled():
        print(f"\nimage, killed at fsync {when} and opened again: {figures}")


@pytest.mark.timeout(600)
def test_a_power_cut_after_the_folders_were_made_loses_nothing_acknowledged(
    tmp_path: Path, memory_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I1: the folders that opening makes are as durable as what is in them."""
    ops = record(folder, program("new_home", folder), trace=tmp_path / "trace")
    figures = campaign(ops, folder, memory_path, count=CUTS_OF_REOPENING, home="new/home")
    with capsys.disabled():
        print(f"\nimage in a new folder: {figures}")


@pytest.mark.timeout(600)
def test_a_power_cut_leaves_the_old_portable_file_or_the_new(
    tmp_path: Path, memory_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I1: the file is whole at any cut, and once a save has returned, it is that one."""
    ops = record(folder, program("portable", folder), trace=tmp_path / "trace")
    found: Counter[str] = Counter()
    for number, cut in enumerate(cuts(ops, folder, upto=CUTS_OF_PORTABLE, chance=random.Random(3))):
        to = memory_path / f"replay {number}"
        cut.lay_out(str(folder), to)
        begun = max((int(words[1]) for words in cut.said if words[0] == "begin"), default=0)
        done = max((int(words[1]) for words in cut.said if words[0] == "done"), default=0)
        file = to / "image.portable"
        if not file.exists():
            assert done == 0
            found["none yet"] += 1
        else:
            content = read_portable(file, KeyFolder(to / "keys"))
            (held,) = {decode_slot(proto.slots["n"], "n") for proto in content.protos.values()}
            assert len(content.protos) == 5
            assert held in (done, begun), f"cut after operation {cut.at}, {cut.fate}"
            found["old" if held < begun else "new" if held > done else "acknowledged"] += 1
            write_portable(file, numbered(0), KeyFolder(to / "keys"), IMAGE_ID)
            assert [path.name for path in to.iterdir() if path.is_file()] == [file.name]
        shutil.rmtree(to)
    with capsys.disabled():
        print(f"\nportable file: {found.total()} power cuts in {len(ops)} operations: {dict(found)}")
    assert len(found) == 4
