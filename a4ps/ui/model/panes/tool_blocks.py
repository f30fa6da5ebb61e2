"""What the tool bench shows of tools. Pure."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from a4ps.ui.model.blocks import Act, Bar, Block, Button, Buttons, Code, Columns, Entry, Line, Span, Tabs, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.panes.parts import fault_of, tone_of, typed, when

TABS: Final = ("Run", "Source", "Tests", "Trust")

#: Level → what it means, and what the button that leads to it is called.
LEVELS: Final[Mapping[str, tuple[str, str]]] = {
    "sandboxed": ("runs in a sandbox at every call, which sees nothing of yours", "Withdraw: sandboxed"),
    "granted": ("still runs in a sandbox, which also sees the folders that you name", "Grant folders …"),
    "in-process": ("runs in A4PS's own process, where it may do whatever you may", "Let it run in-process …"),
}
_STEPS_SHOWN: Final = 8
_FAILURES_SHOWN: Final = 5
_SHARES: Final = (0.28, 0.08, 0.18, 0.12, 0.34)


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of a tool's, as its signature has it; `needed`: it has no default."""

    name: str
    kind: str
    needed: bool


def parameters_of(signature: str) -> Sequence[Parameter]:
    """Those of a line such as `slugify(text: str) -> str`; none where it cannot be read."""
    try:
        function = ast.parse(f"def {signature}: ...").body[0]
    except (SyntaxError, ValueError):
        return ()
    if not isinstance(function, ast.FunctionDef):
        return ()
    needed = len(function.args.args) - len(function.args.defaults)
    return [
        Parameter(each.arg, ast.unparse(each.annotation) if each.annotation is not None else "", at < needed)
        for at, each in enumerate(function.args.args)
    ]


def list_blocks(found: Mapping[str, Any]) -> Iterator[Block]:
    """Every tool, a row each."""
    tools: Sequence[Mapping[str, Any]] = found["tools"]
    for tool in tools:
        mean_ms = f"{tool['ms'] / tool['calls']:,.0f} ms" if tool["calls"] else ""
        yield Columns(
            (
                Span(tool["name"], mono=True),
                Span(f"v{tool['version']}", "muted", mono=True),
                Span(tool["level"], tone_of(tool["level"])),
                Span(mean_ms, "muted", mono=True),
                _use(tool),
            ),
            _SHARES,
            Act("choose", {"tool": tool["name"]}),
        )
    for name in found["unreadable"]:
        yield Columns(
            (Span(name, mono=True), Span("cannot be read", "bad")), (0.37, 0.63), Act("choose", {"tool": name})
        )
    if not tools and not found["unreadable"]:
        yield say("There are no tools yet.", "muted")
        yield say("Say below what one should do; BRICK writes it, ALFRED tests it unseen.", "muted")


def making_blocks(state: State) -> Iterator[Block]:
    """What is being written, step by step; or what that came to, where it came to no tool."""
    steps: Sequence[Mapping[str, Any]] = state.get("steps", ())
    if state.get("making"):
        yield Bar(None, f"{state['making']}: {steps[-1]['line']}" if steps else str(state["making"]))
        yield from _steps(steps[:-1])
        yield Buttons((Button("Stop", Act("stop"), "bad"),))
    elif (report := state.get("report")) is not None:
        yield from _report(report, steps)


def forge_blocks(state: State) -> Iterator[Block]:
    """Where a new one is asked for."""
    yield Entry(
        "task",
        typed(state, "task", ""),
        Act("typed", {"key": "task"}),
        label="a new tool that finds",
        hint="the n-th Fibonacci number",
        lines=2,
        fault=fault_of(state, "task"),
        live=True,
        keys={"ctrl-s": Act("forge")},
    )
    yield Entry(
        "examples",
        typed(state, "examples", ""),
        Act("typed", {"key": "examples"}),
        label="examples, one a line",
        hint="f(10) == 55",
        mono=True,
        lines=2,
        live=True,
    )
    ready = bool(typed(state, "task", "").strip())
    yield Buttons((Button("Have it written", Act("forge"), "good", enabled=ready),))


