"""What a turn costs besides the model: ours beside its peers, in one run. `python -m bench.overhead --help`

Measured: see `bench.meter` (CPU, wall, bytes left) and, for ours, `bench.ours` (calls and prompts). Every contender
runs in a process of its own on the same text, in lockstep with others (`bench.lockstep`): ours, ours with unstreamed
replies, and the bar of the verdict (stock LangGraph with a fresh thread a turn) side by side, `--rounds` times; the
other peers with one another, once. The verdict on CPU is the median of the differences of paired turns. Flatness pairs
an image that is new with one that already has its turns. Not measured: inference, memory, start-up. It is no gate: it
says what it found and exits with 0.

The bar counts LangGraph with its saver's default settings, as its documentation shows it, with five supersteps as ours.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from bench import ours
from bench.lockstep import REPOSITORY, Runner, drive
from bench.machine import machine
from bench.meter import Measured, around_ten, at_the_end
from bench.peer_env import prepare, python_of

PEERS_FILE = REPOSITORY / "bench" / "peers.txt"

#: The bars: ms of CPU over the stock peer, turn N over turn 10, bytes left over the text's bytes, prompt tokens.
MARGIN_MS = 4.0
FLATNESS = 1.2
GROWTH = 3.0
PROMPT_TOKENS = 700
#: Turns taken side by side to compare a new image with an old one; the first four are warm-up.
FLAT_TURNS = 15


@dataclass(frozen=True, slots=True)
class Contender:
    """Something measured: its name on the command line, its line in the table, where it is, and whose versions count."""

    key: str
    title: str
    open: str
    packages: tuple[str, ...] = ()
    own_environment: bool = False


OURS = Contender(
    "a4ps", "A4PS, whole turn, durable, streamed by word", "bench.ours:whole_turns", ("langgraph", "pydantic")
)
OURS_IN_ONE_PIECE = Contender(
    "a4ps-one-piece", "A4PS, replies in one piece, as the peers have it", "bench.ours:in_one_piece"
)
BAR = Contender(
    "langgraph-fresh",
    "LangGraph + AsyncSqliteSaver, 5 nodes, fresh thread a turn",
    "bench.peer_langgraph:fresh_threads",
    ("langgraph", "langgraph-checkpoint-sqlite"),
)
PEERS = (
    Contender("sqlite", "SQLite by hand, WAL, FULL, one row a turn", "bench.peer_sqlite:by_hand"),
    Contender("langgraph", "LangGraph, no checkpointer, 5 nodes", "bench.peer_langgraph:bare", ("langgraph",)),
    BAR,
    Contender(
        "langgraph-long",
        "LangGraph + AsyncSqliteSaver, 5 nodes, one long thread",
        "bench.peer_langgraph:one_thread",
        ("langgraph", "langgraph-checkpoint-sqlite"),
    ),
    Contender("agno", "agno + SqliteDb, one agent, one call", "bench.peer_agno:one_agent", ("agno",), True),
    Contender("agno-workflow", "agno + SqliteDb, workflow of 5", "bench.peer_agno:five_steps", ("agno",), True),
    Contender("crewai", "CrewAI, 4 agents, 5 tasks", "bench.peer_crewai:four_agents", ("crewai",), True),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A contender's figures, medians over its rounds; `failed` says why there are none."""

    key: str
    title: str
    versions: dict[str, str]
    failed: str = ""
    cpu_ms_10: float = 0.0
    cpu_ms_end: float = 0.0
    cpu_ms_mean: float = 0.0
    wall_ms: float = 0.0
    left_bytes: int = 0
    text_bytes: int = 0

    @property
    def growth(self) -> float:
        """Bytes left over the text's bytes."""
        return self.left_bytes / self.text_bytes


