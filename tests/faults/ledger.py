"""What the parent of killed processes knows of one image: every commit that it has seen, and the state after each.

After a kill it reads the commits that are new, replays them on what it knows (acts.py), and holds the image, and every
file that was written from it, to that.
"""

from __future__ import annotations

import copy
import json
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from a4ps.clock import SystemClock
from a4ps.errors import CallerError, UnknownProto
from a4ps.image.codec import decode_slot, opaque
from a4ps.image.drafts import PREFIX
from a4ps.image.forgetting import ImageTexts
from a4ps.image.keys import KeyFolder
from a4ps.image.migrations import MIGRATED
from a4ps.image.portable import read_portable
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import from_us
from a4ps.image.snapshot import PortableImage
from a4ps.image.text_export import import_text
from a4ps.image.tombstones import FORGETTING_KINDS
from a4ps.image.transfer import LOADED, RESTORED
from a4ps.sought import BAR
from tests.faults.acts import (
    EXPECTED,
    MIGRATE,
    OLD,
    RESUMED,
    SECRET_OF,
    WORKERS,
    Found,
    Past,
    Place,
    State,
    act_of,
    finish_forgetting,
    worker_of,
)
from tests.image.images import an_image
from tests.image.plain_values import Point

TAKEOVERS = ("load", "bring_in")
OUTPUTS = ("save", "export", "back_up")
TAKEN_OVER, MIGRATION, STEP, _ = NOBODYS = ("takeover of nothing", "migration", "step of forgetting", RESUMED)
"""Commits that say no act's key, or one of somebody who was killed."""

OLD_COMMITS = 30


class Entry(NamedTuple):
    """A commit that is there, when it was made, and the state after it."""

    key: str
    at: datetime
    state: State


class Held(NamedTuple):
    """What is in a file that was written from the image; `chain` is the image's own, up to that."""

    at: datetime
    chain: tuple[Entry, ...]


@dataclass
class Heard:
    """What children said between two looks at the image: generation at the begin of each act, and result."""

    begun: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    @property
    def in_flight(self) -> set[str]:
        return self.begun.keys() - self.done.keys()

    def note(self, said: list[tuple[str, str, int]]) -> None:
        for word, key, number in said:
            (self.begun if word == "begin" else self.done)[key] = number


def state_of(manager: ProtoManager) -> State:
    state = {}
    for name, version in ((name, manager.get_proto(name).current) for name in manager.names()):
        methods = {f"{method.name}()": method.source for method in version.methods.values()}
        state[name] = copy.deepcopy(version.state) | methods
    return state


def state_in(image: PortableImage) -> State:
    return {
        name: {slot: decode_slot(data, slot) for slot, data in proto.slots.items()}
        | {f"{method}()": kept.source for method, kept in proto.methods.items()}
        for name, proto in image.protos.items()
    }


def old_state() -> State:
    """What is in the image of the earlier format."""
    brick = dict(state_in(an_image())["BRICK"])
    twice = "def twice(self, n):\n    return 2 * n\n"
    brick |= {"mood": "mood 24", "native": opaque(Point(1, 2)), "twice()": twice}
    return {"BRICK": brick, "base": {"shared": {"n": 1}}}


