"""A program whose children meet an error of the disk at one system call. Run by test_io_errors.py, under strace.

strace counts the calls of each thread by itself and fails the `FIRST`-th one (and maybe some after it). So a child makes
as many idle calls of that kind before its deed as let the fault meet the n-th call of the deed: one strace serves for
every n. It reads one request a line from stdin and answers each with one line; both are JSON.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from a4ps.clock import ManualClock
from a4ps.errors import Conflict, WorldError
from a4ps.image import connections
from a4ps.image.codec import decode_slot
from a4ps.image.drafts import PREFIX
from a4ps.image.heads import Versions
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import read_portable, write_portable
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.faults.powered import CODEX, IMAGE_ID, PAIR, numbered

T = TypeVar("T")

FIRST = 110
"""The call that fails. More than any thread here makes before its deed."""

PATIENCE = 80
"""Attempts until the disk is well again: more than there are faults in a row."""


def idle(call: str) -> None:
    """One call that does nothing."""
    with suppress(OSError):
        if call == "pwrite64":
            os.pwrite(NOWHERE, b"", 0)
        elif call == "write":
            os.write(NOWHERE, b"")
        elif call in ("fsync", "fdatasync"):
            getattr(os, call)(NOWHERE)
        elif call == "ftruncate":
            os.ftruncate(NOWHERE, 0)
        elif call in ("rename", "link"):
            getattr(os, call)("", "")
        else:
            os.unlink("")  # noqa: PTH108 - one call and nothing else


def approach(call: str, nth: int) -> None:
    for _ in range(FIRST - nth):
        idle(call)


def check(error: WorldError) -> None:
    """What a person is told of a fault of the disk."""
    assert error.message
    assert error.next_step


def afresh(deed: Callable[[], T]) -> T:
    """Do it in a thread of its own, whose calls are counted from the beginning."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(deed).result()


class Approaching(ManualClock):
    """Its next `now` after `arm` brings the fault near, in the thread that asks: the image's writer."""

    def __init__(self) -> None:
        super().__init__()
        self.armed: tuple[str, int] | None = None

    def now(self) -> datetime:
        if self.armed is not None:
            armed, self.armed = self.armed, None
            approach(*armed)
        return super().now()


def opened(folder: Path, clock: ManualClock | None = None) -> ProtoManager:
    return ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys"), clock=clock or ManualClock())


def prepare(folder: Path, *, close: bool) -> None:
    """An image with a pair of Protos; if it is not closed, they are in its log."""
    manager = opened(folder)
    for name in PAIR:
        manager.register_proto(Proto(name, CODEX, state={"n": 0}), reason=name)
    if close:
        manager.close()


class Ledger:
    """What one child was told about its commits."""

    def __init__(self, manager: ProtoManager) -> None:
        self.manager = manager
        self.acknowledged = {name: manager.get_proto(name).version for name in manager.names()}
        self.outcomes: list[str] = []
        self.refused: set[str] = set()
        self.unknown: set[str] = set()

    def together(self, key: str) -> None:
        """Change both Protos in one transaction, and see that memory says what the disk does."""
        manager = self.manager
        before = manager.pin().versions
        try:
            with manager.transaction(reason=key) as tx:
                for name in PAIR:
                    tx.edit(name).state[key] = True
        except WorldError as error:
            check(error)
            assert manager.store.read_only, "refused, and nothing says why"
            is_unknown = "not known" in error.message
            self.outcomes.append("unknown" if is_unknown else "refused")
            (self.unknown if is_unknown else self.refused).add(key)
            after = manager.pin().versions
            # An earlier one, whose outcome was not known, may have been found meanwhile; this one may not be seen.
            assert key not in after[PAIR[0]].content.slots, "refused, and yet in memory"
            assert after is before or self.unknown - {key}
        else:
            self.outcomes.append("acknowledged")
            self.acknowledged[key] = tx.changes[0].generation
            assert not manager.store.read_only

    def compare(self, manager: ProtoManager) -> None:
        """That exactly what was acknowledged is there, and perhaps what nobody could know."""
        histories = [{change.reason: change.generation for change in manager.history(name)} for name in PAIR]
        present = {**histories[0], **histories[1]}
        assert self.acknowledged.items() <= present.items(), "acknowledged and lost"
        assert not self.refused & present.keys(), "refused and there"
        assert present.keys() <= self.acknowledged.keys() | self.unknown
        keys = present.keys() - set(PAIR)
        assert all(keys <= history.keys() for history in histories), "half a transaction"
        for name in PAIR:
            assert {*manager.get_proto(name).state} == {"n", *keys}, "durable, and not in memory"
            assert manager.get_proto(name).version == manager.store.heads("proto")[name]
        assert manager.verify(deep=True).faults == ()


