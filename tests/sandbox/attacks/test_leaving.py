"""I6: nothing of a sandbox outlives its call, however the call or the process that made it ends."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from a4ps.sandbox import guest, supervisor
from tests.sandbox.attacks.arena import GUARD, REPOSITORY, Arena, Kind, Unavailable, arena

LONG = os.environ.get("A4PS_LONG") == "1"
#: Hostile runs of each kind of sandbox, and deaths of its owner.
RUNS = 100 if LONG else 10
DEATHS = 20 if LONG else 2
#: How long the kernel is given to end what it was told to: on a busy machine seconds.
GONE_S = 30.0

HOSTILE = (
    "import time\nwhile True: time.sleep(1)",
    "while True: pass",
    "while True:\n    try: os.fork()\n    except OSError: pass",
    "os.kill(-1, 9)",
    "os.abort()",
    "while True: os.write(1, bytes(65536))",
    "import signal, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.closerange(0, 256)\n        while True: time.sleep(1)",
    "a = []\nwhile True: a.append(bytearray(b'x') * (32 << 20))",
    "for n in range(10**5): open('/tmp/%d' % n, 'w')",
    "os.closerange(0, 256)\nimport time\ntime.sleep(60)",
)


def until(true: Callable[[], bool], what: str) -> None:
    """Wait for the kernel to come to it; there is nothing to be told by."""
    deadline = time.monotonic() + GONE_S
    while not true():
        assert time.monotonic() < deadline, what
        select.select([], [], [], 0.02)


def left_on_this_machine(place: Arena) -> list[str]:
    """What names the arena's folder: mounts, Unix sockets and processes, ours aside."""
    name = place.folder.name
    found = [line for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines() if name in line]
    found += [line for line in Path("/proc/net/unix").read_text(encoding="utf-8").splitlines() if name in line]
    for entry in Path("/proc").iterdir():
        try:
            line = (entry / "cmdline").read_bytes() if entry.name.isdigit() else b""
        except OSError:
            continue
        if name.encode() in line and int(entry.name) not in (os.getpid(), place.process.pid):
            found.append(line.decode(errors="replace"))
    return found


def files(place: Arena) -> list[str]:
    """What lies in the runtime folder, but for the folder of all executors, which stays, empty."""
    return [str(path) for path in place.runtime.rglob("*") if not re.fullmatch(r"a4ps-sandboxes-\d+", path.name)]


def watch_it_begin(place: Arena) -> None:
    """Until it has started sandboxes; the call takes the first that is ready."""
    until(lambda: len(place.look_around()) >= 3, "no sandbox was begun")


def gone(place: Arena) -> None:
    """Wait until nothing that it began is left but files."""
    until(lambda: not place.alive(), "processes are left")
    until(lambda: not left_on_this_machine(place), "processes, sockets or mounts are left")


@pytest.fixture
def new_place(kind: Kind) -> Iterator[Callable[[], Arena]]:
    """Makes arenas whose folders go with the test."""
    folders: list[tempfile.TemporaryDirectory[str]] = []

    def make(pool_size: int = 2) -> Arena:
        folders.append(tempfile.TemporaryDirectory(prefix="a4ps-attacks-"))
        try:
            return Arena(kind, Path(folders[-1].name), pool_size=pool_size)
        except Unavailable as error:
            pytest.skip(str(error))

    yield make
    for folder in folders:
        folder.cleanup()


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_hostile_runs_nothing_is_left(
    new_place: Callable[..., Arena], kind: Kind, capsys: pytest.CaptureFixture[str]
) -> None:
    """No process, file, socket, mount or descriptor more than before; and after closing none at all."""
    place = new_place()
    assert place.call("def f(): return 7").value == 7
    descriptors = Path(f"/proc/{place.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    endings: dict[str, int] = {}
    for number in range(RUNS):
        outcome = place.execute(HOSTILE[number % len(HOSTILE)], timeout=0.3, limits={"cpu_s": 5})
        ending = outcome.fields.get("killed_by") or outcome.raised or "itself"
        endings[ending] = endings.get(ending, 0) + 1
    assert "SandboxUnavailable" not in endings
    assert place.call("def f(): return 7").value == 7
    until(lambda: len(list(descriptors.iterdir())) <= before + 9, "descriptors of sandboxes that are gone")
    place.close()
    until(lambda: not place.alive(), "processes are left")
    assert files(place) == []
    assert left_on_this_machine(place) == []
    with capsys.disabled():
        print(f"\n  {kind.name}: {RUNS} hostile runs, {len(place.seen)} processes seen, none left; ended by {endings}")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("moment", ["in a call", "while the pool warms"])
def test_a_killed_owner_leaves_no_process(
    new_place: Callable[..., Arena], kind: Kind, moment: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL of the process that owns the executor ends its sandboxes; their files go when the next one begins."""
    for _ in range(DEATHS):
        place = new_place(pool_size=3)
        place.ask(
            mode="call",
            code=GUARD + "def f():\n    begun()\n    while True: pass",
            services={"begun": "stuck"},
            timeout=50,
        )
        if moment == "in a call":
            watch_it_begin(place)
        place.kill()
        gone(place)
        with arena(kind, place.folder) as again:
            assert again.call("def f(): return 7").value == 7
        assert files(again) == []
    with capsys.disabled():
        print(f"\n  {kind.name}: {DEATHS} owners killed {moment}, nothing left")


def test_the_guest_program_refuses_to_run_on_this_machine() -> None:
    """It ends every process that it can reach; outside a sandbox it says so and does nothing, as process 1 or not."""
    assert "not process 1" in guest.refusal()
    asked = "import sys; sys.path.insert(0, sys.argv[1]); from a4ps.sandbox import guest; guest.main()"
    done = subprocess.run(
        [sys.executable, "-I", "-c", asked, str(REPOSITORY)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == supervisor.REFUSED
    assert "runs in a sandbox only" in done.stderr


def test_the_supervisor_ends_itself_rather_than_others_on_this_machine() -> None:
    """The one place that ends every process asks once more whether it is process 1."""
    asked = (
        "import sys; sys.path.insert(0, sys.argv[1]); from a4ps.sandbox import supervisor\n"
        "def no(*_): raise AssertionError\n"
        "supervisor.os.kill = no\n"
        "supervisor.Supervisor(0, 0, 1, 0, None, None, {})._kill_all()"
    )
    done = subprocess.run([sys.executable, "-I", "-c", asked, str(REPOSITORY)], check=False, timeout=60)
    assert done.returncode == supervisor.REFUSED


def test_the_attacks_refuse_to_run_on_this_machine() -> None:
    """Each hostile program begins with a guard."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", GUARD + "print('attacked')"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert signal.SIGKILL.value != -done.returncode
