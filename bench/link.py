"""What the link between the backend and its clients costs, beside JSON over a WebSocket. `python -m bench.link`

The backend is a process of its own with the real server over an image in an empty folder; clients are processes too, and
use the real client. The peer is the `websockets` library with JSON, in the same arrangement, on loopback: it has no
sessions, no acknowledgements and no durable events, so it does less. It is no gate: it says what it found.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from a4ps.client.client import As, Client
from a4ps.client.starting import start_backend
from a4ps.events import Event, event_bus
from a4ps.image.proto import Proto
from a4ps.kernel.backend import Backend
from a4ps.kernel.server import BackendLock, Server
from a4ps.kernel.wiring import environment
from a4ps.places import Places
from a4ps.protocol.feed import Show
from a4ps.protocol.requests.turns import Latest
from a4ps.society.progress import Token, Told
from bench.machine import machine
from bench.verdict import Verdict

ROUND_TRIP_MS, ONE_PER_S, TEN_PER_S, TOKEN_MS, RECOVERY_S = 0.5, 50_000.0, 10_000.0, 2.0, 2.0
#: Tokens of a paced stream come as a quick model gives them.
PACE_S = 0.005
SOAK_PER_S = 1_000
CODEX = {"role": "a name in a list", "model_name": "by profile", "system_prompt": "You are one of a thousand."}


@dataclass(slots=True)
class Found:
    """Milliseconds and rates by contender; what was not measured is absent."""

    round_trip_ms: dict[str, list[float]] = field(default_factory=dict)
    per_s: dict[str, float] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    token_ms: dict[str, list[float]] = field(default_factory=dict)
    recovery_s: list[float] = field(default_factory=list)
    soak_mb: tuple[float, float] | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, then print the figures and the verdicts, or one JSON object."""
    parser = argparse.ArgumentParser(prog="bench.link", description="What the link to the backend costs.")
    parser.add_argument("--calls", type=int, default=2_000, help="commands (default 2,000)")
    parser.add_argument("--events", type=int, default=200_000, help="events of a stream (default 200,000)")
    parser.add_argument("--kills", type=int, default=20, help="backends that are killed (default 20)")
    parser.add_argument(
        "--soak", type=float, default=0, metavar="S", help="seconds at 1,000 events a second (default 0)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--home", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--many", type=int, default=0, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.part:
        asyncio.run(PARTS[chosen.part](chosen.home, chosen.many))
        return
    about = machine()
    found = asyncio.run(measure(chosen.calls, chosen.events, chosen.kills, chosen.soak))
    verdicts = judge(found)
    if chosen.json:
        told = {"machine": about, **asdict(found)}
        told["verdicts"] = [{**asdict(verdict), "meets": verdict.meets} for verdict in verdicts]
        print(json.dumps(told, indent=2))
        return
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    print("\n".join([*report(found), "", *map(str, verdicts)]))


async def measure(calls: int, events: int, kills: int, soak_s: float) -> Found:
    """Everything, one after another."""
    found = Found()
    with tempfile.TemporaryDirectory(prefix="a4ps-link-") as name:
        folder = Path(name)
        os.environ.update(_environ(folder))
        places = Places.find(None, os.environ)
        for ours, peer in (("a4ps", "serve"), ("websocket", "serve-ws")):
            async with _process(peer, folder) as server:
                trip = _client("calls" if ours == "a4ps" else "calls-ws", folder, calls)
                found.round_trip_ms[ours] = (await trip)[0]["ms"]
                for clients in (1, 10):
                    part = "follow" if ours == "a4ps" else "follow-ws"
                    following = [asyncio.create_task(_client(part, folder, events)) for _ in range(clients)]
                    await _ready(folder, part, clients)
                    server.write(f"blast {events}\n".encode())
                    heard = [each[0] for each in await asyncio.gather(*following)]
                    found.per_s[f"{ours}, {clients}"] = min(each["per_s"] for each in heard)
                    found.lost[f"{ours}, {clients}"] = sum(each["lost"] for each in heard)
                part = "follow" if ours == "a4ps" else "follow-ws"
                following = [asyncio.create_task(_client(part, folder, 1_000))]
                await _ready(folder, part, 1)
                server.write(b"pace 1000\n")
                found.token_ms[ours] = (await following[0])[0]["ms"]
                if ours == "a4ps" and soak_s:
                    found.soak_mb = await _soak(server, folder, soak_s)
        found.recovery_s = await _recoveries(places, kills)
    return found


def judge(found: Found) -> list[Verdict]:
    """The bars of the issue."""
    trip = statistics.median(found.round_trip_ms["a4ps"])
    tokens = _quantile(found.token_ms["a4ps"], 0.95)
    return [
        Verdict("round trip of a command, p50, ms", trip, "<=", ROUND_TRIP_MS),
        Verdict("provisional events a second to one client", found.per_s["a4ps, 1"], ">=", ONE_PER_S),
        Verdict("provisional events a second to each of ten", found.per_s["a4ps, 10"], ">=", TEN_PER_S),
        Verdict("from the engine's token to the client, p95, ms", tokens, "<=", TOKEN_MS),
        Verdict(
            "first answer after kill -9, 1,000 Protos, p95, s",
            _quantile(found.recovery_s, 0.95) if found.recovery_s else None,
            "<=",
            RECOVERY_S,
        ),
    ]


def report(found: Found) -> list[str]:
    """The table."""
    lines = ["", f"{'':34} {'a4ps':>12} {'websocket':>12} {'ratio':>8}"]

    def row(about: str, ours: float, theirs: float, form: str) -> None:
        lines.append(f"{about:34} {ours:>12{form}} {theirs:>12{form}} {ours / theirs:>8.2f}")

    trips, tokens = found.round_trip_ms, found.token_ms
    row("round trip, p50, ms", statistics.median(trips["a4ps"]), statistics.median(trips["websocket"]), ".3f")
    row("round trip, p99, ms", _quantile(trips["a4ps"], 0.99), _quantile(trips["websocket"], 0.99), ".3f")
    for clients in (1, 10):
        row(
            f"events/s, each of {clients}",
            found.per_s[f"a4ps, {clients}"],
            found.per_s[f"websocket, {clients}"],
            ",.0f",
        )
        lines.append(f"{'  dropped':34} {found.lost[f'a4ps, {clients}']:>12} {found.lost[f'websocket, {clients}']:>12}")
    row("token to client, p50, ms", statistics.median(tokens["a4ps"]), statistics.median(tokens["websocket"]), ".3f")
    row("token to client, p95, ms", _quantile(tokens["a4ps"], 0.95), _quantile(tokens["websocket"], 0.95), ".3f")
    if found.recovery_s:
        lines.append(f"{'first answer after kill -9, p50, s':34} {statistics.median(found.recovery_s):>12.2f}")
    if found.soak_mb:
        lines.append(
            f"memory of the backend before and after the soak, MB: {found.soak_mb[0]:.1f}, {found.soak_mb[1]:.1f}"
        )
    return lines


# The processes


async def serve(_: Path, __: int) -> None:
    """The backend, which also makes the events that it is told to make on its standard input."""
    env = environment(None)
    lock = BackendLock(env.places)
    backend = await Backend.open(env)
    server = Server(backend, settings="", log="")
    server.bind()
    serving = asyncio.create_task(server.run())
    publisher = server.publisher
    assert publisher is not None
    print("ready", flush=True)
    async for words in _orders():
        if words[0] == "blast":
            for number in range(int(words[1])):
                # Not through the event bus: what a thread of its own cannot keep up with would be dropped there.
                publisher.show({"step": "token", "persona": "BRICK", "text": f"word{number} ", "turn": "1"})
                if number % 256 == 255:
                    await asyncio.sleep(0)
        elif words[0] == "pace":
            for _number in range(int(words[1])):
                event_bus.notify(Event.PROGRESS, Told("1", Token("BRICK", repr(time.monotonic()))))
                await asyncio.sleep(PACE_S)
        elif words[0] == "soak":
            until_s = time.monotonic() + float(words[1])
            while time.monotonic() < until_s:
                for _number in range(10):
                    event_bus.notify(Event.PROGRESS, Told("1", Token("BRICK", "word ")))
                await asyncio.sleep(10 / SOAK_PER_S)
            print("soaked", flush=True)
    backend.life.end(0.0)
    await serving
    await server.aclose()
    await backend.aclose()
    lock.release()


async def serve_ws(folder: Path, _: int) -> None:
    """The peer's server."""
    from websockets.asyncio.server import ServerConnection, broadcast
    from websockets.asyncio.server import serve as serve_websockets

    followers: set[ServerConnection] = set()

    async def talk(connection: ServerConnection) -> None:
        async for message in connection:
            asked = json.loads(message)
            if asked["do"] == "follow":
                followers.add(connection)
                await connection.send("{}")
            else:
                await connection.send(json.dumps({"key": asked["key"], "value": {"count": 0, "turns": []}}))
        followers.discard(connection)

    async with serve_websockets(talk, "127.0.0.1", 0, compression=None) as server:
        (folder / "port").write_text(str(server.sockets[0].getsockname()[1]))
        print("ready", flush=True)
        async for words in _orders():
            for number in range(int(words[1])):
                blast = words[0] == "blast"
                text = f"word{number} " if blast else repr(time.monotonic())
                broadcast(followers, json.dumps({"step": "token", "persona": "BRICK", "text": text, "turn": "1"}))
                if blast and number % 256 == 255:
                    await asyncio.sleep(0)
                elif not blast:
                    await asyncio.sleep(PACE_S)


async def calls(_: Path, many: int) -> None:
    """Commands, one after another."""
    client = await Client.connect(Places.find(None, os.environ), As("bench"), starts=False)
    taken = []
    for _number in range(many + 100):
        began_s = time.perf_counter()
        await client.call(Latest(limit=0))
        taken.append(1000 * (time.perf_counter() - began_s))
    await client.aclose()
    print(json.dumps({"ms": taken[100:]}), flush=True)


async def calls_ws(folder: Path, many: int) -> None:
    """The same with the peer."""
    from websockets.asyncio.client import connect

    taken = []
    async with connect(f"ws://127.0.0.1:{(folder / 'port').read_text()}", compression=None) as connection:
        for number in range(many + 100):
            began_s = time.perf_counter()
            await connection.send(json.dumps({"do": "latest", "key": str(number), "limit": 0}))
            json.loads(await connection.recv())
            taken.append(1000 * (time.perf_counter() - began_s))
    print(json.dumps({"ms": taken[100:]}), flush=True)


async def follow(folder: Path, many: int) -> None:
    """Events until `many` were heard or dropped."""
    client = await Client.connect(Places.find(None, os.environ), As("bench"), starts=False)
    stream = _Stream(many)
    events = client.events()
    heard = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.3)  # until the subscription has arrived: what is published before is not ours
    (folder / f"follow-{os.getpid()}").touch()
    while not stream.whole:
        told = await heard
        if isinstance(told, Show):
            stream.lost += told.dropped
            for event in told.events:
                stream.hear(str(event["text"]))
        if not stream.whole:
            heard = asyncio.ensure_future(anext(events))
    await events.aclose()  # type: ignore[attr-defined]
    await client.aclose()
    stream.tell()