def committing(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    clock = Approaching()
    with opened(folder, clock) as manager:
        flip = manager.store._writer.flip
        assert flip is not None

        def checked(versions: Versions) -> None:
            """Memory follows the disk, never the other way."""
            durable = manager.store.heads("proto")
            assert all(version.generation <= durable[name] for name, version in versions.items())
            flip(versions)

        manager.store._writer.flip = checked
        ledger = Ledger(manager)
        stale = manager.get_proto(PAIR[0]).clone()
        stale.state["stale"] = True
        clock.armed = request["call"], request["nth"]
        for attempt in range(PATIENCE):
            ledger.together(f"k{attempt}")
            if ledger.outcomes[-3:] == ["acknowledged"] * 3:
                break
        assert ledger.outcomes[-1] == "acknowledged", "does not heal"
        try:
            manager.atomic_swap(stale)
        except Conflict:
            pass
        else:
            raise AssertionError("a draft of an older version was swapped in")
        ledger.compare(manager)
    with opened(folder) as manager:
        ledger.compare(manager)
    first = ledger.outcomes[: ledger.outcomes.index("acknowledged") + 1]
    return {"outcome": " then ".join(dict.fromkeys(first))}


def opening(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    """An image that is new, or one whose log was left."""
    had = (folder / "image.a4ps").exists()
    refusals = 0

    def deed() -> ProtoManager:
        nonlocal refusals
        approach(request["call"], request["nth"])
        for _ in range(PATIENCE):
            try:
                return opened(folder)
            except WorldError as error:
                check(error)
                refusals += 1
        raise AssertionError("does not open")

    with afresh(deed) as manager:
        assert manager.names() == (list(PAIR) if had else [])
        ledger = Ledger(manager)
        if not had:
            for name in PAIR:
                ledger.acknowledged[name] = manager.register_proto(
                    Proto(name, CODEX, state={"n": 0}), reason=name
                ).version
        for attempt in range(PATIENCE):
            ledger.together(f"k{attempt}")
            if ledger.outcomes[-1] == "acknowledged":
                break
        ledger.compare(manager)
    with opened(folder) as manager:
        ledger.compare(manager)
    return {"outcome": "refused" if refusals else "opened"}


def closing(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    manager = opened(folder)
    ledger = Ledger(manager)
    ledger.together("k")

    def deed() -> None:
        approach(request["call"], request["nth"])
        manager.close()

    afresh(deed)
    left = (folder / "image.a4ps-wal").exists()
    with opened(folder) as manager:
        ledger.compare(manager)
    return {"outcome": "log left" if left else "closed"}


def remove(path: Path) -> None:
    for _ in range(PATIENCE):
        with suppress(OSError):
            path.unlink(missing_ok=True)
            return


def backing_up(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    backup = folder / "backup.a4ps"
    refusals = 0

    def deed(manager: ProtoManager) -> None:
        nonlocal refusals
        approach(request["call"], request["nth"])
        for _ in range(PATIENCE):
            try:
                report = manager.backup(backup)
            except WorldError as error:
                check(error)
                refusals += 1
                # A name whose folder could not be synced is in the way of the next one.
                remove(backup)
            else:
                assert report.faults == ()
                break

    with opened(folder) as manager:
        afresh(lambda: deed(manager))
        assert {file.name for file in folder.iterdir() if "backup" in file.name} == {backup.name}
        assert not list(folder.glob(f"{PREFIX}*"))
        assert manager.verify(deep=True).faults == ()
    shutil.copytree(folder / "keys", folder / "alone", ignore=shutil.ignore_patterns("*.witness"))
    with ProtoManager.open(backup, keys=KeyFolder(folder / "alone"), clock=ManualClock()) as manager:
        assert manager.names() == list(PAIR)
    return {"outcome": "refused" if refusals else "backed up"}


def saving(request: dict[str, Any], folder: Path) -> dict[str, Any]:
    keys = KeyFolder(folder / "keys")
    keys.create(IMAGE_ID)
    file = folder / "image.portable"
    write_portable(file, numbered(1), keys, IMAGE_ID)
    refusals = 0

    def deed() -> None:
        nonlocal refusals
        approach(request["call"], request["nth"])
        for _ in range(PATIENCE):
            try:
                write_portable(file, numbered(2), keys, IMAGE_ID)
            except WorldError as error:
                check(error)
                refusals += 1
                (held,) = {decode_slot(proto.slots["n"], "n") for proto in read_portable(file, keys).protos.values()}
                assert held in (1, 2)
            else:
                break

    afresh(deed)
    (held,) = {decode_slot(proto.slots["n"], "n") for proto in read_portable(file, keys).protos.values()}
    assert held == 2
    assert not list(folder.glob(f"{PREFIX}*"))
    return {"outcome": "refused" if refusals else "saved"}


DEEDS: dict[str, Callable[[dict[str, Any], Path], dict[str, Any]]] = {
    "commit": committing,
    "open": opening,
    "close": closing,
    "backup": backing_up,
    "save": saving,
}


def answer(request: dict[str, Any], to: int) -> None:
    connections.WAL_CHECKPOINT_PAGES = request["checkpoint_pages"]
    try:
        found = DEEDS[request["deed"]](request, Path(request["folder"]))
    except BaseException:  # noqa: BLE001 - told to the test, which fails
        found = {"failed": traceback.format_exc()}
    # Not by `write`, which may be what fails.
    os.writev(to, [json.dumps(found).encode()])


def main() -> None:
    for line in sys.stdin:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer(json.loads(line), writing)
            os._exit(0)
        os.close(writing)
        heard = b""
        while piece := os.read(reading, 65_536):
            heard += piece
        os.close(reading)
        os.waitpid(child, 0)
        os.writev(1, [heard + b"\n"])


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what this process meets is what its parent counts
    NOWHERE = os.open("/dev/null", os.O_WRONLY)
    main()
