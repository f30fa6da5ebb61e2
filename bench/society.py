"""What the society's own parts cost, beside the turn and its peers in one run. `python -m bench.society --help`

The turn itself, its peers and its bars are those of `bench.overhead`, measured in lockstep with two more of ours: a turn
whose every event an observer hears (`observed`), and one that argues two rounds with ALFRED's word between them (`argued`,
eight calls instead of five). Then, over an image with so many turns: reading all series, folding them, `why`, and the
measure of character of one contribution; and whether the turns that were folded are still told truly. Not measured:
inference, and what a judge makes of probes.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

from a4ps.events import Event, Observer, Subject
from a4ps.kernel.why import why
from a4ps.personas.character import distance
from a4ps.personas.roster import shipped_codices
from bench import ours, overhead
from bench.machine import machine
from bench.meter import TakeTurn
from bench.overhead import Contender
from bench.peer_env import prepare
from bench.texts import TurnText, turn_text
from bench.verdict import Verdict

OBSERVED = Contender("a4ps-observed", "A4PS, every event heard by an observer", "bench.society:observed")
ARGUED = Contender("a4ps-argued", "A4PS, two rounds with ALFRED's word, 8 calls", "bench.society:argued")

#: What is read often (a window's figures) may take this long, in ms.
READING_MS = 50.0


class Counting(Observer):
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    def update(self, event: Event, data: object) -> None:
        del event, data
        self.heard += 1


@asynccontextmanager
async def observed(home: Path) -> AsyncIterator[TakeTurn]:
    """Whole turns, each word of which is told to an observer."""
    async with ours.opened(home) as mine:
        mine.kernel.bus = Subject()
        mine.kernel.bus.attach(Counting())
        try:
            yield ours.asking(mine)
        finally:
            mine.kernel.bus.close()


@asynccontextmanager
async def argued(home: Path) -> AsyncIterator[TakeTurn]:
    """Turns in which ROBIN disagrees twice."""
    async with ours.opened(home) as mine:
        mine.script.stance = "disagree"

        async def take(text: TurnText) -> None:
            mine.script.text = text
            answered = await mine.kernel.ask(text.question, ours.ignore)
            assert len(answered.reply.contributions) == 8
            mine.engine.requests.clear()

        yield take


async def weigh_reading(turns: int) -> list[Verdict]:
    """What it takes to read the figures and reasons of an image with so many turns."""
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as folder:
        async with ours.opened(Path(folder)) as mine:
            kernel = mine.kernel
            take = ours.asking(mine)
            for number in range(1, turns + 1):
                await take(turn_text(number))
            read = kernel.series.read()
            told = sum(point.count for point in read["dissonance"])
            codex = shipped_codices()["BRICK"]
            text = turn_text(1).thesis
            began = time.perf_counter()
            await kernel.series.fold()
            fold_ms = (time.perf_counter() - began) * 1000
            reading_ms = _median_ms(kernel.series.read)
            why_ms = _median_ms(lambda: why(kernel.records, str(turns)))
            character_ms = _median_ms(lambda: distance("BRICK", codex, text))
    return [
        Verdict("turns that the series of dissonance tells of", told, ">=", turns),
        Verdict("reading all series, ms", reading_ms, "<=", READING_MS),
        Verdict("folding them, ms (one turn in 64)", fold_ms, "<=", READING_MS),
        Verdict("why, ms", why_ms, "<=", READING_MS),
        Verdict(f"character of a contribution of {len(text.split())} words, ms", character_ms, "<=", 0.2),
    ]


def _median_ms(work: Callable[[], object]) -> float:
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        work()
        taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print tables and verdicts, or one JSON object. No gate: it exits with 0."""
    chosen = overhead.parse(arguments, "bench.society", "What the society's own parts cost.")
    about = machine()
    peers = overhead.peers_named(chosen.peers)
    failed = prepare(chosen.peer_env, overhead.PEERS_FILE) if any(peer.own_environment for peer in peers) else ""
    rows, paired = overhead.measure_all(
        peers, chosen.turns, chosen.rounds, chosen.peer_env, failed, besides=(OBSERVED, ARGUED)
    )
    prompts = asyncio.run(ours.weigh_prompts())
    turn = overhead.judge(rows, paired, prompts)
    reading = asyncio.run(weigh_reading(chosen.turns))
    if chosen.json:
        print(
            json.dumps(
                {
                    "machine": about,
                    "rows": [asdict(row) for row in rows],
                    "paired": asdict(paired),
                    "turn": [asdict(verdict) for verdict in turn],
                    "reading": [{**asdict(verdict), "meets": verdict.meets} for verdict in reading],
                },
                indent=2,
            )
        )
        return
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    print("\n".join(overhead.report(rows, prompts, turn, chosen.turns)))
    print(f"\nfigures and reasons, over {chosen.turns} turns")
    print("\n".join(map(str, reading)))


if __name__ == "__main__":
    main()
