"""Transactions: all or nothing, judged in the order of the queue, one fsync for many."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, Conflict, CycleRefused, DiskFull, NotInTransaction, StorageFailed, UnknownProto
from a4ps.image.changes import Change
from a4ps.image.handle import Handle
from a4ps.image.heads import Heads, Versions
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.faults.faulty import Faults, disk_error

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


class HeldClock(ManualClock):
    """A clock whose `now` waits, so that a test can hold the writer in the middle of a group."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def hold(self) -> None:
        """Let the writer stop at its next commit until `go` is set; `reached` says that it has."""
        self.reached.clear()
        self.go.clear()

    def now(self) -> datetime:
        self.reached.set()
        assert self.go.wait(60)
        return super().now()


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def manager(tmp_path: Path, clock: HeldClock) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=clock) as opened:
        yield opened


@pytest.fixture
def brick(manager: ProtoManager) -> Handle:
    return manager.register_proto(Proto("BRICK", CODEX, state={"mood": "calm", "n": 0, "l": [1]}))


def test_a_transaction_commits_all_its_protos_at_once(manager: ProtoManager, brick: Handle) -> None:
    robin = manager.register_proto(Proto("ROBIN", CODEX))
    with manager.transaction(author="ALFRED", reason="tea", evidence={"turn": 7}) as tx:
        tx.edit("BRICK").state["mood"] = "glad"
        tx.edit("ROBIN").state["mood"] = "glad"
        assert tx.edit("BRICK") is tx.edit("BRICK")
        assert brick.mood == "calm"
    assert (brick.mood, robin.mood, brick.version) == ("glad", "glad", robin.version)
    change = manager.history("BRICK")[-1]
    assert (change.author, change.reason, change.evidence, change.act) == ("ALFRED", "tea", {"turn": 7}, "transaction")
    assert sorted(each.name for each in tx.changes) == ["BRICK", "ROBIN"]


@pytest.mark.parametrize(
    "evidence", [{(1, 2): 3}, {1: 2}, b"bytes", {"deep": [float("nan")]}, {1}, 2**64, msgpack.Timestamp(1)], ids=repr
)
def test_evidence_that_could_not_be_read_or_shown_again_is_refused(
    manager: ProtoManager, brick: Handle, evidence: object
) -> None:
    with pytest.raises(CallerError, match=r"evidence.* is not JSON data"):
        manager.atomic_swap(brick.clone(), evidence=evidence)
    assert [change.generation for change in manager.history("BRICK")] == [brick.version]


def test_evidence_is_kept_as_it_was_when_it_was_given(manager: ProtoManager, brick: Handle) -> None:
    evidence = {"scores": (1, [2])}
    change = manager.atomic_swap(brick.clone(), evidence=evidence)
    evidence["scores"][1].append(3)
    assert change == manager.history("BRICK")[-1]
    assert change.evidence == {"scores": [1, [2]]}


@pytest.mark.parametrize("wrong", [None, 5, b"why"])
def test_a_reason_that_is_no_text_is_refused(manager: ProtoManager, brick: Handle, wrong: Any) -> None:
    with pytest.raises(CallerError, match="the reason is a text"):
        manager.atomic_swap(brick.clone(), reason=wrong)


