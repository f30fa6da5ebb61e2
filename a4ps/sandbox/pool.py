"""Sandboxes that are started before they are wanted, each for one call.

One thread starts all of an executor's sandboxes and lives as long as any of them, as each is made to die with the thread
that started it. Another waits for those that were killed and removes what they leave. Starting and ending is thus off
the path of a call; that a sandbox is killed when its call ends is not.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from a4ps.errors import SandboxUnavailable
from a4ps.events import Event, ServiceFailed, event_bus
from a4ps.sandbox.limits import Limits
from a4ps.sandbox.policy import Layout
from a4ps.sandbox.process import SandboxDied, SandboxProcess, Tier
from a4ps.sandbox.wire import WireError

_log = logging.getLogger(__name__)

#: A sandbox that is not ready by then is given up; on a busy machine one takes a second or two.
START_S = 30.0
#: After that, one that still is not ready counts as none: another is started beside it, but not without end, as what
#: slows it is mostly a busy machine.
SLOW_S = 5.0
#: Somebody waits, and for so long no sandbox became ready and none failed: a fault of ours, and said instead of waited for.
STUCK_S = 3 * START_S
#: Failures in a row after which those who wait are told, instead of trying on.
FAILURES_MAX = 3
#: After a fault of ours the thread that starts them begins anew: after so long, twice as long each time up to the bound, and
#: as at first again once it went well for so long.
AGAIN_S, AGAIN_MAX_S, WELL_S = 0.5, 8.0, 60.0
#: A call that was just given a sandbox has the processors to itself for as long, unless somebody waits: most are over then.
QUIET_S = 0.05


class Order:
    """Somebody waits for a sandbox. `process` or `fault` is set when `done` is."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.done = threading.Event()
        self.process: SandboxProcess | None = None
        self.fault = ""


@dataclass(frozen=True, slots=True)
class PoolStatistics:
    """Sandboxes that are ready and lent now; since the pool was made: lent at all (one a call), killed, failed to start."""

    ready: int = 0
    lent: int = 0
    calls: int = 0
    discarded: int = 0
    failures: int = 0


