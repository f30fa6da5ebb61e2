"""The Timeline: everything that was committed, in its order, to scrub through; each change of a Proto can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.image import Diff, History, Revert
from a4ps.protocol.requests.system import EventsSince
from a4ps.ui.model.blocks import Act, Block, Columns, Line, Mark, Marks, Span, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Open, Outcome, Seen, Send, pane
from a4ps.ui.model.panes.parts import difference_blocks, waiting, when
from a4ps.ui.model.society import Society

#: So many commits are on the line; the window of them moves on in steps, so that it is not asked for at each commit.
SHOWN, STEP = 240, 40

#: Kind of row → its tone, and what it is called; the first of these that a commit has says what it is.
_KINDS: Final[Mapping[str, tuple[Tone, str]]] = {
    "proto": ("link", "swap"),
    "trust": ("link", "promotion"),
    "reply": ("calm", "answer"),
    "turn": ("calm", "question"),
    "approval": ("warn", "approval"),
    "memory": ("ok", "memory"),
    "document": ("ok", "document"),
    "effect": ("warn", "effect"),
    "stop": ("bad", "stopped"),
    "night": ("ok", "sleep"),
}
#: How the names of Protos begin that are tools.
_TOOL: Final = "tool:"
_TOOL_KIND: Final[tuple[Tone, str]] = ("warn", "tool")
#: Rows after which the line has a new mark.
_ROWS: Final = frozenset({*_KINDS, "loaded", "pin", "resume", "series"})


@pane
class Timeline:
    """State: `change`, the number of the commit that is looked at, 0 for the newest; `proto`, one that it changed."""

    name = "timeline"
    size = (560.0, 300.0)

    def title(self, seen: Seen) -> str:
        return f"Timeline: change {chosen}" if (chosen := _chosen(seen)) else "Timeline"

    def needs(self, state: State, society: Society) -> Sequence[Need]:
        chosen = int(state.get("change", 0))
        needs = [Need("events", events_request(society.sequence), _ROWS)]
        if chosen and state.get("proto"):
            needs.append(Need("diff", Diff(change=chosen)))
            needs.append(Need("history", History(proto=str(state["proto"])), frozenset({"proto"})))
        return needs

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        match act.verb:
            case "scrub":
                return self._looked_at(seen, at_place(_events(seen), float(act.about["value"])))
            case "choose":
                return self._looked_at(seen, int(act.about["change"]))
            case "revert":
                change = int(act.about["change"])
                return [Send(Revert(change=change), f"revert change {change}", tag="reverting")]
            case "open":
                return [Open(str(act.about["pane"]), dict(act.about["state"]))]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - as every pane's
        if outcome.tag != "reverting":
            return ()
        if outcome.value is None:
            return [Notice(outcome.fault, outcome.next_step, bad=True)]
        made = ", ".join(str(each["change"]) for each in outcome.value["changes"])
        return [Notice(f"Reverted by change {made}." if made else "There was nothing left to revert.")]

    @staticmethod
    def _looked_at(seen: Seen, number: int) -> Sequence[Effect]:
        rows = [row for event in _events(seen) if event["sequence"] == number for row in event["rows"]]
        proto = next((row["key"] for row in rows if row["kind"] == "proto"), "")
        return [Keep({**seen.state, "change": number, "proto": proto})] if rows else []

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        answer = seen.answer("events")
        yield from waiting(answer, "what happened")
        events = _events(seen)
        if not events:
            if answer.value is not None:
                yield say("Nothing has happened yet.", "muted")
            return
        chosen = _chosen(seen)
        yield marks(events, chosen)
        event = next((each for each in events if each["sequence"] == chosen), events[-1])
        yield from _told(event, seen)


def events_request(sequence: int) -> EventsSince:
    """The commits that are on the line when `sequence` is the newest."""
    upto = -(-sequence // STEP) * STEP
    return EventsSince(after=max(0, upto - SHOWN), limit=SHOWN + STEP)


def events_of(found: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    """Those of an EventsObject that are shown: what only counts and measures is none."""
    events: Sequence[Mapping[str, Any]] = () if found is None else found["events"]
    return [each for each in events if _kind(each)[1]]


def marks(events: Sequence[Mapping[str, Any]], chosen: int = 0) -> Marks:
    """The line, each commit in its order: the newest to the right."""
    last = max(1, len(events) - 1)
    return Marks(
        tuple(
            Mark(
                at / last,
                _kind(event)[0],
                Act("choose", {"change": event["sequence"]}),
                large=_kind(event)[1] in ("swap", "promotion"),
                chosen=event["sequence"] == chosen,
            )
            for at, event in enumerate(events)
        ),
        Act("scrub"),
    )


def at_place(events: Sequence[Mapping[str, Any]], place: float) -> int:
    """The number of the commit that is nearest to a place from 0 to 1; 0 where there is none."""
    if not events:
        return 0
    return int(events[round(min(1.0, max(0.0, place)) * (len(events) - 1))]["sequence"])


def headline(event: Mapping[str, Any]) -> str:
    """What a commit was, in a few words."""
    _, kind = _kind(event)
    keys = [str(row["key"]).removeprefix(_TOOL) for row in event["rows"] if _of(row)[1] == kind]
    named = f"{', '.join(keys[:3])}{' …' if len(keys) > 3 else ''}"
    return f"{named} changed" if kind == "swap" else f"{kind} {named}".strip()


def _told(event: Mapping[str, Any], seen: Seen) -> Iterator[Block]:
    number = event["sequence"]
    about = f"  {when(event['at'])} by {event['author']}"
    opens = [(row, act) for row in event["rows"] if (act := _opens(row)) is not None]
    spans = [Span(f"{number}  ", "muted", mono=True), Span(headline(event), "strong"), Span(about, "muted")]
    # In the line that is always there no more than this is seen.
    if opens:
        spans.append(Span("   show it", "link", act=opens[0][1]))
    if any(row["kind"] == "proto" for row in event["rows"]):
        spans.append(Span("   revert this one", "link", act=Act("revert", {"change": number})))
    yield Line(tuple(spans))
    for row, act in opens[1:]:
        yield Line((Span(f"{row['kind']} {row['key']}", "link"),), 1, act)
    if int(seen.state.get("change", 0)) != number:
        yield say("Choose a mark, or drag along the line, to look back.", "muted")
        return
    if not seen.state.get("proto"):
        return
    history: Sequence[Mapping[str, Any]] = (seen.answer("history").value or {}).get("changes", ())
    for change in history:
        if change["change"] == number and change["reason"]:
            yield Columns((Span(change["proto"], "muted"), Span(change["reason"])), (0.2, 0.8))
    yield from waiting(seen.answer("diff"), "what it changed")
    if (diff := seen.answer("diff").value) is not None:
        yield from difference_blocks(diff["differences"])


def _opens(row: Mapping[str, Any]) -> Act | None:
    """What shows that row's subject."""
    match row["kind"]:
        case "proto" if row["key"].startswith(_TOOL):
            pane, state = "tool_bench", {"subject": row["key"].removeprefix(_TOOL)}
        case "proto":
            pane, state = "inspector", {"subject": row["key"], "tab": "History"}
        case "reply" | "turn" | "stop":
            pane, state = "transcript", {"turn": row["key"]}
        case "approval":
            pane, state = "approvals", {"subject": row["key"], "everything": True}
        case _:
            return None
    return Act("open", {"pane": pane, "state": state})


def _kind(event: Mapping[str, Any]) -> tuple[Tone, str]:
    kinds = {_of(row) for row in event["rows"]}
    return next((each for each in (*_KINDS.values(), _TOOL_KIND) if each in kinds), ("muted", ""))


def _of(row: Mapping[str, Any]) -> tuple[Tone, str]:
    """What one row says that a commit is."""
    if row["kind"] == "proto" and str(row["key"]).startswith(_TOOL):
        return _TOOL_KIND
    return _KINDS.get(str(row["kind"]), ("muted", ""))


def _events(seen: Seen) -> Sequence[Mapping[str, Any]]:
    return events_of(seen.answer("events").value)


def _chosen(seen: Seen) -> int:
    events = _events(seen)
    return int(seen.state.get("change", 0)) or (int(events[-1]["sequence"]) if events else 0)
