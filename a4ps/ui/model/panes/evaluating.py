"""A field in which code is done, printed or inspected, with what came of it: the workspace's, and every inspector's. Pure.

What was evaluated is kept with the window, the newest of it, its texts cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.console import Complete, Evaluate, Interrupt
from a4ps.protocol.requests.image import Revert
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Entry, Line, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Notice, Open, Outcome, Seen, Send
from a4ps.ui.model.panes.parts import ENTERED_MAX, sentence, typed, with_typed

KEY: Final = "workspace"
KEPT: Final = 20
VERBS: Final = ("do", "print", "inspect")

_TEXT_MAX: Final = 2_000
_TAG: Final = "evaluate "
_COMPLETE: Final = "complete "
_NAMES_MAX: Final = 60
_NAME: Final = re.compile(r"\w*$")


def is_evaluating(verb: str) -> bool:
    """Whether an act of a pane is one of these."""
    return verb in (*VERBS, "complete", "interrupt", "revert-evaluated", "take-evaluated", "clear-evaluated")


def evaluating_blocks(seen: Seen, proto: str, *, lines: int = 4, fills: bool = False) -> Iterator[Block]:
    """The field, its buttons, and what was evaluated, the newest first."""
    yield Entry(
        KEY,
        typed(seen.state, KEY, ""),
        Act("typed", {"key": KEY}),
        label=f"self is {proto}" if proto else "",
        hint="self.state" if proto else "brick.mood",
        mono=True,
        lines=lines,
        live=True,
        fills=fills,
        keys={"ctrl-d": Act("do"), "ctrl-p": Act("print"), "ctrl-i": Act("inspect"), "ctrl-space": Act("complete")},
    )
    if seen.state.get("completions"):
        yield say("  ".join(seen.state["completions"]), "muted", mono=True)
    yield Buttons(
        (
            Button("Do it", Act("do")),
            Button("Print it", Act("print"), "good"),
            Button("Inspect it", Act("inspect")),
            Button("Interrupt", Act("interrupt")),
        ),
        Span("Ctrl-D, -P, -I: what is chosen, or the line", "muted"),
    )
    evaluated: Sequence[Mapping[str, Any]] = seen.state.get("evaluated", ())
    for at, each in enumerate(evaluated):
        yield from _evaluated_blocks(each, at)
    if evaluated:
        yield Buttons((Button("Clear", Act("clear-evaluated")),))


def evaluating_acted(act: Act, seen: Seen, proto: str) -> Sequence[Effect]:
    """What an act of it comes to."""
    state = seen.state
    match act.verb:
        case "interrupt":
            return [Send(Interrupt(), "Interrupting", tag="interrupt")]
        case "complete":
            line = str(act.about.get("value", ""))
            return [Send(Complete(text=line, cursor=len(line), proto=proto), "Completing", tag=f"{_COMPLETE}{line}")]
        case "clear-evaluated":
            return [Keep({**state, "evaluated": []}, undoable=True, label="clear what was evaluated")]
        case "take-evaluated":
            return [Keep(with_typed(state, KEY, str(act.about["source"])))]
        case "revert-evaluated":
            return [Send(Revert(change=int(act.about["change"])), "Reverting", tag="revert")]
    source = str(act.about.get("value", "")) or typed(state, KEY, "")
    if not source.strip():
        return [Notice("There is nothing to evaluate.", "write an expression into the field")]
    if len(source) > ENTERED_MAX:
        return [Notice(f"An expression has at most {ENTERED_MAX:,} characters.", "put it into a file", bad=True)]
    request = Evaluate(source=source, proto=proto)
    # The tag has the text: nothing about what runs is kept with the window, which may be closed and opened meanwhile.
    return [Send(request, f"Evaluating {_short(source)}", undoes=True, tag=f"{_TAG}{act.verb} {source}")]


def evaluating_told(outcome: Outcome, seen: Seen) -> Sequence[Effect] | None:
    """What an outcome of it comes to; None where it is another's."""
    state = seen.state
    if outcome.tag == "revert":
        return None if outcome.value is None else [Notice("Reverted.")]
    if outcome.tag == "interrupt" and outcome.value is not None:
        return [] if outcome.value["interrupted"] else [Notice("Nothing is being evaluated.")]
    if outcome.tag.startswith(_COMPLETE) and outcome.value is not None:
        return [Keep(_completed(state, outcome.tag.removeprefix(_COMPLETE), outcome.value["names"]))]
    if not outcome.tag.startswith(_TAG) or outcome.step is not None:
        return None
    verb, _, source = outcome.tag.removeprefix(_TAG).partition(" ")
    evaluated = state.get("evaluated", ())
    if outcome.value is None:
        line: dict[str, Any] = {"source": source, "error": sentence(outcome.fault, outcome.next_step)}
        return [Keep(_with(state, line, evaluated))]
    found = outcome.value
    line = {
        "source": source,
        "value": found["value"][:_TEXT_MAX] if verb != "do" else "",
        "output": found["output"][:_TEXT_MAX],
        "error": found["error"][-_TEXT_MAX:],
        "change": found["change"],
        "seconds": found["seconds"],
        "cut": found["cut"] or max(len(found[each]) for each in ("value", "output", "error")) > _TEXT_MAX,
        "proto": found["proto"],
    }
    effects: list[Effect] = [Keep(_with(state, line, evaluated))]
    if verb == "inspect" and not found["error"]:
        effects.append(
            Open("inspector", {"subject": found["proto"]})
            if found["proto"]
            else Open("inspector", {"value": found["value"] or "None", "of": source[:_TEXT_MAX]})
        )
    return effects


