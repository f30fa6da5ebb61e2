"""What a disk may hold after a power cut: a recorded program, and every way in which its unsynced writes may be lost.

`record` runs a program under strace and gives what it did to the files below one folder, in order. `cuts` replays that
up to each point and lets a `Fate` decide on everything that no fsync had reached: each write of an inode since its last
sync, and each change of a folder's names since that folder's. Nothing is taken for ordered that a sync did not order.
"""

from __future__ import annotations

import random
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.faults.killing import ROOT

CALLS = (
    "openat,write,writev,pwrite64,pwritev,pwritev2,fsync,fdatasync,rename,renameat,renameat2,ftruncate,truncate,"
    "unlink,unlinkat,rmdir,link,linkat,mkdir,mkdirat,creat,fallocate,copy_file_range,sendfile"
)
UNREAD = {"writev", "pwritev", "pwritev2", "truncate", "creat", "fallocate", "copy_file_range", "sendfile"}
SAYING = 1

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)(.*)", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_FD = re.compile(r"(\d+)<((?:\\x[0-9a-f]{2})+)>(\(deleted\))?")


@dataclass(frozen=True, slots=True)
class Write:
    path: str
    at: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    path: str
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    path: str


@dataclass(frozen=True, slots=True)
class Names:
    """A change of names: each becomes what another one was before, "+" a new file, "/" a new folder, or "" nothing."""

    to: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Said:
    """A line that the program wrote to its standard output."""

    words: tuple[str, ...]


Op = Write | Truncate | Sync | Names | Said