async def follow_ws(folder: Path, many: int) -> None:
    """The same with the peer."""
    from websockets.asyncio.client import connect

    stream = _Stream(many)
    address = f"ws://127.0.0.1:{(folder / 'port').read_text()}"
    async with connect(address, compression=None, max_queue=None) as connection:
        await connection.send(json.dumps({"do": "follow"}))
        await connection.recv()
        (folder / f"follow-ws-{os.getpid()}").touch()
        while not stream.whole:
            stream.hear(json.loads(await connection.recv())["text"])
    stream.tell()


class _Stream:
    """What one follower has heard."""

    def __init__(self, many: int) -> None:
        self._many = many
        self._count = 0
        self._began_s = self._ended_s = 0.0
        self._late_ms: list[float] = []
        self.lost = 0

    @property
    def whole(self) -> bool:
        return self._count + self.lost >= self._many

    def hear(self, text: str) -> None:
        self._ended_s = time.monotonic()
        if not self._count:
            self._began_s = self._ended_s
        self._count += 1
        if not text.startswith("word"):
            self._late_ms.append(1000 * (self._ended_s - float(text)))

    def tell(self) -> None:
        per_s = self._count / max(1e-9, self._ended_s - self._began_s)
        print(json.dumps({"per_s": per_s, "lost": self.lost, "ms": self._late_ms}), flush=True)


