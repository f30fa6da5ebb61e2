"""What a sandboxed call costs, beside what else could run the code. `python -m bench.sandbox`

One trivial function is called: by a new Python process without any sandbox, by the same in a bubblewrap (never as root:
there as an unprivileged user, if a Python can be found for him), by a new runsc on the executor's own bundle, by our
executor without a pool, and by ours with one. The contenders take turns, so that whatever else the machine does meets
all alike. Then a burst of calls through a pool, calls as fast as they go, and runs that overrun their time.

Warm calls are spaced, so that each finds a sandbox ready, as single calls of a person's do; how many a second can be
sustained, where starting sandboxes is the bound, stands beside. It is no gate: it says what it found and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from a4ps.errors import A4PSError
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.sandbox.folders import SessionFolder
from a4ps.sandbox.layout import lay_out
from a4ps.sandbox.limits import DEFAULT
from a4ps.sandbox.policy import NOBODY
from a4ps.sandbox.process import SandboxProcess
from a4ps.sandbox.tiers import need_tier
from bench.machine import machine
from bench.verdict import Verdict

SOURCE = "def double(x):\n    return 2 * x\n"
PROGRAM = "print(2 * 21)"
WARM_P50_MS, WARM_P95_MS, COLD_MS = 3.0, 15.0, 400.0
BURST, BURST_POOL = 50, 4
TIMEOUT_S, LATE_S = 1.0, 0.5
#: Between warm calls, beside waiting until the pool is full again.
SPACE_S = 0.05


@dataclass(slots=True)
class Found:
    """Milliseconds of each call, by contender, and the rest."""

    tier: str = ""
    calls: dict[str, list[float]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    burst_errors: int = 0
    burst_s: float = 0.0
    sustained_per_s: float = 0.0
    late_s: list[float] = field(default_factory=list)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the figures and the verdicts, or one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.sandbox", description="What a sandboxed call costs.")
    parser.add_argument("--warm", type=int, default=100, help="warm calls (default 100)")
    parser.add_argument("--cold", type=int, default=20, help="calls of each other contender (default 20)")
    parser.add_argument("--seconds", type=float, default=10, help="of calls as fast as they go (default 10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    about = machine()
    found = measure(chosen.warm, chosen.cold, chosen.seconds)
    verdicts = judge(found)
    if chosen.json:
        told = {"machine": about, **asdict(found)}
        told["verdicts"] = [{**asdict(verdict), "meets": verdict.meets} for verdict in verdicts]
        print(json.dumps(told, indent=2))
    else:
        print("  ".join(f"{name}: {value}" for name, value in about.items()))
        print("\n".join([*report(found), "", *map(str, verdicts)]))


def measure(warm: int, cold: int, seconds: float) -> Found:
    """All of it. Raises SandboxUnavailable where no sandbox works."""
    found = Found()
    with SecureCodeExecutor(pool_size=BURST_POOL) as ours, SecureCodeExecutor(pool_size=0) as without_pool:
        tier = ours.tier
        found.tier = f"{tier.name} {tier.version}"
        contenders: dict[str, Callable[[], object]] = {
            "python, no sandbox": _python,
            "bubblewrap, no limits": _bubblewrap(found),
            "runsc, cold": _bare_sandbox,
            "ours, cold": lambda: without_pool.call(SOURCE, (21,)),
        }
        ours.call(SOURCE, (21,))
        each = max(1, warm // cold)
        for _ in range(cold):
            for name, call in contenders.items():
                if name not in found.left_out:
                    found.calls.setdefault(name, []).append(_ms(call))
            # Those before left the pool full.
            for _ in range(each):
                found.calls.setdefault("ours, warm", []).append(_ms(lambda: ours.call(SOURCE, (21,))))
                _rest()
        _burst(ours, found)
        _sustain(ours, seconds, found)
        for _ in range(5):
            began = time.monotonic()
            outcome = ours.execute("while True: pass", timeout=TIMEOUT_S)
            found.late_s.append(time.monotonic() - began - TIMEOUT_S)
            assert outcome.timed_out
    return found


def _ms(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1000


def _rest() -> None:
    """Until one sandbox more has been started, or would have been on an idle machine."""
    time.sleep(SPACE_S + COLD_MS / 1000)


def _python() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-c", PROGRAM], check=True, capture_output=True)


def _bubblewrap(found: Found) -> Callable[[], object]:
    """The plain command, as its manual shows it; notes in `found` where there is none."""
    bwrap = shutil.which("bwrap")
    root = os.geteuid() == 0
    python = "/usr/bin/python3" if root else sys.executable
    if bwrap is None or not Path(python).exists():
        found.left_out["bubblewrap, no limits"] = "not installed" if bwrap is None else "no Python for another user"
        return lambda: None
    argv = [bwrap, "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--unshare-all"]
    argv += ["--die-with-parent", "--", python, "-I", "-S", "-c", PROGRAM]
    return lambda: subprocess.run(
        argv,
        check=True,
        capture_output=True,
        cwd="/",
        user=NOBODY if root else None,
        group=NOBODY if root else None,
    )


def _bare_sandbox() -> None:
    """The executor's own sandbox, started and killed with nothing called in it: what no pool can avoid."""
    session = SessionFolder()
    try:
        process = SandboxProcess(need_tier(), DEFAULT, lay_out(session.path), session.path / f"{session.path.name}-1")
        try:
            process.wait_ready(time.monotonic() + 60)
        finally:
            process.reap()
    finally:
        session.close()


