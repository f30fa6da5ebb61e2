"""Tools in a turn: what ALFRED is shown of them, and how the one that his plan names is called, or made first.

A missing tool is made only if the Architect, asked there and then, wants it, and kept only if he approves of what it has
become; where nobody can be asked it is refused, and said. One that fails goes back to the forge in the same way, with what
it failed at as a test, and is called again. What was tried in vain lately is not tried again. A result enters later prompts
as quoted data.

A step that is done again after a crash calls its tool again: harmless for one that is sandboxed, and not for one that
was granted folders to write to, or promoted to this process.
"""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from a4ps.errors import EngineGarbled, SandboxUnavailable, ToolFailed, ToolRefused, UsageError
from a4ps.inference.tokens import estimate_tokens
from a4ps.personas import prompting
from a4ps.tools.cases import shown
from a4ps.tools.report import ForgeListener
from a4ps.tools.specification import Specification
from a4ps.tools.tool import Tool
from a4ps.tools.tool_forge import TESTER, ToolForge

#: Asks the Architect a yes-or-no question and waits for the answer.
Approver: TypeAlias = Callable[[str], Awaitable[bool]]

#: Tools that a plan may name, those that it is shown, and characters of one's line: a prompt has little room.
NAMED = 40
LISTED = 6
LINE_CHARS = 110

#: How much of a call and its result enters a prompt, in characters, and in tokens as estimated.
RESULT_CHARS = 1_200
RESULT_TOKENS = 300
TOOL_TOKENS = RESULT_TOKENS + 40

#: A description shorter than this is no task for the forge.
TASK_MIN = 8

#: How many tests whoever approves of a tool is shown, and characters of one's line.
TESTS_SHOWN = 8
TEST_CHARS = 100


@dataclass(frozen=True, slots=True)
class Served:
    """What came of a plan's wish: the call and its result as `text`, "" where there was none, and notes for the user."""

    text: str = ""
    tool: str = ""
    ms: float = 0.0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Toolbox:
    """The forge, and who is asked before it is used; None where nobody can be."""

    forge: ToolForge
    approve: Approver | None = None

    def names(self) -> tuple[str, ...]:
        """The tools that a plan may name, the most used first."""
        return tuple(tool.name for tool in self._tools()[:NAMED])

    def plan_part(self) -> str:
        """What a plan's prompt says of tools: the most used ones."""
        lines = [_line(tool) for tool in self._tools()[:LISTED]] or ["(there are none yet)"]
        return prompting.filled("plan_tools", tools=prompting.quote("\n".join(lines)))

    def _tools(self) -> list[Tool]:
        return sorted(self.forge.registry.tools(), key=lambda tool: -tool.use.calls)

    async def serve(
        self, wanted: str, arguments: Mapping[str, Any], question: str, *, listener: ForgeListener, turn: str
    ) -> Served:
        """Call the tool of the name `wanted`, or make the one that `wanted` describes and call that.

        Raises PeerError where an engine fails, and what a commit raises; whatever else goes wrong is a note.
        """
        name = wanted
        notes: tuple[str, ...] = ()
        if name not in self.forge.registry:
            name, note = await self._make(wanted, listener, turn)
            if not name:
                return Served(notes=(note,))
            arguments, notes = {}, (note,)
        for mended in (False, True):
            try:
                return await self._call(name, arguments, question, turn, notes)
            except ToolFailed as error:
                if error.declared or mended:
                    return _nothing(name, error.message, notes)
                good, note = await self._mend(name, error.message, listener, turn)
                notes = (*notes, note)
                if not good:
                    return Served(notes=notes)
            except (ToolRefused, SandboxUnavailable, EngineGarbled) as error:
                return _nothing(name, error.message, notes)
        return Served(notes=notes)

    async def _make(self, task: str, listener: ForgeListener, turn: str) -> tuple[str, str]:
        """The name of a tool made for `task`, "" where there is none, and what the user should know."""
        flat = " ".join(task.split())
        short = flat if len(flat) <= 160 else flat[:159] + "…"
        if len(task) < TASK_MIN:
            return "", f"There is no tool {short}."
        earlier = await asyncio.to_thread(self.forge.registry.use.failure, task)
        if earlier is not None:
            return "", (
                f"A tool was wanted ({short}), tried in vain on {earlier.at.astimezone():%Y-%m-%d} ({earlier.why}) and is "
                f"not tried again before {earlier.until.astimezone():%Y-%m-%d}."
            )
        if self.approve is None:
            return (
                "",
                f"A tool was wanted and nobody could be asked to approve of it: a4ps tools forge {shlex.quote(flat)}",
            )
        if not await self.approve(
            f"No tool does this: {short}\nHave BRICK write one, to be tested and run in the sandbox?"
        ):
            return "", f"A tool was wanted and not approved of: {short}"
        try:
            report = await self.forge.forge(task, listener=listener, accept=self._accept, turn=turn)
        except (SandboxUnavailable, UsageError) as error:
            return "", f"No tool could be made: {error.message}."
        return report.name if report.verified else "", str(report)

    async def _mend(self, name: str, why: str, listener: ForgeListener, turn: str) -> tuple[bool, str]:
        """Whether a tool that failed is another one now, and what the user should know."""
        said = " ".join(why.split())[:300]
        if self.approve is None:
            return False, f"The tool {name} gave nothing: {said}. Have it mended: a4ps tools mend {name}"
        if not await self.approve(f"The tool failed: {said}\nHave BRICK mend {name}, with this input as a test?"):
            return False, f"The tool {name} gave nothing: {said}."
        version = self.forge.registry.get(name).version
        try:
            report = await self.forge.mend(name, listener=listener, accept=self._accept, turn=turn)
        except (
            SandboxUnavailable,
            ToolRefused,
            UsageError,
        ) as error:  # a foreign tool's task or tests may be of no use
            return False, f"The tool {name} could not be mended: {error.message}."
        return report.tool is not None and report.verified and report.tool.version > version, str(report)

    async def _accept(self, tool: Tool) -> bool:
        """Show the Architect what a tool has become and ask whether it is to be kept."""
        assert self.approve is not None
        tests = [case.text(tool.name) for case in tool.tests[:TESTS_SHOWN]]
        lines = [
            f"{tool.specification.signature}: {tool.specification.summary}",
            *(f"  {text if len(text) <= TEST_CHARS else text[: TEST_CHARS - 1] + '…'}" for text in tests),
            *([f"  and {len(tool.tests) - TESTS_SHOWN} more"] if len(tool.tests) > TESTS_SHOWN else []),
            f"It passed {tool.evidence}. It runs in the sandbox. Keep it and use it?",
        ]
        return await self.approve("\n".join(lines))

    async def _call(
        self, name: str, arguments: Mapping[str, Any], question: str, turn: str, notes: tuple[str, ...]
    ) -> Served:
        specification = self.forge.registry.get(name).specification
        try:
            bound = specification.bound((), arguments)
        except ToolRefused:
            bound = await self._arguments(specification, question, turn)
        called = await asyncio.to_thread(self.forge.registry.call, name, (), bound)
        given = ", ".join(f"{each}={shown(value)[:80]}" for each, value in bound.items())
        return Served(_cut(f"{name}({given}) gave:\n{_spelt(called.value)}"), name, called.ms, notes)

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
