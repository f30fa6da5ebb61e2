"""Nothing can be taken beyond its bound: processors, memory, processes, disk, output, time.

Whatever an attack does, the executor that it was made on answers the next call.
"""

from __future__ import annotations

import pytest

from tests.sandbox.attacks.arena import GUARD, Arena, Outcome

#: How long a run may go on after its timeout: generous, as this judges no machine; `bench/sandbox.py` does.
GRACE_S = 10.0
MIB = 2**20


def unharmed(place: Arena) -> None:
    assert place.call("def f(): return 7").value == 7


def ended(outcome: Outcome, *limits: str) -> None:
    """It was ended for one of these limits."""
    assert outcome.killed_by in limits, outcome


def test_a_loop_that_ignores_every_signal_ends_in_time(place: Arena) -> None:
    """At its timeout."""
    outcome = place.execute(
        """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
while True:
    pass
""",
        timeout=1,
    )
    ended(outcome, "wall")
    assert outcome.timed_out
    assert outcome.s < 1 + GRACE_S
    unharmed(place)


def test_processor_time_is_bounded_for_who_ignores_its_signal(place: Arena) -> None:
    """SIGXCPU can be ignored; the second that follows it cannot."""
    outcome = place.execute(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        timeout=60,
        limits={"cpu_s": 1},
    )
    ended(outcome, "cpu")
    unharmed(place)


def test_sleep_past_the_timeout_ends(place: Arena) -> None:
    """In any thread or child, with signals blocked."""
    outcome = place.execute(
        """
import signal, threading, time
signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
for _ in range(3):
    threading.Thread(target=time.sleep, args=(600,)).start()
    if os.fork() == 0:
        break
time.sleep(600)
""",
        timeout=1,
    )
    ended(outcome, "wall")
    assert outcome.s < 1 + GRACE_S
    unharmed(place)


def test_a_fork_bomb_stays_small(place: Arena) -> None:
    """No more processes than the limit, which neither a new session, nor threads, nor a namespace lifts."""
    outcome = place.execute(
        """
import threading, time, ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
refused = [libc.unshare(flag) for flag in (0x10000000, 0x20000000, 0x40000000, 0x00020000)]
try:
    resource.setrlimit(resource.RLIMIT_NPROC, (10000, 10000))
    refused.append(0)
except (OSError, ValueError):
    refused.append(-1)
os.write(1, (str(set(refused)) + "\\n").encode())
mother = os.getpid()
until = time.monotonic() + 3
while time.monotonic() < until:
    try:
        if os.fork() == 0:
            os.setsid()
    except OSError:
        if os.getpid() == mother:
            count = 0
            for name in os.listdir("/proc"):
                try:
                    count += len(os.listdir(f"/proc/{name}/task")) if name.isdigit() else 0
                except OSError:  # it has just ended
                    pass
            os.write(1, b"%d\\n" % count)
        time.sleep(0.1)
os._exit(0)
""",
        timeout=30,
        limits={"cpu_s": 5},
    )
    refused, *counts = outcome.stdout.split("\n")
    assert refused == "{-1}"
    assert counts[:-1], outcome
    assert max(map(int, counts[:-1])) <= 40  # 32, the worker, the supervisor and its threads
    unharmed(place)


MEMORY = """
import time
def take(mib=8):
    held = []
    while True:
        try:
            held.append(bytearray(b"x") * (mib << 20))
        except MemoryError:
            time.sleep(60)
"""


def test_memory_of_one_process_is_bounded(place: Arena) -> None:
    """By its address space: it is told, and lives."""
    outcome = place.call(
        """
def f():
    held = []
    try:
        while True:
            held.append(bytearray(16 << 20))
    except MemoryError:
        return len(held) * 16
"""
    )
    assert 64 <= outcome.value <= 512
    unharmed(place)


@pytest.mark.parametrize("chatter", [False, True], ids=["silent", "chatting"])
def test_memory_of_many_processes_is_bounded(place: Arena, chatter: bool) -> None:
    """In all, too; whoever keeps the supervisor busy with output is watched no less."""
    chat = "if os.fork() == 0:\n    while True:\n        os.write(1, b'x')\n        time.sleep(0.002)\n"
    outcome = place.execute(
        MEMORY + (chat if chatter else "") + "for _ in range(8):\n    if os.fork() == 0: take()\ntime.sleep(60)",
        timeout=40,
        limits={"total_memory_bytes": 256 * MIB},
    )
    ended(outcome, "memory", "signal")
    if place.kind.tier == "bubblewrap":
        ended(outcome, "memory")
    unharmed(place)


