"""The pool, over sandboxes that only say what a test has them say."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from a4ps.errors import SandboxUnavailable
from a4ps.events import Calling, Event, ServiceFailed, event_bus
from a4ps.sandbox import pool as pools
from a4ps.sandbox.limits import DEFAULT, Limits
from a4ps.sandbox.policy import Layout
from a4ps.sandbox.pool import Pool
from a4ps.sandbox.process import Launch, SandboxProcess

READY = ("/bin/sh", "-c", r"printf '\0\0\0\21R0123456789abcdef'; exec cat")
SILENT = ("/bin/sh", "-c", "exec cat")
FAILING = ("/bin/sh", "-c", "echo no room >&2; exit 1")
LAYOUT = Layout("", ())


class Scripted:
    """A tier whose sandboxes are, one after the other, those of `script`, the last one for ever."""

    name = "scripted"
    version = ""
    weaker = False
    hazard = ""

    def __init__(self, *script: tuple[str, ...]) -> None:
        self.script = list(script)
        self.started: list[tuple[str, ...]] = []

    def launch(self, limits: Limits, layout: Layout, folder: Path) -> Launch:
        argv = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        self.started.append(argv)
        if argv == ("bug",):
            raise RuntimeError("a bug of ours")
        return Launch(argv)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[list[Pool]]:
    made: list[Pool] = []
    yield made
    for pool in made:
        pool.close()
    assert [left for own in tmp_path.iterdir() for left in own.iterdir()] == []


def pool_of(made: list[Pool], folder: Path, *script: tuple[str, ...], size: int = 1) -> tuple[Pool, Scripted]:
    tier = Scripted(*script)
    own = folder / str(len(made))
    own.mkdir()
    pool = Pool(tier, DEFAULT, LAYOUT, own, size)
    made.append(pool)
    return pool, tier


def test_no_sandbox_is_given_twice(made: list[Pool], tmp_path: Path) -> None:
    pool, _ = pool_of(made, tmp_path, READY, size=2)
    taken = [pool.take() for _ in range(5)]
    assert len({process.pid for process in taken}) == 5
    for process in taken:
        assert process.alive
        pool.discard(process)


def test_it_is_filled_again_whoever_waits_or_not(made: list[Pool], tmp_path: Path) -> None:
    """A call that leaves others idle wakes nobody; what it used is made good all the same."""
    pool, tier = pool_of(made, tmp_path, READY, size=3)
    pool.discard(pool.take())
    while len(pool._idle) < 3:
        threading.Event().wait(0.001)
    pool.discard(pool.take())
    while len(pool._idle) < 3:
        threading.Event().wait(0.001)
    assert len(tier.started) >= 5


def test_one_that_died_while_it_was_idle_is_not_given(made: list[Pool], tmp_path: Path) -> None:
    pool, _ = pool_of(made, tmp_path, READY)
    first = pool.take()
    while not pool._idle:
        threading.Event().wait(0.001)
    idle = pool._idle[0]
    idle.end()
    second = pool.take()
    assert second.pid not in (first.pid, idle.pid)
    pool.discard(first)
    pool.discard(second)


def test_starts_that_fail_are_repeated_and_then_told(made: list[Pool], tmp_path: Path) -> None:
    pool, _ = pool_of(made, tmp_path, FAILING, FAILING, READY)
    pool.discard(pool.take())
    pool, tier = pool_of(made, tmp_path, FAILING)
    for _ in range(2):
        with pytest.raises(SandboxUnavailable, match="no room"):
            pool.take()
    assert len(tier.started) < 20
    pool, _ = pool_of(made, tmp_path, ("/nonexistent",))
    with pytest.raises(SandboxUnavailable, match="/nonexistent"):
        pool.take()


def test_starts_that_begin_to_fail_are_told_too(made: list[Pool], tmp_path: Path) -> None:
    """When nothing else is warming, and nobody but the one who waits is there to wake the thread that starts them."""
    pool, tier = pool_of(made, tmp_path, READY, size=2)
    pool.discard(pool.take())
    while len(pool._idle) < 2:
        threading.Event().wait(0.001)
    tier.script = [("/nonexistent",)]
    for _ in range(2):
        pool.discard(pool.take())
    with pytest.raises(SandboxUnavailable, match="/nonexistent"):
        pool.take()


def test_one_that_is_slow_holds_up_nobody(made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "SLOW_S", 0.01)
    pool, _ = pool_of(made, tmp_path, SILENT, SILENT, SILENT, READY)
    pool.discard(pool.take())


def test_one_that_is_never_ready_is_given_up(made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "START_S", 0.05)
    pool, _ = pool_of(made, tmp_path, SILENT)
    with pytest.raises(SandboxUnavailable, match="ready within"):
        pool.take()


def test_slow_starts_do_not_pile_up(made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start beside a slow one makes all of them slower on a busy machine."""
    monkeypatch.setattr(pools, "SLOW_S", 0.001)
    monkeypatch.setattr(pools, "START_S", 0.3)
    pool, _ = pool_of(made, tmp_path, SILENT)
    most = 0
    listen = pool._listen

    def counted() -> None:
        nonlocal most
        most = max(most, len(pool._warming))
        listen()

    monkeypatch.setattr(pool, "_listen", counted)
    with pytest.raises(SandboxUnavailable, match="ready within"):
        pool.take()
    assert 2 <= most <= 2 * pool._warming_max


