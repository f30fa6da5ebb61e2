"""Runs the methods that models wrote: the image's `CodeRunner`, over sandboxes.

A method gets its arguments, and as `self` an object with `name` and `state`: the slots that it `reads`, which can be read
as attributes too. It gives its value, and those slots among its `writes` that it changed. Nothing else of the Proto, and
nothing of the image, is in the sandbox. Where the Architect granted folders to the text it has the functions of
granted_folders.py for them.

Slots, arguments and value are plain data, as state is (records.py): times, numbers and arrays are what they are, where the
sandbox has numpy; a registered record has its fields as attributes and `replaced(field=...)`.

Not covered: an alias between slots comes back as two values; cycles, arrays of texts or of fields, and records whose
class this process lacks are refused, and so is deleting a slot.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from a4ps.errors import CallerError, MethodRefused, SandboxUnavailable, UsageError
from a4ps.image.methods import MethodCall, MethodResult
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.tools.granted_folders import GrantedFolders
from a4ps.tools.records import received, sendable

_ENTRY = "_a4ps_run_method"
#: Goes below the method's text, whose lines thus keep their numbers.
_HARNESS = f"""

def {_ENTRY}(proto, method, args, kwargs, slots, writes):
    from a4ps.sandbox.wire import encode

    class Seen:
        def __init__(self):
            self.__dict__.update(name=proto, state=slots)

        def __getattr__(self, slot):
            try:
                return slots[slot]
            except KeyError:
                raise AttributeError(f"{{proto}} shows no {{slot!r}} to {{method}}: it is not among its reads") from None

        def __setattr__(self, slot, value):
            raise AttributeError(f"set self.state[{{slot!r}}]")

    before = {{slot: encode(value) for slot, value in slots.items()}}
    value = globals()[method](Seen(), *args, **kwargs)
    written = {{slot: new for slot, new in slots.items() if encode(new, what=f"state[{{slot!r}}]") != before.get(slot)}}
    foreign = sorted(set(written) - set(writes)) + sorted(set(before) - set(slots))
    if foreign:
        raise AttributeError(f"{{method}} changed {{', '.join(foreign)}}, which is not among its writes")
    return value, written
"""


class MethodRunner:
    """`image.methods.CodeRunner`. For any number of threads. Nothing is started before the first call."""

    def __init__(self, make: Callable[[], SecureCodeExecutor] = SecureCodeExecutor) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._executor: SecureCodeExecutor | None = None
        self._closed = False

    def run(self, call: MethodCall) -> MethodResult:
        """One call in a sandbox of its own.

        Raises MethodRefused where no sandbox works here, or its slots or arguments cannot be given to one,
        SandboxedError (the method's own error), SandboxOverran, SandboxKilled.
        """
        method = call.method
        what = f"{call.proto}.{method.name}"
        given = (sendable(tuple(call.args)), sendable(dict(call.kwargs)), sendable(dict(call.slots)))
        try:
            done = self._running().call(
                method.source + _HARNESS,
                (call.proto, method.name, *given, tuple(method.writes)),
                name=_ENTRY,
                timeout=call.deadline_s,
                services=GrantedFolders(call.folders, call.writable).services(),
            )
        except SandboxUnavailable as error:
            raise MethodRefused(
                f"{what} was written by {method.author} and may only run in a sandbox: {error.message}",
                next_step=error.next_step,
            ) from error
        except UsageError as error:
            raise MethodRefused(
                f"{what} cannot run in a sandbox: {error.message}", next_step=error.next_step
            ) from error
        match done.value:
            case (value, dict(written)) if all(type(slot) is str for slot in written):
                try:
                    kept = {slot: received(new) for slot, new in written.items()}
                    return MethodResult(received(value), kept, done.stdout + done.stderr)
                except CallerError as error:
                    raise MethodRefused(
                        f"{what} gave back what is no value here: {error.message}", next_step=error.next_step
                    ) from error
        raise MethodRefused(
            f"{what} gave back something else than a method does", next_step="read its text: it interferes"
        )

    def close(self) -> None:
        """End its sandboxes. Can be called again."""
        with self._lock:
            self._closed = True
            executor, self._executor = self._executor, None
        if executor is not None:
            executor.close()

    def _running(self) -> SecureCodeExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = self._make()
                if self._closed:
                    self._executor.close()
            return self._executor
