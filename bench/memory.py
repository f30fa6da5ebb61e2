"""What finding a memory costs, beside what else searches vectors. `python -m bench.memory`

An image with as many memories as asked for, texts and vectors (`memory_data.py`). Then, each in a process of its own: the
index is made from the image; memories are searched by vectors, by words, and by both as a turn does it; memories are added
while an event loop is watched; and the peers search the same vectors for the same questions: hnswlib and faiss, which hold
everything in memory, and LanceDB by itself, with its own index and without. A peer that is not installed is left out and
said so. It is no gate: it says what it found and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from bench.machine import machine
from bench.memory_data import questions_of, texts_of, truth_of, vectors_of
from bench.verdict import Verdict

PEERS = {
    "hnsw": "hnswlib",
    "faiss_ivf": "faiss",
    "lance_ivf": "LanceDB bare, IVF_SQ",
    "lance_flat": "LanceDB bare, flat",
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__.partition("\n")[0])
    parser.add_argument("--memories", type=int, default=100_000, help="how many (100,000)")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument("--json", action="store_true", help="one object in place of the table")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as name:
        folder = Path(name)
        _lay_out(folder, given.memories)
        roles = ["fill", "rebuild", "serve", "add", *(() if given.no_peers else PEERS)]
        found = {role: _run(role, folder) for role in roles}
    verdicts = judge(found, given.memories)
    if given.json:
        print(json.dumps({"machine": machine(), "found": found, "verdicts": [str(verdict) for verdict in verdicts]}))
    else:
        _tell(found, given.memories, verdicts)


def judge(found: dict[str, dict[str, Any]], memories: int) -> list[Verdict]:
    """The bars of issue 6, for what was found."""
    serve, add, rebuild = found["serve"], found["add"], found["rebuild"]
    whole = memories >= 100_000

    def value(of: dict[str, Any], name: str) -> float | None:
        return of.get(name) if whole else None

    hybrid = median(serve["hybrid_ms"]) if "hybrid_ms" in serve and whole else None
    late = _percentile(add["adding_ms"], 99.9) if "adding_ms" in add else None
    rate = rebuild["rows"] / rebuild["flat_s"] if "rows" in rebuild else None
    p95 = f"p95 {_percentile(serve['hybrid_ms'], 95):.1f} ms" if "hybrid_ms" in serve else ""
    still = (
        f"{_percentile(add['still_ms'], 99.9):.1f} without adding; longest {max(add['adding_ms']):.1f}" if late else ""
    )
    with_ivf = f"{rebuild['rows'] / rebuild['ivf_s']:,.0f} with the index over it" if rate else ""
    return [
        Verdict("recall@10 of our index", value(serve, "recall"), ">=", 0.95),
        Verdict("a whole hybrid query, median, ms", hybrid, "<=", 10, p95),
        Verdict("resident memory of the process that answers, MB", value(serve, "resident_mb"), "<=", 350),
        Verdict("how late the loop is while adding, p99.9, ms", late, "<=", 5, still),
        Verdict("vectors from the image into the index, a second", rate, ">=", 5_000, with_ivf),
    ]


def _lay_out(folder: Path, memories: int) -> None:
    vectors = vectors_of(memories)
    questions, queries = questions_of(list(texts_of(memories)), vectors)
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    (folder / "questions.json").write_text(json.dumps(questions))
    (folder / "truth.json").write_text(json.dumps(truth_of(queries, vectors)))


def _run(role: str, folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.memory_roles", role, str(folder)], capture_output=True, text=True
    )
    if done.returncode == 0:
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer
    last = done.stderr.strip().splitlines()
    missing = "ModuleNotFoundError" in done.stderr
    return {"left_out": "not installed" if missing else last[-1] if last else f"ended with {done.returncode}"}


def _percentile(values: Sequence[float], percent: float) -> float:
    return float(np.percentile(values, percent))


def _tell(found: dict[str, dict[str, Any]], memories: int, verdicts: Sequence[Verdict]) -> None:
    print("\n".join(f"{name:8} {value}" for name, value in machine().items()))
    print(f"\n{memories:,} memories of 60 words, vectors of 384 in overlapping clusters; 200 questions\n")
    print(f"{'':24}{'recall@10':>10}{'median ms':>11}{'p95 ms':>9}{'build s':>9}{'MB':>7}")
    serve, rebuild = found["serve"], found["rebuild"]
    if "recall" in serve:
        _line(
            "ours, vectors alone",
            serve,
            serve["near_ms"],
            rebuild.get("ivf_s"),
            f"{rebuild.get('probes')} probes, tuned",
        )
        for name, key in (("ours, full text alone", "words_ms"), ("ours, hybrid", "hybrid_ms")):
            print(f"{name:24}{'':>10}{median(serve[key]):>11.2f}{_percentile(serve[key], 95):>9.2f}")
        print(f"{'ours, opening':24}{'':>10}{serve['opening_s'] * 1000:>11.0f}  with LanceDB's import")
    for role, name in PEERS.items():
        if role in found and "left_out" in found[role]:
            print(f"{name:24}left out: {found[role]['left_out']}")
        elif role in found:
            _line(name, found[role], found[role]["near_ms"], found[role]["build_s"], found[role]["how"])
    for role in ("fill", "rebuild", "serve", "add"):
        if "left_out" in found[role]:
            print(f"{role} failed: {found[role]['left_out']}")
    print("\nMB: the process that answers; of hnswlib and faiss what the index added to it.\n")
    print("\n".join(map(str, verdicts)))


def _line(name: str, found: dict[str, Any], taken: Sequence[float], build_s: float | None, how: str) -> None:
    figures = f"{found['recall']:>10.3f}{median(taken):>11.2f}{_percentile(taken, 95):>9.2f}"
    print(f"{name:24}{figures}{build_s or 0:>9.1f}{found['resident_mb']:>7.0f}  {how}")


if __name__ == "__main__":
    main()
