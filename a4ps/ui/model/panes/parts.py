"""What several windows on Protos show alike. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Columns, Entry, Line, Span, Tone, say
from a4ps.ui.model.compared import side_by_side
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Answer, Outcome

#: After commits of these rows what a window shows of Protos is asked anew.
PROTO_ROWS: Final = frozenset({"proto", "trust"})

ENTERED_MAX: Final = 1_000_000
"""Characters that a request takes."""

_OUTPUT_MAX: Final = 2_000
#: Of the reason for a change that is not chosen, a list has so much.
_REASON_CHARS: Final = 80
#: The field of a method's text has room for more lines than there are, within bounds.
_LINES_LEAST, _LINES_MOST, _LINES_MORE = 5, 16, 2
_SHOWN_OF_TRIAL: Final = ("good", "where", "value", "output", "cut", "seconds", "changed")


def subject_of(state: State) -> str:
    """The name of the Proto that a window is about, "" where it is about none."""
    return str(state.get("subject") or state.get("proto") or "")


def typed(state: State, key: str, otherwise: str) -> str:
    """What is being typed under that key, or was refused."""
    return str(state.get("typed", {}).get(key, otherwise))


def with_typed(state: State, key: str, text: str | None) -> dict[str, Any]:
    """The state in which that is being typed; None: nothing any more. A fault of it goes with either."""
    texts = {name: each for name, each in state.get("typed", {}).items() if name != key}
    faults = {name: each for name, each in state.get("faults", {}).items() if name != key}
    return {**state, "typed": texts if text is None else {**texts, key: text}, "faults": faults}


def with_fault(state: State, key: str, outcome: Outcome) -> dict[str, Any]:
    """The state in which what was typed there is refused, and kept."""
    return {**state, "faults": {**state.get("faults", {}), key: sentence(outcome.fault, outcome.next_step)}}


def fault_of(state: State, key: str) -> str:
    return str(state.get("faults", {}).get(key, ""))


def sentence(fault: str, next_step: str) -> str:
    """What went wrong, and what can be done."""
    return f"{fault}: {next_step}" if next_step else fault


def waiting(answer: Answer, what: str) -> list[Block]:
    """What is said in the place of an answer that is not there, or beside one that is out of date."""
    if answer.fault:
        return [say(answer.fault, "bad"), *([say(answer.next_step, "muted")] if answer.next_step else [])]
    return [say(f"Reading {what} …", "muted")] if answer.value is None else []


def when(at: str) -> str:
    """A time as the backend gives it, to the minute."""
    return at[:16].replace("T", " ")


def change_row(change: Mapping[str, Any], act: Act, *, chosen: bool = False) -> Columns:
    """One change in a list."""
    forgotten = " (forgotten in part)" if change.get("forgotten") else ""
    inherited = f"{change['proto']}: " if change.get("inherited") else ""
    reason = " ".join(str(change["reason"]).split()) or change["act"]
    short = reason if chosen or len(reason) <= _REASON_CHARS else f"{reason[:_REASON_CHARS]}…"
    return Columns(
        (
            Span(str(change["change"]), "muted", mono=True),
            Span(when(change["at"]), "muted"),
            Span(change["author"]),
            Span(f"{inherited}{short}{forgotten}"),
        ),
        (0.09, 0.31, 0.18, 0.42),
        act,
        chosen,
    )


def difference_blocks(differences: Sequence[Mapping[str, Any]]) -> Iterator[Block]:
    """What a change made different, each part before and after."""
    if not differences:
        yield say("It made no difference.", "muted")
    for each in differences:
        what = f"{each['part']} {each['name']}".strip()
        yield Line((Span(f"{each['proto']} ", "muted"), Span(what, "strong")))
        yield side_by_side(each["before"], each["after"], ("before", "after"))


def evidence_blocks(evidence: object, indent: int = 0) -> Iterator[Block]:
    """A record as lines; what it holds is somebody else's, and shown as it is."""
    items: Sequence[tuple[str, object]]
    if isinstance(evidence, Mapping):
        items = [(str(name), value) for name, value in evidence.items()]
    elif isinstance(evidence, list | tuple):
        items = [(str(at), value) for at, value in enumerate(evidence, 1)]
    else:
        yield say(str(evidence), mono=True, indent=indent)
        return
    for name, value in items[:100]:
        if isinstance(value, Mapping | list | tuple) and value and indent < 5:
            yield say(name, "strong", indent=indent)
            yield from evidence_blocks(value, indent + 1)
        else:
            yield Line((Span(f"{name}  ", "muted"), Span(str(value)[:_OUTPUT_MAX], mono=True)), indent)


