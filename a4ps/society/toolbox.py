"""Tools in a turn: what ALFRED is shown of them, and how the one that his plan names is called, or made first.

Making, mending and keeping a tool, calling one, and each file that it wants written are effects: each goes through the
turn's gate, which has it happen once. One that fails goes back to the forge, with what it failed at as a test, and is called
again. What was tried in vain lately is not tried again. A result enters later prompts as quoted data.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from a4ps.errors import EngineGarbled, SandboxUnavailable, ToolFailed, ToolRefused, UnknownTool
from a4ps.governance.approvals import Action, Where
from a4ps.governance.taint import Taint, as_plain, union
from a4ps.inference.tokens import estimate_tokens
from a4ps.personas import prompting
from a4ps.society.gate import Fate, Gate, Means
from a4ps.society.making import Making
from a4ps.tools import actions
from a4ps.tools.cases import shown
from a4ps.tools.report import ForgeListener
from a4ps.tools.specification import Specification
from a4ps.tools.spelling import read_spelt
from a4ps.tools.tool import Tool
from a4ps.tools.tool_forge import TESTER, ToolForge

#: Tools that a plan may name, those that it is shown, and characters of one's line: a prompt has little room.
NAMED = 40
LISTED = 6
LINE_CHARS = 110

#: How much of a call and its result enters a prompt, in characters, and in tokens as estimated.
RESULT_CHARS = 1_200
RESULT_TOKENS = 300
TOOL_TOKENS = RESULT_TOKENS + 40

#: The step of a turn's ledger, and the places in it.
STEP = "use_tool"
MAKING, CALLING, WRITING = 0, 1, 2
KEEPING, MENDING, KEEPING_MENDED, CALLING_AGAIN, WRITING_AGAIN = 100, 101, 102, 103, 104


@dataclass(frozen=True, slots=True)
class Wish:
    """What a plan wants: `tool` by name, or described; what the planner said of it; and the labels of all it knew."""

    turn: str
    tool: str
    arguments: Mapping[str, Any]
    question: str
    claim: str = ""
    taint: Taint = frozenset()


@dataclass(frozen=True, slots=True)
class Served:
    """What came of a plan's wish: the call and its result as `text`, "" where there was none, and notes for the user.

    `taint` are the labels of the text.
    """

    text: str = ""
    tool: str = ""
    ms: float = 0.0
    notes: tuple[str, ...] = ()
    taint: Taint = frozenset()


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The forge, and the gate of the turn. `versions` are those of the personas in it."""

    forge: ToolForge
    gate: Gate
    versions: Mapping[str, str] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """The tools that a plan may name, the most used first."""
        return tuple(tool.name for tool in self._tools()[:NAMED])

    def plan_part(self) -> str:
        """What a plan's prompt says of tools: the most used ones."""
        lines = [_line(tool) for tool in self._tools()[:LISTED]] or ["(there are none yet)"]
        return prompting.filled("plan_tools", tools=prompting.quote("\n".join(lines)))

    def taint(self) -> Taint:
        """The labels of what a plan is told of tools: their names and summaries are a model's words."""
        return union(*(tool.taint for tool in self._tools()[:NAMED]))

    def _tools(self) -> list[Tool]:
        return sorted(self.forge.registry.tools(), key=lambda tool: -tool.use.calls)

    async def serve(self, wish: Wish, *, listener: ForgeListener) -> Served:
        """Call the tool that a wish names, or make the one that it describes and call that.

        Raises ApprovalNeeded where nobody is there to ask; PeerError where an engine fails, and what a commit raises;
        whatever else goes wrong is a note.
        """
        forge = self.forge
        making = Making(forge, self.gate, self.versions, wish.turn, wish.claim, wish.taint, listener)
        name = wish.tool
        notes: tuple[str, ...] = ()
        if name not in forge.registry:
            name, note = await making.make(name, _at(wish, MAKING), _at(wish, KEEPING))
            if not name:
                return Served(notes=(note,))
            wish, notes = replace(wish, tool=name, arguments={}), (note,)
        try:
            served, failed = await self._call(wish, notes, CALLING, WRITING)
            if not failed:
                return served
            good, note = await making.mend(name, failed, _at(wish, MENDING), _at(wish, KEEPING_MENDED))
            if not good:
                return Served(notes=(*notes, note))
            served, _ = await self._call(wish, (*notes, note), CALLING_AGAIN, WRITING_AGAIN)
        except (ToolRefused, ToolFailed, SandboxUnavailable, EngineGarbled, UnknownTool) as error:
            return _nothing(name, error.message, notes)
        return served

    async def _call(self, wish: Wish, notes: tuple[str, ...], at: int, files_at: int) -> tuple[Served, str]:
        """What came of a call, and why it failed where that is the tool's fault, so that it can be mended."""
        registry = self.forge.registry

        async def built(before: Action | None) -> Action:
            if before is not None:
                return actions.rebuilt(registry, before, self.versions)
            specification = registry.get(wish.tool).specification
            try:
                bound = specification.bound((), wish.arguments)
            except ToolRefused:
                bound = await self._arguments(specification, wish.question, wish.turn)
            return actions.calling(registry, wish.tool, bound, self.versions)

        async def do(action: Action) -> dict[str, Any]:
            bound = {name: read_spelt(text) for name, text in action.arguments.items()}
            try:
                called = await asyncio.to_thread(
                    registry.call, action.what, (), bound, hold_writes=True, turn=wish.turn
                )
            except (ToolRefused, ToolFailed, SandboxUnavailable) as error:
                return {"failed": error.message, "at_fault": isinstance(error, ToolFailed) and not error.declared}
            given = ", ".join(f"{each}={shown(value)[:80]}" for each, value in bound.items())
            result = _spelt(called.value)
            writes = [{"path": write.path, "data": base64.b64encode(write.data).decode()} for write in called.writes]
            taint = actions.taint_of_result(registry, action.what, called, wish.taint)
            text = _cut(f"{action.what}({given}) gave:\n{result}")
            return {"text": text, "ms": called.ms, "writes": writes, "taint": as_plain(taint)}

        # A text that was thought of among untrusted data is itself not above suspicion.
        knows = union(wish.taint, registry.get(wish.tool).taint)
        done = await self.gate.act(_at(wish, at), Means(built, do, _unknown), taint=knows, claim=wish.claim)
        if done.refused:
            return Served(notes=(*notes, done.refused)), ""
        if "failed" in done.result:
            why = done.result["failed"]
            return _nothing(done.action.what, why, notes), why if done.result["at_fault"] else ""
        taint = union(wish.taint, done.result["taint"])
        writes = done.result["writes"]
        written = 0
        for place, write in enumerate(writes):
            data = base64.b64decode(write["data"])
            is_there, note = await self._write(wish, done.action.what, write["path"], data, files_at + place, taint)
            written, notes = written + is_there, (*notes, note)
        # Whatever the tool says of its files: it was told that they are written.
        wanted = "1 file" if len(writes) == 1 else f"{len(writes)} files"
        said = (
            f"(of {wanted} that it wanted written, {written} {'was' if written == 1 else 'were'})\n" if writes else ""
        )
        return Served(said + done.result["text"], done.action.what, done.result["ms"], notes, taint), ""

    async def _write(
        self, wish: Wish, tool: str, path: str, data: bytes, ordinal: int, taint: Taint
    ) -> tuple[bool, str]:
        """Have one file written that a tool wants written. Returns whether it is, and what the user should know."""
        registry = self.forge.registry

        async def built(before: Action | None) -> Action:
            if before is not None:
                return actions.rebuilt(registry, before, self.versions)
            return actions.writing(registry, tool, registry.planned_write(tool, path, data), self.versions)

        async def do(action: Action) -> dict[str, Any]:
            write = actions.written(action)
            await asyncio.to_thread(registry.write, tool, write.path, write.data)
            return {"path": write.path, "size_bytes": len(write.data)}

        async def found(action: Action) -> dict[str, Any] | Fate:
            write = actions.written(action)
            planned = registry.planned_write(tool, write.path, write.data)
            if planned.before == planned.data:
                return {"path": planned.path, "size_bytes": len(planned.data)}
            # A file is put in place whole or not at all: one that is as it was has not been written.
            return Fate.NOT_DONE if planned.version == action.versions[planned.path] else Fate.UNKNOWN

        try:
            done = await self.gate.act(_at(wish, ordinal), Means(built, do, found), taint=taint, claim=wish.claim)
        except (ToolRefused, UnknownTool) as error:
            return False, f"{path} was not written: {error.message}."
        if done.refused:
            return False, done.refused
        return True, f"{tool} wrote {done.result['size_bytes']} bytes to {done.result['path']}."

    async def _arguments(self, specification: Specification, question: str, turn: str) -> dict[str, object]:
        """Arguments for a tool whose signature the plan did not know, or did not keep to. Raises EngineGarbled."""

        def read(reply: str) -> dict[str, object]:
            given = json.loads(reply)
            if not isinstance(given, dict):
                raise ValueError("the arguments are no object")  # noqa: TRY004 - of the reply's content
            return specification.bound((), given)

        return await self.forge.asker(turn).shaped(
            TESTER,
            "tool_arguments",
            specification.arguments_schema(),
            read,
            question=prompting.quote(question),
            specification=prompting.quote(specification.as_text()),
        )


def _at(wish: Wish, place: int) -> Where:
    return Where(wish.turn, STEP, place)


async def _unknown(action: Action) -> Fate:
    """Of a call, only its result could tell that it happened."""
    del action
    return Fate.UNKNOWN


def _nothing(name: str, why: str, notes: tuple[str, ...]) -> Served:
    return Served(notes=(*notes, f"The tool {name} gave nothing: {' '.join(why.split())}."))


def _spelt(value: object) -> str:
    if isinstance(value, str):  # half a character, which no prompt can hold, spelt out
        return value.encode("utf-8", "backslashreplace").decode()
    try:
        return repr(value)
    except ValueError:  # an int of more digits than Python writes
        return shown(value)


def _cut(text: str) -> str:
    """`text` as far as it may enter a prompt, with its whole length where something is missing."""
    kept = text[:RESULT_CHARS]
    while estimate_tokens(kept) > RESULT_TOKENS:
        kept = kept[: len(kept) * 3 // 4]
    return kept if kept == text else f"{kept}… (cut; {len(text)} characters in all)"


def _line(tool: Tool) -> str:
    line = f"{tool.specification.signature}: {tool.specification.summary}"
    return line if len(line) <= LINE_CHARS else line[: LINE_CHARS - 1] + "…"
