"""Every error that A4PS raises on purpose, in one tree split by whose fault it is.

`CallerError` is ours to explain and the caller's to correct; `PeerError` is a model server's; `WorldError` is the
machine's (disk, another process, a missing program); `IntegrityError` means that stored data is not what was
stored; anything else that escapes is a bug of ours and is reported as `internal`.

Each error says what happened (`message`) and what to do next (`next_step`, a sentence or a command). The command line
prints both, exits with `exit_code`, and keeps the traceback for the log. An object that raised one of these is still
usable unless the raising method says otherwise.
"""

from __future__ import annotations

import re
from typing import Any


class A4PSError(Exception):
    """Root of the tree. `kind` is the class name in snake case, stable for programs that read `--json`."""

    exit_code = 1

    #: The file that has the traceback, of an error that came from another process; "" for one of this.
    log = ""

    def __init__(self, message: str, *, next_step: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.next_step = next_step

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the class with `args` alone, which loses fields given by keyword.
        return _rebuilt, (type(self), self.args, self.__dict__)

    @property
    def kind(self) -> str:
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(self).__name__).lower()


def _rebuilt(kind: type[A4PSError], arguments: tuple[Any, ...], fields: dict[str, Any]) -> A4PSError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


class CallerError(A4PSError):
    """The request itself cannot be served as it was made."""


class UsageError(CallerError):
    """A command, option or question that does not make sense."""

    exit_code = 2


class SettingsError(CallerError):
    """A setting with a wrong name, type or value; the message names file, line and key where it has them."""

    exit_code = 2


class NoSuchTurn(CallerError):
    """A turn was named that the image does not hold."""


class NoSuchMemory(CallerError):
    """A memory was named that the image does not hold."""


class DocumentUnreadable(CallerError):
    """A file has no text that could be taken in. `next_step` says what would."""