def tool_blocks(tool: Mapping[str, Any], state: State) -> Iterator[Block]:
    """All of one, on its tabs."""
    yield Line((Span(tool["signature"], "strong", mono=True),))
    yield say(tool["summary"])
    yield Line(
        (
            Span(f"version {tool['version']} · by {tool['author']} · ", "muted"),
            Span(tool["level"], tone_of(tool["level"])),
            Span(" · ", "muted"),
            _use(tool),
        )
    )
    if not tool["verified"]:
        yield say("It was not verified.", "warn")
    tab = tab_of(state)
    yield Tabs(TABS, tab, Act("tab"))
    match tab:
        case "Source":
            yield from _source(tool)
        case "Tests":
            yield from _tests(tool)
        case "Trust":
            yield from _trust(tool, state)
        case _:
            yield from _run(tool, state)


def tab_of(state: State) -> str:
    tab = str(state.get("tab", ""))
    return tab if tab in TABS else TABS[0]


def _use(tool: Mapping[str, Any]) -> Span:
    calls, failures = tool["calls"], tool["failures"]
    if not calls:
        return Span("not used yet", "muted")
    told = f"{calls:,} call{'s' if calls != 1 else ''}"
    if failures:
        return Span(f"{told} · {failures:,} failed", "warn")
    return Span(f"{told} · none failed", "ok")