PARTS = {
    "serve": serve,
    "serve-ws": serve_ws,
    "calls": calls,
    "calls-ws": calls_ws,
    "follow": follow,
    "follow-ws": follow_ws,
}


async def _recoveries(places: Places, kills: int) -> list[float]:
    """Seconds from the death of a backend to the first answer of the next, with 1,000 Protos in the image."""
    if not kills:
        return []
    backend = await Backend.open(environment(None))
    await asyncio.to_thread(_fill, backend)
    await backend.aclose()
    taken = []
    for _ in range(kills):
        await start_backend(places)
        pid = int(places.backend_lock.read_text())
        os.kill(pid, signal.SIGKILL)
        began_s = time.perf_counter()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        client = await Client.connect(places, As("bench"))
        await client.call(Latest(limit=1))
        taken.append(time.perf_counter() - began_s)
        await client.aclose()
        pid = int(places.backend_lock.read_text())
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
    return taken


def _fill(backend: Backend) -> None:
    for number in range(1_000):
        backend.protos.register_proto(Proto(f"P{number}", CODEX, state={"number": number, "text": "x" * 200}))


async def _soak(server: _Server, folder: Path, soak_s: float) -> tuple[float, float]:
    following = asyncio.create_task(_client("follow", folder, 10**9))
    await _ready(folder, "follow", 1)
    server.write(b"soak 5\n")
    await server.line()
    before = server.resident_mb()
    server.write(f"soak {soak_s}\n".encode())
    await server.line()
    after = server.resident_mb()
    following.cancel()
    return before, after


