"""What the worker's pipe costs: the embedded engine beside bare xllamacpp in one process. `python -m bench.llamacpp_pipe`

Both answer the same requests with the same model, one after the other, each in turn, so that whatever else the machine
does meets both alike; the verdicts are medians over pairs. Two figures: how long until the first token of a short question,
and how many tokens a second of a long reply under a grammar, from its first token to its end.

The model is the tiny one of the tests, which is the hardest case: it makes thousands of tokens a second where one of 4 GB
makes thirty, while what the pipe costs for each token stays the same. Where others use the processors, tokens a second
say little; processor time a token, of all processes together, says what the pipe costs all the same. The bare engine has
a process of its own, as xllamacpp keeps a thread running. Not measured: loading. It is no gate: it says what it found and
exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from a4ps.inference.control_tokens import ControlTokens
from a4ps.inference.engine import ChatRequest, Finished, Message, Text
from a4ps.inference.llamacpp import ALL_LAYERS, LlamaCppEngine
from a4ps.inference.llamacpp_chat import chat_body
from a4ps.inference.llamacpp_wire import Load, Speak
from a4ps.inference.llamacpp_worker import model_params
from bench.lockstep import REPOSITORY
from bench.machine import machine
from bench.verdict import Verdict

MODEL = REPOSITORY / "tests" / "data" / "models" / "tiny.gguf"
FIRST_MS = 5.0
LOSS_PERCENT = 2.0
NUM_CTX = 8192
QUESTION = "Count to 10."
NUMBERS = 700
LONG: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 0, "maximum": 99},
    "minItems": NUMBERS,
    "maxItems": NUMBERS,
}


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply: ms to its first text, tokens of it, seconds from the first text to the end.

    `cpu_s` is the processor time of the process that infers, `extra_cpu_s` that of another one that listens.
    """

    first_ms: float
    tokens: int
    rest_s: float
    cpu_s: float = 0.0
    extra_cpu_s: float = 0.0

    @property
    def rate(self) -> float:
        """Tokens a second after the first."""
        return (self.tokens - 1) / self.rest_s

    @property
    def cpu_us(self) -> float:
        """Processor time a token, in microseconds, everywhere."""
        return 1e6 * (self.cpu_s + self.extra_cpu_s) / self.tokens


@dataclass(frozen=True, slots=True)
class Found:
    """Replies of both, pair by pair."""

    bare_short: list[Reply]
    ours_short: list[Reply]
    bare_long: list[Reply]
    ours_long: list[Reply]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the figures and the verdicts, or one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.llamacpp_pipe", description="What the worker's pipe costs.")
    parser.add_argument("--short", type=int, default=60, help="short replies of each (default 60)")
    parser.add_argument("--long", type=int, default=20, help="long replies of each (default 20)")
    parser.add_argument("--model", type=Path, default=MODEL, help="a GGUF file (default the tests' tiny model)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    model = chosen.model.absolute()
    if chosen.bare:
        serve_bare(model)
        return
    about = machine()
    found = asyncio.run(measure(model, chosen.short, chosen.long))
    verdicts = judge(found)
    if chosen.json:
        told = {"machine": about, **asdict(found)}
        told["verdicts"] = [{**asdict(verdict), "meets": verdict.meets} for verdict in verdicts]
        print(json.dumps(told, indent=2))
    else:
        print("  ".join(f"{name}: {value}" for name, value in about.items()))
        print("\n".join([*report(found), "", *map(str, verdicts)]))


async def measure(model: Path, short: int, long: int) -> Found:
    """Both, in pairs; the first of each kind is not counted."""
    found = Found([], [], [], [])
    engine = LlamaCppEngine(model.parent, threads=1)
    with _start_bare(model) as peer:
        try:
            for kind, count, bare, ours in (
                ("short", short, found.bare_short, found.ours_short),
                ("long", long, found.bare_long, found.ours_long),
            ):
                for number in range(count + 1):
                    pair = _ask_bare(peer, kind), await _ask_ours(engine, model, kind)
                    if number:
                        bare.append(pair[0])
                        ours.append(pair[1])
        finally:
            if peer.stdin is not None:
                peer.stdin.close()
            await engine.aclose()
    return found


def _speak(kind: str) -> Speak:
    return Speak(
        call=1,
        messages=(("user", QUESTION),),
        lora=-1,
        schema=json.dumps(LONG) if kind == "long" else "",
        think=False,
        think_tokens=1,
        max_tokens=NUM_CTX,
        num_ctx=NUM_CTX,
        temperature=0.0,
        seed=1,
    )


async def _ask_ours(engine: LlamaCppEngine, model: Path, kind: str) -> Reply:
    request = ChatRequest(
        model=str(model),
        messages=(Message("user", QUESTION),),
        persona="",
        step="",
        schema=LONG if kind == "long" else None,
        num_ctx=NUM_CTX,
        max_tokens=NUM_CTX,
        temperature=0.0,
        seed=1,
    )
    own = time.process_time()
    theirs = sum(map(cpu_s, engine.worker_pids))
    begun = first = time.perf_counter()
    tokens = 0
    async with aclosing(engine.stream(request)) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Text) and first == begun:
                first = time.perf_counter()
            elif isinstance(chunk, Finished):
                tokens = chunk.completion_tokens
    rest_s = time.perf_counter() - first
    theirs = sum(map(cpu_s, engine.worker_pids)) - theirs
    return Reply((first - begun) * 1000, tokens, rest_s, theirs, time.process_time() - own)