def test_a_pool_in_which_nothing_moves_says_so(
    made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(pools, "STUCK_S", 0.05)
    pool, _ = pool_of(made, tmp_path, SILENT)
    with pytest.raises(SandboxUnavailable, match="became ready within"):
        pool.take()
    assert "the pool is stuck" in caplog.text


def test_a_bug_in_the_starting_thread_is_told_and_holds_up_nobody(
    made: list[Pool], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, _ = pool_of(made, tmp_path, ("bug",), ("bug",), READY)
    told: list[ServiceFailed] = []
    observer = Calling(told.append)
    event_bus.attach(observer, Event.SERVICE_FAILED)
    monkeypatch.setattr(pools, "AGAIN_S", 0.01)
    for limits in (None, replace(DEFAULT, cpu_s=1)):  # one that wants its own is told as well
        with pytest.raises(SandboxUnavailable, match="failed"):
            pool.take(limits)
    pool.discard(pool.take())  # it has begun anew by itself
    event_bus.drain()
    event_bus.detach(observer)
    assert "a bug of ours" in caplog.text
    assert [(each.name, each.error, each.restarts, each.retry_s) for each in told] == [
        ("sandboxes", "RuntimeError", 0, 0.01),
        ("sandboxes", "RuntimeError", 1, 0.02),
    ]
    assert str(told[0].cause) == "a bug of ours"


def test_a_pool_is_closed_while_its_thread_rests(
    made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "AGAIN_S", 1000.0)
    monkeypatch.setattr(pools, "AGAIN_MAX_S", 1000.0)
    pool, _ = pool_of(made, tmp_path, ("bug",))
    with pytest.raises(SandboxUnavailable, match="failed"):
        pool.take()
    pool.close()
    with pytest.raises(SandboxUnavailable, match="closed"):
        pool.take()


def test_what_cannot_be_removed_keeps_no_other_from_it(
    made: list[Pool], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    reaped: list[SandboxProcess] = []
    reap = SandboxProcess.reap

    def broken_once(process: SandboxProcess) -> None:
        reaped.append(process)
        reap(process)
        if len(reaped) == 1:
            raise RuntimeError("a bug of ours")

    monkeypatch.setattr(SandboxProcess, "reap", broken_once)
    pool, _ = pool_of(made, tmp_path, READY)
    for _ in range(2):
        pool.discard(pool.take())
    pool.close()
    assert len(reaped) >= 2
    assert "a sandbox could not be removed" in caplog.text


def test_closing_tells_those_who_wait(made: list[Pool], tmp_path: Path) -> None:
    pool, tier = pool_of(made, tmp_path, SILENT)
    told: list[str] = []

    def wait() -> None:
        with pytest.raises(SandboxUnavailable) as caught:
            pool.take()
        told.append(caught.value.message)

    thread = threading.Thread(target=wait)
    thread.start()
    while not tier.started:
        threading.Event().wait(0.001)
    pool.close()
    thread.join()
    assert "closed" in told[0]


def test_it_counts_what_it_did(made: list[Pool], tmp_path: Path) -> None:
    pool, _ = pool_of(made, tmp_path, FAILING, READY)
    assert pool.statistics() == pools.PoolStatistics()
    first = pool.take()
    assert (pool.statistics().calls, pool.statistics().lent, pool.statistics().failures) == (1, 1, 1)
    pool.discard(first)
    while not pool.statistics().ready:
        threading.Event().wait(0.001)
    pool.discard(pool.take())
    assert (pool.statistics().calls, pool.statistics().lent) == (2, 0)
    assert pool.statistics().discarded == 3  # one of them did not begin
