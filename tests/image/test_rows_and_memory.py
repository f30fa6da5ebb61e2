"""What a Proto's rows come to is what memory shows, whatever happened between two of them: a row holds only what differs
from the one before, so one that was made upon another would fold into something that nobody acknowledged."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, Conflict, StorageFailed
from a4ps.image.content import MAX_DEPTH
from a4ps.image.keys import KeyFolder
from a4ps.image.past import Past
from a4ps.image.proposal import Delta, delta_of
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from a4ps.image.transfer import contents_of, whole_of
from tests.faults.faulty import Faults, disk_error
from tests.image.test_transactions import HeldClock

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
OLD = Path(__file__).parents[1] / "data" / "formats" / "image-1"


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def manager(tmp_path: Path, keys: KeyFolder, clock: HeldClock) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=keys, clock=clock) as opened:
        for name in ("BRICK", "ROBIN"):
            opened.register_proto(Proto(name, CODEX, state={"n": 0, "m": 0, "l": []}))
        yield opened


def check(manager: ProtoManager) -> None:
    """Memory, the rows read backwards from the newest, and the rows folded from the first, agree to the byte."""
    shown = manager.pin().versions
    stored = Past(manager.store).heads()
    folded = contents_of(whole_of(manager.store).image)
    assert shown.keys() == stored.keys() == folded.keys()
    for name, version in shown.items():
        assert version.generation == stored[name].generation
        assert version.content == stored[name].content == folded[name]
        assert version.record.depth == stored[name].record.depth
        assert list(version.content.slots) == list(stored[name].content.slots)


def made(manager: ProtoManager, name: str, *, strict: bool = False, **slots: object) -> Delta:
    """What sets `slots` of the version that is current now; whether that is so when it is judged is another matter."""
    base = manager.get_proto(name).current
    draft = manager.get_proto(name).clone()
    draft.state.update(slots)
    content = draft.content("architect")
    return delta_of(name, base, content, act="set", author="architect", reason="", strict=strict)


def removal(manager: ProtoManager, name: str) -> Delta:
    base = manager.get_proto(name).current
    return delta_of(name, base, None, act="remove", author="architect", reason="", strict=True)


def registration(name: str, **slots: object) -> Delta:
    content = Proto(name, CODEX, state=slots).content("architect")
    return delta_of(name, None, content, act="register", author="architect", reason="", strict=True)


async def in_one_group(manager: ProtoManager, clock: HeldClock, *deltas: Delta) -> list[bool]:
    """Have them judged together, in this order, behind one that holds the writer meanwhile; says which were taken."""
    clock.hold()
    first = asyncio.create_task(manager.commit_async([made(manager, "ROBIN", n=-1)], "architect", ""))
    await asyncio.to_thread(clock.reached.wait, 60)
    waiting = [asyncio.create_task(manager.commit_async([delta], "architect", "")) for delta in deltas]
    for _ in range(5):  # each task hands its commit over at its second step
        await asyncio.sleep(0)
    clock.go.set()
    await first
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(outcome, tuple | Conflict | CallerError) for outcome in outcomes), outcomes
    return [isinstance(outcome, tuple) for outcome in outcomes]


async def test_changes_that_were_rebased_in_a_group(manager: ProtoManager, clock: HeldClock) -> None:
    deltas = [made(manager, "BRICK", n=1), made(manager, "BRICK", m=2, n2=[3]), made(manager, "BRICK", n=9)]
    assert await in_one_group(manager, clock, *deltas, made(manager, "BRICK", l=[4])) == [True, True, False, True]
    check(manager)
    assert dict(manager.get_proto("BRICK").state) == {"n": 1, "m": 2, "l": [4], "n2": [3]}


async def test_a_removal_and_a_registration_in_a_group(manager: ProtoManager, clock: HeldClock) -> None:
    """What was made of the removed one is rebased on the one that has its name, or refused."""
    late = [made(manager, "BRICK", m=5), made(manager, "BRICK", n=6), made(manager, "BRICK", l=[], strict=True)]
    group = [made(manager, "BRICK", l=[1]), registration("BRICK"), removal(manager, "BRICK")]
    assert await in_one_group(manager, clock, *group) == [True, False, False]
    group = [removal(manager, "BRICK"), late[0], registration("BRICK", m=0, n=1), *late]
    assert await in_one_group(manager, clock, *group) == [True, False, True, True, False, False]
    check(manager)
    assert dict(manager.get_proto("BRICK").state) == {"m": 5, "n": 1}


async def test_a_change_that_sqlite_refuses_among_others(
    tmp_path: Path, keys: KeyFolder, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those behind it were made upon it at first, and are made anew without it."""
    Faults(monkeypatch).row_limit_bytes = 100_000
    huge = random.Random(0).randbytes(200_000)
    with ProtoManager.open(tmp_path / "image.a4ps", keys=keys, clock=clock) as manager:
        for name in ("BRICK", "ROBIN"):
            manager.register_proto(Proto(name, CODEX, state={"n": 0, "m": 0}))
        deltas = [made(manager, "BRICK", n=1), made(manager, "BRICK", huge=huge), made(manager, "BRICK", m=2)]
        again = [registration("ALFRED", huge=huge), registration("ALFRED", a=1), made(manager, "BRICK", b=1)]
        assert await in_one_group(manager, clock, *deltas, *again) == [True, False, True, False, True, True]
        check(manager)
        assert dict(manager.get_proto("BRICK").state) == {"n": 1, "m": 2, "b": 1}
        assert [change.generation for change in manager.history("BRICK")] == [1, 4, 5, 7]


