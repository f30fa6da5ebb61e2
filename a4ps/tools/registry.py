"""The tools of one image: live objects that are usable as soon as they are there, and how each call of one is made.

A tool is a Proto named `tool:NAME`: its text, specification, tests and evidence are slots, so a new version is a change
with a history, a difference and a way back, and the portable file and the text export carry it. How it does in use is
kept beside it (tool_use.py), and how far its text is trusted is the image's record of promotions.

Whoever wrote a tool, its text runs in a sandbox at every call unless the Architect promoted that very text (I5): the
author that a slot names is not believed. Arguments and result are held to the signature out here.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from a4ps.errors import (
    A4PSError,
    IntegrityError,
    PromotionRefused,
    SandboxUnavailable,
    ToolFailed,
    ToolRefused,
    UnknownTool,
    UsageError,
)
from a4ps.governance.trust import ARCHITECT, Level, Place, Trust, place_of_text
from a4ps.image.codex import Codex
from a4ps.image.method_pool import shared_pool
from a4ps.image.methods import Method, function_of
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.tools.cases import Case, Completes, Ended, Outcome, Raised, Returned
from a4ps.tools.granted_folders import FileWrite, GrantedFolders, StagedFolders
from a4ps.tools.running import Runner, outcome_of, told
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Tool, tool_from_slots
from a4ps.tools.tool_use import ToolUse
from a4ps.tools.value_types import is_plain

PREFIX = "tool:"

#: Wall time of one call in use.
CALL_S = 10.0

#: Parts that arguments or a result may have in all: what a person or a prompt could ever take in, with room.
PARTS_MAX = 100_000
TEXT_MAX = 4_000_000

_WRITER = "BRICK"


@dataclass(frozen=True, slots=True)
class Called:
    """What a call gave, how long it took, and where it ran: the sandbox's tier, or "in-process".

    `writes` are the files that it wants written, where they were held back; `saw_files` says whether it may have seen
    files of the Architect's.
    """

    value: Any
    ms: float
    tier: str
    writes: tuple[FileWrite, ...] = ()
    saw_files: bool = False


class ToolProxy:
    """A tool as a function: always the current version, always by way of the registry."""

    __slots__ = ("_name", "_registry")

    def __init__(self, name: str, registry: ToolRegistry) -> None:
        self._name = name
        self._registry = registry

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The result. Raises what `ToolRegistry.call` raises."""
        return self._registry.call(self._name, args, kwargs).value

    @property
    def __name__(self) -> str:
        return self._name

    @property
    def tool(self) -> Tool:
        """The current version. Raises UnknownTool once it was removed."""
        return self._registry.get(self._name)

    def __repr__(self) -> str:
        tool = self.tool
        return f"<tool {tool.specification.signature}, version {tool.version}, {tool.level}>"