def trial_kept(tried: Mapping[str, Any]) -> dict[str, Any]:
    """Of a trial, what its window's state keeps: no more than is shown."""
    kept: dict[str, Any] = {name: tried[name] for name in _SHOWN_OF_TRIAL}
    for name in ("value", "output"):
        kept[name] = str(kept[name])[:_OUTPUT_MAX]
    failure = tried["failure"]
    if failure is not None:
        frames = [
            {**{name: frame[name] for name in ("line", "function", "source", "locals")}, "file": frame["file"]}
            for frame in failure["frames"][-8:]
        ]
        kept["failure"] = {"kind": failure["kind"], "message": failure["message"], "frames": frames}
    return kept


def trial_blocks(tried: Mapping[str, Any], done: str = "") -> Iterator[Block]:
    """What a trial came to; `done` is what was done upon it."""
    seconds = f"{tried['seconds']:.2f} s, {tried['where']}"
    if tried["good"]:
        yield Line((Span("It works. ", "ok"), Span(f"{done} " if done else ""), Span(seconds, "muted")))
        if tried["value"]:
            yield Line((Span("→ ", "muted"), Span(tried["value"], mono=True)))
        if tried["changed"]:
            yield say(f"It would change {', '.join(tried['changed'])}.", "muted")
    else:
        failure = tried["failure"]
        yield Line((Span(f"{failure['kind']}: {failure['message']} ", "bad"), Span(seconds, "muted")))
        for frame in reversed(failure["frames"]):
            yield frame_line(frame)
            yield from locals_lines(frame["locals"], 1)
    if tried["output"]:
        yield say("printed", "muted")
        yield Code(tried["output"].rstrip("\n"))


def frame_line(frame: Mapping[str, Any], act: Act | None = None, *, chosen: bool = False) -> Line:
    """Where a call stood."""
    where = f"{frame['function']}, line {frame['line']}"
    return Line(
        (Span(f"{where}  ", "strong" if chosen else "text"), Span(frame["source"], "muted", mono=True)), 0, act, chosen
    )


def locals_lines(found: Mapping[str, str], indent: int = 0) -> Iterator[Line]:
    for name, text in found.items():
        yield Line((Span(f"{name} = ", "muted", mono=True), Span(text, mono=True)), indent)


def source_entry(state: State, source: str, *, key: str = "source", fills: bool = False) -> Entry:
    """A method's text, which is edited here; what is typed is kept with the window."""
    needed = typed(state, key, source).rstrip("\n").count("\n") + 1 + _LINES_MORE
    lines = min(max(_LINES_LEAST, needed), _LINES_MOST)
    return Entry(
        key,
        typed(state, key, source),
        Act("typed", {"key": key}),
        mono=True,
        lines=lines,
        fault=fault_of(state, key),
        live=True,
        fills=fills,
        keys={"ctrl-s": Act("accept")},
    )


def arguments_entry(state: State, signature: str, *, key: str = "arguments") -> Entry:
    return Entry(
        key,
        typed(state, key, ""),
        Act("typed", {"key": key}),
        label=f"try with {signature}",
        hint="3, times=2",
        mono=True,
        fault=fault_of(state, key),
        live=True,
    )


def accept_buttons(*, edited: bool, more: Sequence[Button] = ()) -> Buttons:
    """What can be done with a text that is edited: accepted after a test, accepted as it is, tried."""
    return Buttons(
        (
            Button("Test, then accept", Act("accept"), "good"),
            Button("Accept untested", Act("accept", {"untested": True})),
            Button("Try on a copy", Act("try")),
            *([Button("Discard what I typed", Act("discard"))] if edited else []),
            *more,
        ),
        Span("edited", "warn") if edited else None,
    )


def tone_of(level: str) -> Tone:
    """How far a text is trusted, as a tone."""
    return "ok" if level == "in-process" else "warn" if level == "granted" else "muted"
