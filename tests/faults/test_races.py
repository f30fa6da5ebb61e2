"""Races of readers, swappers and a reverter: what a reader sees is one version of everything, never an older one than
before, and takes no lock.

The model is the history: every commit, with what it made of the slots. The step is one commit or one read. The
invariants: what was read at a version is what the model has there (I3: two Protos of one pin agree), versions of a
handle never go back, and what a thread has had acknowledged it sees from then on.
"""

from __future__ import annotations

import gc
import random
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import Conflict
from a4ps.image import proto_manager
from a4ps.image.changes import Change
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.faults.killing import LONG

READS = 1_000_000 if LONG else 100_000
READERS, SWAPPERS = 8, 4
REVERTS = 100 if LONG else 20
REFUSALS = 10
"""After so many in a row, the swappers let the reverter go first."""
READS_UNDER_LOCKS = 500
PAIR = ("BRICK", "ROBIN")
CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}

IMAGE_CODE = str(Path(proto_manager.__file__).parent)

Seen = dict[tuple[str, int], int]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=ManualClock()) as opened:
        drafts = {name: Proto(name, CODEX, state={"n": 0, "minus": 0, "of": {"n": 0}}) for name in (*PAIR, "ALFRED")}
        opened.install({name: draft.content("architect") for name, draft in drafts.items()})
        yield opened


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Threads take turns far more often than usual, so that they meet everywhere."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(usual)


class Race:
    def __init__(self, manager: ProtoManager) -> None:
        self.manager = manager
        self.over = threading.Event()
        self.reverted = threading.Event()
        """The reverter has had its share; readers do not end before."""
        self.swappers_go = threading.Event()
        self.swappers_go.set()
        self.begin = threading.Barrier(READERS + SWAPPERS + 1)

    def read(self, number: int) -> Seen:
        """One read is one pin, or one look through a handle."""
        manager = self.manager
        handles = {name: manager.get_proto(name) for name in (*PAIR, "ALFRED")}
        newest = dict.fromkeys(handles, 0)
        seen: Seen = {}
        self.begin.wait(60)
        step = 0
        while step < READS // READERS // 2 or not self.reverted.is_set():
            step += 1
            pin = manager.pin()
            brick, robin = (pin[name] for name in PAIR)
            n = brick.state["n"]
            assert n == robin.state["n"] == robin.n, "two Protos of one transaction differ"
            assert brick.version == robin.version
            assert seen.setdefault((PAIR[0], brick.version), n) == n
            assert pin["BRICK"].state["n"] == n, "a pin moved"

            name = ("ALFRED", "BRICK", "ROBIN")[step % 3]
            handle = handles[name]
            before = handle.version
            state = handle.state
            after = handle.version
            assert newest[name] <= before <= after, "a handle went back"
            newest[name] = after
            n = state["n"]
            assert state["minus"] == -n, "two slots of one version differ"
            assert state["of"]["n"] == n
            if before == after:
                assert seen.setdefault((name, before), n) == n
        return seen

    def swap(self, number: int) -> Counter[str]:
        """Until the readers are done: both of the pair in one transaction, or a draft of the third."""
        manager, counts = self.manager, Counter[str]()
        chance = random.Random(number)
        self.begin.wait(60)
        while not self.over.is_set():
            assert self.swappers_go.wait(60)
            n = chance.randrange(1_000_000)
            values = {"n": n, "minus": -n, "of": {"n": n}}
            try:
                if number % 2:
                    with manager.transaction(reason=f"{number}") as tx:
                        for name in PAIR:
                            tx.edit(name).state.update(values)
                    generation = tx.changes[0].generation
                else:
                    draft = manager.get_proto("ALFRED").clone()
                    draft.state.update(values)
                    generation = manager.atomic_swap(draft).generation
            except Conflict:
                counts["conflicts"] += 1
                continue
            counts["swaps"] += 1
            changed = PAIR if number % 2 else ("ALFRED",)
            assert all(manager.get_proto(name).version >= generation for name in changed), "acknowledged and not seen"
        return counts

    def revert(self, number: int) -> Counter[str]:
        """Undo what is newest, and so now and then what was undone."""
        manager, counts = self.manager, Counter[str]()
        chance = random.Random(number)
        refused = 0
        self.begin.wait(60)
        try:
            while not self.over.is_set():
                newest = manager.get_proto(chance.choice((*PAIR, "ALFRED"))).version
                if newest == 1:
                    continue  # undoing that would remove them
                try:
                    (changed, *_) = manager.revert(newest)
                except Conflict:
                    counts["reverts refused"] += 1
                    refused += 1
                    if refused == REFUSALS:
                        self.swappers_go.clear()
                    continue
                counts["reverts"] += 1
                refused = 0
                self.swappers_go.set()
                assert manager.get_proto(changed.name).version >= changed.generation
                if counts["reverts"] == REVERTS:
                    self.reverted.set()
        finally:
            # Nobody waits for one that has failed.
            self.swappers_go.set()
            self.reverted.set()
        return counts