def test_memory_is_bounded_while_the_host_is_busy(place: Arena) -> None:
    """While a service keeps the host, and output that nobody reads keeps the supervisor, it is watched all the same."""
    place.ask(
        mode="call",
        code=GUARD
        + MEMORY
        + """
def f():
    for _ in range(8):
        if os.fork() == 0: take()
    if os.fork() == 0:
        while True:
            os.write(1, bytes(65536))
    stuck()
""",
        services={"stuck": "stuck"},
        timeout=4,
        limits={"total_memory_bytes": 256 * MIB},
    )
    outcome, peak = place.answer_and_peak()
    assert outcome.raised in ("SandboxKilled", "SandboxOverran")
    if place.kind.tier == "bubblewrap":  # gVisor's memory is a file with a ceiling, which is mapped several times
        assert peak < 1200 * MIB
    unharmed(place)


@pytest.mark.parametrize("way", ["memfd", "shm", "shared", "pipes", "sysv"])
def test_memory_that_belongs_to_nobody_is_bounded(place: Arena, way: str) -> None:
    """Neither files without names, nor shared memory, nor pipes hold more than the whole may."""
    outcome = place.execute(
        f"way = {way!r}"
        + """
import mmap, time, ctypes
held, mib = [], 0
try:
    while mib < 3000:
        if way == "memfd":
            held.append(os.memfd_create("x"))
            for _ in range(60):
                mib += os.write(held[-1], bytes(1 << 20)) >> 20
        elif way == "shm":
            held.append(os.open("/dev/shm/x%d" % len(held), os.O_CREAT | os.O_RDWR))
            for _ in range(60):
                mib += os.write(held[-1], bytes(1 << 20)) >> 20
        elif way == "shared":
            held.append(mmap.mmap(-1, 16 << 20))
            for at in range(0, 16 << 20, 4096):
                held[-1][at] = 1
            mib += 16
        elif way == "pipes":
            import fcntl
            source, target = os.pipe()
            try:
                fcntl.fcntl(target, 1031, 1 << 20)
            except OSError:
                pass
            os.set_blocking(target, False)
            held.append((source, target))
            try:
                while True:
                    mib += os.write(target, bytes(65536)) / 2**20
            except BlockingIOError:
                pass
        else:
            libc = ctypes.CDLL(None, use_errno=True)
            libc.shmat.restype = ctypes.c_void_p
            number = libc.shmget(0, 64 << 20, 0o1600)
            address = libc.shmat(number, None, 0) if number >= 0 else None
            if address in (None, ctypes.c_void_p(-1).value):
                raise OSError("no memory")
            ctypes.memset(address, 1, 64 << 20)
            libc.shmdt(ctypes.c_void_p(address))
            mib += 64
except (OSError, MemoryError, ValueError) as error:
    pass
os.write(1, b"%d" % mib)
""",
        timeout=40,
        limits={"cpu_s": 30},
    )
    if outcome.stdout:
        assert int(outcome.stdout) <= 1100
    else:
        ended(outcome, "memory", "signal")
    unharmed(place)


@pytest.mark.parametrize("where", ["/tmp", "/dev/shm", "/dev"])
def test_a_disk_cannot_be_filled(place: Arena, where: str) -> None:
    """/tmp ends at its size, a file at its own, and nothing else takes a byte."""
    outcome = place.call(
        """
import signal
def f(where):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    total = largest = 0
    for number in range(8):
        try:
            with open(f"{where}/{number}", "wb", buffering=0) as file:
                while True:
                    total += file.write(bytes(1 << 20))
        except OSError:
            pass
        try:
            largest = max(largest, os.stat(f"{where}/{number}").st_size)
        except OSError:
            pass
    try:
        with open(f"{where}/sparse", "wb") as file:
            file.truncate(1 << 40)
            largest = 1 << 40
    except OSError:
        pass
    return total, largest
""",
        where,
        limits={"file_bytes": 24 * MIB},
        timeout=30,
    )
    total, largest = outcome.value
    assert total <= (65 * MIB if where == "/tmp" else 0)
    assert largest <= 24 * MIB
    unharmed(place)