def need_strace(scratch: Path) -> None:
    """Skip the test where strace is absent or may not trace."""
    try:
        tried = subprocess.run(["strace", "-o", str(scratch / "try"), "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    if tried.returncode:
        pytest.skip(f"strace may not trace here: {tried.stderr.decode().strip()}")


def record(folder: Path, program: Sequence[str], *, trace: Path, inject: str = "", killed: bool = False) -> list[Op]:
    """Run `program` and return what it did below `folder`; what is there before was recorded before, or is empty."""
    there = {str(path) for path in folder.rglob("*")}
    # Without seccomp's help strace is slower, but only so does a signal come before its call.
    options = [
        "-f",
        *([] if killed else ["--seccomp-bpf"]),
        "-y",
        "-xx",
        "-s",
        "1000000",
        "-o",
        str(trace),
        "-e",
        f"trace={CALLS}",
    ]
    if inject:
        options += ["-e", f"inject={inject}"]
    done = subprocess.run(
        ["strace", *options, *program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.returncode != 0) is killed, done.stderr
    return list(_ops(trace.read_text(), str(folder), there))


def _ops(trace: str, root: str, live: set[str]) -> Iterator[Op]:
    ends: dict[str, int] = {}
    for name, arguments, result in _calls(trace):
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        if fd := _FD.match(arguments):
            number, path = int(fd[1]), bytes.fromhex(fd[2].replace("\\x", "")).decode(errors="replace")
            if number == SAYING and name == "write":
                yield from (Said(tuple(line.split())) for line in texts[0].decode().splitlines())
            if fd[3] or not path.startswith(root) or path.endswith("-shm"):
                continue
            assert name not in UNREAD, f"{name} is not understood here"
            if name == "pwrite64":
                yield Write(path, int(arguments.rsplit(", ", 1)[1]), texts[0][:result])
            elif name == "write":
                # Only what makes a new file from its beginning to its end writes so.
                yield Write(path, ends.get(path, 0), texts[0][:result])
                ends[path] = ends.get(path, 0) + result
            elif name == "ftruncate":
                yield Truncate(path, int(arguments.rsplit(", ", 1)[1], 0))
            elif name in ("fsync", "fdatasync"):
                yield Sync(path)
            continue
        paths = [text.decode(errors="replace") for text in texts]
        if not paths or not paths[0].startswith(root) or paths[0].endswith("-shm"):
            continue
        assert name not in UNREAD, f"{name} is not understood here"
        if name == "openat":
            assert "O_TRUNC" not in arguments or paths[0] not in live
            if "O_CREAT" in arguments and paths[0] not in live:
                live.add(paths[0])
                ends.pop(paths[0], None)
                yield Names(((paths[0], "+"),))
        elif name.startswith("mkdir"):
            live.add(paths[0])
            yield Names(((paths[0], "/"),))
        elif name.startswith("unlink") or name == "rmdir":
            live.discard(paths[0])
            yield Names(((paths[0], ""),))
        elif name.startswith("rename"):
            live.discard(paths[0])
            live.add(paths[1])
            yield Names(((paths[1], paths[0]), (paths[0], "")))
        elif name.startswith("link"):
            live.add(paths[1])
            yield Names(((paths[1], paths[0]),))


def _calls(trace: str) -> Iterator[tuple[str, str, int]]:
    """Every call that succeeded, at the place where it ended; one that never ended is left out."""
    begun: dict[str, str] = {}
    for line in trace.splitlines():
        found = _LINE.match(line)
        assert found is not None, line
        pid, text = found[1], found[2]
        if text.endswith("<unfinished ...>"):
            begun[pid] = text.removesuffix("<unfinished ...>").rstrip()
            continue
        if text.startswith("<... "):
            text = begun.pop(pid) + text.split("resumed>", 1)[1]
        call = _CALL.match(text)
        if call is not None and int(call[3]) >= 0:
            # The descriptor that openat gave is shown as well, and is no part of its arguments.
            yield call[1], call[2], int(call[3])


@dataclass
class Inode:
    """A file, or (`folder`) a folder, as the disk surely has it, and what was done since its last sync."""

    folder: bool = False
    durable: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of what was not synced. `kept` says which of so many survive; `sector` tears those that do."""

    name: str
    kept: Callable[[random.Random, int], Sequence[bool]]
    sector: int = 0


def _prefix(chance: random.Random, count: int) -> list[bool]:
    upto = chance.randint(0, count)
    return [number < upto for number in range(count)]


FATES = (
    Fate("all lost", lambda chance, count: [False] * count),
    Fate("all kept", lambda chance, count: [True] * count),
    Fate("the first ones kept", _prefix),
    Fate("the last ones kept", lambda chance, count: [not each for each in _prefix(chance, count)]),
    Fate("some kept", lambda chance, count: [chance.random() < 0.5 for _ in range(count)]),
    Fate("one lost", lambda chance, count: _but(chance, count)),
    Fate("torn at 512", lambda chance, count: [chance.random() < 0.8 for _ in range(count)], 512),
    Fate("torn at 4096", lambda chance, count: [chance.random() < 0.8 for _ in range(count)], 4096),
)


def _but(chance: random.Random, count: int) -> list[bool]:
    lost = chance.randrange(count) if count else 0
    return [number != lost for number in range(count)]


@dataclass
class Disk:
    """The files below one folder while their program runs."""

    root: str
    names: dict[str, Inode] = field(default_factory=dict)
    synced: dict[str, Inode] = field(default_factory=dict)
    waiting: list[tuple[str, dict[str, Inode | None]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in (self.root, f"{self.root}/keys"):
            self.names[folder] = self.synced[folder] = Inode(folder=True)

    def do(self, op: Op) -> None:
        if isinstance(op, Write | Truncate):
            self.names[op.path].pending.append(op)
        elif isinstance(op, Names):
            changed = {
                name: None if source == "" else Inode(folder=source == "/") if source in "+/" else self.names[source]
                for name, source in op.to
            }
            self.waiting.append((str(Path(op.to[0][0]).parent), changed))
            _rename(self.names, changed)
        elif isinstance(op, Sync):
            inode = self.names[op.path]
            if inode.folder:
                for folder, changed in self.waiting:
                    if folder == op.path:
                        _rename(self.synced, changed)
                self.waiting = [each for each in self.waiting if each[0] != op.path]
            else:
                for each in inode.pending:
                    _apply(inode.durable, each, None, 0)
                inode.pending.clear()

    def after_a_cut(self, fate: Fate, chance: random.Random) -> dict[str, bytes | None]:
        """Path → content, or None for a folder. What lies below a lost folder is lost."""
        names = dict(self.synced)
        for kept, (_, changed) in zip(fate.kept(chance, len(self.waiting)), self.waiting, strict=True):
            if kept:
                _rename(names, changed)
        found: dict[str, bytes | None] = {}
        for path, inode in sorted(names.items()):
            if path != self.root and str(Path(path).parent) not in found:
                continue
            content = bytearray(inode.durable)
            for kept, each in zip(fate.kept(chance, len(inode.pending)), inode.pending, strict=True):
                if kept:
                    _apply(content, each, chance, fate.sector)
            found[path] = None if inode.folder else bytes(content)
        return found


def _rename(names: dict[str, Inode], changed: dict[str, Inode | None]) -> None:
    for name, inode in changed.items():
        if inode is None:
            names.pop(name, None)
        else:
            names[name] = inode


def _apply(content: bytearray, op: Write | Truncate, chance: random.Random | None, sector: int) -> None:
    if isinstance(op, Truncate):
        content[op.size :] = bytes(max(0, op.size - len(content)))
        return
    at, end = op.at, op.at + len(op.data)
    while at < end:
        upto = min(end, (at // sector + 1) * sector) if sector else end
        if chance is None or not sector or chance.random() < 0.6:
            content.extend(bytes(max(0, upto - len(content))))
            content[at:upto] = op.data[at - op.at : upto - op.at]
        at = upto


@dataclass(frozen=True, slots=True)
class Cut:
    """One replay: what the disk holds, what was said before the power went."""

    at: int
    fate: str
    files: dict[str, bytes | None]
    said: tuple[tuple[str, ...], ...]

    def lay_out(self, root: str, to: Path) -> None:
        to.mkdir()
        for path, content in self.files.items():
            place = to / Path(path).relative_to(root)
            if content is None:
                place.mkdir(mode=0o700, exist_ok=True)
            else:
                place.write_bytes(content)
                place.chmod(0o600)


def cuts(ops: Sequence[Op], root: Path, *, upto: int, chance: random.Random, first: int = 0) -> Iterator[Cut]:
    """About `upto` cuts, spread evenly over `ops` from `first` on; one at the end is always among them."""
    disk = Disk(str(root))
    said: list[tuple[str, ...]] = []
    points = len(ops) - first
    turn = 0
    for number, op in enumerate(ops):
        disk.do(op)
        if isinstance(op, Said):
            said.append(op.words)
        if number < first:
            continue
        here = (number - first + 1) * upto // points - (number - first) * upto // points
        for _ in range(len(FATES) if number == len(ops) - 1 else here):
            # A few of what the fates are turn by turn, so that each of them meets each kind of operation.
            fate = FATES[turn % len(FATES)] if here < len(FATES) else FATES[chance.randrange(len(FATES))]
            turn += 1
            yield Cut(number, fate.name, disk.after_a_cut(fate, chance), tuple(said))