def _burst(ours: SecureCodeExecutor, found: Found) -> None:
    failed: list[A4PSError] = []

    def call() -> None:
        try:
            ours.call(SOURCE, (21,), timeout=60)
        except A4PSError as error:
            failed.append(error)

    threads = [threading.Thread(target=call) for _ in range(BURST)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.burst_s, found.burst_errors = time.monotonic() - began, len(failed)


def _sustain(ours: SecureCodeExecutor, seconds: float, found: Found) -> None:
    until = time.monotonic() + seconds
    done = [0] * BURST_POOL

    def calls(which: int) -> None:
        while time.monotonic() < until:
            ours.call(SOURCE, (21,), timeout=60)
            done[which] += 1

    threads = [threading.Thread(target=calls, args=(which,)) for which in range(BURST_POOL)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found.sustained_per_s = sum(done) / (time.monotonic() - began)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that so many percent of them do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def judge(found: Found) -> list[Verdict]:
    """The bars."""
    warm, cold = found.calls["ours, warm"], found.calls["ours, cold"]
    return [
        Verdict("a warm call, p50, ms", percentile(warm, 50), "<=", WARM_P50_MS),
        Verdict("a warm call, p95, ms", percentile(warm, 95), "<=", WARM_P95_MS),
        Verdict("a cold call, p50, ms", percentile(cold, 50), "<=", COLD_MS),
        Verdict(f"errors of {BURST} calls at once, pool of {BURST_POOL}", found.burst_errors, "<=", 0),
        Verdict(f"a timeout of {TIMEOUT_S:g} s ends late by, s, worst of 5", max(found.late_s), "<=", LATE_S),
    ]


def report(found: Found) -> list[str]:
    """The lines for people: each contender's times, and how many times ours, warm."""
    ours = statistics.median(found.calls["ours, warm"])
    lines = [found.tier, f"{'ms of one call':24} {'calls':>6} {'p50':>8} {'p95':>8}  p50 / ours, warm"]
    for name, values in found.calls.items():
        middle = percentile(values, 50)
        lines.append(f"{name:24} {len(values):6} {middle:8.2f} {percentile(values, 95):8.2f}  {middle / ours:.1f}")
    lines += [f"{name:24} left out: {why}" for name, why in found.left_out.items()]
    lines.append(
        f"{BURST} calls at once: {found.burst_s:.2f} s;  sustained: {found.sustained_per_s:.1f} calls a second"
    )
    return lines


if __name__ == "__main__":
    main()
