"""Decision 1 at every write, fsync and rename: what failed is not there, what was acknowledged is, what nobody can know
is looked up; memory follows the disk; and it all heals when the disk does."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import Conflict, StorageFailed
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.faults.erring import FIRST, prepare
from tests.faults.faulty import Faults, disk_error
from tests.faults.killing import LONG, ROOT
from tests.faults.power import need_strace
from tests.faults.powered import CODEX

#: The deeds, and the calls that fail in each.
FAULTS = {
    "commit": ("pwrite64", "fdatasync", "ftruncate"),
    "open": ("pwrite64", "write", "fsync", "fdatasync", "rename", "ftruncate", "unlink"),
    "close": ("pwrite64", "fdatasync", "ftruncate", "unlink"),
    "backup": ("pwrite64", "fsync", "fdatasync", "link", "unlink"),
    "save": ("write", "fsync", "rename"),
}
CALLS = sorted({call for calls in FAULTS.values() for call in calls})
IN_A_ROW = 25
#: Of the calls that a deed makes often, not each one is met in ./check.
STRIDE = {} if LONG else {"pwrite64": 13, "fdatasync": 4, "ftruncate": 4, "unlink": 3}
MISSES = 3 if LONG else 1
ERRORS = [("EIO", 1), ("ENOSPC", IN_A_ROW), *([("EIO", IN_A_ROW), ("ENOSPC", 1)] if LONG else [])]


@dataclass
class Disk:
    """A program under strace, one of whose calls fails."""

    process: subprocess.Popen[str]
    log: Path
    read: int = 0

    def do(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
        """What a child met, and the files at which it met the fault."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        with self.log.open() as log:
            log.seek(self.read)
            new = log.read()
            self.read = log.tell()
        return found, [_kind(line) for line in new.splitlines() if "(INJECTED)" in line]


@contextmanager
def failing(error: str, count: int, log: Path) -> Iterator[Disk]:
    calls = ",".join(CALLS)
    last = f"..{FIRST + count - 1}" if count > 1 else ""
    options = ["-f", "--seccomp-bpf", "-y", "-s", "40", "-o", str(log), "-e", f"trace={calls}"]
    fault = ["-e", f"inject={calls}:error={error}:when={FIRST}{last}"]
    program = [sys.executable, "-m", "tests.faults.erring"]
    with subprocess.Popen(
        ["strace", *options, *fault, *program],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    ) as process:
        yield Disk(process, log)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def _kind(line: str) -> str:
    names = re.findall(r'[<"]([^">]*)[">]', line)
    name = Path(names[-1]).name if "rename" in line or "link(" in line else Path(names[0]).name
    for mark in ("-wal", "-shm", "-journal", ".witness", ".key-new", ".key", ".lock", "portable", "backup.a4ps"):
        if mark in name:
            return mark.strip(".-")
    return "image" if "image.a4ps" in name else "folder"


def deeds() -> Iterator[tuple[str, str, str, int]]:
    """Call, deed, the image that it begins with, and after how many pages the log is written back."""
    for deed, calls in FAULTS.items():
        for call in calls:
            if deed in ("open", "save"):
                yield call, deed, "new", 1000
            if deed == "commit":
                yield call, deed, "closed", 1
            if deed != "save":
                yield call, deed, "left" if deed == "open" else "closed", 1000


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("error", "count"), ERRORS)
def test_an_error_of_the_disk_at_any_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], error: str, count: int
) -> None:
    """I1, I4: one error, or many in a row, at each call of opening, committing, closing, backing up and saving."""
    need_strace(tmp_path)
    (tmp_path / "new" / "keys").mkdir(parents=True, mode=0o700)
    prepare(tmp_path / "closed", close=True)
    subprocess.run(
        [sys.executable, "-c", PREPARE_AND_DIE, str(tmp_path / "left")], cwd=ROOT, check=True, capture_output=True
    )
    assert (tmp_path / "left" / "image.a4ps-wal").stat().st_size > 0
    outcomes: Counter[str] = Counter()
    hits: Counter[str] = Counter()
    with failing(error, count, tmp_path / "log") as disk:
        for turn, (call, deed, begin, pages) in enumerate(deeds()):
            stride = STRIDE.get(call, 1)
            misses, nth = 0, 1 + turn % stride
            while misses < MISSES and nth < FIRST:
                folder = tmp_path / "work"
                shutil.copytree(tmp_path / begin, folder)
                request = {"deed": deed, "call": call, "nth": nth, "folder": str(folder), "checkpoint_pages": pages}
                found, where = disk.do(request)
                assert "failed" not in found, f"{error} × {count}, {request}: {found['failed']}"
                misses = 0 if where else misses + 1
                if where:
                    hits[f"{call} {where[0]}"] += 1
                    outcomes[f"{deed}: {found['outcome']}"] += 1
                shutil.rmtree(folder)
                nth += stride
    with capsys.disabled():
        print(f"\n{error} × {count}: at {hits.total()} calls {dict(sorted(hits.items()))}")
        print(f"came out as {dict(sorted(outcomes.items()))}")
    assert {key.split()[0] for key in hits} == set(CALLS)
    assert {key.split(":")[0] for key in outcomes} == set(FAULTS)


def test_a_commit_found_late_is_in_memory_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit is found in the reopened image, but cannot be made durable, so its outcome is not known; the next one,
    which opens the image once more, shows it to readers and is judged upon it."""
    faults = Faults(monkeypatch)
    with ProtoManager.open(tmp_path / "image.a4ps", keys=KeyFolder(tmp_path / "keys"), clock=ManualClock()) as manager:
        handle = manager.register_proto(Proto("BRICK", CODEX, state={"n": 0}))
        other = manager.register_proto(Proto("ROBIN", CODEX, state={"n": 0}))
        drafts = [handle.clone(), handle.clone(), other.clone()]
        for number, draft in enumerate(drafts):
            draft.state["n"] = number + 1
        faults.fail_once("after", "COMMIT", disk_error(sqlite3.SQLITE_IOERR_FSYNC))
        faults.fail_once("before", "PRAGMA wal_checkpoint(TRUNCATE)", disk_error(sqlite3.SQLITE_IOERR_FSYNC))
        with pytest.raises(StorageFailed, match="not known"):
            manager.atomic_swap(drafts[0])
        manager.atomic_swap(drafts[2])
        assert handle.version == manager.store.heads("proto")["BRICK"] == 3
        assert handle.n == 1
        with pytest.raises(Conflict):
            manager.atomic_swap(drafts[1])


PREPARE_AND_DIE = """
import os, sys
from pathlib import Path
from tests.faults.erring import prepare
prepare(Path(sys.argv[1]), close=False)
os._exit(0)
"""
