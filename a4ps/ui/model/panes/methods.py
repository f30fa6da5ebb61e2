"""One method's text while it is edited: tried, accepted, forgotten; for the inspector, the browser and the debugger. Pure.

Accepting tests it in the sandbox first; where that fails, or the text is no method, nothing has changed, and what was typed
is still there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.protos import DefineMethod, ForgetMethod, TryMethod
from a4ps.ui.model.blocks import Act, Block, Button, Line, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Notice, Outcome, Send
from a4ps.ui.model.panes.parts import (
    ENTERED_MAX,
    accept_buttons,
    arguments_entry,
    source_entry,
    tone_of,
    trial_blocks,
    trial_kept,
    typed,
    with_fault,
    with_typed,
)

TEMPLATE: Final = "def {name}(self):\n    return self.state\n"


def method_named(proto: Mapping[str, Any] | None, name: str) -> Mapping[str, Any] | None:
    methods = () if proto is None else proto["methods"]
    return next((each for each in methods if each["name"] == name), None)


def method_row(method: Mapping[str, Any], act: Act, *, chosen: bool = False) -> Line:
    """One method in a list: how it is called, who wrote it, how far it is trusted."""
    inherited = f" from {method['inherited']}" if method["inherited"] else ""
    folders = f" {' '.join(method['folders'])}" if method["folders"] else ""
    return Line(
        (
            Span(f"{method['name']}{method['signature']}", "strong" if chosen else "text", mono=True),
            Span(f"  {method['author']}{inherited} ", "muted"),
            Span(f"{method['level']}{folders}", tone_of(method["level"])),
            Span("  failed" if method["failed"] else "", "bad"),
        ),
        act=act,
        chosen=chosen,
    )


def editing_blocks(proto: str, name: str, method: Mapping[str, Any] | None, state: State) -> Iterator[Block]:
    """The text in a field, what it is called with, and what the last trial came to; `method` None is a new one."""
    source = TEMPLATE.format(name=name) if method is None else method["source"]
    edited = "source" in state.get("typed", {}) and typed(state, "source", source) != source
    if method is not None and method["summary"]:
        yield say(method["summary"], "muted")
    yield source_entry(state, source)
    yield arguments_entry(state, "()" if method is None else method["signature"])
    more = []
    if method is not None and not method["inherited"]:
        more.append(Button("Forget it", Act("forget"), "bad"))
    if method is not None and method["failed"]:
        more.append(Button("Debug its last call", Act("debug")))
    yield accept_buttons(edited=edited, more=more)
    if method is not None and method["inherited"]:
        yield say(f"Accepting gives {proto} one of its own.", "muted")
    if "trial" in state:
        yield from trial_blocks(state["trial"], str(state.get("done", "")))


def editing_acted(
    act: Act, proto: str, name: str, method: Mapping[str, Any] | None, state: State
) -> Sequence[Effect] | None:
    """What an act on the text comes to; None where it is another's."""
    source = typed(state, "source", TEMPLATE.format(name=name) if method is None else method["source"])
    arguments = typed(state, "arguments", "")
    if act.verb in ("accept", "try") and len(source) > ENTERED_MAX:
        return [Notice(f"A method has at most {ENTERED_MAX:,} characters.", "shorten it", bad=True)]
    match act.verb:
        case "typed":
            return [Keep(with_typed(state, str(act.about["key"]), str(act.about.get("value", ""))))]
        case "discard":
            return [Keep(with_typed(state, "source", None), undoable=True, label="discard what was typed")]
        case "accept":
            is_tested = not act.about.get("untested")
            reads, writes = ([], []) if method is None else (list(method["reads"]), list(method["writes"]))
            define = DefineMethod(
                proto=proto,
                method=name,
                source=source,
                reads=reads,
                writes=writes,
                test=is_tested,
                arguments=arguments if is_tested else "",
            )
            return [Keep(_begun(state)), Send(define, f"define {proto}.{name}", undoes=True, tag="accept")]
        case "try":
            request = TryMethod(proto=proto, method=name, arguments=arguments, source=source)
            return [Keep(_begun(state)), Send(request, f"Trying {proto}.{name}", tag="try")]
        case "forget":
            forget = ForgetMethod(proto=proto, method=name)
            return [Send(forget, f"forget {proto}.{name}", undoes=True, tag="forget")]
    return None


def editing_told(outcome: Outcome, state: State) -> Sequence[Effect] | None:
    """What an outcome comes to; None where it is another's."""
    if outcome.tag not in ("accept", "try", "forget", "retry") or outcome.step is not None:
        return None
    ended = _ended(state)
    if outcome.value is None:
        # What is refused is the text or the arguments; their words say which.
        key = "arguments" if "are no arguments" in outcome.fault else "source"
        return [Keep(with_fault(ended, key, outcome))]
    if outcome.tag == "forget":
        return [Keep(with_typed(ended, "source", None))]
    if outcome.tag != "accept":
        return [Keep({**ended, "trial": trial_kept(outcome.value)})]
    trial, change = outcome.value["tried"], outcome.value["change"]
    if trial is not None:
        ended["trial"] = trial_kept(trial)
        if not trial["good"]:
            failed = Outcome("", fault="it failed its test, and nothing was changed", next_step="what failed is below")
            return [Keep(with_fault(ended, "source", failed))]
    done = f"It is in its place: change {change}." if change is not None else "It was just that already."
    return [Keep({**with_typed(ended, "source", None), "done": done}), Notice(done)]


def without_trial(state: State) -> dict[str, Any]:
    """The state for another method: nothing typed, nothing tried."""
    names = ("trial", "done")
    cleared = {name: each for name, each in state.items() if name not in names}
    return with_typed(with_typed(cleared, "source", None), "arguments", None)


def _begun(state: State) -> dict[str, Any]:
    """Faults are told anew by each trial."""
    faults = {name: each for name, each in state.get("faults", {}).items() if name not in ("source", "arguments")}
    return {**_ended(state), "faults": faults}


def _ended(state: State) -> dict[str, Any]:
    return {name: each for name, each in state.items() if name not in ("trial", "done")}