def test_a_change_deep_inside_a_container_is_not_missed(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        tx.edit("BRICK").state["l"].append({"deep": [1]})
    with manager.transaction() as tx:
        tx.edit("BRICK").state["l"][1]["deep"].append(2)
    assert brick.l == [1, {"deep": [1, 2]}]


def test_a_transaction_that_only_reads_commits_nothing(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        draft.state["l"].append(2)
        draft.state["l"].pop()
        draft.state["mood"] = "calm"
        assert dict(draft.state)
    assert (tx.changes, brick.version) == ((), 1)


def test_an_exception_leaves_memory_and_disk_as_they_were(manager: ProtoManager, brick: Handle) -> None:
    """I4."""

    def fail() -> None:
        with manager.transaction() as tx:
            tx.edit("BRICK").state["l"].append(2)
            tx.edit("BRICK").define("f", "def f(self): pass")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (brick.l, brick.version, brick.methods) == ([1], 1, {})
    assert manager.store.generation == 1


def test_a_draft_is_read_only_after_its_transaction(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
    for write in (
        lambda: draft.state.update(mood="x"),
        lambda: draft.state["l"].append(2),
        lambda: draft.define("f", "def f(self): pass"),
        lambda: setattr(draft, "codex", CODEX),
        lambda: setattr(draft, "parents", ()),
        lambda: setattr(draft, "state", {}),
        lambda: tx.edit("BRICK"),
    ):
        with pytest.raises(NotInTransaction):
            write()
    assert draft.clone().state["l"] == [1]


def test_a_transaction_is_used_once(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        pass
    with pytest.raises(CallerError), tx:
        pass


def test_after_an_inner_transaction_the_outer_one_is_the_callers_again(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as outer:
        with manager.transaction():
            pass
        brick.define("f", "def f(self): pass")
        assert "f" in outer.edit("BRICK").methods
        assert not brick.methods
    assert set(brick.methods) == {"f"}


def test_an_unknown_proto_cannot_be_edited(manager: ProtoManager) -> None:
    with pytest.raises(UnknownProto), manager.transaction() as tx:
        tx.edit("NOBODY")


def test_different_slots_and_methods_are_rebased(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction() as tx:
        draft = tx.edit("BRICK")
        draft.state["mood"] = "glad"
        draft.state["new"] = 1
        other = brick.clone()
        other.state["n"] = 5
        other.define("f", "def f(self): pass")
        manager.atomic_swap(other)
    assert brick.state == {"mood": "glad", "n": 5, "l": [1], "new": 1}
    assert set(brick.methods) == {"f"}
    assert [change.base for change in manager.history("BRICK")] == [0, 1, 2]


def test_the_same_slot_is_a_conflict_with_both_versions(manager: ProtoManager, brick: Handle) -> None:
    pin = manager.pin()
    other = brick.clone()
    other.state["n"] += 1
    manager.atomic_swap(other)
    with pytest.raises(Conflict) as conflict, manager.transaction(pin=pin) as tx:
        tx.edit("BRICK").state["n"] += 1
    assert repr((conflict.value.base, conflict.value.current)) == "(<BRICK at 1>, <BRICK at 2>)"
    assert conflict.value.parts == ('BRICK.state["n"]',)
    assert (brick.n, brick.version) == (1, 2)


def test_two_who_count_up_alike_conflict_rather_than_lose_one(manager: ProtoManager, brick: Handle) -> None:
    pin = manager.pin()
    for outcome in ("kept", "conflict"):
        if outcome == "kept":
            with manager.transaction(pin=pin) as tx:
                tx.edit("BRICK").state["n"] += 1
        else:
            with pytest.raises(Conflict), manager.transaction(pin=pin) as tx:
                tx.edit("BRICK").state["n"] += 1
    assert brick.n == 1


def test_a_conflict_in_one_proto_keeps_the_others_from_being_committed(manager: ProtoManager, brick: Handle) -> None:
    robin = manager.register_proto(Proto("ROBIN", CODEX, state={"n": 0}))
    pin = manager.pin()
    other = brick.clone()
    other.state["n"] = 2
    manager.atomic_swap(other)

    def change_both() -> None:
        with manager.transaction(pin=pin) as tx:
            tx.edit("ROBIN").state["n"] = 1
            tx.edit("BRICK").state["n"] = 1

    with pytest.raises(Conflict):
        change_both()
    assert (robin.n, robin.version) == (0, 2)


async def test_conflicts_inside_one_group_are_judged_in_the_order_of_the_queue(
    manager: ProtoManager, brick: Handle, clock: HeldClock
) -> None:
    """All wait for the same fsync; whoever was queued first gets the slot, and other slots all get in."""
    pin = manager.pin()

    async def commit(slot: str, value: int) -> str:
        try:
            async with manager.transaction(pin=pin) as tx:
                tx.edit("BRICK").state[slot] = value
        except Conflict:
            return "conflict"
        return "kept"

    clock.hold()
    held = asyncio.create_task(commit("first", 0))
    await asyncio.to_thread(clock.reached.wait, 30)
    tasks = [asyncio.create_task(commit(f"slot {at % 8}", at)) for at in range(32)]
    for _ in range(5):  # each task hands its commit over at its second step
        await asyncio.sleep(0)
    clock.go.set()
    assert await held == "kept"
    assert await asyncio.gather(*tasks) == ["kept"] * 8 + ["conflict"] * 24
    assert {slot: brick.state[slot] for slot in brick.state if slot.startswith("slot")} == {
        f"slot {at}": at for at in range(8)
    }
    changes = manager.history("BRICK")
    assert [(change.base, change.generation) for change in changes] == [(at, at + 1) for at in range(10)]


def test_a_group_that_fails_on_the_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: heads that were judged for a group are forgotten with it."""
    faults = Faults(monkeypatch)
    with ProtoManager.open(tmp_path / "other.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        faults.fail_once("before", "COMMIT", disk_error(sqlite3.SQLITE_FULL))
        with pytest.raises(DiskFull), manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 9
        assert (brick.n, brick.version) == (0, 1)
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
        assert (brick.n, brick.version) == (1, 2)


def test_a_commit_found_durable_after_an_error_is_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Decision 1: after an error at COMMIT the image is asked whether the commit is there."""
    faults = Faults(monkeypatch)
    with ProtoManager.open(tmp_path / "other.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_IOERR))
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
        assert (brick.n, brick.version) == (1, 2)


def test_a_commit_found_durable_only_later_is_not_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outcome was not known; when the image opens again, later commits are judged upon it."""
    faults = Faults(monkeypatch)

    def closed_disk() -> None:
        raise disk_error(sqlite3.SQLITE_CANTOPEN)

    with ProtoManager.open(tmp_path / "other.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0, "m": 0}))
        faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_IOERR))
        faults.opening = closed_disk
        with pytest.raises(StorageFailed, match="not known"), manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
        assert brick.version == 1
        faults.opening = lambda: None
        with manager.transaction() as tx:
            tx.edit("BRICK").state["m"] = 1
        assert (dict(brick.state), brick.version) == ({"n": 1, "m": 1}, 3)


def test_a_commit_that_could_not_be_shown_is_not_judged_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """I4: it is durable, but the memory for the new root map is lacking. What rests on the version before it would be
    folded upon it when the image is opened again."""
    image, keys = tmp_path / "other.a4ps", KeyFolder(tmp_path / "keys")

    def no_memory(heads: Heads) -> Versions:
        raise MemoryError

    with ProtoManager.open(image, keys=keys) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0, "m": 0}))
        late = brick.clone()
        late.state["n"] = 2
        monkeypatch.setattr(Heads, "merged", no_memory)
        with pytest.raises(StorageFailed, match="not known"), manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
        monkeypatch.undo()
        with pytest.raises(Conflict):
            manager.atomic_swap(late)
        with manager.transaction() as tx:
            tx.edit("BRICK").state["m"] = 1
        assert (dict(brick.state), brick.version) == ({"n": 1, "m": 1}, 3)
    with ProtoManager.open(image, keys=keys) as manager:
        assert dict(manager.get_proto("BRICK").state) == {"n": 1, "m": 1}


def test_a_commit_that_ran_out_of_memory_when_it_was_done_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python makes SQLITE_NOMEM a MemoryError, which is no sqlite3.Error; whether the commit is there is looked up."""
    faults = Faults(monkeypatch)

    def no_memory(statement: str) -> None:
        if statement == "COMMIT":
            faults.after = lambda statement: None
            raise MemoryError

    with ProtoManager.open(tmp_path / "other.a4ps", keys=KeyFolder(tmp_path / "keys")) as manager:
        brick = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        faults.after = no_memory
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
        assert (brick.n, brick.version) == (1, 2)


def test_a_pin_of_another_image_is_refused(manager: ProtoManager, brick: Handle, tmp_path: Path) -> None:
    """Its version 1 is another: what was changed in it would be written down as a change of ours."""
    with ProtoManager.open(tmp_path / "other.a4ps", keys=KeyFolder(tmp_path / "keys")) as other:
        other.register_proto(Proto("BRICK", CODEX, state={"mood": "wild", "n": 0, "l": [9]}))
        with pytest.raises(CallerError, match="another open image"):
            manager.transaction(pin=other.pin())
    assert brick.version == 1


def test_what_is_acknowledged_is_visible_and_events_come_in_order(manager: ProtoManager, brick: Handle) -> None:
    seen: list[Change] = []
    end = manager.subscribe(seen.append)
    for n in range(5):
        with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = n + 1
        assert brick.n == n + 1
    manager.close()
    assert [change.generation for change in seen] == [2, 3, 4, 5, 6]
    end()


def test_cycles_are_refused_at_the_commit_even_between_two_transactions(manager: ProtoManager, brick: Handle) -> None:
    manager.register_proto(Proto("CHILD", CODEX, parents=["BRICK"]))
    with pytest.raises(CycleRefused), manager.transaction() as tx:
        tx.edit("BRICK").parents = ["CHILD"]
    pin = manager.pin()
    for name in ("A", "B"):
        manager.register_proto(Proto(name, CODEX))
    pin = manager.pin()
    with manager.transaction(pin=pin) as tx:
        tx.edit("A").parents = ["B"]
    with pytest.raises(CycleRefused), manager.transaction(pin=pin) as tx:
        tx.edit("B").parents = ["A"]
    with pytest.raises(UnknownProto), manager.transaction() as tx:
        tx.edit("B").parents = ["NOBODY"]
    assert manager.get_proto("B").parents == ()


def test_parents_that_break_a_grandchilds_order_are_refused(manager: ProtoManager) -> None:
    for name, parents in (("X", ""), ("Y", ""), ("A", "XY"), ("B", "X"), ("C", "AB")):
        manager.register_proto(Proto(name, CODEX, parents=list(parents)))
    with pytest.raises(CycleRefused), manager.transaction() as tx:
        tx.edit("B").parents = ["Y", "X"]


# On an event loop


async def test_on_an_event_loop_the_sync_form_says_what_to_write(manager: ProtoManager, brick: Handle) -> None:
    with pytest.raises(CallerError) as refused, manager.transaction():
        pass
    assert "async with manager.transaction" in refused.value.next_step
    async with manager.transaction() as tx:
        tx.edit("BRICK").state["n"] = 1
    assert (brick.n, tx.changes[0].generation) == (1, 2)


async def test_an_exception_in_the_async_form_changes_nothing(manager: ProtoManager, brick: Handle) -> None:

    async def fail() -> None:
        async with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert brick.version == 1


async def test_cancelled_before_it_is_handed_over_nothing_changes(manager: ProtoManager, brick: Handle) -> None:
    async def change() -> None:
        async with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1
            await asyncio.Event().wait()

    task = asyncio.create_task(change())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert brick.version == 1


async def test_cancelled_afterwards_the_outcome_is_awaited(
    manager: ProtoManager, brick: Handle, clock: HeldClock
) -> None:
    async def change() -> None:
        async with manager.transaction() as tx:
            tx.edit("BRICK").state["n"] = 1

    clock.hold()
    task = asyncio.create_task(change())
    await asyncio.to_thread(clock.reached.wait, 30)
    task.cancel()
    for _ in range(5):
        await asyncio.sleep(0)
    assert not task.done()
    clock.go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert brick.n == 1


# Two steps: what runs prepares, another decides


def test_what_was_prepared_is_committed_by_whoever_decides(manager: ProtoManager, brick: Handle) -> None:
    with manager.transaction(reason="two steps").prepared() as tx:
        tx.edit("BRICK").state["mood"] = "wild"
    assert brick.state["mood"] != "wild"
    committed: list[Change] = []
    other = threading.Thread(target=lambda: committed.extend(tx.commit_prepared()))
    other.start()
    other.join()
    assert [(each.name, each.reason, each.generation) for each in committed] == [("BRICK", "two steps", brick.version)]
    with pytest.raises(NotInTransaction):
        tx.commit_prepared()


def test_what_raised_or_was_given_up_cannot_be_committed(manager: ProtoManager, brick: Handle) -> None:
    raised, given_up = manager.transaction(), manager.transaction()

    def fail() -> None:
        with raised.prepared():
            raised.edit("BRICK").state["mood"] = "wild"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with given_up.prepared():
        given_up.edit("BRICK").state["mood"] = "wild"
    given_up.give_up()
    for tx in (raised, given_up):
        with pytest.raises(NotInTransaction):
            tx.commit_prepared()
    assert brick.state["mood"] != "wild"


def test_what_is_given_up_while_it_runs_can_change_nothing_more(manager: ProtoManager, brick: Handle) -> None:
    tx = manager.transaction()
    before = manager.pin().versions

    def go_on() -> None:
        with tx.prepared():
            draft = tx.edit("BRICK")
            tx.give_up()
            with pytest.raises(NotInTransaction):
                draft.state["mood"] = "wild"
            with pytest.raises(NotInTransaction):
                tx.edit("BRICK")
            with pytest.raises(NotInTransaction):
                brick.define("f", "def f(self): pass")
            with pytest.raises(NotInTransaction):
                manager.register_proto(brick.clone().renamed("LATE"))
            with pytest.raises(NotInTransaction), manager.transaction() as inner:
                inner.edit("BRICK").state["mood"] = "wild"

    with pytest.raises(NotInTransaction):
        go_on()
    assert manager.pin().versions == before
    brick.define("f", "def f(self): pass")  # whoever goes on after it is free again
    assert "f" in brick.methods
