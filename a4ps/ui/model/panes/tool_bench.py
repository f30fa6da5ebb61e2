"""The tool bench: functions that the four have written. Read, run, have made and mended, trusted further, taken away."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.tools import Folder, ForgeTool, MendTool, PromoteTool, RemoveTool, RunTool, Tool, Tools
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Line, Rule, Span
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Copy, Do, Effect, Keep, Need, Notice, Open, Outcome, Seen, Send, Stop, pane
from a4ps.ui.model.panes.parts import sentence, typed, waiting, with_fault, with_typed
from a4ps.ui.model.panes.tool_blocks import LEVELS, forge_blocks, list_blocks, making_blocks, parameters_of, tool_blocks
from a4ps.ui.model.society import Society

#: After commits of these rows a tool is another one, or has been used.
_ROWS: Final = frozenset({"proto", "trust", "tool-use", "tool-failed"})
_STEPS_KEPT: Final = 40
_RESULT_CHARS: Final = 20_000


@pane
class ToolBench:
    """State: `subject`, a tool's name, "" for the list; `tab`; `persona` who was dropped on it; `making`, what is being
    written and its `steps`; `report`, `result`, `fault`: what came of the last; `promoting`, a level, of the text `digest`.
    """

    name = "tool_bench"
    size = (470.0, 420.0)

    def title(self, seen: Seen) -> str:
        subject = str(seen.state.get("subject", ""))
        return f"Tool bench: {subject}" if subject else "Tool bench"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        subject = str(state.get("subject", ""))
        return (Need("tool", Tool(tool=subject), _ROWS) if subject else Need("tools", Tools(), _ROWS),)

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        state = seen.state
        subject = str(state.get("subject", ""))
        match act.verb:
            case "choose":
                return [Open("tool_bench", {"subject": str(act.about["tool"])})]
            case "list":
                return [Open("tool_bench")]
            case "tab":
                return [Keep({**_calm(state), "tab": str(act.about["value"])})]
            case "typed":
                return [Keep(with_typed(state, str(act.about["key"]), str(act.about["value"])))]
            case "forge":
                return _forge(state)
            case "mend":
                sent = Send(MendTool(tool=subject), f"mend {subject}", follows=True, tag="made")
                return [Keep({**_calm(state), "making": f"Mending {subject}", "steps": []}), sent]
            case "stop":
                return [Stop(), Keep({key: each for key, each in state.items() if key not in ("making", "running")})]
            case "run":
                return _run(seen)
            case "ask":
                arguments = ", ".join(_arguments(seen))
                told = f"use the tool {subject}{f' with {arguments}' if arguments else ''}"
                return [Do(Act("talk", {"persona": str(state.get("persona", "")), "text": told}))]
            case "copy" if state.get("result") is not None:
                return [Copy(str(state["result"]["result"]))]
            case "promote":
                return [Keep({**_calm(state), "promoting": str(act.about["level"]), "digest": act.about["digest"]})]
            case "leave":
                return [Keep(_calm(state))]
            case "promoted":
                return _promote(seen)
            case "remove":
                return [Send(RemoveTool(tool=subject), f"remove {subject}", undoes=True, tag="removed")]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        if outcome.step is not None:
            return _stepped(outcome.step, seen.state)
        state = {key: each for key, each in seen.state.items() if key not in ("making", "running")}
        value = outcome.value
        if value is None:
            return self._failed(outcome, state)
        match outcome.tag:
            case "made":
                return _made(value, state)
            case "ran":
                return [Keep({**state, "result": {**value, "result": str(value["result"])[:_RESULT_CHARS]}})]
            case "promoted":
                return [Keep(_calm(state)), Notice(f"{value['tool']} is {value['level']} from now on.")]
            case "removed":
                told = Notice(f"{value['removed']} is removed.", "Ctrl-Z brings it back")
                return [Keep({key: each for key, each in _calm(state).items() if key != "subject"}), told]
        return ()

    @staticmethod
    def _failed(outcome: Outcome, state: dict[str, Any]) -> Sequence[Effect]:
        match outcome.tag:
            case "promoted" if state.get("promoting") == "granted":
                return [Keep(with_fault(state, "folders", outcome))]
            case "ran" | "promoted":
                return [Keep({**state, "fault": sentence(outcome.fault, outcome.next_step)})]
            case "made":
                return [Keep(state), Notice(outcome.fault, outcome.next_step, bad=True)]
        return ()

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state = seen.state
        if not state.get("subject"):
            answer = seen.answer("tools")
            yield from waiting(answer, "the tools")
            if answer.value is not None:
                yield from list_blocks(answer.value)
            yield Rule()
            if not state.get("making"):
                yield from forge_blocks(state)
            yield from making_blocks(state)
            return
        yield Line((Span("◂ all tools", "link", act=Act("list")),))
        answer = seen.answer("tool")
        yield from waiting(answer, "the tool")
        if answer.value is None or answer.fault:  # with a fault it is gone, and what is known is what it was
            return
        yield from tool_blocks(answer.value, state)
        if state.get("promoting"):
            return
        yield Rule()
        yield from making_blocks(state)
        if not state.get("making"):
            failures = answer.value["failures"]
            yield Buttons(
                (Button("Have it mended", Act("mend"), enabled=bool(failures)), Button("Remove", Act("remove"), "bad")),
                None if failures else Span("it has not failed", "muted"),
            )


def _forge(state: State) -> Sequence[Effect]:
    task = typed(state, "task", "").strip()
    if not task or state.get("making"):
        return ()
    examples = [line.strip() for line in typed(state, "examples", "").splitlines() if line.strip()]
    request = ForgeTool(task=task, examples=examples)
    making = {**_calm(state), "making": f"Making {task[:60]}", "steps": []}
    return [Keep(making), Send(request, f"have a tool written: {task[:40]}", follows=True, tag="made")]


def _stepped(step: Mapping[str, Any], state: State) -> Sequence[Effect]:
    if step.get("step") != "forging" or not state.get("making"):
        return ()
    kept = {name: step.get(name) for name in ("line", "attempt", "passed")}
    return [Keep({**state, "steps": [*state.get("steps", ()), kept][-_STEPS_KEPT:]})]


def _made(report: Mapping[str, Any], state: dict[str, Any]) -> Sequence[Effect]:
    """A verified tool is opened; of what is not, the window says why."""
    tool = report["tool"]
    if report["verified"] and tool is not None:
        rest = {key: each for key, each in _calm(state).items() if key not in ("typed", "steps")}
        return [Keep(rest), Notice(report["summary"]), Open("tool_bench", {"subject": report["name"]})]
    kept = {name: report[name] for name in ("summary", "verified", "failures")}
    return [Keep({**state, "report": {**kept, "source": "" if tool is None else tool["source"].rstrip()}})]


def _arguments(seen: Seen) -> list[str]:
    """What was typed for each parameter, as "NAME=VALUE"; one that may be left out and is empty is left out."""
    tool = seen.answer("tool").value
    texts: Mapping[str, str] = seen.state.get("typed", {})
    return [
        f"{each.name}={texts[key]}"
        for each in (() if tool is None else parameters_of(tool["signature"]))
        if (key := f"argument:{each.name}") in texts and (each.needed or texts[key])
    ]


def _run(seen: Seen) -> Sequence[Effect]:
    state, subject = seen.state, str(seen.state.get("subject", ""))
    if seen.answer("tool").value is None or state.get("running"):
        return ()
    request = RunTool(tool=subject, arguments=_arguments(seen), spelt=True)
    return [Keep({**_calm(state), "running": True}), Send(request, f"run {subject}", tag="ran")]


def _promote(seen: Seen) -> Sequence[Effect]:
    state, tool = seen.state, seen.answer("tool").value
    level = str(state.get("promoting", ""))
    if tool is None or level not in LEVELS:
        return ()
    folders = []
    if level == "granted":
        shown = "\n".join(f"{each}:rw" if each in tool["writable"] else each for each in tool["folders"])
        for line in typed(state, "folders", shown).splitlines():
            path = line.strip()
            if not path:
                continue
            if not path.startswith("/"):
                refused = Outcome("promoted", fault=f"{path[:80]} is no whole path", next_step="begin it with /")
                return [Keep(with_fault(state, "folders", refused))]
            writable = path.endswith(":rw")
            folders.append(Folder(path=path.removesuffix(":rw").removesuffix(":ro"), writable=writable))
        if not folders:
            refused = Outcome("promoted", fault="it needs a folder", next_step="name one, such as /home/you/rides")
            return [Keep(with_fault(state, "folders", refused))]
    request = PromoteTool.model_validate(
        {
            "tool": tool["name"],
            "level": level,
            "folders": folders,
            "digest": str(state.get("digest", "")),
            "reason": typed(state, "reason", ""),
        }
    )
    return [Send(request, f"{tool['name']}: {level}", tag="promoted")]


def _calm(state: State) -> dict[str, Any]:
    """Without what came of the last thing that was done here."""
    gone = ("report", "result", "fault", "promoting", "digest")
    kept = {key: each for key, each in state.items() if key not in gone}
    texts = {key: each for key, each in state.get("typed", {}).items() if key not in ("folders", "reason")}
    return {**kept, "typed": texts, "faults": {}} if "typed" in state else kept
