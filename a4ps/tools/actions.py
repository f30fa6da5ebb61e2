"""Actions of tools as values: built by code from the image as it is now, so that an approval shows what would happen.

`rebuilt` builds an action again from its arguments alone: before it is done, and for an edit. Where anything that takes
part has changed in between (the tool's text, its trust, the file that would be overwritten), the digest differs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from a4ps.errors import ToolRefused, UsageError
from a4ps.governance.approvals import Action, diff_of
from a4ps.governance.taint import FILES, Taint, union
from a4ps.tools.granted_folders import FileWrite
from a4ps.tools.registry import Called, ToolRegistry
from a4ps.tools.spelling import read_spelt, spelt
from a4ps.tools.tool import Tool
from a4ps.tools.tool_forge import TASK_MAX


def forging(task: str, versions: Mapping[str, str]) -> Action:
    """The making of a tool for `task`. Raises ToolRefused where that is none."""
    if not task.strip() or len(task) > TASK_MAX:
        raise ToolRefused(f"a task has 1 to {TASK_MAX} characters", next_step="say what the tool takes and gives")
    return Action("tool-forge", task, {"task": spelt(task)}, versions=versions)


def mending(registry: ToolRegistry, name: str, why: str, versions: Mapping[str, str]) -> Action:
    """Giving a tool that failed back to its writer. Raises UnknownTool, IntegrityError."""
    tool = registry.get(name)
    return Action(
        "tool-mend",
        name,
        {"failed": spelt(why)},
        versions={**versions, f"tool:{name}": f"{tool.version} {tool.digest}"},
    )


def keeping(registry: ToolRegistry, tool: Tool, versions: Mapping[str, str]) -> Action:
    """Putting a verified tool into the image, in place of the version that is there. Raises IntegrityError."""
    before = registry.get(tool.name) if tool.name in registry else None
    source = tool.source.encode("utf-8", "backslashreplace")
    return Action(
        "tool-keep",
        tool.name,
        {
            "contract": spelt(f"{tool.specification.signature}: {tool.specification.contract}"),
            "tests": spelt([case.text(tool.name) for case in tool.tests]),
            "evidence": spelt(str(tool.evidence)),
        },
        size_bytes=len(source),
        diff=diff_of(None if before is None else before.source.encode("utf-8", "backslashreplace"), source, tool.name),
        versions={
            **versions,
            f"tool:{tool.name}": "none" if before is None else f"{before.version} {before.digest}",
            "text": tool.digest,
        },
    )


def calling(registry: ToolRegistry, name: str, bound: Mapping[str, Any], versions: Mapping[str, str]) -> Action:
    """The call of a tool with these arguments. Raises UnknownTool, IntegrityError, ToolRefused."""
    tool = registry.get(name)
    place = registry.place(name)
    arguments = {parameter: spelt(value) for parameter, value in bound.items()}
    kind, leads = ("tool-in-process", "wherever the tool's text leads") if place.in_process else ("tool-use", "")
    return Action(
        kind,
        name,
        arguments,
        destination=leads,
        size_bytes=sum(len(text.encode("utf-8", "surrogatepass")) for text in arguments.values()),
        versions={**versions, f"tool:{name}": f"{tool.version} {tool.digest} {place}"},
    )


def writing(registry: ToolRegistry, name: str, write: FileWrite, versions: Mapping[str, str]) -> Action:
    """The writing of a file on behalf of a tool. Raises UnknownTool, IntegrityError, ToolRefused."""
    tool = registry.get(name)
    return Action(
        "file-write",
        write.path,
        {"tool": spelt(name), "path": spelt(write.path), "data": spelt(write.data)},
        destination=write.path,
        size_bytes=len(write.data),
        diff=diff_of(write.before, write.data, write.path),
        versions={
            **versions,
            f"tool:{name}": f"{tool.version} {tool.digest} {registry.place(name)}",
            write.path: write.version,
        },
    )


def written(action: Action) -> FileWrite:
    """What a "file-write" writes, as it was agreed to; `before` is not known to it."""
    data = read_spelt(action.arguments["data"])
    return FileWrite(
        read_spelt(action.arguments["path"]), data.encode() if isinstance(data, str) else data, before=None
    )


def rebuilt(registry: ToolRegistry, action: Action, versions: Mapping[str, str]) -> Action:
    """The same action as it would be now; equal to `action` if nothing that takes part has changed.

    Raises UnknownTool, IntegrityError, ToolRefused where it could no longer be done.
    """
    given = {name: read_spelt(text) for name, text in action.arguments.items()}
    match action.kind:
        case "tool-use" | "tool-in-process":
            bound = registry.get(action.what).specification.bound((), given)
            again = calling(registry, action.what, bound, versions)
        case "file-write":
            planned = registry.planned_write(given["tool"], given["path"], written(action).data)
            again = writing(registry, given["tool"], planned, versions)
        case "tool-forge":
            again = forging(given["task"], versions)
        case "tool-mend":
            again = mending(registry, action.what, given["failed"], versions)
        case _:
            again = action
    return replace(again, attempt=action.attempt)


def edited(registry: ToolRegistry, action: Action, changes: Mapping[str, Any]) -> Action:
    """The action with some of its arguments changed, as it would be now. Raises UsageError, and what `rebuilt` raises."""
    fixed = _FIXED.get(action.kind, frozenset())
    unknown = sorted(set(changes) - (set(action.arguments) - fixed))
    if unknown or not changes:
        can = ", ".join(sorted(set(action.arguments) - fixed)) or "nothing"
        what = f"{unknown[0]} is no argument of it" if unknown else "nothing was to be changed"
        raise UsageError(what, next_step=f"what can be changed: {can}")
    tools = {name for name in action.versions if name.startswith("tool:")}
    personas = {name: version for name, version in action.versions.items() if name not in {*tools, action.what}}
    arguments = {**action.arguments, **{name: spelt(value) for name, value in changes.items()}}
    return rebuilt(registry, replace(action, arguments=arguments), personas)


#: Arguments that say what is so, and are not the Architect's to change.
_FIXED: Mapping[str, frozenset[str]] = {
    "file-write": frozenset({"tool"}),
    "tool-keep": frozenset({"contract", "tests", "evidence"}),
    "tool-mend": frozenset({"failed"}),
}


def taint_of_result(registry: ToolRegistry, name: str, called: Called, context: Taint) -> Taint:
    """The labels of what a tool gave: its context's and its own, and those of files where it has seen any."""
    return union(context, registry.get(name).taint, FILES if called.saw_files else ())
