"""The tool bench: what the four have written, how well it does, and how far it is trusted; used, mended, promoted here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import split
from typing import Any, Final

from a4ps.protocol.requests.tools import ForgeTool, MendTool, PromoteTool, RemoveTool, RunTool, Tool, Tools
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Columns, Entry, Line, Rule, Span, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Refresh, Seen, Send, Stop, pane
from a4ps.ui.model.panes.parts import fault_of, typed, waiting, when, with_fault, with_typed
from a4ps.ui.model.society import Society

_ROWS: Final = frozenset({"tool", "proto", "trust", "approval", "effect", "reply"})
_RESULT_MAX: Final = 4_000
_STEPS_MAX: Final = 40

#: Level → what it means for whoever has to decide.
LEVELS: Final[Mapping[str, str]] = {
    "sandboxed": "Each call runs in a sandbox of its own, with its arguments and nothing else.",
    "granted": "Still in a sandbox, which also sees the folders that are named: a4ps tools promote NAME granted --folder …",
    "in-process": "It runs as a part of A4PS itself and can do whatever you can. Read it before you allow that.",
}


@pane
class ToolBench:
    """State: `subject`, the tool that is looked at; `steps`: of what is being made; `result`, `report`: what came of it."""

    name = "tool_bench"
    size = (430.0, 420.0)

    def title(self, seen: Seen) -> str:
        subject = str(seen.state.get("subject", ""))
        return f"Tool: {subject}" if subject else "Tool bench"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        subject = str(state.get("subject", ""))
        return (Need("tool", Tool(tool=subject), _ROWS),) if subject else (Need("tools", Tools(), _ROWS),)

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(_one(seen) if seen.state.get("subject") else _all(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        state, tool = seen.state, str(seen.state.get("subject", ""))
        match act.verb:
            case "choose":
                return [Keep({**_clean(state), "subject": str(act.about["tool"])})]
            case "typed":
                return [Keep(with_typed(state, str(act.about["key"]), str(act.about["value"])))]
            case "run":
                return self._run(tool, str(act.about.get("value", typed(state, "arguments", ""))), state)
            case "forge":
                task = str(act.about["value"]).strip()
                made = Send(ForgeTool(task=task), f"make a tool: {task[:60]}", follows=True, tag="forged")
                return [Keep({**_clean(state), "steps": []}), made] if task else []
            case "mend":
                mended = Send(MendTool(tool=tool), f"mend {tool}", follows=True, tag="forged")
                return [Keep({**_clean(state), "subject": tool, "steps": []}), mended]
            case "stop":
                return [Stop("forged")]
            case "promote":
                promote = PromoteTool(tool=tool, level=act.about["level"], digest=str(act.about["hash"]))
                return [Send(promote, f"trust {tool}: {act.about['level']}", tag="promoted")]
            case "ask":
                return [Keep({**state, "asking": str(act.about["what"])})]
            case "remove":
                return [Send(RemoveTool(tool=tool), f"remove {tool}", undoes=True, tag="removed")]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        state, value = seen.state, outcome.value
        if outcome.step is not None:
            if outcome.tag != "forged" or outcome.step.get("step") != "forging":
                return ()
            step = {"line": str(outcome.step["line"]), "passed": outcome.step["passed"]}
            return [Keep({**state, "steps": [*state.get("steps", []), step][-_STEPS_MAX:]})]
        if value is None:
            if outcome.tag == "ran":
                return [Keep({**with_fault(state, "arguments", outcome), "running": False})]
            left = {key: each for key, each in state.items() if key != "steps"}
            return [Keep(left), *([Notice(outcome.fault, outcome.next_step, bad=True)] if outcome.fault else [])]
        match outcome.tag:
            case "ran":
                result = {"text": str(value["result"])[:_RESULT_MAX], "ms": value["ms"], "tier": value["tier"]}
                return [Keep({**state, "running": False, "result": result}), Refresh()]
            case "forged":
                report = {key: value[key] for key in ("name", "verified", "attempts", "failures", "summary")}
                kept = {key: each for key, each in state.items() if key not in ("steps", "typed")}
                return [Keep({**kept, "report": report}), Refresh()]
            case "promoted":
                return [Keep({key: each for key, each in state.items() if key != "asking"}), Refresh()]
            case "removed":
                return [Keep({}), Notice(f"{value['removed']} is removed.", "Ctrl-Z brings it back")]
        return ()

    @staticmethod
    def _run(tool: str, arguments: str, state: State) -> Sequence[Effect]:
        try:
            words = split(arguments)
        except ValueError as error:
            refused = Outcome("ran", fault=f"these are no arguments: {error}", next_step='3 "two words" times=2')
            return [Keep(with_fault(with_typed(state, "arguments", arguments), "arguments", refused))]
        kept = with_typed({key: each for key, each in state.items() if key != "result"}, "arguments", arguments)
        run = Send(RunTool(tool=tool, arguments=words, spelt=True), f"run {tool}", tag="ran")
        return [Keep({**kept, "running": True}), run]


def _all(seen: Seen) -> Iterator[Block]:
    answer = seen.answer("tools")
    yield from waiting(answer, "the tools")
    found = answer.value
    if found is not None:
        for tool in found["tools"]:
            state, tone = _state_of(tool)
            yield Columns(
                (Span(tool["name"], mono=True), Span(f"v{tool['version']}", "muted"), Span(state, tone)),
                (0.42, 0.12, 0.46),
                Act("choose", {"tool": tool["name"]}),
            )
        for name in found["unreadable"]:
            yield Columns(
                (Span(name, mono=True), Span("cannot be read", "bad")), (0.54, 0.46), Act("choose", {"tool": name})
            )
        if not found["tools"] and not found["unreadable"]:
            yield say("There are no tools yet. Where a turn needs one, it is written and tested.", "muted")
    yield Rule()
    yield from _made(seen.state)
    yield Entry(
        "forge",
        typed(seen.state, "forge", ""),
        Act("forge"),
        label="have one made that …",
        hint="gives the ISO week of a date",
    )


def _state_of(tool: Mapping[str, Any]) -> tuple[str, Tone]:
    calls = f"{tool['calls']:,} calls"
    if tool["failures"]:
        return f"{calls} · {tool['failures']:,} failed", "bad" if tool["failures"] * 2 > tool["calls"] else "warn"
    level = "" if tool["level"] == "sandboxed" else f" · {tool['level']}"
    return f"{calls} · 0 failures{level}" if tool["calls"] else f"not called yet{level}", "ok" if tool[
        "calls"
    ] else "muted"


def _one(seen: Seen) -> Iterator[Block]:
    state, answer = seen.state, seen.answer("tool")
    yield Line((Span("‹ all tools", "link"),), act=Act("choose", {"tool": ""}))
    yield from waiting(answer, str(state["subject"]))
    tool = answer.value
    if tool is None:
        return
    yield Line((Span(f"{tool['name']}{tool['signature']}", "strong", mono=True),))
    yield say(tool["contract"] or tool["summary"])
    evidence = tool["evidence"]
    told = [f"version {tool['version']} by {tool['author']}", f"{evidence['attempts']} attempts"]
    told.append(
        f"{evidence['checks']} checks, {evidence['unseen']} unseen by its writer" if tool["verified"] else "unverified"
    )
    if evidence["tier"]:
        told.append(evidence["tier"])
    yield say(" · ".join(told), "muted")
    state_text, tone = _state_of(tool)
    yield say(state_text, tone)
    yield Entry(
        "arguments",
        typed(state, "arguments", ""),
        Act("run"),
        label="call it with",
        hint='3 "two words" times=2',
        mono=True,
        fault=fault_of(state, "arguments"),
    )
    if state.get("running"):
        yield say("It runs …", "muted")
    if (result := state.get("result")) is not None:
        yield Line((Span("→ ", "muted"), Span(result["text"], mono=True)))
        yield say(f"{result['ms']:.0f} ms in {result['tier']}", "muted")
    yield from _made(state)
    yield from _trust(tool, state)
    yield Code(tool["source"])
    yield say("Tests", "strong")
    for test in tool["tests"]:
        yield Columns(
            (
                Span(test["text"], mono=True),
                Span(test["origin"] + (" · held out" if test["held_out"] else ""), "muted"),
            ),
            (0.72, 0.28),
        )
    for failed in tool["failed"]:
        yield Line((Span(f"{when(failed['at'])} {failed['args']}: ", "muted", mono=True), Span(failed["why"], "bad")))
    for note in evidence["notes"]:
        yield say(note, "muted")


def _trust(tool: Mapping[str, Any], state: State) -> Iterator[Block]:
    asking = str(state.get("asking", ""))
    buttons = [Button("Mend it", Act("mend"), enabled=bool(tool["failed"]))]
    if asking == "in-process":
        yield say(LEVELS["in-process"], "warn")
        about = {"level": "in-process", "hash": tool["hash"]}
        yield Buttons(
            (
                Button("I have read it: allow", Act("promote", about), "bad"),
                Button("Leave it", Act("ask", {"what": ""})),
            )
        )
    elif asking == "remove":
        yield Buttons((Button("Remove it", Act("remove"), "bad"), Button("Leave it", Act("ask", {"what": ""}))))
    else:
        yield say(f"{tool['level']}: {LEVELS[tool['level']]}", "muted")
        if tool["level"] != "in-process":
            buttons.append(Button("Trust it in-process …", Act("ask", {"what": "in-process"})))
        if tool["level"] != "sandboxed":
            about = {"level": "sandboxed", "hash": tool["hash"]}
            buttons.append(Button("Back to the sandbox", Act("promote", about), "good"))
        buttons.append(Button("Remove …", Act("ask", {"what": "remove"}), "bad"))
    yield Buttons(tuple(buttons))


def _made(state: State) -> Iterator[Block]:
    """A tool that is being made, or what came of it."""
    if "steps" in state:
        for step in state["steps"]:
            tone: Tone = "muted" if step["passed"] is None else "ok" if step["passed"] else "bad"
            yield say(step["line"], tone, indent=1)
        yield Buttons((Button("Stop", Act("stop"), "bad"),), Span("it is being made …", "muted"))
    elif (report := state.get("report")) is not None:
        tone = "ok" if report["verified"] else "bad"
        yield say(report["summary"] or ("It is kept." if report["verified"] else "It was not kept."), tone)
        for failure in report["failures"][-3:]:
            yield say(failure, "muted", indent=1)
        if report["verified"]:
            yield Line((Span(f"look at {report['name']}", "link"),), 1, Act("choose", {"tool": report["name"]}))


def _clean(state: State) -> dict[str, Any]:
    """Without what belongs to the tool that was looked at before."""
    left = ("subject", "steps", "report", "result", "asking", "running", "typed", "faults")
    return {key: each for key, each in state.items() if key not in left}