@pytest.mark.parametrize("there", [False, True])
def test_a_commit_whose_outcome_was_not_known(
    tmp_path: Path, keys: KeyFolder, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether it is there or its number is given to another: what was made before, and what it would have been, is
    judged upon what is there."""
    faults = Faults(monkeypatch)

    def closed_disk() -> None:
        raise disk_error(sqlite3.SQLITE_CANTOPEN)

    with ProtoManager.open(tmp_path / "image.a4ps", keys=keys) as manager:
        manager.register_proto(Proto("BRICK", CODEX, state={"n": 0, "m": 0}))
        lost, before = manager.get_proto("BRICK").clone(), made(manager, "BRICK", m=1)
        lost.state["n"] = 1
        faults.fail_once("after" if there else "before", "COMMIT", disk_error(sqlite3.SQLITE_IOERR))
        faults.opening = closed_disk
        with pytest.raises(StorageFailed, match="not known"):
            manager.atomic_swap(lost)
        assert lost.version == 1
        faults.opening = lambda: None
        manager.commit([before], "architect", "")
        check(manager)
        with pytest.raises(Conflict):
            manager.atomic_swap(lost)
        manager.commit([made(manager, "BRICK", k=3)], "architect", "")
        check(manager)
        assert dict(manager.get_proto("BRICK").state) == {"n": int(there), "m": 1, "k": 3}


def test_a_takeover_that_removes_and_brings_back(manager: ProtoManager) -> None:
    """What was made before it is rebased on what it brought; a removed one that comes back begins with a whole row."""
    early = manager.content()
    manager.commit([made(manager, "BRICK", n=1, x=1)], "architect", "")
    before = made(manager, "BRICK", m=7)
    manager.remove_proto("ROBIN")
    manager.register_proto(Proto("ALFRED", CODEX, state={"a": 1}))
    late = manager.content()
    manager.become(early)
    check(manager)
    manager.commit([before], "architect", "")
    manager.commit([made(manager, "ROBIN", n=2)], "architect", "")
    check(manager)
    assert dict(manager.get_proto("BRICK").state) == {"n": 0, "m": 7, "l": []}
    with pytest.raises(Conflict):
        manager.commit([before], "architect", "")
    manager.become(late)
    manager.become(early)
    manager.commit([made(manager, "ROBIN", m=3)], "architect", "")
    check(manager)
    manager.install({"BRICK": manager.get_proto("ROBIN").current.content})
    check(manager)


def test_what_is_reverted_comes_back_as_it_was(manager: ProtoManager) -> None:
    """A removal, a registration, and the reverts of both, between changes."""
    manager.commit([made(manager, "BRICK", n=1)], "architect", "")
    removed = manager.remove_proto("BRICK")
    manager.revert(removed)
    check(manager)
    changed, _ = manager.commit([made(manager, "BRICK", m=1)], "architect", "")
    manager.commit([made(manager, "BRICK", l=[2])], "architect", "")
    manager.revert(changed[0])
    check(manager)
    assert dict(manager.get_proto("BRICK").state) == {"n": 1, "m": 0, "l": [2]}
    manager.revert(manager.register_proto(Proto("ALFRED", CODEX)).version)
    manager.register_proto(Proto("ALFRED", CODEX, state={"a": 0}))
    manager.commit([made(manager, "ALFRED", a=1)], "architect", "")
    check(manager)


def test_an_older_backup_that_was_restored_is_gone_on_from(
    tmp_path: Path, keys: KeyFolder, manager: ProtoManager
) -> None:
    """Its next commits have numbers that others had."""
    manager.commit([made(manager, "BRICK", n=1)], "architect", "")
    manager.backup(tmp_path / "backup.a4ps")
    for n in range(5):
        manager.commit([made(manager, "BRICK", n=n + 2, x=n)], "architect", "")
    manager.close()
    restore(tmp_path / "image.a4ps", tmp_path / "backup.a4ps", keys, ManualClock(), author="architect")
    with ProtoManager.open(tmp_path / "image.a4ps", keys=keys) as again:
        for n in range(3):
            again.commit([made(again, "BRICK", m=n)], "architect", "")
            check(again)
        assert dict(again.get_proto("BRICK").state) == {"n": 1, "m": 2, "l": []}


def test_rows_of_an_earlier_format_are_rested_upon(tmp_path: Path) -> None:
    """Up to the next whole row and beyond it."""
    shutil.copytree(OLD / "keys", tmp_path / "keys")
    shutil.copyfile(OLD / "image.a4ps", tmp_path / "image.a4ps")
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        before = dict(manager.get_proto("BRICK").state)
        check(manager)
        for n in range(MAX_DEPTH + 3):
            manager.commit([made(manager, "BRICK", new=n)], "architect", "")
        check(manager)
        assert dict(manager.get_proto("BRICK").state) == {**before, "new": MAX_DEPTH + 2}
        assert manager.get_proto("BRICK").current.record.depth == 2
