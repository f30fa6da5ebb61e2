"""What sharing one card between models costs: our scheduler beside its peers. `python -m bench.residency --help`

On a simulated clock, so the figures are the same on every machine (`residency_simulated.py` says what is simulated), and
again with real, tiny models in real processes (`residency_real.py`). It is no gate: it says what it found and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.machine import machine
from bench.residency_real import Real, measure_real
from bench.residency_simulated import TURNS, Simulated, Trace, measure_simulated
from bench.verdict import Verdict

FULL, QUICK = 1000, 100
REAL_QUICK = 6
QUICKER = (
    f"{QUICK} random traces of each kind instead of {FULL}, {REAL_QUICK} turns with real models instead of {TURNS}"
)


@dataclass(frozen=True, slots=True)
class Found:
    """Everything that was measured."""

    simulated: Simulated
    real: Real


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the tables and the verdicts, or one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.residency", description="What sharing one card between models costs.")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"{QUICK} random traces of each kind instead of {FULL}, {REAL_QUICK} turns with real models instead of {TURNS}",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    about = machine()
    if not chosen.json:
        print("  ".join(f"{name}: {value}" for name, value in about.items()), flush=True)
    counts = (QUICK, REAL_QUICK) if chosen.quick else (FULL, TURNS)
    found = Found(measure_simulated(counts[0]), measure_real(counts[1]))
    verdicts = judge(found)
    if chosen.json:
        told: dict[str, Any] = {"machine": about, **asdict(found)}
        told["verdicts"] = [{**asdict(verdict), "meets": verdict.meets} for verdict in verdicts]
        print(json.dumps(told, indent=2))
    else:
        print("\n".join([*report(found), "", *map(str, verdicts)]))


def judge(found: Found) -> list[Verdict]:
    """The bars, first for what was simulated, then for what was real."""
    return [*judge_simulated(found.simulated), *judge_real(found.real)]


def judge_real(real: Real) -> list[Verdict]:
    """The same bars as on the simulated clock, where they can be measured."""
    alone, three, duo = real.trace("one at a time"), real.trace("three at once"), real.trace("duo")
    verdicts = [
        Verdict(
            "real, one turn at a time: loads over the causal floor",
            alone.ours.loads / alone.floor,
            "<=",
            1,
            f"{alone.ours.loads} loads, floor {alone.floor}",
        ),
        Verdict(
            "real, three at once: loads per three turns",
            three.per_turn(three.ours) * 3,
            "<=",
            5,
            three.beside_per_three(),
        ),
        Verdict(
            "real, three at once: loading time over sequential's",
            statistics.median(real.over_sequential),
            "<=",
            0.35,
            f"median of rounds {', '.join(f'{ratio:.2f}' for ratio in real.over_sequential)}; {three.beside('loading_s')}",
        ),
        Verdict("real, duo: loads a turn after the first load", (duo.ours.loads - 1) / duo.ours.turns, "<=", 2),
    ]
    verdicts += [
        Verdict(f"real, {title}: loads after the first", real.trace(title).ours.loads - 1, "<=", 0)
        for title in ("fast", "four LoRAs, embedded")
    ]
    return [*verdicts, Verdict("real: most memory taken, over the budget (I7)", real.memory_most, "<=", 1)]


def judge_simulated(simulated: Simulated) -> list[Verdict]:
    """The bars of the issue, in its order."""
    alone, three, duo = simulated.trace("one at a time"), simulated.trace("three at once"), simulated.trace("duo")
    staggered = simulated.trace("three, 7 s apart")
    fast, loras = simulated.trace("fast"), simulated.trace("four LoRAs, embedded")
    verdicts = [
        Verdict(
            "one turn at a time: loads over the causal floor",
            alone.ours.loads / alone.floor,
            "<=",
            1,
            f"{alone.ours.loads} loads, floor {alone.floor}; {alone.beside('loads')}",
        )
    ]
    for title, trace in (("three at once", three), ("three, 7 s apart", staggered)):
        verdicts += [
            Verdict(
                f"{title}: loads per three turns", trace.per_turn(trace.ours) * 3, "<=", 5, trace.beside_per_three()
            ),
            Verdict(
                f"{title}: loading time over sequential's",
                trace.ours.loading_s / trace.peers["sequential"].loading_s,
                "<=",
                0.35,
                trace.beside("loading_s"),
            ),
        ]
    verdicts += [
        Verdict(
            f"{each.traces:,} random traces, {each.kind}: worst loading over the least",
            each.worst_over_least,
            "<=",
            1.1,
            f"mean {each.mean_over_least['ours']:.3f}; {each.least_beside()}",
        )
        for each in simulated.random
        if each.mean_over_least and each.exclusive
    ]
    verdicts += [
        Verdict(
            f"20 turns, {trace.title}: time over first come's",
            round(trace.ours.makespan_s / trace.peers["first come"].makespan_s, 4),
            "<=",
            1.001,
            trace.beside("makespan_s"),
        )
        for trace in simulated.traces
    ]
    verdicts += [
        Verdict(
            f"{each.traces:,} random traces, {each.kind}: worst time",
            each.worst_time["first come"],
            "<=",
            1.001,
            f"over first come's: {each.worst_time['first come']:.4f}, mean {each.mean_time['first come']:.3f}, slower in "
            f"{each.slower}; "
            f"over Ollama's queue worst {each.worst_time['Ollama queue']:.3f}, mean {each.mean_time['Ollama queue']:.3f}",
        )
        for each in simulated.random
    ]
    verdicts += [
        Verdict(
            "duo: loads a turn after the first load",
            (duo.ours.loads - 1) / duo.ours.turns,
            "<=",
            2,
            duo.beside("loads"),
        ),
        Verdict("fast: loads after the first", fast.ours.loads - 1, "<=", 0, fast.beside("loads")),
        Verdict(
            "one base, four LoRAs, embedded: loads after the first",
            loras.ours.loads - 1,
            "<=",
            0,
            loras.beside("loads"),
        ),
        Verdict(
            "most switches that any waiting call was passed over (I8)",
            simulated.switches_most,
            "<=",
            simulated.switches_bound,
            "a call in the traces above, all kinds",
        ),
        Verdict("most memory taken, over the budget (I7)", simulated.memory_most, "<=", 1),
        Verdict(
            "Ollama's queue here over the recorded server: loads",
            simulated.recorded_loads_here / simulated.recorded_loads,
            "<=",
            1,
            f"ABCD x 3 one after another, one resident: {simulated.recorded_loads_here} here, "
            f"{simulated.recorded_loads} recorded",
        ),
    ]
    return verdicts


def report(found: Found) -> list[str]:
    """The tables for people."""
    lines = []
    for trace in found.simulated.traces:
        lines += ["", *_table(f"{TURNS} turns, {trace.title}", trace)]
    budget = f"{found.real.budget_bytes / 1e6:.0f} MB"
    for trace in found.real.traces:
        lines += ["", *_table(f"real, {found.real.turns} turns in {budget}, {trace.title}", trace)]
    lines += [
        "",
        f"one plan takes {found.simulated.plan_ms:.2f} ms here (mean over {found.simulated.plans:,} plans; "
        f"the longest {found.simulated.plan_most_ms:.0f})",
    ]
    return lines


def _table(title: str, trace: Trace) -> list[str]:
    lines = [f"{title:50} loads  loading s     time s  loading share  loads per turn"]
    for name, run in {"A4PS": trace.ours, **trace.peers}.items():
        lines.append(
            f"{name:50} {run.loads:5} {run.loading_s:10.1f} {run.makespan_s:10.1f} "
            f"{run.loading_s / run.makespan_s:14.0%} {trace.per_turn(run):15.2f}"
        )
    return lines


if __name__ == "__main__":
    main()
