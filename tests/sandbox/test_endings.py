"""I6: nothing of a sandbox outlives its call, nor its executor, nor the process that it belongs to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_stack

import pytest

from a4ps.errors import SandboxKilled, SandboxUnavailable
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.sandbox.folders import base_folder
from tests.sandbox.tiers_here import ROOT, as_nobody, need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
#: Longer than any sandbox takes to vanish, and never waited for in full.
PATIENCE_S = 20.0


def processes_of(folder: Path) -> list[str]:
    """Command lines that name `folder`, but for our own."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                line = (place / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if str(folder) in line:
                found.append(line)
    return found


def mounts_of(folder: Path) -> list[str]:
    return [line for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines() if str(folder) in line]


def gone(folder: Path) -> bool:
    """Whether every process of `folder` ends within `PATIENCE_S`."""
    until = time.monotonic() + PATIENCE_S
    while processes_of(folder):
        if time.monotonic() > until:
            return False
        os.sched_yield()
    return True


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of sandboxes of this test's own."""
    need("runsc")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    yield base_folder()
    assert gone(tmp_path)


def test_nothing_is_left_by_calls_that_end_in_every_way(base: Path) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    threads = threading.active_count()
    with SecureCodeExecutor(pool_size=1) as executor:
        executor.execute("import os, time\nfor _ in range(3):\n    if os.fork() == 0: time.sleep(600)")
        executor.execute("while True: pass", 0.3)
        executor.execute("import os\nos.kill(1, 9)\nos.abort()")
        executor.execute("import os, signal\nos.kill(1, signal.SIGSTOP)\nos.kill(os.getppid(), signal.SIGSTOP)", 1)
        assert len(list(base.iterdir())) == 1
    assert list(base.iterdir()) == []
    assert processes_of(base) == []
    assert mounts_of(base) == []
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    assert threading.active_count() == threads


def test_closing_ends_a_call_that_runs_and_refuses_another(base: Path) -> None:
    executor = SecureCodeExecutor(pool_size=1)
    running = threading.Event()
    limits: list[str] = []

    def call() -> None:
        with pytest.raises(SandboxKilled) as caught:
            executor.call(
                "import time\ndef f():\n    note()\n    time.sleep(600)", services={"note": running.set}, timeout=100
            )
        limits.append(caught.value.limit)

    thread = threading.Thread(target=call)
    thread.start()
    running.wait()
    executor.close()
    assert processes_of(base) == []
    thread.join()
    assert limits == ["signal"]
    executor.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        executor.execute("print(1)")
    assert list(base.iterdir()) == []


def _is_starting_a_thread(thread: threading.Thread) -> bool:
    assert thread.ident is not None
    frames = walk_stack(sys._current_frames()[thread.ident])
    return any(frame.f_code is threading.Thread.start.__code__ for frame, _ in frames)


def test_a_cancelled_call_leaves_nothing(base: Path) -> None:
    """A KeyboardInterrupt in the middle of a call, from within a service of it."""
    with SecureCodeExecutor(pool_size=0) as executor:

        def interrupt() -> None:
            while _is_starting_a_thread(threading.main_thread()):
                os.sched_yield()  # CPython's own locks do not bear an interrupt there
            signal.raise_signal(signal.SIGINT)

        with pytest.raises(KeyboardInterrupt):
            executor.call(
                "import time\ndef f():\n    stop()\n    time.sleep(600)", services={"stop": interrupt}, timeout=60
            )
        (folder,) = base.iterdir()
        assert gone(folder)
        assert executor.execute("print(1)").stdout == "1\n"


PARENT = """
import sys
from a4ps.sandbox.executor import SecureCodeExecutor
executor = SecureCodeExecutor(tier=sys.argv[1], pool_size=2)
executor.execute("print(1)")
def ready():
    print("running", flush=True)
code = "import os, signal, time\\ndef f():\\n    ready()\\n    os.kill(os.getppid(), signal.SIGSTOP)\\n    time.sleep(600)"
executor.call(code, services={"ready": ready}, timeout=500)
"""


def test_a_killed_parent_takes_its_sandboxes_along_and_the_next_start_sweeps(base: Path, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, "runsc"], stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ)
    )
    assert parent.stdout is not None
    with parent.stdout:
        assert parent.stdout.readline() == "running\n"
        (left,) = base.iterdir()
        assert processes_of(left)
        parent.kill()
        parent.wait()
    assert gone(left)
    assert mounts_of(left) == []
    assert left.exists()
    with SecureCodeExecutor(pool_size=0) as executor:
        executor.execute("print(1)")
        assert not left.exists()


def test_a_living_executors_folder_is_not_swept(base: Path) -> None:
    with SecureCodeExecutor(pool_size=1) as first, SecureCodeExecutor(pool_size=1) as second:
        assert [executor.execute("print(1)").stdout for executor in (first, second, first)] == ["1\n"] * 3


def test_the_end_of_the_program_closes_an_executor_that_nobody_closed(base: Path) -> None:
    code = "from a4ps import SecureCodeExecutor\nprint(SecureCodeExecutor().execute('print(1)').stdout)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "1\n\n", "")
    assert list(base.iterdir()) == []


BUBBLEWRAP_PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from traceback import walk_stack
from a4ps.sandbox.folders import base_folder
def guests():
    found = set()
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            try:
                if place.stat().st_uid == os.getuid() and b"a4ps-guest" in (place / "cmdline").read_bytes():
                    found.add(place.name)
            except OSError:
                pass
    return found
others = guests()
parent = subprocess.Popen([sys.executable, "-c", sys.argv[1], "bubblewrap"], stdout=subprocess.PIPE, text=True)
assert parent.stdout.readline() == "running\\n"
others.add(str(parent.pid))
assert guests() - others
parent.kill()
parent.wait()
until = time.monotonic() + 20
while (left := guests() - others) and time.monotonic() < until:
    os.sched_yield()
print(sorted(left))
"""


def test_a_killed_parent_takes_bubblewraps_along() -> None:
    if os.geteuid() == 0:
        done = as_nobody("-c", BUBBLEWRAP_PARENT, PARENT)
    else:
        need("bubblewrap")
        done = subprocess.run(
            [sys.executable, "-c", BUBBLEWRAP_PARENT, PARENT], capture_output=True, text=True, check=False, cwd=ROOT
        )
    assert (done.stdout, done.stderr) == ("[]\n", "")