@dataclass(frozen=True, slots=True)
class Paired:
    """Medians over turns taken side by side: ours less the bar, in ms, at turn 10 and at the end; old over new image."""

    over_bar_ms_10: float | None
    over_bar_ms_end: float | None
    flatness: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """One bar: `found` against `allowed`, in words and as numbers. `meets` is None where it could not be judged."""

    about: str
    words: str
    found: float
    allowed: float
    meets: bool | None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the table and the verdicts, or one JSON object."""
    chosen = parse(arguments)
    about = machine()
    if not chosen.json:
        print("  ".join(f"{name}: {value}" for name, value in about.items()))
    peers = peers_named(chosen.peers)
    failed = prepare(chosen.peer_env, PEERS_FILE) if any(peer.own_environment for peer in peers) else ""
    rows, paired = measure_all(peers, chosen.turns, chosen.rounds, chosen.peer_env, failed)
    prompts = asyncio.run(ours.weigh_prompts())
    verdicts = judge(rows, paired, prompts)
    if chosen.json:
        found = {
            "machine": about,
            "turns": chosen.turns,
            "rounds": chosen.rounds,
            "rows": [asdict(row) for row in rows],
            "paired": asdict(paired),
            "prompts": asdict(prompts),
            "verdicts": [asdict(verdict) for verdict in verdicts],
        }
        print(json.dumps(found, indent=2))
    else:
        print("\n".join(report(rows, prompts, verdicts, chosen.turns)))


def judge(rows: Sequence[Row], paired: Paired, prompts: ours.Prompts) -> list[Verdict]:
    """The bars on time, growth and prompts, from what was measured."""
    mine = rows[0]
    if mine.failed:
        return [Verdict("turn", f"ours failed: {mine.failed}", 0.0, 0.0, None)]
    bar = next((row for row in rows if row.key == BAR.key and not row.failed), None)
    verdicts = []
    for where, found, stock, over in (
        ("turn 10", mine.cpu_ms_10, bar.cpu_ms_10 if bar else 0.0, paired.over_bar_ms_10),
        ("turn N", mine.cpu_ms_end, bar.cpu_ms_end if bar else 0.0, paired.over_bar_ms_end),
    ):
        if bar is None or over is None:
            words = f"ours {found:.1f} ms | bar: stock fresh thread was not measured"
            verdicts.append(Verdict(f"CPU at {where}", words, found, 0.0, None))
        else:
            words = (
                f"ours {found:.1f} ms | bar: stock fresh thread {stock:.1f} + {MARGIN_MS:.0f} = {stock + MARGIN_MS:.1f} | "
                f"paired turns differ by {over:+.1f} | ratio {found / stock:.2f}"
            )
            verdicts.append(Verdict(f"CPU at {where}", words, over, MARGIN_MS, over <= MARGIN_MS))
    flat = paired.flatness
    verdicts += [
        Verdict(
            "flat",
            "not measured" if flat is None else f"turn N is {flat:.2f} × turn 10 (paired) | bar {FLATNESS}",
            flat or 0.0,
            FLATNESS,
            None if flat is None else flat <= FLATNESS,
        ),
        Verdict("growth", f"{mine.growth:.2f} × the text | bar {GROWTH}", mine.growth, GROWTH, mine.growth <= GROWTH),
        Verdict("hello", f"{prompts.hello_calls} call | bar 1", prompts.hello_calls, 1.0, prompts.hello_calls == 1),
        Verdict(
            "prompts",
            f"at most {prompts.most} tokens besides quotations | bar {PROMPT_TOKENS}",
            prompts.most,
            PROMPT_TOKENS,
            prompts.most <= PROMPT_TOKENS,
        ),
    ]
    return verdicts


def report(rows: Sequence[Row], prompts: ours.Prompts, verdicts: Sequence[Verdict], turns: int) -> list[str]:
    """The lines for people."""
    mine = rows[0]
    width = max(len(row.title) for row in rows)
    lines = [
        "",
        f"a turn ({turns} turns, {mine.text_bytes / turns / 1000:.1f} kB of text each)",
        f"{'':{width}}  CPU ms @10  CPU ms @{turns:<5} wall ms     kB left  × text  CPU, ours = 1  versions",
    ]
    for row in rows:
        if row.failed:
            lines.append(f"{row.title:{width}}  not measured: {row.failed}")
            continue
        ratio = row.cpu_ms_end / mine.cpu_ms_end if not mine.failed else 0.0
        versions = ", ".join(f"{name} {version}" for name, version in row.versions.items())
        lines.append(
            f"{row.title:{width}}  {row.cpu_ms_10:10.2f}  {row.cpu_ms_end:12.2f} {row.wall_ms:8.2f}  "
            f"{row.left_bytes / 1000:10,.0f}  {row.growth:6.1f}  {ratio:13.2f}  {versions}"
        )
    lines += [
        "",
        f"calls and prompts ({ours.MEMORY_TURNS} long turns in memory, {prompts.memories} recalled, "
        f"up to {prompts.rounds} rounds; estimated tokens, most of each step)",
        f"  hello: {prompts.hello_calls} call, {prompts.hello_tokens} tokens",
        *(
            f"  {step:10} {tokens:5} besides quoted contributions, {prompts.whole_tokens[step]:5} in all"
            for step, tokens in prompts.tokens.items()
        ),
        "",
        *(f"{verdict.about}: {verdict.words} | {_judged(verdict)}" for verdict in verdicts),
    ]
    return lines


def _judged(verdict: Verdict) -> str:
    return {True: "meets", False: "MISSES", None: "not judged"}[verdict.meets]


def parse(
    arguments: Sequence[str] | None, prog: str = "bench.overhead", about: str = "What a turn costs besides the model."
) -> argparse.Namespace:
    """What is to be measured: turns, rounds, peers and their environment, and how it is to be printed."""
    parser = argparse.ArgumentParser(prog=prog, description=about)
    parser.add_argument("--turns", type=int, default=200, help="at least 20 (default 200)")
    parser.add_argument("--rounds", type=int, default=3, help="of ours and of the bar (default 3)")
    parser.add_argument(
        "--peers", default="all", help=f"all, none, or of: {','.join(peer.key for peer in PEERS)} (default all)"
    )
    parser.add_argument(
        "--peer-env",
        type=Path,
        default=REPOSITORY / ".venv-peers",
        metavar="DIR",
        help="environment for agno and CrewAI, made from bench/peers.txt where absent: 1 GB (default .venv-peers)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.turns < 20:
        parser.error("--turns must be at least 20")
    if chosen.rounds < 1:
        parser.error("--rounds must be at least 1")
    unknown = set(chosen.peers.split(",")) - {"all", "none", *(peer.key for peer in PEERS)}
    if unknown:
        parser.error(f"no such peer: {', '.join(sorted(unknown))}")
    return chosen


def peers_named(names: str) -> list[Contender]:
    """The peers of a list of their names."""
    wanted = names.split(",")
    return [peer for peer in PEERS if "all" in wanted or peer.key in wanted]


def measure_all(
    peers: Sequence[Contender],
    turns: int,
    rounds: int,
    peer_env: Path,
    failed: str,
    besides: Sequence[Contender] = (OURS_IN_ONE_PIECE,),
) -> tuple[list[Row], Paired]:
    """Ours, `besides` (further ones of ours) and the peers; `failed` says why peers with an environment have none."""
    found: dict[Contender, list[Measured | str]] = {contender: [] for contender in (OURS, *besides, *peers)}
    side_by_side = [OURS, *besides, *([BAR] if BAR in peers else [])]
    others = [peer for peer in peers if peer != BAR and not (peer.own_environment and failed)]
    for group in [side_by_side] * rounds + [others]:
        runners = [
            Runner(
                python_of(peer_env) if contender.own_environment else Path(sys.executable),
                contender.open,
                contender.packages,
            )
            for contender in group
        ]
        for contender, measured in zip(group, drive(runners, turns), strict=True):
            found[contender].append(measured)
    rows = [_row(contender, measured or [failed]) for contender, measured in found.items()]
    return rows, _paired(found[OURS], found.get(BAR, []), _young_and_old(turns, rounds))


def _young_and_old(turns: int, rounds: int) -> list[tuple[Measured, Measured]]:
    """Ours twice, side by side: turns 1 to 15 of a new image, and the last 15 of one that is to have `turns`."""
    python = Path(sys.executable)
    young = Runner(python, OURS.open)
    old = Runner(python, OURS.open, skip=max(0, turns - FLAT_TURNS))
    pairs = (drive([young, old], FLAT_TURNS) for _ in range(rounds))
    return [(one, two) for one, two in pairs if isinstance(one, Measured) and isinstance(two, Measured)]


def _paired(
    mine: Sequence[Measured | str], bar: Sequence[Measured | str], ages: Sequence[tuple[Measured, Measured]]
) -> Paired:
    pairs = [
        (one.cpu_ms, two.cpu_ms)
        for one, two in zip(mine, bar, strict=False)
        if isinstance(one, Measured) and isinstance(two, Measured)
    ]
    over = [[our - stock for our, stock in zip(one, two, strict=True)] for one, two in pairs]
    flat = [
        new_old[1] / new_old[0] for new, old in ages for new_old in zip(new.cpu_ms[4:], old.cpu_ms[4:], strict=True)
    ]
    return Paired(
        over_bar_ms_10=statistics.median(ms for one in over for ms in one[4:15]) if over else None,
        over_bar_ms_end=statistics.median(ms for one in over for ms in one[-10:]) if over else None,
        flatness=statistics.median(flat) if flat else None,
    )


def _row(contender: Contender, results: Sequence[Measured | str]) -> Row:
    rounds = [result for result in results if isinstance(result, Measured)]
    if len(rounds) < len(results):
        why = next(result for result in results if isinstance(result, str))
        return Row(contender.key, contender.title, {}, why)
    return Row(
        key=contender.key,
        title=contender.title,
        versions=rounds[0].versions,
        cpu_ms_10=statistics.median(around_ten(one.cpu_ms) for one in rounds),
        cpu_ms_end=statistics.median(at_the_end(one.cpu_ms) for one in rounds),
        cpu_ms_mean=statistics.median(statistics.fmean(one.cpu_ms[4:]) for one in rounds),
        wall_ms=statistics.median(at_the_end(one.wall_ms) for one in rounds),
        left_bytes=rounds[0].left_bytes,
        text_bytes=rounds[0].text_bytes,
    )


if __name__ == "__main__":
    main()