def _steps(steps: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    for step in steps[-_STEPS_SHOWN:]:
        passed = step.get("passed")
        tone: Tone = "muted" if passed is None else "ok" if passed else "warn"
        yield Columns(
            (Span(f"{step['attempt'] or ''}", "muted", mono=True), Span(str(step["line"]), tone)), (0.06, 0.94)
        )


def _report(report: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    yield say(report["summary"], "ok" if report["verified"] else "warn")
    yield from _steps(steps)
    for failure in report["failures"][:_FAILURES_SHOWN]:
        yield say(failure, "muted", indent=1)
    if report["source"]:
        yield say("The best attempt, which is not kept as a tool:", "muted")
        yield Code(report["source"])


def _run(tool: Mapping[str, Any], state: State) -> Iterator[Block]:
    parameters = parameters_of(tool["signature"])
    for each in parameters:
        key = f"argument:{each.name}"
        kind = each.kind if each.needed else f"{each.kind}, if wanted"
        yield Entry(
            key,
            typed(state, key, ""),
            Act("typed", {"key": key}),
            label=f"{each.name}: {kind}",
            mono=True,
            fault=fault_of(state, key),
            live=True,
            keys={"ctrl-s": Act("run")},
        )
    if parameters:
        yield say("Texts as they are, other values as in Python or JSON; @FILE is a file's content.", "muted")
    buttons = [Button("Run", Act("run"), "good", enabled=not state.get("running"))]
    if state.get("running"):
        buttons.append(Button("Stop waiting", Act("stop"), "bad"))
    persona = str(state.get("persona", ""))
    if persona:
        buttons.append(Button(f"Ask {persona} to use it", Act("ask")))
    yield Buttons(tuple(buttons))
    if state.get("fault"):
        yield say(str(state["fault"]), "bad")
    result = state.get("result")
    if result is not None:
        told = f"{result['ms']:,.0f} ms · {result['tier']} · version {result['version']}"
        yield Line((Span("→ ", "muted"), Span(str(result["result"]), mono=True)))
        yield Line((Span(told, "muted", mono=True), Span("   Copy", "link", act=Act("copy"))))


def _source(tool: Mapping[str, Any]) -> Iterator[Block]:
    yield say(tool["contract"].strip(), "muted")
    for case in tool["errors"]:
        yield say(f"Raises {case['exception']}: {case['when']}", "muted")
    if not tool["deterministic"]:
        yield say("Its result may differ from call to call.", "muted")
    yield Code(tool["source"].rstrip("\n"))
    yield say(f"hash {tool['hash'][:16]}", "muted", mono=True)


def _tests(tool: Mapping[str, Any]) -> Iterator[Block]:
    evidence = tool["evidence"]
    yield say(f"for: {tool['task']}", "muted")
    yield Line(
        (
            Span(f"{evidence['checks']} cases", "ok" if tool["verified"] else "warn"),
            Span(f" · {evidence['unseen']} unseen by the writer · {evidence['generated']} generated inputs", "muted"),
        )
    )
    yield say(
        f"written by {evidence['writer']}, tested by {evidence['tester']} in {evidence['tier']}, "
        f"attempt {evidence['attempts']}, {when(tool['made_at'])}",
        "muted",
    )
    for note in evidence["notes"]:
        yield say(note, "warn")
    for case in tool["tests"]:
        hidden = " · held back" if case["held_out"] else ""
        yield Columns(
            (Span(case["text"], mono=True), Span(f"{case['origin']}{hidden}", "muted")),
            (0.7, 0.3),
        )
    if tool["failed"]:
        yield say("Failed in use", "strong")
    for failed in tool["failed"]:
        yield Columns(
            (Span(failed["args"], mono=True), Span(failed["why"], "warn"), Span(when(failed["at"]), "muted")),
            (0.32, 0.36, 0.32),
        )


def _trust(tool: Mapping[str, Any], state: State) -> Iterator[Block]:
    level, wanted = tool["level"], str(state.get("promoting", ""))
    if wanted in LEVELS:
        yield from _promotion(tool, wanted, state)
        return
    for name, (meaning, _) in LEVELS.items():
        now = name == level
        yield Columns(
            (Span(name, "strong" if now else "muted", mono=True), Span(meaning, "text" if now else "muted")),
            (0.2, 0.8),
            chosen=now,
        )
    for folder in tool["folders"]:
        told = "may be written to" if folder in tool["writable"] else "may be read"
        yield Columns((Span(folder, mono=True), Span(told, "warn")), (0.7, 0.3))
    yield say("Trust is in this very text: a new version begins sandboxed.", "muted")
    yield Buttons(
        tuple(
            Button(label, Act("promote", {"level": name, "digest": tool["hash"]}))
            for name, (_, label) in LEVELS.items()
            if name != level or name == "granted"
        )
    )


def _promotion(tool: Mapping[str, Any], level: str, state: State) -> Iterator[Block]:
    """What it would mean, of which text; only then the button."""
    yield say(f"As {level}, {tool['name']} {LEVELS[level][0]}.", "warn" if level != "sandboxed" else "text")
    if tool["hash"] != state.get("digest"):
        yield say("The text is another one by now. Leave this, and look at it again.", "bad")
    if level == "in-process":
        yield Code(tool["source"].rstrip("\n"))
    if level == "granted":
        yield Entry(
            "folders",
            typed(state, "folders", "\n".join(_folder_lines(tool))),
            Act("typed", {"key": "folders"}),
            label="folders, one a line; with :rw it may write there",
            hint="/home/you/rides:rw",
            mono=True,
            lines=3,
            fault=fault_of(state, "folders"),
            live=True,
        )
    yield Entry(
        "reason", typed(state, "reason", ""), Act("typed", {"key": "reason"}), label="why, for the record", live=True
    )
    if state.get("fault"):
        yield say(str(state["fault"]), "bad")
    yield Buttons(
        (
            Button(f"Yes: {level}", Act("promoted"), "bad" if level == "in-process" else "good"),
            Button("Leave it", Act("leave")),
        ),
        Span(f"hash {str(state.get('digest', ''))[:16]}", "muted", mono=True),
    )


def _folder_lines(tool: Mapping[str, Any]) -> Iterator[str]:
    return (f"{folder}:rw" if folder in tool["writable"] else folder for folder in tool["folders"])
