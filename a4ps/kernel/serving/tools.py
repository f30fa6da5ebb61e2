"""Serves the requests about tools."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from a4ps.errors import PromotionRefused, UsageError
from a4ps.kernel.backend import Backend
from a4ps.kernel.granting import granted_folders
from a4ps.kernel.serving.call import Call, Handler
from a4ps.kernel.serving.progress import forging
from a4ps.kernel.tool_object import report_object, tool_object, whole_tool_object
from a4ps.protocol.requests import tools
from a4ps.protocol.requests.base import Request
from a4ps.tools.arguments import as_json, read_arguments, shown
from a4ps.tools.report import ForgeProgress
from a4ps.tools.tool_forge import ToolForge

#: Of a hash, what is enough to mean one text.
HASH_CHARS = 16


async def list_tools(backend: Backend, _: Call[tools.Tools]) -> Mapping[str, Any]:
    """`tools`."""

    def read() -> Mapping[str, Any]:
        known = backend.tools
        return {"tools": [tool_object(tool) for tool in known.tools()], "unreadable": list(known.unreadable())}

    return await asyncio.to_thread(read)


async def tool(backend: Backend, call: Call[tools.Tool]) -> Mapping[str, Any]:
    """`tool`."""
    return await asyncio.to_thread(lambda: whole_tool_object(backend.tools.get(call.request.tool)))


async def forge(backend: Backend, call: Call[tools.ForgeTool]) -> Mapping[str, Any]:
    """`forge_tool`."""
    wanted = call.request
    async with backend.working() as kernel:
        maker = _need(kernel.society.forge)
        report = await maker.forge(wanted.task, wanted.tries, wanted.examples, listener=_listener(call))
        return report_object(report)


async def mend(backend: Backend, call: Call[tools.MendTool]) -> Mapping[str, Any]:
    """`mend_tool`."""
    wanted = call.request
    async with backend.working() as kernel:
        report = await _need(kernel.society.forge).mend(wanted.tool, wanted.tries, listener=_listener(call))
        return report_object(report)


async def run(backend: Backend, call: Call[tools.RunTool]) -> Mapping[str, Any]:
    """`run_tool`. Stopped, the call goes on to its end or its deadline, and nobody hears of its result."""
    wanted = call.request

    def work() -> Mapping[str, Any]:
        called_one = backend.tools.get(wanted.tool)
        args, kwargs = read_arguments(wanted.arguments, called_one.specification, wanted.files)
        called = backend.tools.call(wanted.tool, args, kwargs)
        result = shown(called.value) if wanted.spelt else as_json(called.value)
        version = called_one.version
        return {"tool": wanted.tool, "version": version, "result": result, "ms": called.ms, "tier": called.tier}

    return await asyncio.to_thread(work)


async def promote(backend: Backend, call: Call[tools.PromoteTool]) -> Mapping[str, Any]:
    """`promote_tool`."""
    wanted = call.request
    name = wanted.tool

    def work() -> Mapping[str, Any]:
        promoted = backend.tools.get(name)
        if wanted.digest and not (len(wanted.digest) >= HASH_CHARS and promoted.digest.startswith(wanted.digest)):
            raise PromotionRefused(
                f"the text of {name} is another one: {promoted.digest[:HASH_CHARS]}",
                next_step=f"a4ps tools show {name}",
            )
        if wanted.level == "in-process" and not wanted.digest:
            raise UsageError(
                f"who has {name} run in A4PS's own process must have read its text",
                next_step=f"a4ps tools show {name}, then: a4ps tools promote {name} in-process --hash HASH",
            )
        folders, writable = granted_folders(
            ((folder.path, folder.writable) for folder in wanted.folders), backend.env.places
        )
        trust = backend.tools.promote(
            name,
            wanted.level,
            folders=folders,
            writable=writable,
            digest=promoted.digest,
            author=call.author,
            reason=wanted.reason,
        )
        granted = {"folders": list(trust.folders), "writable": list(trust.writable)}
        return {
            "tool": name,
            "version": promoted.version,
            "hash": trust.digest,
            "level": trust.level.value,
            **granted,
        }

    return await asyncio.to_thread(work)


async def remove(backend: Backend, call: Call[tools.RemoveTool]) -> Mapping[str, Any]:
    """`remove_tool`."""
    name = call.request.tool
    change = await asyncio.to_thread(lambda: backend.tools.remove(name, author=call.author))
    return {"removed": name, "change": change}


HANDLERS: Mapping[type[Request], Handler] = {
    tools.Tools: list_tools,
    tools.Tool: tool,
    tools.ForgeTool: forge,
    tools.MendTool: mend,
    tools.RunTool: run,
    tools.PromoteTool: promote,
    tools.RemoveTool: remove,
}


def _need(maker: ToolForge | None) -> ToolForge:
    assert maker is not None  # the wiring gives every society one
    return maker


def _listener(call: Call[Any]) -> Any:
    def listen(step: ForgeProgress) -> None:
        call.tell(forging(step).model_dump())

    return listen