class Ledger:
    def __init__(self, folder: Path, *, old: bool = False) -> None:
        """`old`: the image is there already, in an earlier format."""
        self.place = Place(folder)
        self.keys = KeyFolder(self.place.keys)
        self.chain: list[Entry] = []
        self.at: dict[datetime, State] = {}
        self.held: dict[Path, Held] = {}
        self.counts: Counter[str] = Counter()
        self.forgotten: list[str] = []
        for name in ("files", "backups", "exports"):
            (folder / name).mkdir(parents=True)
        self.old = old
        if old:
            self._begin_old()

    def _begin_old(self) -> None:
        shutil.copytree(OLD / "keys", self.place.keys)
        self.place.image.parent.mkdir()
        shutil.copyfile(OLD / self.place.image.name, self.place.image)
        with closing(sqlite3.connect(OLD.joinpath(self.place.image.name).as_uri() + "?immutable=1", uri=True)) as image:
            times = image.execute("SELECT at FROM commits ORDER BY generation").fetchall()
        assert len(times) == OLD_COMMITS
        state = old_state()
        for number, (at_us,) in enumerate(times, 1):
            # Nothing asks what it was before the last of them.
            self._append(Entry(f"old {number}", from_us(at_us), state))

    def backups(self) -> list[int]:
        """The workers whose backups are there."""
        return [number for number in range(WORKERS) if self.place.backup(number) in self.held]

    def check(self, heard: Heard, *, deep: bool) -> None:
        """Raises AssertionError, and whatever opening raises."""
        in_place = self.old and not self.place.is_old()
        with ProtoManager.open(self.place.image, keys=self.keys, clock=SystemClock()) as manager:
            self._follow_restore(manager, heard)
            self._follow(manager, heard)
            if ImageTexts(manager).unfinished:
                self.counts["forgettings finished"] += 1
                finish_forgetting(manager)
                self._follow(manager, Heard())
            self._look_for_forgotten()
            expected = self.chain[-1].state if self.chain else {}
            found = state_of(manager)
            assert found == expected, f"not what the commits come to: {self._differing(found, expected)}"
            for act in OUTPUTS:
                for number in range(WORKERS):
                    self._look_at(act, number, heard, deep=deep)
            self._look_beside(manager, heard)
            if deep:
                report = manager.verify(deep=True)
                assert report.faults == report.warnings == ()
        if self.old:
            first = [entry.key for entry in self.chain[OLD_COMMITS:]][:1]
            assert first == [MIGRATION], "a migration that the image does not know of"
            assert self.place.kept.read_bytes() == OLD.joinpath("image.a4ps").read_bytes()
            migrating = any(act_of(key) == MIGRATE for key in heard.in_flight)
            self.counts["migrations in flight, in place"] += migrating and in_place
        self.counts.update(act_of(key) for key, result in heard.done.items() if result >= 0)

    def has_told(self) -> bool:
        """Whether there is something that the first worker could forget."""
        told = self.chain[-1].state.get("own 0", {}).get("told", []) if self.chain else []
        return any(each != BAR for each in told)

    def _look_for_forgotten(self) -> None:
        """I12: in no byte of the image or its log, unless a file from before has brought it back."""
        for suffix in ("", "-wal"):
            path = self.place.image.with_name(self.place.image.name + suffix)
            data = path.read_bytes() if path.exists() else b""
            assert not [text for text in self.forgotten if text.encode() in data], "forgotten, and still there"

    def _differing(self, found: State, expected: State) -> str:
        """For whoever has to understand it: the slots that differ, and the newest commits."""
        slots = {
            f"{name}.{slot}": (str(here.get(slot))[-200:], str(there.get(slot))[-200:])
            for name in found.keys() | expected.keys()
            for here, there in [(found.get(name, {}), expected.get(name, {}))]
            for slot in here.keys() | there.keys()
            if here.get(slot) != there.get(slot)
        }
        newest = [f"{generation} {entry.key} {entry.at}" for generation, entry in enumerate(self.chain, 1)][-60:]
        return "\n".join([f"{slots} of {sorted(found)} and {sorted(expected)}", *newest])

    def _follow_restore(self, manager: ProtoManager, heard: Heard) -> None:
        for key in heard.begun:
            if act_of(key) == "restore":
                chain = self.held[self.place.backup(worker_of(key))].chain
                rows = manager.store.rows_of(len(chain) + 1, RESTORED)
                new = bool(rows) and rows[0].at not in self.at
                assert new or key not in heard.done, "an acknowledged restore is not there"
                if new:
                    self.chain = list(chain)
                    self.forgotten = []
                    self._append(Entry(key, rows[0].at, chain[-1].state))
                    self.counts["restores in flight, done"] += key not in heard.done

    def _follow(self, manager: ProtoManager, heard: Heard) -> None:
        first = len(self.chain)
        assert manager.store.generation >= first, "acknowledged and lost"
        known = {entry.key for entry in self.chain}
        for generation in range(first + 1, manager.store.generation + 1):
            entry = self._read(manager, generation, heard)
            assert entry.key not in known, "two commits with one key"
            known.add(entry.key)
            self._append(entry)
        new = {entry.key: generation for generation, entry in enumerate(self.chain[first:], first + 1)}
        acknowledged = {key: result for key, result in heard.done.items() if act_of(key) in EXPECTED and result > 0}
        assert new.items() >= acknowledged.items(), "acknowledged and lost"
        extra = {key for key in new.keys() - acknowledged.keys() if not key.startswith(NOBODYS)}
        assert extra <= heard.in_flight, "more than what was in flight"
        self.counts["in flight, kept"] += len(extra)

    def _read(self, manager: ProtoManager, generation: int, heard: Heard) -> Entry:
        try:
            changes = manager.changes(generation)
        except UnknownProto:
            state = self.chain[-1].state
            for row in manager.store.rows_of(generation, MIGRATED):
                assert json.loads(row.payload)["kept"] == self.place.kept.name
                return Entry(MIGRATION, row.at, state)
            for kind in FORGETTING_KINDS:
                for row in manager.store.rows_of(generation, kind):
                    return Entry(f"{STEP} {generation} {row.at}", row.at, state)
            # No Proto differed, and so no change says which takeover it was.
            (row,) = manager.store.rows_of(generation, LOADED)
            assert any(act_of(key) in TAKEOVERS for key in heard.begun)
            self.forgotten = []
            return Entry(f"{TAKEN_OVER} {generation} {row.at}", row.at, state)
        key, _, besides = changes[0].reason.partition(" ")
        if act_of(key) == "forget":
            self.forgotten.append(f"{SECRET_OF}{besides}")
            self.counts["forgotten"] += 1
        elif act_of(key) in TAKEOVERS:
            self.forgotten = []
        expect, count = EXPECTED[act_of(key)]
        assert count in (None, len(changes)), (
            f"{key} is there by half, or by more: {[str(change) for change in changes]}"
        )
        before = self.chain[-1].state if self.chain else {}
        past = Past([entry.state for entry in self.chain], self.at)
        return Entry(key, changes[0].at, expect(before, Found(key, besides, changes), past))

    def _append(self, entry: Entry) -> None:
        self.chain.append(entry)
        self.at[entry.at] = entry.state

    def _look_at(self, act: str, number: int, heard: Heard, *, deep: bool) -> None:
        """What `act` writes: the last acknowledged one or a later one, whole; where one was in flight, the old one, or
        nothing if it is not in its nature to keep that."""
        keys = [key for key in heard.begun if act_of(key) == act and worker_of(key) == number]
        if not keys:
            return
        acknowledged = [key for key in keys if key in heard.done]
        path, read = self._reader(act, number, deep=deep)
        held = self.held.get(path)
        found = read()
        if found is None:
            assert keys[-1] in heard.in_flight, f"what {act} wrote is gone"
            assert act != "save" or (held is None and not acknowledged), "the old file is gone"
            self.held.pop(path, None)
            return
        at, state = found
        assert state == self.at[at], f"what {act} wrote never was"
        oldest = heard.begun[(acknowledged[-1:] or keys[:1])[0]]
        if at < self.chain[max(oldest, 1) - 1].at:
            assert not acknowledged, f"what {act} wrote last is lost"
            assert held is not None, f"what {act} wrote is older than what it was told to write"
            assert held.at == at
        else:
            size = next(size for size, entry in enumerate(self.chain, 1) if entry.at == at)
            self.held[path] = Held(at, tuple(self.chain[:size]))

    def _reader(self, act: str, number: int, *, deep: bool) -> tuple[Path, Callable[[], tuple[datetime, State] | None]]:
        if act == "save":
            path = self.place.portable(number)
            return path, lambda: _portable(read_portable(path, self.keys)) if path.exists() else None
        if act == "export":
            folder = self.place.export(number)
            return folder, lambda: _exported(folder)
        backup = self.place.backup(number)
        return backup, lambda: self._opened(backup, deep=deep) if backup.exists() else None

    def _opened(self, copied: Path, *, deep: bool) -> tuple[datetime, State]:
        with self._alone() as keys, ProtoManager.open(copied, keys=keys, clock=SystemClock()) as manager:
            if deep:
                assert manager.verify(deep=True).faults == ()
            return _time_of(manager), state_of(manager)

    @contextmanager
    def _alone(self) -> Iterator[KeyFolder]:
        """The keys without the witness, which knows of more than a copy has."""
        folder = self.place.folder / "alone"
        shutil.copytree(self.place.keys, folder, ignore=shutil.ignore_patterns("*.witness*"))
        yield KeyFolder(folder)
        shutil.rmtree(folder)

    def _look_beside(self, manager: ProtoManager, heard: Heard) -> None:
        """Nothing is there that has no business, and what the killed have left is swept by the next writer."""
        home, image = self.place.image.parent, self.place.image
        own = {self.place.kept} if self.old else set()
        kept = [path for path in home.glob("image-*.a4ps") if path not in own and not path.samefile(image)]
        for path in kept[:1]:
            at, state = self._opened(path, deep=False)
            assert state == self.at[at]
        for path in kept:
            path.unlink()
            path.with_name(path.name + ".lock").unlink(missing_ok=True)
        for folder in (home, self.place.folder / "files", self.place.folder / "backups"):
            left = list(folder.glob(f"{PREFIX}*"))
            assert len(left) <= len(heard.in_flight)
            self.counts["drafts left"] += len(left)
            if left:
                manager.save_image(folder / "sweeping")
                (folder / "sweeping").unlink()
        proper = {image.name + suffix for suffix in ("", "-wal", "-shm", ".lock")} | {path.name for path in own}
        others = [path for path in home.iterdir() if path.name not in proper]
        assert all(path.samefile(image) for path in others), others
        names = {path.name for path in (self.place.folder / "files").iterdir()}
        assert names <= {self.place.portable(number).name for number in range(WORKERS)}
        names = {path.name.removesuffix(".lock") for path in (self.place.folder / "backups").iterdir()}
        assert names <= {self.place.backup(number).name for number in range(WORKERS)}


def _portable(image: PortableImage) -> tuple[datetime, State]:
    return image.created_at, state_in(image)


def _exported(folder: Path) -> tuple[datetime, State] | None:
    try:
        return _portable(import_text(folder))
    except CallerError:
        return None


def _time_of(manager: ProtoManager) -> datetime:
    """When the newest commit was made."""
    generation = manager.store.generation
    for kind in (LOADED, RESTORED, *FORGETTING_KINDS):
        for row in manager.store.rows_of(generation, kind):
            return row.at
    return manager.changes(generation)[0].at
