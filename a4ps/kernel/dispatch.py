"""From a command on the wire to what serves it, and back: the one place where requests become calls.

Here a session's role is held against what the request needs, and a command that was done before a restart is found in the
image. Who speaks comes from the session, never from the message.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Callable, Mapping
from typing import Any

from a4ps.errors import A4PSError, AlreadyDone, CallerError, RoleRefused
from a4ps.governance.roles import may
from a4ps.image.commands import COMMAND, under_command
from a4ps.image.rows import generation_of
from a4ps.kernel.backend import Backend
from a4ps.kernel.serving.call import Call, Handler
from a4ps.protocol.faults import fault_of, internal
from a4ps.protocol.messages import Failure, Fault, Result
from a4ps.protocol.requests.base import Request, request_of
from a4ps.protocol.session import Outcome, Start

_log = logging.getLogger(__name__)

#: What becomes of a command that was stopped.
STOPPED = Fault(kind="stopped", message="stopped; nothing is lost", exit_code=130)


def handler_of(kind: type[Request]) -> Handler:
    """What serves that kind of request: the module of the same noun in `a4ps.kernel.serving`, imported when it is first
    needed, as some of them take a second.
    """
    noun = kind.__module__.rpartition(".")[2]
    handlers: Mapping[type[Request], Handler] = importlib.import_module(f"a4ps.kernel.serving.{noun}").HANDLERS
    return handlers[kind]


class Dispatch:
    """Serves the commands of one backend. `tell` gets a command's key and a step, from any thread; `attends` a key."""

    def __init__(
        self,
        backend: Backend,
        tell: Callable[[str, Mapping[str, Any]], None],
        attends: Callable[[str], bool],
        log: Callable[[], str],
    ) -> None:
        self._backend = backend
        self._tell = tell
        self._attends = attends
        self._log = log
        self._handlers: dict[type[Request], Handler] = {}

    async def serve(self, start: Start) -> Outcome:
        """The outcome of a command; nothing is raised but a cancellation that is not the client's."""
        key = start.command.key
        try:
            async with asyncio.timeout(start.command.deadline_s):
                value = await self._served(start)
            return Result(key=key, value=dict(value))
        except A4PSError as error:
            if not isinstance(error, CallerError):
                _log.exception("%s: %s", start.command.request.get("do"), error.message)
            return Failure(key=key, fault=fault_of(error, "" if isinstance(error, CallerError) else self._log()))
        except TimeoutError:
            return Failure(key=key, fault=_TOO_LATE)
        except asyncio.CancelledError:
            return Failure(key=key, fault=STOPPED)
        except Exception as error:  # noqa: BLE001 - the edge of every command
            _log.exception("%s", start.command.request.get("do"))
            return Failure(key=key, fault=internal(error, self._log()))

    async def _served(self, start: Start) -> Mapping[str, Any]:
        request = request_of(start.command.request)
        if not may(start.role, request.needs):
            raise RoleRefused(
                f"{request.name} needs the role {request.needs.label}; this session is a {start.role.label}'s",
                next_step="connect with that role's token",
            )
        key = start.command.key
        call: Call[Any] = Call(
            request,
            key,
            start.role,
            start.client,
            lambda step: self._tell(key, step),
            lambda: self._attends(key),
        )
        if not request.again and (marked := self._backend.store.head(COMMAND, key)) is not None:
            if marked.payload > bytes([start.role]):
                raise RoleRefused("that command is another role's", next_step="see PROTOCOL.md")
            return await self._done_before(call, generation_of(marked.place))
        handler = self._handlers.get(type(request))
        if handler is None:
            handler = self._handlers[type(request)] = await asyncio.to_thread(handler_of, type(request))
        with under_command(key, bytes([start.role])):
            return await handler(self._backend, call)

    async def _done_before(self, call: Call[Any], generation: int) -> Mapping[str, Any]:
        """What became of a command that an earlier life of the backend began. A turn is finished; a change was made."""
        accepted = [row.key for kind in ("turn", "resume") for row in self._backend.store.rows_of(generation, kind)]
        if accepted:
            from a4ps.kernel.serving import turns

            return await turns.done_before(self._backend, call, accepted[0])
        raise AlreadyDone(
            f"this was done in commit {generation}, before the backend ended; it was not done twice",
            change=generation,
            next_step="nothing is left to do",
        )


_TOO_LATE = Fault(kind="stopped", message="the deadline of this command is over; nothing is lost", exit_code=1)