class Pool:
    """`size` sandboxes of one kind, ready. For any number of threads. Starts nothing before the first `take`."""

    def __init__(self, tier: Tier, limits: Limits, layout: Layout, folder: Path, size: int) -> None:
        self._tier, self._limits, self._layout, self._folder, self._size = tier, limits, layout, folder, size
        self._lock = threading.Lock()
        self._idle: deque[SandboxProcess] = deque()
        self._orders: deque[Order] = deque()
        self._lent: set[SandboxProcess] = set()
        self._warming: dict[int, tuple[SandboxProcess, float, Order | None]] = {}
        self._failures = 0
        self._restarts = self._in_a_row = 0
        self._made = self._calls = self._discarded = self._failed_ever = 0
        self._quiet_until = 0.0
        self._moved_at = 0.0
        self._stopped = ""
        self._started = self._closing = self._reaped = False
        self._dead: queue.SimpleQueue[SandboxProcess | None] = queue.SimpleQueue()
        self._wake_in, self._wake_out = os.pipe()
        os.set_blocking(self._wake_in, False)
        os.set_blocking(self._wake_out, False)
        self._threads = [
            threading.Thread(target=work, name=f"a4ps-sandbox-{name}", daemon=True)
            for name, work in (("starter", self._start_all), ("reaper", self._reap_all))
        ]
        self._warming_max = max(2, os.cpu_count() or 1)

    def take(self, limits: Limits | None = None) -> SandboxProcess:
        """A sandbox that has run nothing; the caller owns it and gives it to `discard`. Waits for one where none is idle.

        With `limits` it is started for this call. Raises SandboxUnavailable where none starts. Interrupted, it
        leaves nothing.
        """
        order = Order(limits or self._limits)
        with self._lock:
            if self._closing or self._stopped:
                raise SandboxUnavailable(
                    self._stopped or "the executor was closed", next_step="make another SecureCodeExecutor()"
                )
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            ready = None
            while self._idle and limits is None and ready is None:
                ready = self._usable(self._idle.popleft())
            if ready is None:
                self._failures = 0
                if not self._orders and not self._warming:
                    self._moved_at = time.monotonic()
                self._orders.append(order)
            else:
                self._lent.add(ready)
                self._calls += 1
                self._quiet_until = time.monotonic() + QUIET_S
            if ready is None or not self._idle:
                self._wake()
        if ready is not None:
            return ready
        try:
            while not order.done.wait(min(START_S, STUCK_S)):
                self._check_stuck()
        except BaseException:
            self._withdraw(order)
            raise
        if order.process is None:
            raise SandboxUnavailable(f"no sandbox could be started: {order.fault}", next_step="a4ps doctor says more")
        return order.process

    def discard(self, process: SandboxProcess) -> None:
        """Kill a sandbox now; what is left of it is removed in the background, or at once where the pool is closed."""
        process.kill()
        with self._lock:
            self._discarded += 1
            self._lent.discard(process)
            reaping = not self._reaped
            if reaping:
                self._dead.put(process)
                # The next one is started at once only for somebody who waits; else once this one is reaped, as the thread
                # that starts it would take the interpreter from ours, whose caller waits for his answer.
                if self._orders:
                    self._wake()
        if not reaping:
            process.reap()

    def statistics(self) -> PoolStatistics:
        """How it is now."""
        with self._lock:
            return PoolStatistics(len(self._idle), len(self._lent), self._calls, self._discarded, self._failed_ever)

    def close(self) -> None:
        """Kill all, lent ones too, and wait until they are gone. Whoever waits for one is told. Can be called again."""
        with self._lock:
            if self._closing:
                return
            started, self._closing = self._started, True
            lent = list(self._lent)
        for process in lent:  # their callers, who are told by its end, remove the rest
            process.end()
        if started:
            self._wake()
            self._threads[0].join()
        with self._lock:
            self._reaped = True
            self._dead.put(None)
            os.close(self._wake_in)
            os.close(self._wake_out)
        if started:
            self._threads[1].join()

    def _usable(self, process: SandboxProcess) -> SandboxProcess | None:
        """`process`, or None where it died while it was idle."""
        if process.alive:
            return process
        self._dead.put(process)
        return None

    def _withdraw(self, order: Order) -> None:
        with self._lock:
            if order in self._orders:
                self._orders.remove(order)
            order.done.set()
            process = order.process
        if process is not None:
            self.discard(process)

    def _check_stuck(self) -> None:
        """Raises SandboxUnavailable where nothing has come of any start for too long; the log then says what there is."""
        with self._lock:
            state = (
                f"{len(self._idle)} idle, {len(self._orders)} wanted, {len(self._lent)} lent, {self._failures} failures"
            )
            quiet_s = time.monotonic() - self._moved_at
        if quiet_s > STUCK_S:
            _log.error("the pool is stuck: %s, %d warming", state, len(self._warming))
            raise SandboxUnavailable(
                f"no sandbox became ready within {STUCK_S:.0f} s", next_step="try again; the log says more"
            )

    def _wake(self) -> None:
        """Under the lock, or before `close` is over: the pipe's number is another's afterwards."""
        with suppress(OSError):
            os.write(self._wake_out, b"w")

    # The starter's thread.

    def _start_all(self) -> None:
        while not self._closing:
            began_s = time.monotonic()
            try:
                self._start_on()
            except Exception as error:  # noqa: BLE001 - a task's edge: whoever waits must be told
                self._in_a_row = 1 if time.monotonic() - began_s >= WELL_S else self._in_a_row + 1
                again_s = float(min(AGAIN_MAX_S, AGAIN_S * 2 ** min(self._in_a_row - 1, 32)))
                self._let_go("the thread that starts them failed; the log says why")
                _log.exception("sandboxes are started again in %g s", again_s)
                event_bus.notify(Event.SERVICE_FAILED, ServiceFailed.of("sandboxes", error, self._restarts, again_s))
                self._rest(again_s)
                self._restarts += 1
        self._let_go("the executor was closed", stop=True)

    def _start_on(self) -> None:
        """Start what is wanted until the pool is closed."""
        while not self._closing:
            with self._lock:
                wanted = self._next_orders()
            try:
                while wanted:
                    self._start(wanted[0])
                    del wanted[0]
            finally:
                with self._lock:  # so that they are told with the others
                    self._orders.extend(order for order in wanted if order is not None)
            self._listen()

    def _rest(self, seconds: float) -> None:
        """For so long, or until the pool is closed."""
        until_s = time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        while not self._closing and (left_s := until_s - time.monotonic()) > 0:
            if poll.poll(left_s * 1000 + 1):
                os.read(self._wake_in, 4096)

    def _let_go(self, why: str, *, stop: bool = False) -> None:
        """Discard all that is not lent, and tell whoever waits `why`; with `stop`, whoever asks later too."""
        with self._lock:
            self._stopped = why if stop else ""
            self._failures = 0
            left = [*self._idle, *(process for process, _, _ in self._warming.values())]
            orders = [*self._orders, *(order for _, _, order in self._warming.values() if order is not None)]
            self._idle.clear()
            self._warming.clear()
            self._orders.clear()
        for process in left:
            self.discard(process)
        for order in orders:
            order.fault = why
            order.done.set()

    def _next_orders(self) -> list[Order | None]:
        """What to start now: those of callers that want their own, then as many for the pool as it lacks (None)."""
        slow = time.monotonic() + START_S - SLOW_S
        fresh = [order for _, deadline, order in self._warming.values() if deadline > slow]
        room = max(0, min(self._warming_max - len(fresh), 2 * self._warming_max - len(self._warming)))
        own = [order for order in self._orders if not self._common(order)][:room]
        for order in own:
            self._orders.remove(order)
        lacking = self._size + len(self._orders) - len(self._idle) - sum(order is None for order in fresh)
        quiet = self._is_quiet()
        if self._failures >= FAILURES_MAX or (quiet and not self._orders):
            lacking = 0
        return [*own, *[None] * max(0, min(lacking, room - len(own)))]

    def _is_quiet(self) -> bool:
        """Whether starts are put off. As long as `_quiet_until` is set, `_listen` comes back when that is over."""
        if time.monotonic() >= self._quiet_until:
            self._quiet_until = 0.0
        return self._quiet_until > 0

    def _common(self, order: Order) -> bool:
        return order.limits is self._limits

    def _start(self, order: Order | None) -> None:
        self._made += 1
        limits = order.limits if order else self._limits
        try:
            process = SandboxProcess(
                self._tier, limits, self._layout, self._folder / f"{self._folder.name}-{self._made}"
            )
        except OSError as error:
            self._failed(order, str(error))
            return
        self._warming[process.fileno] = (process, time.monotonic() + START_S, order)

    def _listen(self) -> None:
        """Until something is ready, dies, takes too long or is wanted."""
        poll = select.poll()
        poll.register(self._wake_in, select.POLLIN)
        for source in self._warming:
            poll.register(source, select.POLLIN)
        now = time.monotonic()
        until = [deadline for _, deadline, _ in self._warming.values()]
        until += [slow for slow in (deadline - START_S + SLOW_S for deadline in until) if slow > now]
        if self._quiet_until:
            until.append(self._quiet_until)
        for source, _ in poll.poll(max(0.0, min(until) - now) * 1000 + 1 if until else None):
            if source == self._wake_in:
                with suppress(BlockingIOError):
                    os.read(self._wake_in, 4096)
            else:
                self._hear(source)
        now = time.monotonic()
        for source, (_, deadline, _) in list(self._warming.items()):
            if deadline <= now:
                self._drop(source, f"none was ready within {START_S:.0f} s")

    def _hear(self, source: int) -> None:
        process, _, order = self._warming[source]
        try:
            if not process.ready_nowait():
                return
        except (SandboxDied, WireError) as error:
            self._drop(source, str(error) or "it ended at once")
            return
        with self._lock:
            del self._warming[source]
            self._failures = 0
            self._moved_at = time.monotonic()
            if order is None and self._orders:
                order = next((waiting for waiting in self._orders if self._common(waiting)), None)
                if order is not None:
                    self._orders.remove(order)
            if order is None:
                self._idle.append(process)
                return
            withdrawn = order.done.is_set()
            if not withdrawn:
                self._lent.add(process)
                self._calls += 1
                order.process = process
                order.done.set()
        if withdrawn:
            self.discard(process)

    def _drop(self, source: int, why: str) -> None:
        process, _, order = self._warming.pop(source)
        self.discard(process)
        self._failed(order, why)

    def _failed(self, order: Order | None, why: str) -> None:
        with self._lock:
            self._failures += 1
            self._failed_ever += 1
            self._moved_at = time.monotonic()
            told = [order] if order is not None else []
            if self._failures >= FAILURES_MAX:
                told += [waiting for waiting in self._orders if self._common(waiting)]
                for waiting in told:
                    if waiting in self._orders:
                        self._orders.remove(waiting)
            self._wake()  # what did not even begin ends by no event, and whoever waits wants another
        for waiting in told:
            waiting.fault = why
            waiting.done.set()

    # The reaper's thread.

    def _reap_all(self) -> None:
        while (process := self._dead.get()) is not None:
            try:
                process.reap()
            except Exception as error:  # noqa: BLE001 - a task's edge: the others are to be reaped all the same
                _log.exception("a sandbox could not be removed")
                event_bus.notify(Event.SERVICE_FAILED, ServiceFailed.of("sandbox removal", error, 0, 0.0))
            with self._lock:
                if not self._reaped:
                    self._wake()
