"""`a4ps tools`: what the society has written for itself."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from a4ps.cli.failure import tell_failure
from a4ps.cli.forging import tell_step
from a4ps.cli.frame import Frame, framed
from a4ps.cli.granting import read_folders
from a4ps.cli.lines import confirm
from a4ps.cli.plain import plain, spelt_out
from a4ps.cli.streams import somebody_is_there
from a4ps.cli.tool_arguments import as_json, read_arguments, spelt
from a4ps.errors import PromotionRefused, Stopped, UsageError
from a4ps.governance.trust import Level, needs_promotion
from a4ps.image.glance import glance_at_names
from a4ps.image.keys import KeyFolder
from a4ps.image.proto_manager import ProtoManager
from a4ps.kernel.wiring import tier_of
from a4ps.places import Places
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.tools.registry import PREFIX, ToolRegistry
from a4ps.tools.report import ToolReport
from a4ps.tools.specification import is_tool_name
from a4ps.tools.tool import Tool
from a4ps.tools.tool_forge import ToolForge

#: Of a hash, what `show` prints and what is enough to mean one text.
HASH_CHARS = 16


def known_tools(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:  # noqa: ARG001
    """The tools whose names begin so, for the shell."""
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
    with _registry(frame) as registry:
        tools, unreadable = registry.tools(), registry.unreadable()
    if frame.as_json:
        frame.print_object({"tools": [_summary(tool) for tool in tools], "unreadable": list(unreadable)})
        return
    for error in unreadable.values():
        tell_failure(error.message, error.next_step)
    for tool in tools:
        click.secho(plain(tool.specification.signature), bold=True)
        click.echo(f"  {plain(tool.specification.summary)}")
        click.secho(f"  version {tool.version}, {_trust(tool)}, {_use(tool)}", dim=True)
    if not tools and not unreadable:
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
    return _report(frame, lambda maker: maker.forge(task, tries, examples, listener=tell_step))


@command.command("mend")
@click.argument("name", shell_complete=known_tools)
@click.option("--tries", default=3, show_default=True, help="Attempts at most.")
@framed
def mend(frame: Frame, name: str, tries: int) -> int:
    """Give NAME back to its writer, with the inputs that it failed at in use as tests."""
    return _report(frame, lambda maker: maker.mend(name, tries, listener=tell_step))


@command.command("run", context_settings={"ignore_unknown_options": True})
@click.argument("name", shell_complete=known_tools)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@framed
def run(frame: Frame, name: str, arguments: tuple[str, ...]) -> None:
    """Call NAME with ARGUMENTS: texts as they are, other values as in Python or JSON, files as @FILE.

    By place, or by name: text=hello.
    """
    executor = SecureCodeExecutor(tier=tier_of(frame.env.settings), pool_size=0)
    with executor, _registry(frame, executor) as registry:
        tool = registry.get(name)
        args, kwargs = read_arguments(arguments, tool.specification)
        called = registry.call(name, args, kwargs)
    if frame.as_json:
        result = {"tool": name, "version": tool.version, "result": as_json(called.value)}
        frame.print_object({**result, "ms": called.ms, "tier": called.tier})
    else:
        click.echo(plain(called.value if isinstance(called.value, str) else spelt(called.value)))


@command.command("show")
@click.argument("name", shell_complete=known_tools)
@framed
def show(frame: Frame, name: str) -> None:
    """Show all of NAME: contract, source, tests, evidence, use."""
    with _registry(frame) as registry:
        tool = registry.get(name)
    if frame.as_json:
        frame.print_object(_whole(tool))
        return
    click.secho(plain(tool.specification.signature), bold=True)
    click.echo(plain(tool.specification.as_text().partition("\n")[2].strip()))
    # Of a foreign tool that is only its word: nothing of the Architect's comes into the image as a tool.
    author = plain(tool.author) if needs_promotion(tool.author) else "nobody known here"
    click.secho(f"\nsource, by {author}, hash {tool.digest[:HASH_CHARS]}", dim=True)
    click.echo(spelt_out(tool.source.rstrip()))
    click.secho("\ntests", dim=True)
    for case in tool.tests:
        hidden = ", not shown to the writer" if case.held_out else ""
        click.echo(f"  {plain(case.text(tool.name))}  ({case.origin}{hidden})")
    click.secho(
        f"\nversion {tool.version} of {tool.made_at.astimezone():%Y-%m-%d %H:%M}, for: {plain(tool.task)}", dim=True
    )
    click.echo(f"verified by {tool.evidence}, in {plain(tool.evidence.tier)}")
    for note in tool.evidence.notes:
        click.secho(plain(note), fg="yellow")
    click.echo(f"{_trust(tool)}, {_use(tool)}")
    for failed in tool.use.failed:
        click.echo(f"  failed on {failed.at.astimezone():%Y-%m-%d}: {plain(failed.why)}")


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
    with _registry(frame) as registry:
        tool = registry.get(name)
        if digest is not None and not (len(digest) >= HASH_CHARS and tool.digest.startswith(digest)):
            raise PromotionRefused(
                f"the text of {name} is another one: {tool.digest[:16]}", next_step=f"a4ps tools show {name}"
            )
        if level == Level.IN_PROCESS and digest is None:
            _agreed(frame, tool)
        named, writable = read_folders(folders, frame.env.places)
        trust = registry.promote(name, level, folders=named, writable=writable, digest=tool.digest, reason=reason)
    if frame.as_json:
        granted = {"folders": list(trust.folders), "writable": list(trust.writable)}
        frame.print_object(
            {"tool": name, "version": tool.version, "hash": trust.digest, "level": trust.level, **granted}
        )
        return
    click.echo(f"{name}, version {tool.version} (hash {trust.digest[:16]}), is {trust.level} from now on.")
    if trust.level is not Level.SANDBOXED:
        click.echo(f"Withdraw it: a4ps tools promote {name} sandboxed")


@command.command("remove")
@click.argument("name", shell_complete=known_tools)
@framed
def remove(frame: Frame, name: str) -> None:
    """Take NAME away. Its history stays, and `image revert` brings it back."""
    with _registry(frame) as registry:
        change = registry.remove(name)
    if frame.as_json:
        frame.print_object({"removed": name, "change": change})
    else:
        click.echo(f"{name} is removed (change {change}). Bring it back: a4ps image revert {change}")


@contextmanager
def _registry(frame: Frame, executor: SecureCodeExecutor | None = None) -> Iterator[ToolRegistry]:
    with ProtoManager.open(frame.env.places.image, keys=KeyFolder(frame.env.places.keys)) as manager:
        yield ToolRegistry(manager, executor)


def _report(frame: Frame, work: Callable[[ToolForge], Awaitable[ToolReport]]) -> int:
    """Do something with the forge of an open kernel, and print its report. Returns the exit code."""
    report = asyncio.run(_with_forge(frame, work))
    if frame.as_json:
        tool = None if report.tool is None else _whole(report.tool)
        frame.print_object(
            {
                "name": report.name,
                "verified": report.verified,
                "attempts": report.attempts,
                "failures": list(report.failures),
                "summary": str(report),
                "tool": tool,
            }
        )
        return 0 if report.verified else 1
    click.secho(plain(str(report)), fg="green" if report.verified else "yellow")
    if report.verified and report.tool is not None:
        parameters = " ".join(parameter.name.upper() for parameter in report.tool.specification.parameters)
        click.echo(f"Use it: a4ps tools run {report.name} {parameters}".rstrip())
        return 0
    for failure in report.failures[:-1]:
        click.echo(f"  {plain(failure)}")
    if report.tool is not None:
        click.echo("The best attempt, which is not kept as a tool:\n")
        click.echo(spelt_out(report.tool.source.rstrip()))
    return 1


async def _with_forge(frame: Frame, work: Callable[[ToolForge], Awaitable[ToolReport]]) -> ToolReport:
    from a4ps.cli.session import opened_kernel  # LangGraph takes a second to import; the other commands do without

    async with opened_kernel(frame) as kernel:
        forge = kernel.society.forge
        assert forge is not None  # the wiring gives every kernel one
        if kernel.notice:
            click.secho(plain(kernel.notice), fg="yellow", err=True)
        try:
            return await work(forge)
        except asyncio.CancelledError:
            raise Stopped("stopped before the tool was ready", next_step="a4ps tools forge ...") from None


def _agreed(frame: Frame, tool: Tool) -> None:
    """Show a text in full and have the person at the terminal agree. Raises UsageError where nobody is there, Stopped."""
    if frame.as_json or not somebody_is_there():
        raise UsageError(
            f"who has {tool.name} run in A4PS's own process must have read its text",
            next_step=f"a4ps tools show {tool.name}, then: a4ps tools promote {tool.name} in-process --hash HASH",
        )
    click.echo(spelt_out(tool.source.rstrip()))
    click.secho(f"hash {tool.digest}", dim=True)
    question = f"This text will run in A4PS's own process and may do whatever you may. Promote {tool.name}?"
    if not asyncio.run(confirm(question, default=False)):
        raise Stopped("nothing was promoted", next_step=f"a4ps tools show {tool.name}")


def _trust(tool: Tool) -> str:
    folders = [f"{folder} (rw)" if folder in tool.writable else folder for folder in tool.folders]
    return plain(" ".join((tool.level, *folders)))


def _use(tool: Tool) -> str:
    use = tool.use
    if not use.calls:
        return "not used yet"
    failures = f", {use.failures} of them failed" if use.failures else ""
    return f"{use.calls} call{'s' if use.calls != 1 else ''}{failures}, {use.ms / use.calls:.0f} ms each"


def _summary(tool: Tool) -> dict[str, Any]:
    return {
        "name": tool.name,
        "signature": tool.specification.signature,
        "summary": tool.specification.summary,
        "version": tool.version,
        "author": tool.author,
        "level": tool.level,
        "calls": tool.use.calls,
        "failures": tool.use.failures,
        "ms": tool.use.ms,
    }


def _whole(tool: Tool) -> dict[str, Any]:
    evidence = tool.evidence
    return {
        **_summary(tool),
        "contract": tool.specification.contract,
        "errors": [{"exception": case.exception, "when": case.when} for case in tool.specification.errors],
        "source": tool.source,
        "hash": tool.digest,
        "tests": [
            {"text": case.text(tool.name), "origin": case.origin, "held_out": case.held_out} for case in tool.tests
        ],
        "evidence": {
            "attempts": evidence.attempts,
            "checks": evidence.checks,
            "unseen": evidence.unseen,
            "generated": evidence.generated,
            "tier": evidence.tier,
            "writer": evidence.writer,
            "tester": evidence.tester,
            "notes": list(evidence.notes),
        },
        "task": tool.task,
        "made_at": tool.made_at.isoformat(),
        "verified": tool.verified,
        "folders": list(tool.folders),
        "writable": list(tool.writable),
        "failed": [
            {"args": spelt(failed.args), "why": failed.why, "at": failed.at.isoformat()} for failed in tool.use.failed
        ],
    }