class ToolRegistry:
    """The tools of a manager's image. Used from any thread; every method reads the image as it is now.

    `runner` is the sandbox, None where this machine has none: then only tools promoted to in-process can be called.
    """

    def __init__(self, manager: ProtoManager, runner: Runner | None, *, call_s: float = CALL_S) -> None:
        self._manager = manager
        self._runner = runner
        self._call_s = call_s
        self._writing = threading.RLock()
        self.use = ToolUse(manager.store)

    @property
    def manager(self) -> ProtoManager:
        return self._manager

    @property
    def runner(self) -> Runner:
        """Raises SandboxUnavailable where there is none."""
        if self._runner is None:
            raise SandboxUnavailable("nothing here can run code that is not trusted", next_step="a4ps doctor")
        return self._runner

    def names(self) -> list[str]:
        """All tools, sorted."""
        return [name[len(PREFIX) :] for name in self._manager.names() if name.startswith(PREFIX)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and PREFIX + name in self._manager

    def __getitem__(self, name: str) -> ToolProxy:
        """The tool as a function. Raises UnknownTool."""
        self._need(name)
        return ToolProxy(name, self)

    def tools(self) -> list[Tool]:
        """Every tool that can be read, by name; one that cannot is in nobody's way."""
        found = self._read()
        return [tool for tool in found.values() if isinstance(tool, Tool)]

    def unreadable(self) -> dict[str, IntegrityError]:
        """The others, which damage or a foreign image can leave, and what is wrong with each."""
        found = self._read()
        return {name: error for name, error in found.items() if isinstance(error, IntegrityError)}

    def _read(self) -> dict[str, Tool | IntegrityError]:
        found: dict[str, Tool | IntegrityError] = {}
        for name in self.names():
            try:
                found[name] = self.get(name)
            except IntegrityError as error:
                found[name] = error
        return found

    def get(self, name: str) -> Tool:
        """The current version, with its trust and its use. Raises UnknownTool, IntegrityError."""
        self._need(name)
        draft = self._manager.get_proto(PREFIX + name).clone()
        tool = tool_from_slots(name, draft.state)
        place = self._place(tool.source)
        return replace(tool, level=place.level, folders=place.folders, writable=place.writable, use=self.use.of(name))

    def place(self, name: str) -> Place:
        """Where the current version runs, and the folders it has. Raises UnknownTool, IntegrityError."""
        return self._place(self.get(name).source)

    def call(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] = MappingProxyType({}),
        *,
        hold_writes: bool = False,
        turn: str = "",
    ) -> Called:
        """Call a tool with arguments of its signature. Blocks, at most for the time of a call and of starting a sandbox.

        With `hold_writes`, what it writes to granted folders is not written, and comes back for `write`. `turn` is the one
        that calls, "" for none.

        Raises UnknownTool; ToolRefused where the arguments are not its own (then nothing ran); ToolFailed where it did
        not do its work, which is recorded for the forge; SandboxUnavailable.
        """
        tool = self.get(name)
        given = list(tool.specification.bound(args, kwargs).values())
        if not _is_bounded(given):
            raise ToolRefused(f"the arguments of {name} are too large", next_step="pass less, or other types")
        began = time.monotonic()
        place = self._place(tool.source)
        folders = (StagedFolders if hold_writes else GrantedFolders)(place.folders, place.writable)
        outcome, tier = self._outcome(tool, given, place, folders)
        ms = (time.monotonic() - began) * 1000
        declared = isinstance(outcome, Raised) and outcome.exception in {
            case.exception for case in tool.specification.errors
        }
        why = Case(tuple(given), Completes(), "use").fault(outcome, tool.specification)
        if not why and isinstance(outcome, Returned) and not _is_bounded(outcome.value):
            why = "gave more than can be taken"
        self.use.count(name, given, ms, why, turn)
        if isinstance(outcome, Raised) and declared:
            raise ToolFailed(
                f"{name} raised {outcome.exception}: {outcome.message[:300]}",
                tool=name,
                declared=True,
                next_step=f"that is its contract: a4ps tools show {name}",
            )
        if why or not isinstance(outcome, Returned):
            raise ToolFailed(
                f"{name} {why}",
                tool=name,
                next_step=f"have it mended, with this input as a test: a4ps tools mend {name}",
            )
        was_read = folders.was_read  # by the tool; what follows reads as well
        writes = folders.writes if isinstance(folders, StagedFolders) else ()
        saw_files = place.in_process or was_read
        return Called(tool.specification.returns.shaped(outcome.value), round(ms, 1), tier, writes, saw_files)

    def planned_write(self, name: str, path: str, data: bytes) -> FileWrite:
        """The writing of `data` to `path` on behalf of a tool, as things are now: its grant, and what the file is.

        Raises UnknownTool; ToolRefused where the current version may not write there.
        """
        place = self.place(name)
        return StagedFolders(place.folders, place.writable).planned(path, data)

    def write(self, name: str, path: str, data: bytes) -> None:
        """Put a file in place on behalf of a tool, whole or not at all. Raises what `planned_write` raises."""
        place = self.place(name)
        GrantedFolders(place.folders, place.writable).write_file(path, data)

    def install(self, tool: Tool, turn: str = "") -> Tool:
        """Put a verified tool into the image; one of that name becomes its new version. Durable when it returns. `turn`
        is the one that had it made, "" for none: the change says so.

        Raises ToolRefused where it is not verified, Conflict where another version came in between, and what a commit
        raises.
        """
        if not tool.verified:
            raise ToolRefused(f"{tool.name} is not verified", next_step="forge it again, with an example")
        name = PREFIX + tool.name
        evidence = {**tool.evidence.as_plain(), "digest": tool.digest, **({"turn": turn} if turn else {})}
        reason = f"tool {tool.name}, version {tool.version}"
        codex = Codex("tool", tool.evidence.writer, tool.specification.as_text())
        with self._writing:
            if name in self._manager:
                with self._manager.transaction(author=tool.author, reason=reason, evidence=evidence) as change:
                    draft = change.edit(name)
                    draft.codex = codex
                    draft.state.update(tool.as_slots())
            else:
                made = Proto(name, codex, state=tool.as_slots())
                self._manager.register_proto(made, author=tool.author, reason=reason, evidence=evidence)
            self.use.mended(tool.name)
        return self.get(tool.name)

    def remove(self, name: str, *, author: str = ARCHITECT) -> int:
        """Take a tool away; returns the number of the change, which `image revert` undoes. Raises UnknownTool."""
        self._need(name)
        return self._manager.remove_proto(PREFIX + name, author=author, reason=f"remove tool {name}").generation

    def promote(
        self,
        name: str,
        level: Level | str,
        *,
        folders: Sequence[str | Path] = (),
        writable: Sequence[str | Path] = (),
        digest: str = "",
        author: str = ARCHITECT,
        reason: str = "",
    ) -> Trust:
        """Say how far the text of the current version is trusted; a new version begins sandboxed again.

        `folders` belong to the level "granted"; those of them that are also `writable` may be written to. With a `digest`
        it is that text or none. Raises UnknownTool, PromotionRefused.
        """
        tool = self.get(name)
        if digest and tool.digest != digest:
            raise PromotionRefused(
                f"the text of {name} is another one by now: {tool.digest[:16]}", next_step=f"a4ps tools show {name}"
            )
        return self._manager.promote_text(
            tool.source,
            # Whatever the slot says: a tool's text is nobody's who would need no promotion.
            _WRITER,
            level,
            folders=folders,
            writable=writable,
            author=author,
            reason=reason or f"tool {name}, version {tool.version}",
        )

    def _outcome(self, tool: Tool, given: list[Any], place: Place, folders: GrantedFolders) -> tuple[Outcome, str]:
        if place.in_process:
            return self._in_process(tool, given), "in-process"
        try:
            return outcome_of(self.runner, tool.source, tool.name, given, self._call_s, folders.services())
        except UsageError as error:
            raise ToolRefused(f"{tool.name} cannot be called so: {error.message}", next_step=error.next_step) from error

    def _in_process(self, tool: Tool, given: list[Any]) -> Outcome:
        method = Method(tool.name, tool.source, tool.author)
        try:
            value = shared_pool().run(
                f"tool {tool.name}", lambda: function_of("tools", method)(*copy.deepcopy(given)), self._call_s
            )
        except A4PSError as error:
            return Ended(error.message)
        except Exception as error:  # noqa: BLE001 - whatever the tool raises is its outcome
            return Raised(told(type(error).__name__), told(str(error)))
        return Returned(value) if is_plain(value) else Ended(f"gave a {type(value).__name__}, which is no plain value")

    def _place(self, source: str) -> Place:
        return place_of_text(source, self._manager.trusts)

    def _need(self, name: str) -> None:
        if name not in self:
            names = self.names()
            step = f"there are: {', '.join(names[:10])}" if names else 'none is there yet: a4ps tools forge "..."'
            raise UnknownTool(f"there is no tool {ascii(name)[1:-1][:60]}", next_step=step)


def earlier_cases(tool: Tool, specification: Specification) -> tuple[Case, ...]:
    """The tests of the version before and its failures in use, as tests of a new one.

    Raises ToolRefused where the new signature cannot take their arguments.
    """
    cases = [replace(case, origin="earlier") for case in tool.tests]
    known = [case.args for case in cases]
    cases += [Case(failed.args, Completes(), "use") for failed in tool.use.failed if failed.args not in known]
    for case in cases:
        specification.bound(case.args, {})
    return tuple(cases)


def _is_bounded(value: object) -> bool:
    """Whether `value` has at most PARTS_MAX parts and TEXT_MAX characters or bytes in all."""
    parts = texts = 0
    waiting = [value]
    while waiting:
        each = waiting.pop()
        parts += 1
        if isinstance(each, str | bytes):
            texts += len(each)
        elif isinstance(each, int):
            texts += each.bit_length() // 8
        elif isinstance(each, Mapping):
            waiting.extend(each.keys())
            waiting.extend(each.values())
        elif isinstance(each, list | tuple | set | frozenset):
            waiting.extend(each)
        if parts + len(waiting) > PARTS_MAX or texts > TEXT_MAX:
            return False
    return True