@pytest.mark.slow
def test_inodes_cannot_be_filled(place: Arena) -> None:
    """Empty files cost memory that no process has: where the kernel counts them they are bounded, else by that memory."""
    outcome = place.execute(
        """
import itertools
os.mkdir("/tmp/d")
for number in itertools.count():
    try:
        os.close(os.open(f"/tmp/d/{number}", os.O_CREAT | os.O_WRONLY))
    except OSError:
        break
    if number == 400_000:
        os.write(1, b"filled")
        break
""",
        timeout=45,
        limits={"cpu_s": 60},
    )
    # A slow machine does not come so far in the time.
    ended(outcome, "files", "signal", "wall")
    if place.kind.tier == "bubblewrap":
        ended(outcome, "files")
    assert outcome.stdout == ""
    unharmed(place)


def test_ten_gigabytes_of_output_are_cut(place: Arena) -> None:
    """What is kept is bounded, of stdout and stderr alike, and whoever goes on is ended."""
    outcome = place.execute(
        "block = b'a' * (1 << 16)\nfor _ in range(10 << 14):\n    os.write(1, block)\n    os.write(2, block)",
        timeout=40,
        limits={"cpu_s": 30},
    )
    ended(outcome, "output")
    assert outcome.truncated
    assert len(outcome.stdout) <= MIB
    assert len(outcome.stderr) <= MIB
    unharmed(place)


def test_deep_recursion_ends_in_an_error(place: Arena) -> None:
    """Python's own, or the crash of a stack in C: either is told, and neither is ours."""
    outcome = place.call("def f():\n    return f()")
    assert (outcome.raised, outcome.type_name) == ("SandboxedError", "RecursionError")
    outcome = place.call(
        "import sys\ndef f():\n    sys.setrecursionlimit(10**9)\n    class A:\n        pass\n    def g(): return [*map(lambda _: g(), 'x')]\n    return g()"
    )
    assert outcome.raised in ("SandboxKilled", "SandboxedError")
    unharmed(place)


def test_the_supervisor_cannot_be_hurt_to_stop_the_watch(place: Arena) -> None:
    """Process 1 can be neither stopped nor starved; robbed of its limits it ends, and all with it."""
    outcome = place.execute(
        MEMORY
        + """
import resource, signal
for act in (
    lambda: os.kill(1, signal.SIGSTOP),
    lambda: os.kill(1, signal.SIGKILL),
    lambda: signal.pthread_kill(1, signal.SIGSTOP),
    lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
    lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
    lambda: os.sched_setaffinity(1, {0}),
    lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (3, 3)),
):
    try:
        act()
    except (OSError, ValueError):
        pass
for _ in range(8):
    if os.fork() == 0: take()
time.sleep(60)
""",
        timeout=40,
        limits={"total_memory_bytes": 256 * MIB},
    )
    ended(outcome, "memory", "signal")
    unharmed(place)


def test_the_watch_cannot_be_put_off(place: Arena) -> None:
    """Neither by stopping the clock that calls it, in whichever process it is held, nor by telling it other bounds."""
    outcome = place.execute(
        MEMORY
        + """
import ctypes, struct, sys
frame = sys._getframe()
while not hasattr(frame.f_locals.get("self"), "clock"):
    frame = frame.f_back
worker = frame.f_locals["self"]
try:
    struct.pack_into("QQQ", worker.bounds, 0, 1 << 20, 1 << 20, 1 << 50)
    print("bounds written")
except (BufferError, TypeError, ValueError):
    pass
libc = ctypes.CDLL(None)
never = (ctypes.c_long * 4)(0, 0, 10**6, 0)
fds = [*range(64)]
for fd in range(64):
    for flags in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
        try:
            fds.append(os.open(f"/proc/1/fd/{fd}", flags | os.O_NONBLOCK))
        except OSError:
            pass
for fd in fds:
    if libc.timerfd_settime(fd, 0, never, None) == 0:
        print("clock set")
sys.stdout.flush()
for _ in range(8):
    if os.fork() == 0: take()
time.sleep(60)
""",
        timeout=40,
        limits={"total_memory_bytes": 256 * MIB},
    )
    assert outcome.stdout == ""
    ended(outcome, "memory", "signal")
    if place.kind.tier == "bubblewrap":
        ended(outcome, "memory")
    unharmed(place)


def test_nobody_outlives_the_call(place: Arena) -> None:
    """A daemon, forked twice into a session of its own, with its pipes closed, is gone when the call has its value."""
    outcome = place.call(
        """
import signal, time
def f():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
            for number in range(64):
                try:
                    os.close(number)
                except OSError:
                    pass
            while True:
                time.sleep(1)
        os._exit(0)
    return "begun"
"""
    )
    assert outcome.value == "begun"
    # The next call's sandbox is another one, and sees none of it.
    assert place.call("def f(): return [n for n in os.listdir('/proc') if n.isdigit()]").value == ["1", "2"]
