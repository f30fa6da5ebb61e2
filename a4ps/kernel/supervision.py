"""The supervisor: the services of a backend as tasks, each with a name and an owner, none of which can harm the others.

A service that raises is logged, reported, told of (`Event.SERVICE_FAILED`) and started again after a while, which doubles
with each failure in a row up to a bound and begins anew once the service ran well. One that returns is done. A
cancellation that the supervisor did not ask for is a crash like any other.

What starts itself again, as the sandboxes' threads and the engine's workers do, tells of its crashes by the same event, and
is reported and counted here like the others.

Not for what a service does: a service that holds something releases it in its own `finally`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from a4ps.clock import Clock, SystemClock
from a4ps.errors import CallerError
from a4ps.events import Event, Observer, ServiceFailed, Subject, said_by
from a4ps.kernel.crash_reports import CrashReports

#: The waits between a failure and the next start.
FIRST_S, LONGEST_S = 0.5, 60.0
#: A service that ran for so long ran well: its next failure is a first one.
WELL_S = 60.0
#: One that was cancelled has so long to let go before it is left behind.
CANCELLED_S = 5.0

State: TypeAlias = Literal["waiting", "running", "backing off", "done", "stopped"]
Wait: TypeAlias = Callable[[float], Awaitable[object]]

_log = logging.getLogger(__name__)


def backoff_s(failures: int) -> float:
    """The wait after so many failures in a row, from 1."""
    return float(min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 32)))


@dataclass(frozen=True, slots=True)
class ServiceStatistics:
    """One service. `since`: when its state became what it is; `last_error`: class and message, "" for none yet."""

    owner: str
    state: State
    restarts: int
    last_error: str
    since: datetime


class _Service:
    def __init__(
        self, name: str, owner: str, run: Callable[[], Awaitable[None]], stop: Callable[[], None] | None
    ) -> None:
        self.name, self.owner, self.run, self.stop = name, owner, run, stop
        self.state: State = "waiting"
        self.since = datetime.min
        self.restarts = 0
        self.failures = 0
        self.last_error = ""
        self.task: asyncio.Task[None] | None = None


class Supervisor(Observer):
    """Made and used on one event loop; `statistics` may be called from any thread."""

    def __init__(
        self, bus: Subject, reports: CrashReports, *, clock: Clock | None = None, wait: Wait = asyncio.sleep
    ) -> None:
        """`wait` is how it lets so many seconds pass."""
        self._bus = bus
        self._reports = reports
        self._clock = clock or SystemClock()
        self._wait = wait
        self._services: dict[str, _Service] = {}
        self._others: dict[str, tuple[ServiceFailed, datetime]] = {}
        self._started = self._stopping = False

    def add(
        self, name: str, run: Callable[[], Awaitable[None]], *, owner: str = "", stop: Callable[[], None] | None = None
    ) -> None:
        """A service: `run` is called for each start, and `stop` to ask it to end by itself; one without is cancelled.

        It begins with `start`, or at once where that was called. Raises CallerError where the name is taken, and after
        `stop`.
        """
        if self._stopping:
            raise CallerError(f"the supervisor is stopping and takes no service {name}")
        if name in self._services:
            raise CallerError(f"there is a service {name} already", next_step="give it another name")
        service = self._services[name] = _Service(name, owner, run, stop)
        self._is_now(service, "waiting")
        if self._started:
            self._begin(service)

    async def watch(self, name: str, run: Callable[[], Awaitable[None]], *, owner: str = "") -> None:
        """Run a service within this task, again and again while it crashes; it ends when that is cancelled.

        Raises CallerError where a service of that name runs.
        """
        known = self._services.get(name)
        if known is not None and known.state not in ("stopped", "done"):
            raise CallerError(f"there is a service {name} already", next_step="give it another name")
        service = self._services[name] = _Service(name, owner, run, None)
        await self._keep(service)

    def start(self) -> None:
        """Start all, in the order in which they were added; their first steps follow in that order. Idempotent."""
        if not self._started:
            self._started = True
            for service in self._services.values():
                self._begin(service)

    async def stop(self, deadline_s: float) -> None:
        """End all, the last one first, each before the one that was added before it.

        Each is asked to end; what has not ended within `deadline_s` for all together is cancelled, and what does not heed
        that either is left behind, with a line in the log. Cancelled itself, it cancels those that still run.
        """
        self._stopping = True
        until_s = self._clock.monotonic_s() + deadline_s
        try:
            for service in reversed(self._services.values()):
                await self._end(service, until_s)
        finally:
            for service in self._services.values():
                if service.task is not None:
                    service.task.cancel()

    def update(self, _: Event, data: object) -> None:
        """In the bus's own thread, where it is attached to it: a crash of what starts itself again."""
        if isinstance(data, ServiceFailed) and data.cause is not None:
            self._others[data.name] = replace(data, cause=None), self._clock.now()
            self._reports.write(data.cause, data.name)

    def statistics(self) -> dict[str, ServiceStatistics]:
        """Each service by its name, in the order in which they were added; then those that have crashed of the others."""
        ours = {
            name: ServiceStatistics(each.owner, each.state, each.restarts, each.last_error, each.since)
            for name, each in list(self._services.items())
        }
        return ours | {name: self._by_itself(*told) for name, told in list(self._others.items())}

    def _by_itself(self, failed: ServiceFailed, at: datetime) -> ServiceStatistics:
        """How one is that starts itself again, by its own last word."""
        error = f"{failed.error}: {failed.message}"
        if failed.retry_s is None:
            return ServiceStatistics("itself", "stopped", failed.restarts, error, at)
        again = at + timedelta(seconds=failed.retry_s)
        if failed.retry_s and self._clock.now() < again:
            return ServiceStatistics("itself", "backing off", failed.restarts, error, at)
        return ServiceStatistics("itself", "running", failed.restarts + 1, error, again)

    def _begin(self, service: _Service) -> None:
        service.task = asyncio.get_running_loop().create_task(self._keep(service), name=service.name)

    async def _keep(self, service: _Service) -> None:
        """Run it, again and again while it crashes."""
        try:
            while True:
                began_s = self._clock.monotonic_s()
                self._is_now(service, "running")
                failed = await self._run(service)
                if failed is None:
                    self._is_now(service, "stopped" if self._stopping else "done")
                    return
                service.failures = 1 if self._clock.monotonic_s() - began_s >= WELL_S else service.failures + 1
                retry_s = None if self._stopping else backoff_s(service.failures)
                service.last_error = f"{type(failed).__name__}: {said_by(failed)}"
                self._is_now(service, "stopped" if retry_s is None else "backing off")
                self._report(service, failed, retry_s)
                if retry_s is None:
                    return
                del failed  # and with it the frames that it holds
                await self._wait(retry_s)
                service.restarts += 1
        except asyncio.CancelledError:
            self._is_now(service, "stopped")
            raise

    @staticmethod
    async def _run(service: _Service) -> BaseException | None:
        """What it raised, None where it returned. A cancellation of this task goes through."""
        try:
            await service.run()
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return cancelled  # of something that it waited for
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the service's edge
            return error
        return None

    def _report(self, service: _Service, error: BaseException, retry_s: float | None) -> None:
        told = ServiceFailed(service.name, type(error).__name__, said_by(error), service.restarts, retry_s)
        _log.error("the service %s failed; %s", service.name, told.then, exc_info=error)
        try:
            self._reports.write(error, service.name)
            self._bus.notify(Event.SERVICE_FAILED, told)
        except Exception:  # noqa: BLE001 - whatever keeps it from being told keeps nobody from being started again
            _log.exception("the failure of %s could not be told", service.name)

    async def _end(self, service: _Service, until_s: float) -> None:
        task = service.task
        if task is None or task.done():
            return
        if service.stop is not None and service.state == "running":
            try:
                service.stop()
            except Exception:  # noqa: BLE001 - then it is cancelled
                _log.exception("the service %s could not be asked to stop", service.name)
            else:
                await self._ended(task, until_s - self._clock.monotonic_s())
        task.cancel()
        if not await self._ended(task, CANCELLED_S):
            _log.error("the service %s does not heed its cancellation and is left behind", service.name)

    async def _ended(self, task: asyncio.Task[None], seconds: float) -> bool:
        """Whether `task` ended within so long."""

        async def pass_by() -> None:
            await self._wait(max(0.0, seconds))

        passing = asyncio.create_task(pass_by())
        try:
            await asyncio.wait({task, passing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            passing.cancel()
        return task.done()

    def _is_now(self, service: _Service, state: State) -> None:
        service.state, service.since = state, self._clock.now()
