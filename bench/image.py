"""What the live image costs: ours beside its peers, in one run. `python -m bench.image --help`

Commits (`image_commits.py`), reading and cloning (`image_reading.py`), saving, loading and opening (`image_files.py`).
Ours and its peers take turns, so that whatever else the machine does meets all of them alike; ratios are medians over
turns taken side by side. CPU time is that of the process with all its threads. Not measured: memory, checking deeply,
methods. It is no gate: it says what it found and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.image_commits import THREADS, Block, Commits, Syncs, count_syncs, measure_commits
from bench.image_files import KINDS, Chain, Opening, Saving, measure_chain, measure_opening, measure_saving
from bench.image_reading import Clones, Reads, measure_clones, measure_reads
from bench.lockstep import REPOSITORY
from bench.machine import machine
from bench.peer_env import prepare, python_of
from bench.verdict import Verdict

PEERS_FILE = REPOSITORY / "bench" / "peers-image.txt"


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int
    block: int
    each: int
    reading_s: float
    clones: int
    objects: int
    saves: int
    chain: int
    protos: int
    changes: int
    openings: int


FULL = Sizes(10, 50, 16, 4.0, 15, 100_000, 3, 10_000, 1000, 100_000, 5)
QUICK = Sizes(4, 20, 6, 0.7, 5, 5_000, 2, 10_000, 100, 2_000, 3)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was measured."""

    commits: Commits
    syncs: Syncs
    syncs_threads: Syncs
    reads: Reads
    clones: Clones
    savings: tuple[Saving, ...]
    chain: Chain
    opening: Opening


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the tables and the verdicts, or one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.image", description="What the live image costs.")
    parser.add_argument("--quick", action="store_true", help="small sizes: seconds, and rough")
    parser.add_argument("--no-zodb", action="store_true", help="leave ZODB out, and its environment")
    parser.add_argument(
        "--peer-env",
        type=Path,
        default=REPOSITORY / ".venv-peers-image",
        metavar="DIR",
        help="environment for ZODB, made from bench/peers-image.txt where absent: 60 MB (default .venv-peers-image)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    about = machine()
    if not chosen.json:
        print("  ".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    failed = "it was left out" if chosen.no_zodb else prepare(chosen.peer_env, PEERS_FILE)
    found = measure(QUICK if chosen.quick else FULL, python_of(chosen.peer_env), failed)
    verdicts = judge(found)
    if chosen.json:
        told: dict[str, Any] = {"machine": about, **asdict(found)}
        told["verdicts"] = [{**asdict(verdict), "meets": verdict.meets} for verdict in verdicts]
        print(json.dumps(told, indent=2))
    else:
        print("\n".join([*report(found), "", *map(str, verdicts)]))


def measure(sizes: Sizes, zodb_python: Path, zodb_failed: str) -> Found:
    """Everything, one thing after the other."""
    return Found(
        measure_commits(sizes.rounds, sizes.block, sizes.each, zodb_python, zodb_failed),
        count_syncs(1, 100),
        count_syncs(THREADS, sizes.each),
        measure_reads(sizes.reading_s),
        measure_clones(sizes.clones),
        tuple(measure_saving(kind, sizes.objects, sizes.saves) for kind in KINDS),
        measure_chain(sizes.chain),
        measure_opening(sizes.protos, sizes.changes, sizes.openings),
    )


def judge(found: Found) -> list[Verdict]:
    """The bars of the issue, in its order."""
    commits, syncs, many = found.commits, found.syncs, found.syncs_threads
    zodb = _paired(commits.zodb, commits.ours) if commits.zodb else None
    many_zodb = _paired(commits.zodb_threads, commits.ours_threads) if commits.zodb_threads else None
    opened = statistics.median(found.opening.seconds)
    verdicts = [
        Verdict(
            "commit: log syncs each", None if syncs.failed else syncs.log / syncs.commits, "<=", 1, _syncs_words(syncs)
        ),
        Verdict("commit: ms of CPU", _median(commits.ours, "cpu"), "<=", 0.4),
        Verdict("commit: wall, times raw SQLite", _paired(commits.ours, commits.raw), "<=", 1.5),
        Verdict("commit: rate, times ZODB's", zodb, ">=", 2, commits.zodb_failed),
        Verdict(
            f"{THREADS} threads: syncs a commit, all files",
            None if many.failed else (many.log + many.others) / many.commits,
            "<=",
            1 / 16,
            _syncs_words(many),
        ),
        Verdict(f"{THREADS} threads: ms of CPU a commit", _median(commits.ours_threads, "cpu"), "<=", 0.12),
        Verdict(f"{THREADS} threads: rate, times one thread's", _paired(commits.ours, commits.ours_threads), ">=", 3),
        Verdict(f"{THREADS} threads: rate, times ZODB's with as many", many_zodb, ">=", 2, commits.zodb_failed),
        Verdict("read under swaps, times dict.get", found.reads.ratio, "<=", 3),
        Verdict("... its p99.9", found.reads.current_p999_ns / found.reads.get_p999_ns, "<=", 1.5),
        Verdict("clone of a handle, times faster than deepcopy", found.clones.handle_ratio, ">=", 3),
        Verdict("clone of a read draft, times faster than deepcopy", found.clones.draft_ratio, ">=", 3),
    ]
    for saving in found.savings:
        many_objects = f"{saving.objects:,} {saving.kind}"
        verdicts += [
            Verdict(f"save {many_objects}, times pickle 5", saving.save_ratios["pickle"], "<=", 2),
            Verdict(f"load {many_objects}, times pickle 5", saving.load_ratios["pickle"], "<=", 2),
            # dill loads with the C unpickler of pickle, so only both ways together can be several times faster than dill.
            Verdict(f"save + load {many_objects}, times faster than dill", 1 / saving.both_ratios["dill"], ">=", 4),
        ]
    chain = found.chain
    verdicts += [
        Verdict(f"chain of {chain.length:,} linked records comes back", float(chain.whole), ">=", 1),
        Verdict(
            f"open {found.opening.protos:,} Protos, {found.opening.changes:,} changes, to first read: s",
            opened,
            "<=",
            0.3,
        ),
    ]
    return verdicts


def report(found: Found) -> list[str]:
    """The tables for people."""
    commits, reads, clones, opening = found.commits, found.reads, found.clones, found.opening
    lines = [
        "",
        f"{f'one change of a Proto of {commits.record_bytes} bytes ({commits.stored_bytes} stored)':50}"
        "    CPU ms   wall ms  commits/s",
        _commits_line("A4PS, one thread", commits.ours),
        _commits_line("raw SQLite, WAL, FULL, the stored bytes", commits.raw),
        _commits_line(f"ZODB {commits.zodb_version}, FileStorage", commits.zodb)
        if commits.zodb
        else f"{'ZODB, FileStorage':50} not measured: {commits.zodb_failed}",
        _commits_line(f"A4PS, {THREADS} threads", commits.ours_threads),
        *([_commits_line(f"ZODB, {THREADS} threads", commits.zodb_threads)] if commits.zodb_threads else []),
        "",
        f"a read while two threads swap ({reads.swaps:,} swaps)           ns    p99.9 ns",
        f"{'handle.current':46} {reads.current_ns:9.1f} {reads.current_p999_ns:11.0f}",
        f"{'dict.get':46} {reads.get_ns:9.1f} {reads.get_p999_ns:11.0f}",
        "",
        "a clone with 1,000 state entries                       ms  faster than deepcopy",
        f"{'handle.clone()':46} {clones.handle_ms:9.3f} {clones.handle_ratio:10.1f}",
        f"{'handle.clone(), then every entry read':46} {clones.handle_read_ms:9.3f} {clones.handle_read_ratio:10.1f}",
        f"{'draft.clone(), every entry read before':46} {clones.draft_ms:9.3f} {clones.draft_ratio:10.1f}",
        f"{'copy.deepcopy':46} {clones.deepcopy_ms:9.3f}",
    ]
    for saving in found.savings:
        lines += ["", f"{f'{saving.objects:,} {saving.kind}, synced file':46}    save s    load s        kB"]
        lines += [
            f"{each:46} {saving.save[each]:9.3f} {saving.load[each]:9.3f} {saving.file_bytes[each] / 1000:9,.0f}"
            for each in saving.save
        ]
    chain = found.chain
    opened = ", ".join(f"{seconds:.3f}" for seconds in opening.seconds)
    return [
        *lines,
        "",
        f"chain of {chain.length:,} linked records: ours {'whole' if chain.whole else 'BROKEN'} in {chain.seconds:.2f} s, "
        f"pickle 5: {chain.pickle}",
        f"opening {opening.protos:,} Protos with {opening.changes:,} changes ({opening.file_bytes / 1e6:.0f} MB, built in "
        f"{opening.build_seconds:.0f} s{', page cache dropped' if opening.cold else ''}): {opened} s",
    ]


def _commits_line(title: str, blocks: Sequence[Block]) -> str:
    return f"{title:50} {_median(blocks, 'cpu'):9.3f} {_median(blocks, 'wall'):9.3f} {_median(blocks, 'rate'):10,.0f}"


def _median(blocks: Sequence[Block], figure: str) -> float:
    return float(statistics.median(getattr(block, figure) for block in blocks))


def _paired(blocks: Sequence[Block], others: Sequence[Block]) -> float:
    """The wall time of `blocks` over that of `others`, side by side."""
    return statistics.median(one.wall / other.wall for one, other in zip(blocks, others, strict=False))


def _syncs_words(syncs: Syncs) -> str:
    if syncs.failed:
        return syncs.failed
    per_sync = syncs.commits / max(1, syncs.log)
    return f"{syncs.log} of the log, {syncs.others} others, {syncs.commits} commits: {per_sync:.1f} a sync"


if __name__ == "__main__":
    main()
