"""Committing: ours, raw SQLite and ZODB in turns, one thread and 64; and how often the disk is synced for it.

As a program (`python -m bench.image_commits FOLDER THREADS COMMITS`) it only commits, between two marks that strace
sees: `count_syncs` runs it so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from a4ps.image.content import pack_record
from a4ps.image.keys import KeyFolder
from a4ps.image.proposal import KIND
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import Row, pack
from bench.image_data import two_kb

THREADS = 64
ROOT = Path(__file__).resolve().parents[1]
_BEGIN, _END = "/a4ps-bench-begin", "/a4ps-bench-end"
_SYNC = re.compile(r"\b(?:fsync|fdatasync)\(\d+<(?P<file>[^>]*)>")


@dataclass(frozen=True, slots=True)
class Block:
    """Commits made one after the other (or at once): how many, and what all of them took."""

    commits: int
    cpu_ms: float
    wall_ms: float

    @property
    def cpu(self) -> float:
        return self.cpu_ms / self.commits

    @property
    def wall(self) -> float:
        return self.wall_ms / self.commits

    @property
    def rate(self) -> float:
        """Commits a second."""
        return 1000 / self.wall


@dataclass(slots=True)
class Commits:
    """The blocks of each contender, in the order in which they took turns."""

    ours: list[Block] = field(default_factory=list)
    raw: list[Block] = field(default_factory=list)
    zodb: list[Block] = field(default_factory=list)
    ours_threads: list[Block] = field(default_factory=list)
    zodb_threads: list[Block] = field(default_factory=list)
    record_bytes: int = 0
    stored_bytes: int = 0
    zodb_version: str = ""
    zodb_failed: str = ""


@dataclass(frozen=True, slots=True)
class Syncs:
    """What strace saw while `commits` were made; `failed` says why nothing was counted."""

    commits: int
    log: int = 0
    others: int = 0
    failed: str = ""


def open_image(folder: Path) -> ProtoManager:
    """An image of its own, with keys of its own."""
    return ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys"))


def measure_commits(rounds: int, block: int, each: int, zodb_python: Path, zodb_failed: str) -> Commits:
    """`rounds` times a block of each contender: of `block` commits in one thread, and of `each` in each of 64."""
    found = Commits(zodb_failed=zodb_failed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="a4ps-bench-")))
        manager = stack.enter_context(open_image(folder))
        register(manager, THREADS)
        whole = len(pack_record(manager.get_proto("P0").current.record))
        change(manager, 0, 1)
        body = pack(Row(KIND, "P0", manager.store.past(KIND, "P0", limit=1)[0].payload)).body
        found.record_bytes, found.stored_bytes = whole, len(body)
        raw = stack.enter_context(closing(_raw(folder / "raw.sqlite")))
        zodb = None
        if not zodb_failed:
            zodb = stack.enter_context(_zodb(zodb_python, folder / "zodb.fs", found))
        counter = iter(range(2, 1 << 40))

        def ours() -> None:
            change(manager, 0, next(counter))

        def by_hand() -> None:
            raw.execute("INSERT INTO rows VALUES (NULL, ?, ?, ?)", (KIND, "P0", body))

        for round_ in range(rounds + 1):
            if round_ == 1:  # the one before warmed up
                for blocks in (found.ours, found.raw, found.zodb, found.ours_threads, found.zodb_threads):
                    blocks.clear()
            found.ours.append(_timed(block, ours))
            found.raw.append(_timed(block, by_hand))
            found.zodb += zodb(1, block) if zodb else []
            found.ours_threads.append(_timed_threads(manager, each, counter))
            found.zodb_threads += zodb(THREADS, max(1, each // 4)) if zodb else []
    return found


def count_syncs(threads: int, commits: int) -> Syncs:
    """Syncs of the write-ahead log and of other files while `threads` make `commits` each, seen by strace."""
    everything = threads * commits
    if shutil.which("strace") is None:
        return Syncs(everything, failed="strace is not installed (Debian's package strace)")
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder:
        trace = Path(folder) / "trace"
        command = ["strace", "-f", "--seccomp-bpf", "-y", "-s", "64", "-o", str(trace)]
        command += ["-e", "trace=fsync,fdatasync,?access,?faccessat,?faccessat2"]
        command += [sys.executable, "-m", "bench.image_commits", folder, str(threads), str(commits)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
        lines = trace.read_text(encoding="utf-8", errors="replace").splitlines() if trace.exists() else []
    begin = next((number for number, line in enumerate(lines) if _BEGIN in line), None)
    end = next((number for number, line in enumerate(lines) if _END in line), None)
    if done.returncode or begin is None or end is None:
        return Syncs(everything, failed=f"strace could not watch: {done.stderr.strip()[-120:]}")
    files = [found["file"] for line in lines[begin:end] if (found := _SYNC.search(line))]
    log = sum(file.endswith("-wal") for file in files)
    return Syncs(everything, log, len(files) - log)


def register(manager: ProtoManager, count: int) -> None:
    """Protos P0, P1, ... of 2 kB each."""
    for number in range(count):
        codex, state = two_kb(number)
        manager.register_proto(Proto(f"P{number}", codex, state=state))


def change(manager: ProtoManager, number: int, mood: int) -> None:
    """One durable commit of one changed Proto."""
    with manager.transaction(author="bench", reason="the mood changed") as transaction:
        transaction.edit(f"P{number}").state["mood"] = mood


def _timed(commits: int, commit: Callable[[], None]) -> Block:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(commits):
        commit()
    wall = time.perf_counter() - wall
    return Block(commits, (time.process_time() - cpu) * 1000, wall * 1000)


def _timed_threads(manager: ProtoManager, each: int, counter: Iterator[int]) -> Block:
    """All threads commit at once, each its own Proto; making and starting the threads is not counted."""
    gate = threading.Barrier(THREADS + 1)
    mood = next(counter)

    def work(number: int) -> None:
        gate.wait()
        for turn in range(each):
            change(manager, number, mood * 1000 + turn)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    while gate.n_waiting < THREADS:
        time.sleep(0.001)
    cpu, wall = time.process_time(), time.perf_counter()
    gate.wait()
    for thread in threads:
        thread.join()
    wall = time.perf_counter() - wall
    return Block(THREADS * each, (time.process_time() - cpu) * 1000, wall * 1000)


def _raw(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
        "CREATE TABLE rows (place INTEGER PRIMARY KEY, kind TEXT, key TEXT, body BLOB)"
    )
    return connection


@contextmanager
def _zodb(python: Path, path: Path, found: Commits) -> Iterator[Callable[[int, int], list[Block]]]:
    """Asks for a block of so many threads and commits each; none, and the reason in `found`, where it fails."""
    command = [str(python), "-m", "bench.peer_zodb", str(path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def block(threads: int, commits: int) -> list[Block]:
            if found.zodb_failed:
                return []
            try:
                print(threads, commits, file=stdin, flush=True)
                told = json.loads(stdout.readline())
            except (OSError, ValueError) as error:
                found.zodb_failed = f"it failed ({type(error).__name__})"
                return []
            return [Block(threads * commits, told["cpu_ms"], told["wall_ms"])]

        try:
            found.zodb_version = json.loads(stdout.readline())["version"]
        except ValueError:
            found.zodb_failed = "it did not start"
        yield block
        stdin.close()


def main() -> None:
    """Commit between two marks."""
    folder, threads, commits = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    with open_image(folder) as manager:
        register(manager, threads)

        gate = threading.Barrier(threads + 1)

        def work(number: int) -> None:
            gate.wait()
            for turn in range(commits):
                change(manager, number, turn + 1)

        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        os.access(_BEGIN, os.F_OK)
        gate.wait()
        for worker in workers:
            worker.join()
        os.access(_END, os.F_OK)


if __name__ == "__main__":
    main()
