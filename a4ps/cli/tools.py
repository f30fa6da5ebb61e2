"""`a4ps tools`: what the society has written for itself."""

from __future__ import annotations

import ast
import asyncio
import os
from datetime import datetime
from typing import Any

import click

from a4ps.cli.approving import can_attend
from a4ps.cli.connected import call, connected
from a4ps.cli.failure import tell_failure
from a4ps.cli.frame import Frame, framed
from a4ps.cli.granting import read_folders
from a4ps.cli.lines import confirm
from a4ps.cli.plain import plain, spelt_out
from a4ps.cli.session import begin
from a4ps.client.given_files import files_of
from a4ps.errors import A4PSError, Stopped
from a4ps.governance.trust import Level, needs_promotion
from a4ps.places import Places
from a4ps.protocol.objects import (
    ToolObject,
    ToolPromotedObject,
    ToolRemovedObject,
    ToolReportObject,
    ToolRunObject,
    ToolsObject,
    WholeToolObject,
)
from a4ps.protocol.requests.tools import ForgeTool, MendTool, PromoteTool, RemoveTool, RunTool, Tool, Tools

#: Of a hash, what `show` prints: enough to mean one text.
HASH_CHARS = 16


def known_tools(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The tools whose names begin so, for the shell; no backend is asked, or started."""
    from a4ps.image.glance import glance_at_names
    from a4ps.tools.registry import PREFIX
    from a4ps.tools.specification import is_tool_name

    image = Places.find(ctx.params.get("home"), os.environ).image
    names = (name.removeprefix(PREFIX) for name in glance_at_names(image, PREFIX + incomplete))
    return [name for name in names if is_tool_name(name)]


@click.group("tools")
def command() -> None:
    """Have small programs written, tested, and used.

    What a model wrote runs in a sandbox at every call, until you promote that very text.
    """


@command.command("list")
@framed
def list_tools(frame: Frame) -> None:
    """Show each tool with its trust and how it has done."""
    found = asyncio.run(_listed(frame))
    if frame.as_json:
        frame.print_object(found)
        return
    for tool in found["tools"]:
        click.secho(plain(tool["signature"]), bold=True)
        click.echo(f"  {plain(tool['summary'])}")
        click.secho(f"  version {tool['version']}, {_trust(tool)}, {_use(tool)}", dim=True)
    if not found["tools"] and not found["unreadable"]:
        click.echo('No tool is there yet: a4ps tools forge "the n-th Fibonacci number" --example "f(10) == 55"')


@command.command("forge")
@click.argument("task")
@click.option(
    "--example", "examples", multiple=True, metavar="TEXT", help="What it should do: 'f(2) == 4'. Can be given often."
)
@click.option("--tries", default=3, show_default=True, help="Attempts at most.")
@framed
def forge(frame: Frame, task: str, examples: tuple[str, ...], tries: int) -> int:
    """Have a tool written that does TASK, one function in Python.

    BRICK specifies and writes it, ALFRED writes tests without seeing it, the sandbox tries it. Some examples are held back
    from the writer. What is not verified is not kept as a tool, and the exit code is 1.
    """
    return _report(frame, ForgeTool(task=task, examples=list(examples), tries=tries))


@command.command("mend")
@click.argument("name", shell_complete=known_tools)
@click.option("--tries", default=3, show_default=True, help="Attempts at most.")
@framed
def mend(frame: Frame, name: str, tries: int) -> int:
    """Give NAME back to its writer, with the inputs that it failed at in use as tests."""
    return _report(frame, MendTool(tool=name, tries=tries))


@command.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("name", shell_complete=known_tools)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@framed
def run(frame: Frame, name: str, arguments: tuple[str, ...]) -> None:
    """Call NAME with ARGUMENTS: texts as they are, other values as in Python or JSON, files as @FILE.

    By place, or by name: text=hello.
    """
    request = RunTool(tool=name, arguments=list(arguments), files=files_of(arguments), spelt=not frame.as_json)
    called: ToolRunObject = call(frame, request)
    if frame.as_json:
        frame.print_object(called)
    else:
        click.echo(plain(called["result"]))


@command.command("show")
@click.argument("name", shell_complete=known_tools)
@framed
def show(frame: Frame, name: str) -> None:
    """Show all of NAME: contract, source, tests, evidence, use."""
    tool: WholeToolObject = call(frame, Tool(tool=name))
    if frame.as_json:
        frame.print_object(tool)
        return
    click.secho(plain(tool["signature"]), bold=True)
    click.echo(plain(_contract(tool)))
    # Of a foreign tool that is only its word: nothing of the Architect's comes into the image as a tool.
    author = plain(tool["author"]) if needs_promotion(tool["author"]) else "nobody known here"
    click.secho(f"\nsource, by {author}, hash {tool['hash'][:HASH_CHARS]}", dim=True)
    click.echo(spelt_out(tool["source"].rstrip()))
    click.secho("\ntests", dim=True)
    for case in tool["tests"]:
        hidden = ", not shown to the writer" if case["held_out"] else ""
        click.echo(f"  {plain(case['text'])}  ({case['origin']}{hidden})")
    made_at = datetime.fromisoformat(tool["made_at"]).astimezone()
    click.secho(f"\nversion {tool['version']} of {made_at:%Y-%m-%d %H:%M}, for: {plain(tool['task'])}", dim=True)
    evidence = tool["evidence"]
    click.echo(
        f"verified by {evidence['checks']} cases, {evidence['unseen']} of them unseen by the writer, "
        f"and {evidence['generated']} generated inputs, in {plain(evidence['tier'])}"
    )
    for note in evidence["notes"]:
        click.secho(plain(note), fg="yellow")
    click.echo(f"{_trust(tool)}, {_use(tool)}")
    for failed in tool["failed"]:
        at = datetime.fromisoformat(failed["at"]).astimezone()
        click.echo(f"  failed on {at:%Y-%m-%d}: {plain(failed['why'])}")


@command.command("promote")
@click.argument("name", shell_complete=known_tools)
@click.argument("level", type=click.Choice([str(level) for level in Level]))
@click.option(
    "--folder",
    "folders",
    multiple=True,
    metavar="DIR[:rw]",
    help="A folder that it may read, with :rw also write to (level granted). Can be given often.",
)
@click.option("--hash", "digest", metavar="HASH", help="Promote only the text of this hash, as `tools show` prints it.")
@click.option("--reason", default="", help="Recorded with it.")
@framed
def promote(frame: Frame, name: str, level: str, folders: tuple[str, ...], digest: str | None, reason: str) -> None:
    """Say how far the text of NAME is trusted; "sandboxed" withdraws it. A new version begins sandboxed again.

    granted: still in the sandbox, with read_file, list_files and write_file for the folders given. in-process: in A4PS's own
    process, where it may do whatever you may.
    """
    request = PromoteTool(
        tool=name,
        level=level,  # type: ignore[arg-type]  # click lets no other through
        folders=read_folders(folders),
        digest=digest or "",
        reason=reason,
    )
    promoted = asyncio.run(_promoted(frame, request, has_read=digest is not None))
    if frame.as_json:
        frame.print_object(promoted)
        return
    reached = promoted["level"]
    click.echo(f"{name}, version {promoted['version']} (hash {promoted['hash'][:16]}), is {reached} from now on.")
    if reached != "sandboxed":
        click.echo(f"Withdraw it: a4ps tools promote {name} sandboxed")


@command.command("remove")
@click.argument("name", shell_complete=known_tools)
@framed
def remove(frame: Frame, name: str) -> None:
    """Take NAME away. Its history stays, and `image revert` brings it back."""
    removed: ToolRemovedObject = call(frame, RemoveTool(tool=name))
    change = removed["change"]
    if frame.as_json:
        frame.print_object(removed)
    else:
        click.echo(f"{name} is removed (change {change}). Bring it back: a4ps image revert {change}")


async def _listed(frame: Frame) -> ToolsObject:
    """The tools; for a person, what is wrong with those that cannot be read is told at once."""
    async with connected(frame) as client:
        found: ToolsObject = await client.call(Tools())
        for name in () if frame.as_json else found["unreadable"]:
            try:
                await client.call(Tool(tool=name))
            except A4PSError as error:
                tell_failure(error.message, error.next_step)
        return found


def _report(frame: Frame, request: ForgeTool | MendTool) -> int:
    """Have the forge do something, and print its report. Returns the exit code."""
    report = asyncio.run(_forged(frame, request))
    if frame.as_json:
        frame.print_object(report)
        return 0 if report["verified"] else 1
    click.secho(plain(report["summary"]), fg="green" if report["verified"] else "yellow")
    tool = report["tool"]
    if report["verified"] and tool is not None:
        parameters = " ".join(name.upper() for name in _parameters(tool["signature"]))
        click.echo(f"Use it: a4ps tools run {report['name']} {parameters}".rstrip())
        return 0
    for failure in report["failures"][:-1]:
        click.echo(f"  {plain(failure)}")
    if tool is not None:
        click.echo("The best attempt, which is not kept as a tool:\n")
        click.echo(spelt_out(tool["source"].rstrip()))
    return 1


async def _forged(frame: Frame, request: ForgeTool | MendTool) -> ToolReportObject:
    def tell(step: dict[str, Any]) -> None:
        if step.get("step") == "forging":
            click.secho(plain(step["line"]), dim=True, err=True)

    async with connected(frame) as client:
        try:
            await begin(frame, client, silent=True)
            report: ToolReportObject = await client.call(request, tell)
        except asyncio.CancelledError:
            raise Stopped("stopped before the tool was ready", next_step="a4ps tools forge ...") from None
        return report


async def _promoted(frame: Frame, request: PromoteTool, *, has_read: bool) -> ToolPromotedObject:
    """Promote; where it would run in A4PS's own process, once whoever is there has read the text and agreed."""
    async with connected(frame) as client:
        if request.level == "in-process" and not has_read and can_attend(frame):
            tool: WholeToolObject = await client.call(Tool(tool=request.tool))
            await _agreed(tool)
            request = request.model_copy(update={"digest": tool["hash"]})
        promoted: ToolPromotedObject = await client.call(request)
        return promoted


async def _agreed(tool: WholeToolObject) -> None:
    """Show a text in full and have the person at the terminal agree. Raises Stopped."""
    name = tool["name"]
    click.echo(spelt_out(tool["source"].rstrip()))
    click.secho(f"hash {tool['hash']}", dim=True)
    question = f"This text will run in A4PS's own process and may do whatever you may. Promote {name}?"
    if not await confirm(question, default=False):
        raise Stopped("nothing was promoted", next_step=f"a4ps tools show {name}")


def _contract(tool: WholeToolObject) -> str:
    lines = [tool["contract"].strip()]
    lines += [f"Raises {case['exception']}: {case['when']}" for case in tool["errors"]]
    if not tool["deterministic"]:
        lines.append("Its result may differ from call to call.")
    return "\n".join(lines)


def _parameters(signature: str) -> list[str]:
    """The names in a line such as `slugify(text: str) -> str`."""
    (function,) = ast.parse(f"def {signature}: ...").body
    assert isinstance(function, ast.FunctionDef)
    return [each.arg for each in function.args.args]


def _trust(tool: ToolObject) -> str:
    folders = [f"{folder} (rw)" if folder in tool["writable"] else folder for folder in tool["folders"]]
    return plain(" ".join((tool["level"], *folders)))


def _use(tool: ToolObject) -> str:
    calls = tool["calls"]
    if not calls:
        return "not used yet"
    failures = f", {tool['failures']} of them failed" if tool["failures"] else ""
    return f"{calls} call{'s' if calls != 1 else ''}{failures}, {tool['ms'] / calls:.0f} ms each"