class Unstorable(CallerError):
    """A value cannot be kept in the image. `path` says where it is, such as `state["a"][3].lock`."""

    def __init__(self, message: str, *, path: str, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.path = path


class Stopped(CallerError):
    """The Architect stopped what was being done. What was accepted can be resumed."""

    exit_code = 130


class NotInTransaction(CallerError):
    """Something committed was about to be changed outside a transaction. `path` names it: BRICK.state["mood"]."""

    def __init__(
        self,
        path: str,
        *,
        how: str = "change it in a transaction()",
        next_step: str = "with manager.transaction(reason=...) as tx: tx.edit(name).state[...] = ...",
    ) -> None:
        super().__init__(f"{path} is read-only here; {how}", next_step=next_step)
        self.path = path


class Conflict(CallerError):
    """What was to be changed has changed since. Nothing was done.

    `base` is the version that the refused change was made from, `current` the one it met (each a ProtoVersion, or None
    where there was none); `parts` names what both changed: "codex", "parents", "state['mood']", "method greet".
    """

    def __init__(
        self,
        message: str,
        *,
        base: object = None,
        current: object = None,
        parts: tuple[str, ...] = (),
        next_step: str = "",
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.base = base
        self.current = current
        self.parts = parts


class UnknownProto(CallerError):
    """A Proto or a change was named that the image does not hold."""


class CycleRefused(CallerError):
    """Parents that lead back to their child, or that cannot be put into one order (C3)."""


class MethodRefused(CallerError):
    """A method that cannot be defined or may not be run as it was asked to. Nothing was changed."""


class PromotionRefused(CallerError):
    """A text cannot be given that trust, or not by whoever asked for it. Nothing was changed."""


class MethodOverran(CallerError):
    """A method ran past its deadline; what it wrote was discarded. `stack` is where it stood, as a traceback's text."""

    def __init__(self, message: str, *, stack: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.stack = stack


class SandboxedError(CallerError):
    """Code in a sandbox raised an error of its own, or ended itself. The sandbox did its work.

    `type_name` and `text` are the error's type and message, `traceback` its text with the code's lines, "" where there
    is none. `stdout` and `stderr` are what the code printed.
    """

    def __init__(
        self,
        type_name: str,
        text: str,
        *,
        traceback: str = "",
        stdout: str = "",
        stderr: str = "",
        next_step: str = "correct the code: the traceback shows the line",
    ) -> None:
        super().__init__(f"the code raised {type_name}{text and f': {text}'}", next_step=next_step)
        self.type_name = type_name
        self.text = text
        self.traceback = traceback
        self.stdout = stdout
        self.stderr = stderr


class SandboxOverran(CallerError):
    """Code in a sandbox ran past its time and was ended. `stdout` and `stderr` are what it had printed."""

    def __init__(self, message: str, *, stdout: str = "", stderr: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.stdout = stdout
        self.stderr = stderr


class SandboxKilled(CallerError):
    """Code in a sandbox broke a limit, or the rules of what may be said, and was ended.

    `limit` names it: "cpu", "memory", "files", "output", "frame", "services_calls", "protocol", or "signal" where the code's
    process died of a signal that is none of ours.
    """

    def __init__(self, message: str, *, limit: str, stdout: str = "", stderr: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.limit = limit
        self.stdout = stdout
        self.stderr = stderr


class ConsoleStuck(CallerError):
    """So many expressions of a console could not be ended that no more are evaluated. Nothing was run."""


class ApprovalNeeded(CallerError):
    """What was to happen needs the Architect's word, and nobody is there to ask. `approval` is the id to decide about.

    The turn stays open, and goes on from there when it is resumed.
    """

    exit_code = 3

    def __init__(self, message: str, *, approval: str, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.approval = approval


class ApprovalRefused(CallerError):
    """An approval that cannot be decided, changed or asked for as it was attempted. Nothing was changed."""


class UnknownApproval(CallerError):
    """An approval was named that the image does not hold."""


class UnknownTool(CallerError):
    """A tool was named that the image does not hold."""


class ToolRefused(CallerError):
    """A specification, a text or arguments that cannot be a tool's. Nothing was run or changed."""


class ToolFailed(CallerError):
    """A tool was called as it should be and did not do its work: it raised, was ended, or gave what it does not promise.

    `tool` is its name; `declared`: it raised what its contract says, so the arguments are at fault, not the tool.
    """

    def __init__(self, message: str, *, tool: str = "", declared: bool = False, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.tool = tool
        self.declared = declared


class Forgotten(CallerError):
    """What was asked for was forgotten: that it was there is known, and nothing else of it."""


class ModelTooLarge(CallerError):
    """A model that does not fit the memory there is. Nothing was loaded; `next_step` says what would fit.

    `needed_bytes` and `budget_bytes` are the two sides; `num_ctx` is the largest context that would fit, 0 for none.
    """

    def __init__(
        self, message: str, *, needed_bytes: int = 0, budget_bytes: int = 0, num_ctx: int = 0, next_step: str = ""
    ) -> None:
        super().__init__(message, next_step=next_step)
        self.needed_bytes = needed_bytes
        self.budget_bytes = budget_bytes
        self.num_ctx = num_ctx


class NotBound(CallerError):
    """A Proto asked for a service (a model, a default image) that nothing has been wired to."""


class PeerError(A4PSError):
    """A model server failed. Nothing that was committed is touched; the turn can be resumed."""


class EngineUnreachable(PeerError):
    """Nothing answers at the engine's address."""


class EngineTimeout(PeerError):
    """The engine was silent for longer than its deadline. `stage` is "connect", "load", "token" or "total".

    `partial` is what had arrived, where the engine says it.
    """

    def __init__(self, message: str, *, stage: str, partial: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.stage = stage
        self.partial = partial


class EngineBroke(PeerError):
    """A reply began and ended badly: cut stream, no `done`, an error in mid-stream. `partial` is what had arrived."""

    def __init__(self, message: str, *, partial: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.partial = partial


class EngineGarbled(PeerError):
    """What arrived is not the engine's protocol (no JSON, wrong shape), or not the schema that was asked for."""


class EngineBusy(PeerError):
    """The engine's queue is full."""


class EngineRefused(PeerError):
    """The engine rejected the request itself. `status` is its HTTP status, 0 where there was none."""

    def __init__(self, message: str, *, status: int = 0, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


class PromptTooLong(EngineRefused):
    """The prompt does not fit the context that was asked for; nothing was cut silently."""


class ModelMissing(PeerError):
    """The engine lacks `models`; `model` is the first. `models pull` by itself fetches all that the profile lacks.

    `engine` is its name, "" where it cannot be told.
    """

    engine = ""

    def __init__(self, model: str, *others: str) -> None:
        named = f"{', '.join((model, *others[:-1]))} and {others[-1]}" if others else model
        super().__init__(
            f"the models {named} are not installed" if others else f"the model {model} is not installed",
            next_step="a4ps models pull" if others else f"a4ps models pull {model}",
        )
        self.model = model
        self.models = (model, *others)


class DownloadFailed(PeerError):
    """A server did not give the file that was asked of it. `status` is its HTTP status, 0 where there was none."""

    def __init__(self, message: str, *, status: int = 0, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.status = status


class WorldError(A4PSError):
    """The machine stands in the way: disk, permissions, another process, a missing program."""


class DiskFull(WorldError):
    """No space was left for a durable write. What was acknowledged is safe; the failed write did not happen."""


class StorageFailed(WorldError):
    """The operating system refused a read or write of the image, or its outcome is unknown until it is opened again."""


class ImageHeld(WorldError):
    """Another process has the image open; `pid` is that process, 0 where it cannot be told."""

    pid = 0

    def __init__(self, message: str, *, pid: int, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.pid = pid


class ImageTooNew(WorldError):
    """The image was written by a newer A4PS than this one."""


class ModelFileBad(WorldError):
    """A file is not the model that it should be: no GGUF, cut, inconsistent, or of another hash. It was not used."""


class ModelUnexamined(ModelFileBad):
    """The process that was to examine a file did not finish: a crafted file, or a machine that is far too busy."""


class DownloadHeld(WorldError):
    """Another download writes the same file at this moment; nothing was touched."""


class Unsupported(WorldError):
    """This machine or installation lacks what the request needs."""


class SandboxUnavailable(WorldError):
    """No sandbox works here, or none could be started; the code was not run. `next_step` says what would bring one."""


class ProtocolError(CallerError):
    """A message that the other side does not understand. `key` is that of its command, "" where it cannot be told."""

    def __init__(self, message: str, *, key: str = "", next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.key = key


class RoleRefused(CallerError):
    """A session asked for what only another role may do. Nothing was done."""


class ProtocolMismatch(WorldError):
    """Client and backend are of versions that do not understand each other; the message names both."""


class BackendLost(WorldError):
    """The backend does not answer, or could not be started. What it acknowledged is in the image."""


class BackendBusy(WorldError):
    """The backend runs with other settings than those of this command, and cannot be replaced now."""


class AlreadyDone(CallerError):
    """A command that was sent again had been done before the backend ended: in commit `change`. It was not done twice."""

    def __init__(self, message: str, *, change: int = 0, next_step: str = "") -> None:
        super().__init__(message, next_step=next_step)
        self.change = change


class IntegrityError(A4PSError):
    """Stored data is missing, changed, older than what was acknowledged, or signed by another key."""

    exit_code = 4


class KeyLost(IntegrityError):
    """The key that signs this image is not in the key folder."""