@pytest.mark.timeout(1200)
def test_readers_never_see_a_mixture(
    manager: ProtoManager, frequent_switches: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """I3: 8 readers against 4 swappers and a reverter."""
    told: list[Change] = []
    manager.subscribe(told.append)
    race = Race(manager)
    with ThreadPoolExecutor(READERS + SWAPPERS + 1) as pool:
        writers = [pool.submit(race.swap, number) for number in range(SWAPPERS)]
        writers.append(pool.submit(race.revert, 0))
        readers = [pool.submit(race.read, number) for number in range(READERS)]
        try:
            seen = [each.result() for each in readers]
        finally:
            race.over.set()
        counts = sum((each.result() for each in writers), Counter[str]())
    model = {
        (change.name, change.generation): manager._past.around(change)[1]
        for name in (*PAIR, "ALFRED")
        for change in manager.history(name)
    }
    looked: set[tuple[str, int]] = set()
    for each in seen:
        for key, n in each.items():
            content = model[key]
            assert content is not None
            assert content.slots["n"].shown("n") == n, f"{key} was never so"
        looked |= each.keys()
    manager.close()
    generations = [change.generation for change in told]
    assert generations == sorted(generations), "events out of order"
    assert {(change.name, change.generation) for change in told} == {key for key in model if key[1] > 1}
    with capsys.disabled():
        print(f"\n{READS} reads and more of {len(looked)} versions, none mixed, among {dict(sorted(counts.items()))}")
    assert counts["swaps"] > 0
    assert counts["reverts"] >= REVERTS
    assert len(looked) > 3


def test_no_line_of_the_writer_shows_a_mixture(tmp_path: Path) -> None:
    """I3 step by step: whatever line the writer's thread has come to, a reader sees both Protos of a transaction as
    they were before it, or both as they are after it; and never goes back."""
    here: list[ProtoManager] = []
    seen: list[tuple[int, int]] = []

    def look(frame: types.FrameType, event: str, arg: object) -> Any:
        if not frame.f_code.co_filename.startswith(IMAGE_CODE):
            return None
        if here:
            pin = here[0].pin()
            seen.append((pin["BRICK"].state["n"], pin["ROBIN"].state["n"]))
        return look

    threading.settrace(look)
    try:
        manager = ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=ManualClock())
    finally:
        threading.settrace(None)
    with manager:
        drafts = {name: Proto(name, CODEX, state={"n": 0}) for name in PAIR}
        manager.install({name: draft.content("architect") for name, draft in drafts.items()})
        here.append(manager)
        for n in range(1, 6):
            with manager.transaction() as tx:
                for name in PAIR:
                    tx.edit(name).state["n"] = n
    assert {brick for brick, _ in seen} == set(range(6))
    assert all(brick == robin for brick, robin in seen), "half of a transaction is seen"
    assert seen == sorted(seen)
    assert len(seen) > 100


class HeldClock(ManualClock):
    """Holds the image's writer in the middle of a commit."""

    def __init__(self) -> None:
        super().__init__()
        self.reached = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def now(self) -> datetime:
        self.reached.set()
        assert self.go.wait(60)
        return super().now()


LOCKS = (type(threading.Lock()), type(threading.RLock()))


def locks_of(*roots: object) -> list[Any]:
    """Every lock that can be reached from `roots`, through whatever holds it, short of other modules and threads."""
    found: dict[int, Any] = {}
    met: set[int] = set()
    waiting: list[object] = list(roots)
    while waiting:
        each = waiting.pop()
        if id(each) in met:
            continue
        met.add(id(each))
        if isinstance(each, LOCKS):
            found[id(each)] = each
        elif isinstance(each, type):
            if each.__module__.startswith("a4ps.image"):
                waiting.extend(vars(each).values())
        elif isinstance(each, types.FunctionType):
            waiting.extend(cell.cell_contents for cell in each.__closure__ or ())
        elif not isinstance(each, types.ModuleType | threading.Thread | threading.Event):
            waiting.extend(gc.get_referents(each))
    return list(found.values())


def test_reading_takes_no_lock(tmp_path: Path) -> None:
    """With the writer held in the middle of a commit, and every lock of the manager, its store and its classes held,
    readers go on."""
    clock = HeldClock()
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=clock) as manager:
        for name in PAIR:
            manager.register_proto(Proto(name, CODEX, state={"n": 1, "of": {"n": [1]}}))
        clock.reached.clear()
        clock.go.clear()
        draft = manager.get_proto("BRICK").clone()
        draft.state["n"] = 2
        with ThreadPoolExecutor(1) as pool, ExitStack() as at_last:
            swapped = pool.submit(manager.atomic_swap, draft)
            at_last.callback(clock.go.set)
            assert clock.reached.wait(60)
            # The one that the waiting swapper has taken is its own.
            locks = [lock for lock in locks_of(manager, manager.store, ProtoManager) if lock.acquire(blocking=False)]
            for lock in locks:
                at_last.callback(lock.release)
            assert len(locks) > 4
            done = read_elsewhere(manager)
            assert done, "a reader waits for a lock"
        assert swapped.result().generation == 3
        assert manager.get_proto("BRICK").state["n"] == 2


def read_all(manager: ProtoManager) -> None:
    """Every way of reading what is current."""
    assert manager.names() == sorted(PAIR)
    assert "BRICK" in manager
    handle = manager.get_proto("BRICK")
    assert (handle.version, handle.n, handle.state["n"], handle.state["of"]["n"][0]) == (1, 1, 1, 1)
    assert handle.codex.role == "logic"
    assert handle.clone().state["n"] == 1
    pin = manager.pin()
    assert [pin[name].state["n"] for name in pin] == [1, 1]
    assert handle.current.generation == 1


def read_elsewhere(manager: ProtoManager) -> bool:
    """Whether other threads come to the end of their reading, while this one keeps its locks."""
    ended = threading.Semaphore(0)

    def work() -> None:
        for _ in range(READS_UNDER_LOCKS):
            read_all(manager)
        ended.release()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(READERS)]
    for thread in threads:
        thread.start()
    return all(ended.acquire(timeout=40) for _ in threads)
