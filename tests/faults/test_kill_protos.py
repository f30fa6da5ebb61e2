"""I1 and I4 for Protos: whatever is killed and whenever, the image opens, holds all that was acknowledged, and no
transaction is there by half."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from pathlib import Path

import pytest

from a4ps.clock import SystemClock
from a4ps.image.changes import Change
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from tests.faults.dying_protos import BACKED_UP, COMMON, PAIR, REFUSED
from tests.faults.killing import LONG, killer

KILLS = 10_000 if LONG else 90
LIVES_OF_AN_IMAGE = 15


class Ledger:
    """What the parent knows of one image: every commit that was there when it last looked, by its key."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.image = folder / "image.a4ps"
        self.backups = folder / "backups"
        self.keys = keys
        self.held: dict[str, int] = {}
        self.counts: Counter[str] = Counter()

    def check(self, acknowledged: dict[str, int], threads: int, *, last: bool) -> None:
        commits = {key: generation for key, generation in acknowledged.items() if generation > 0}
        refused = {key for key, generation in acknowledged.items() if generation == REFUSED}
        backups = {key for key, generation in acknowledged.items() if generation == BACKED_UP}
        with ProtoManager.open(self.image, keys=KeyFolder(self.keys), clock=SystemClock()) as manager:
            seen = since(manager, max(self.held.values(), default=0))
            new = {changes[0].reason: generation for generation, changes in seen.items()}
            assert len(new) == len(seen), "two commits with one key"
            assert new.items() >= commits.items(), "acknowledged and lost"
            extra = new.keys() - commits.keys()
            assert not extra & (refused | self.held.keys())
            assert len(extra - {"install"}) <= threads, "more than what was in flight"
            for generation, changes in seen.items():
                wanted = 3 if ".transact" in changes[0].reason else 6 if changes[0].reason == "install" else 1
                assert len(changes) == wanted, f"{generation} is there by half"
            self.held |= new
            assert manager.store.generation == len(self.held)
            self.invariants(manager)
            if last:
                report = manager.verify(deep=True)
                assert report.faults == report.warnings == ()
        self.look_at_backups(backups, threads)
        self.counts += Counter(key.rpartition(".")[2] for key in commits)
        self.counts += Counter({"refused": len(refused), "backups": len(backups), "in flight, kept": len(extra)})

    def invariants(self, manager: ProtoManager) -> None:
        """Of the slots: within one Proto, across those of one transaction, and with the last commit that is there."""
        if not self.held:
            assert manager.names() == []
            return
        pair = [manager.get_proto(name).state for name in PAIR]
        for state in pair:
            assert state["a"] + state["b"] == 0
        assert pair[0]["a"] + pair[1]["a"] == 0
        transacted = [key for key in self.held if key.endswith(".transact")]
        if transacted:
            newest = max(transacted, key=self.held.__getitem__)
            assert pair[0]["last"] == pair[1]["last"] == newest
            assert manager.get_proto(COMMON).state[f"done by {newest.split('.')[1]}"] == newest
        contended = [key for key in self.held if key.endswith(".contend")]
        newest = max(contended, key=self.held.__getitem__, default="")
        assert manager.get_proto(COMMON).state["contended"] == newest
        for number in range(3):
            state = manager.get_proto(f"own {number}").state
            assert state["n"] == len(state["list"])
            assert set(state["list"]) <= self.held.keys()

    def look_at_backups(self, acknowledged: set[str], threads: int) -> None:
        """Each that was acknowledged is there; each that is there is whole; then they are thrown away."""
        if not self.backups.exists():
            assert not acknowledged
            return
        present = {file.name.removesuffix(".a4ps") for file in self.backups.iterdir() if file.suffix == ".a4ps"}
        assert acknowledged <= present, "an acknowledged backup is lost"
        assert len(present - acknowledged) <= threads
        alone = self.backups / "keys"
        for key in sorted(present)[:1]:
            shutil.copytree(self.keys, alone, ignore=shutil.ignore_patterns("*.witness"))
            backup = self.backups / f"{key}.a4ps"
            with ProtoManager.open(backup, keys=KeyFolder(alone), clock=SystemClock()) as manager:
                self.invariants_alone(manager)
                assert manager.verify(deep=True).faults == ()
        shutil.rmtree(self.backups)

    @staticmethod
    def invariants_alone(manager: ProtoManager) -> None:
        pair = [manager.get_proto(name).state for name in PAIR]
        assert [state["a"] + state["b"] for state in pair] == [0, 0]
        assert pair[0]["a"] + pair[1]["a"] == 0


def since(manager: ProtoManager, generation: int) -> dict[int, list[Change]]:
    """The commits after `generation`, by their numbers."""
    return {number: manager.changes(number) for number in range(generation + 1, manager.store.generation + 1)}


@pytest.mark.timeout(3600)
def test_no_acknowledged_change_of_a_proto_is_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I1, I4: after a SIGKILL at a random instant of swaps, transactions over three Protos, reverts, definitions,
    removals and backups, all that was acknowledged is there with its generation, at most the commits in flight (one a
    thread) are there besides, what was refused is not, and the slots agree."""
    chance = random.Random(20261122)
    counts: Counter[str] = Counter()
    with killer("dying_protos") as deaths:
        for seed in range(KILLS):
            folder = tmp_path / str(seed // LIVES_OF_AN_IMAGE)
            if seed % LIVES_OF_AN_IMAGE == 0:
                ledger = Ledger(folder, folder / "keys")
            threads = chance.choice((1, 1, 2, 3))
            acks = chance.choice((0, chance.randrange(1, 30)))
            acknowledged = deaths.die(
                ledger.image, ledger.keys, seed=seed, threads=threads, acks=acks, wait_s=chance.uniform(0.0, 0.08)
            )
            last = seed % LIVES_OF_AN_IMAGE == LIVES_OF_AN_IMAGE - 1 or seed == KILLS - 1
            ledger.check(acknowledged, threads, last=last)
            if last:
                counts += ledger.counts
                shutil.rmtree(folder)
    with capsys.disabled():
        print(f"\n{KILLS} kills among Protos, 0 acknowledged changes lost: {dict(sorted(counts.items()))}")
    assert {"transact", "swap", "contend", "revert", "define", "come_and_go", "backups"} <= counts.keys()