class _Server:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def write(self, order: bytes) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(order)

    async def line(self) -> bytes:
        assert self._process.stdout is not None
        return await self._process.stdout.readline()

    def resident_mb(self) -> float:
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6


@contextlib.asynccontextmanager
async def _process(part: str, folder: Path) -> AsyncIterator[_Server]:
    process = await asyncio.create_subprocess_exec(
        *_command(part, folder, 0), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    server = _Server(process)
    await server.line()
    try:
        yield server
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()


async def _client(part: str, folder: Path, many: int) -> list[Any]:
    process = await asyncio.create_subprocess_exec(*_command(part, folder, many), stdout=subprocess.PIPE)
    try:
        out, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return [json.loads(line) for line in out.splitlines()]


def _command(part: str, folder: Path, many: int) -> list[str]:
    return [sys.executable, "-m", "bench.link", "--part", part, "--home", str(folder), "--many", str(many)]


async def _ready(folder: Path, part: str, clients: int) -> None:
    """Until so many followers follow."""
    while len(found := list(folder.glob(f"{part}-[0-9]*"))) < clients:
        await asyncio.sleep(0.02)
    for each in found:
        each.unlink()


async def _orders() -> AsyncIterator[list[str]]:
    """The lines of standard input, until it is closed."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        yield line.decode().split()


def _environ(folder: Path) -> dict[str, str]:
    return {"HOME": str(folder), "A4PS_HOME": str(folder / "home"), "A4PS_ENGINE": "rehearsal",
            "XDG_STATE_HOME": str(folder / "state"), "XDG_RUNTIME_DIR": str(folder / "run")}  # fmt: skip


def _quantile(figures: Sequence[float], part: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(part * len(figures)))]


if __name__ == "__main__":
    main()