def _start_bare(model: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench.llamacpp_pipe", "--bare", "--model", str(model)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # like the worker: Linux shares a busy processor out by sessions
    )


def _ask_bare(peer: subprocess.Popen[str], kind: str) -> Reply:
    assert peer.stdin is not None
    assert peer.stdout is not None
    began = cpu_s(peer.pid)
    peer.stdin.write(kind + "\n")
    peer.stdin.flush()
    reply = Reply(**json.loads(peer.stdout.readline()))
    return replace(reply, cpu_s=cpu_s(peer.pid) - began)


def cpu_s(pid: int) -> float:
    """Processor time of all threads that a process has now."""
    stats = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(stat.read_text(encoding="ascii").split()[0]) for stat in stats) / 1e9


def serve_bare(model: Path) -> None:
    """The peer: xllamacpp with nothing around it, asked by lines on stdin. Ended by the end of stdin."""
    # In a thread of its own, as in the worker.
    serving = threading.Thread(target=_answer_lines, args=(model,))
    serving.start()
    serving.join()
    os._exit(0)  # deleting the server could hang


def _answer_lines(model: Path) -> None:
    import xllamacpp

    load = Load(str(model), (), False, NUM_CTX, threads=1, gpu_layers=ALL_LAYERS, memory_bytes=0, nice=0)
    params = model_params(xllamacpp, load, secrets.token_hex())
    params.hostnames = ["127.0.0.1"]
    server = xllamacpp.Server(params)
    for line in sys.stdin:
        print(json.dumps(asdict(_ask_server(server, line.strip()))), flush=True)
    os._exit(0)


def _ask_server(server: Any, kind: str) -> Reply:
    # What the engine adds for its own sake is left out.
    body = chat_body(_speak(kind), loras=0, thinker=False, marks=ControlTokens())
    del body["return_progress"], body["lora"]
    firsts: list[float] = []
    tokens: list[int] = []

    def hear(chunk: Mapping[str, Any]) -> bool:
        if not chunk["choices"]:
            tokens.append(chunk["usage"]["completion_tokens"])
        elif not firsts and chunk["choices"][0]["delta"].get("content"):
            firsts.append(time.perf_counter())
        return False

    begun = time.perf_counter()
    server.handle_chat_completions(body, hear)
    return Reply((firsts[0] - begun) * 1000, tokens[0], time.perf_counter() - firsts[0])


def judge(found: Found) -> list[Verdict]:
    """The two bars, over pairs."""
    later = [mine.first_ms - bare.first_ms for bare, mine in zip(found.bare_short, found.ours_short, strict=True)]
    pairs = list(zip(found.bare_long, found.ours_long, strict=True))
    dearer = [100 * (mine.cpu_us / bare.cpu_us - 1) for bare, mine in pairs]
    lost = [100 * (1 - mine.rate / bare.rate) for bare, mine in pairs]
    return [
        Verdict("the first token comes later by, ms", statistics.median(later), "<=", FIRST_MS),
        Verdict("tokens a second lost, percent", statistics.median(lost), "<=", LOSS_PERCENT),
        Verdict("more CPU a token, both processes, percent", statistics.median(dearer), "<=", LOSS_PERCENT),
    ]


def report(found: Found) -> list[str]:
    """The lines for people: ours, the bare engine's, the ratio."""
    rows = (
        ("ms to the first token", [r.first_ms for r in found.bare_short], [r.first_ms for r in found.ours_short]),
        ("us of CPU a token", [r.cpu_us for r in found.bare_long], [r.cpu_us for r in found.ours_long]),
        ("tokens a second", [r.rate for r in found.bare_long], [r.rate for r in found.ours_long]),
    )
    lines = [
        f"{len(found.bare_short)} short and {len(found.bare_long)} long replies of {found.ours_long[0].tokens} tokens",
        f"{'':24} {'bare':>9} {'ours':>9}  ours / bare (quartiles of pairs)",
    ]
    for name, bare, mine in rows:
        ratios = sorted(one / other for one, other in zip(mine, bare, strict=True))
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(
            f"{name:24} {statistics.median(bare):9.2f} {statistics.median(mine):9.2f}  {middle:.3f} ({low:.3f}-{high:.3f})"
        )
    return lines


if __name__ == "__main__":
    main()
