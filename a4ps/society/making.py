"""How a turn has a tool made, mended and kept: three effects, each asked about where the policy says so.

Made and kept are two: first whether it is to be tried at all, then, with its tests and its text, whether what came of it
is to be kept. What was verified is in the ledger by then, so waiting for the second answer costs no second tool.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from a4ps.errors import SandboxUnavailable, ToolRefused, UsageError
from a4ps.governance.approvals import Action, Where
from a4ps.governance.policy import Policy, policy_of
from a4ps.governance.taint import Taint
from a4ps.society.gate import Fate, Gate, Means
from a4ps.tools import actions
from a4ps.tools.report import ForgeListener, ToolReport
from a4ps.tools.spelling import read_spelt, spelt
from a4ps.tools.tool import Tool, tool_from_slots
from a4ps.tools.tool_forge import ToolForge

#: A description shorter than this is no task for the forge.
TASK_MIN = 8


@dataclass(frozen=True, slots=True)
class Making:
    """The forge behind the gate, on behalf of one wish: its turn, claim and taint."""

    forge: ToolForge
    gate: Gate
    versions: Mapping[str, str]
    turn: str
    claim: str
    taint: Taint
    listener: ForgeListener

    async def make(self, task: str, at: Where, keep_at: Where) -> tuple[str, str]:
        """The name of a tool made for `task`, "" where there is none, and what the user should know.

        Raises ApprovalNeeded, PeerError.
        """
        flat = " ".join(task.split())
        short = flat if len(flat) <= 160 else flat[:159] + "…"
        if len(task) < TASK_MIN:
            return "", f"There is no tool {short}."
        if self.gate.effects.at(at) is None:  # else what came of it is in the ledger
            earlier = await asyncio.to_thread(self.forge.registry.use.failure, task)
            if earlier is not None:
                return "", (
                    f"A tool was wanted ({short}), tried in vain on {earlier.at.astimezone():%Y-%m-%d} ({earlier.why}) and "
                    f"is not tried again before {earlier.until.astimezone():%Y-%m-%d}."
                )

        async def built(before: Action | None) -> Action:
            return actions.forging(task if before is None else read_spelt(before.arguments["task"]), self.versions)

        async def do(action: Action) -> dict[str, Any]:
            wanted = read_spelt(action.arguments["task"])
            return await self._forged(
                self.forge.forge(wanted, listener=self.listener, keep=False, turn=self.turn, taint=self.taint)
            )

        try:
            done = await self.gate.act(at, Means(built, do, _not_done), taint=self.taint, claim=self.claim)
        except ToolRefused as error:
            return "", f"No tool could be made: {error.message}."
        if done.refused:
            return "", f"A tool was wanted: {short}. {done.refused}"
        if "failed" in done.result:
            return "", f"No tool could be made: {done.result['failed']}."
        return await self._kept(done.result, keep_at)

    async def mend(self, name: str, why: str, at: Where, keep_at: Where) -> tuple[bool, str]:
        """Whether a tool that failed is another one now, and what the user should know. Raises as `make`.

        A turn can do without: where nobody is there to ask, it is said how to have it mended, and the turn goes on.
        """
        said = " ".join(why.split())[:300]
        nothing = f"The tool {name} gave nothing: {said}."
        gate = self.gate
        is_asked = policy_of("tool-mend", gate.policies) is Policy.ASK
        if gate.approver is None and is_asked and gate.effects.at(at) is None:
            return False, f"{nothing} Have it mended: a4ps tools mend {name}"

        async def built(before: Action | None) -> Action:
            told = said if before is None else read_spelt(before.arguments["failed"])
            return actions.mending(self.forge.registry, name, told, self.versions)

        async def do(action: Action) -> dict[str, Any]:
            return await self._forged(
                self.forge.mend(action.what, listener=self.listener, keep=False, turn=self.turn), action.what
            )

        done = await self.gate.act(at, Means(built, do, _not_done), taint=self.taint, claim=self.claim)
        if done.refused:
            return False, f"{nothing} {done.refused}"
        if "failed" in done.result:
            return False, f"The tool {name} could not be mended: {done.result['failed']}."
        kept, note = await self._kept(done.result, keep_at)
        return bool(kept), note

    async def _forged(self, work: Any, before: str = "") -> dict[str, Any]:
        """What the forge came to, as JSON data: its report, and a verified tool that is not kept yet as text."""
        version = self.forge.registry.get(before).version if before else 0
        try:
            report: ToolReport = await work
        except (SandboxUnavailable, ToolRefused, UsageError) as error:  # a foreign tool's tests may be of no use
            return {"failed": error.message}
        new = report.tool if report.verified and report.tool and report.tool.version > version else None
        return {"name": report.name, "note": str(report), "tool": "" if new is None else spelt(new.as_slots())}

    async def _kept(self, made: Mapping[str, Any], at: Where) -> tuple[str, str]:
        """The name of what is kept, "" where nothing is, and what the user should know."""
        if not made["tool"]:
            return "", made["note"]
        registry = self.forge.registry
        tool: Tool = tool_from_slots(made["name"], read_spelt(made["tool"]))

        async def built(before: Action | None) -> Action:
            del before
            return actions.keeping(registry, tool, self.versions)

        async def do(action: Action) -> dict[str, Any]:
            await self.forge.keep(tool, self.turn)
            return {"name": action.what}

        async def found(action: Action) -> dict[str, Any] | Fate:
            is_there = tool.name in registry and registry.get(tool.name).digest == tool.digest
            return {"name": action.what} if is_there else Fate.NOT_DONE

        done = await self.gate.act(at, Means(built, do, found), taint=self.taint, claim=self.claim)
        if done.refused:
            await self.forge.decline(tool, self.turn)
            return "", f"{tool.name} passed its tests and was not approved of. {done.refused}"
        return tool.name, made["note"]


async def _not_done(action: Action) -> Fate:
    """What the forge makes is in the ledger, or nowhere."""
    del action
    return Fate.NOT_DONE