def _completed(state: State, line: str, names: Sequence[str]) -> dict[str, Any]:
    """What the names have in common is typed, where the line is the last; the names themselves are shown."""
    begun = _NAME.search(line)
    text = typed(state, KEY, "")
    common = _common(names)
    if begun is not None and text.endswith(line) and len(common) > len(begun[0]):
        state = with_typed(state, KEY, text + common[len(begun[0]) :])
    return {**state, "completions": list(names[:_NAMES_MAX]) if len(names) != 1 else []}


def _common(names: Sequence[str]) -> str:
    """What all of them begin with."""
    if not names:
        return ""
    low, high = min(names), max(names)
    length = next((at for at, (one, other) in enumerate(zip(low, high, strict=False)) if one != other), len(low))
    return low[:length]


def _with(state: State, line: Mapping[str, Any], evaluated: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    line = {**line, "source": line["source"][:_TEXT_MAX]}
    return {**state, "completions": [], "evaluated": [line, *evaluated][:KEPT]}


def _evaluated_blocks(each: Mapping[str, Any], at: int) -> Iterator[Block]:
    yield Line(
        (Span("» ", "muted"), Span(each["source"], "strong" if at == 0 else "text", mono=True)),
        act=Act("take-evaluated", {"source": each["source"]}),
    )
    if each.get("output"):
        yield Code(each["output"].rstrip("\n"))
    if each.get("value"):
        name = each.get("proto")
        act = Act("open-proto", {"proto": name}) if name else None
        yield Line((Span("→ ", "muted"), Span(each["value"], "link" if name else "text", mono=True, act=act)), 1)
    if each.get("error"):
        yield say(each["error"], "bad", mono=True, indent=1)
    if each.get("cut"):
        yield say("This is not all of it.", "muted", indent=1)
    change = each.get("change")
    if change is not None:
        yield Buttons(
            (Button(f"Revert change {change}", Act("revert-evaluated", {"change": change})),),
            Span(f"change {change}", "ok"),
        )


def _short(source: str) -> str:
    line = source.strip().partition("\n")[0]
    return line if len(line) <= 40 else f"{line[:39]}…"
