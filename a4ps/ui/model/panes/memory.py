"""Memory: what is remembered, found as a turn would find it; pinned, vouched for, or forgotten for good."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.base import Request
from a4ps.protocol.requests.forgetting import Forget, PlanForgetting
from a4ps.protocol.requests.memory import Pin, Remember, Search, Sleep, UndoNight, Vouch
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Columns, Entry, Line, Rule, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Open, Outcome, Refresh, Seen, Send, pane
from a4ps.ui.model.panes.parts import waiting
from a4ps.ui.model.society import Society

_ROWS: Final = frozenset({"memory", "reply", "document", "pin", "merged", "night", "slept"})
_FOUND_MAX: Final = 20
_PLACES_MAX: Final = 60
_SHOWN_CHARS: Final = 300


@pane
class Memory:
    """State: `query`; `chosen`, an id; `plan` and `sought`: the places that a forgetting would take, and of what."""

    name = "memory"
    size = (430.0, 440.0)

    def title(self, seen: Seen) -> str:
        query = str(seen.state.get("query", "")).strip()
        return f"Memory: {query[:40]}" if query else "Memory"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        query = str(state.get("query", "")).strip()
        return (Need("found", Search(query=query, limit=_FOUND_MAX), _ROWS, lasting=True),) if query else ()

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        state = seen.state
        chosen = str(act.about.get("id", ""))
        match act.verb:
            case "query":
                return [Keep({**_calm(state), "query": str(act.about["value"])})]
            case "choose":
                return [Keep({**_calm(state), "chosen": "" if chosen == state.get("chosen") else chosen})]
            case "turn":
                return [Open("transcript", {"turn": chosen})]
            case "why":
                return [Open("why", {"subject": chosen})]
            case "pin":
                off = bool(act.about.get("off"))
                return [Send(Pin(id=chosen, off=off), f"{'unpin' if off else 'pin'} {chosen}", tag="pinned")]
            case "vouch":
                off = bool(act.about.get("off"))
                label = f"take back your word for {chosen}" if off else f"vouch for {chosen}"
                return [Send(Vouch(ids=[chosen], off=off), label, tag="vouched")]
            case "plan":
                sought = {"text": str(state["query"])} if act.about.get("text") else {"thing": chosen}
                planning: Request = PlanForgetting.model_validate(sought)
                return [Keep({**state, "sought": sought}), Send(planning, "find all that holds it", tag="planned")]
            case "forget" if "sought" in state:
                forget = Forget.model_validate(dict(state["sought"]))
                return [Send(forget, "forget it for good", tag="forgotten")]
            case "leave":
                return [Keep(_calm(state))]
            case "add":
                text = str(act.about["value"]).strip()
                return [Send(Remember(texts=[text]), "remember it", tag="added")] if text else []
            case "sleep":
                return [Send(Sleep(), "sleep: merge duplicates, distil facts", tag="slept")]
            case "wake":
                return [Send(UndoNight(), "take back the last night", tag="slept")]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        state, value = seen.state, outcome.value
        if value is None:
            return [Notice(outcome.fault, outcome.next_step, bad=True)] if outcome.fault else []
        match outcome.tag:
            case "planned":
                return [Keep({**state, "plan": [dict(each) for each in value["places"]]})]
            case "forgotten":
                # The words that were sought are not kept with the window either.
                left = ("chosen", "query") if "text" in state.get("sought", {}) else ("chosen",)
                return [
                    Keep({key: each for key, each in _calm(state).items() if key not in left}),
                    Notice("Forgotten."),
                    Refresh(),
                ]
            case "added":
                return [Notice(f"Remembered as {', '.join(value['memories'])}.")]
            case "pinned" | "vouched":
                return [Refresh()]
            case "slept":
                return [Notice(_of_night(value))]
        return ()

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state = seen.state
        query = str(state.get("query", ""))
        yield Entry("query", query, Act("query"), hint="search what is remembered", live=True)
        if "plan" in state:
            yield from _plan(state)
            return
        if query.strip():
            yield from waiting(seen.answer("found"), "what belongs to it")
            found: Sequence[Mapping[str, Any]] = (seen.answer("found").value or {}).get("results", ())
            for each in found:
                yield from _result(each, chosen=each["id"] == state.get("chosen"))
            if found:
                yield Buttons((Button("Forget whatever has these words …", Act("plan", {"text": True}), "bad"),))
            elif seen.answer("found").value is not None:
                yield say("Nothing that is remembered belongs to this.", "muted")
        else:
            yield say("Every answered question is remembered, and what you add here.", "muted")
        yield Rule()
        yield Entry("add", "", Act("add"), label="remember", hint="My bike has a 56 cm frame")
        yield from _state(seen.society)
        yield Buttons((Button("Sleep now", Act("sleep")), Button("Take back the last night", Act("wake"))))


def _result(found: Mapping[str, Any], *, chosen: bool) -> Iterator[Block]:
    text, untrusted = str(found["text"]), "untrusted" in found["taint"] and not found["vouched"]
    short = text if chosen or len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
    yield Columns(
        (Span(found["id"], "muted", mono=True), Span(f"{found['score']:.2f}", "calm", mono=True), Span(short)),
        (0.14, 0.12, 0.74),
        Act("choose", {"id": found["id"]}),
        chosen=chosen,
    )
    if not chosen:
        return
    yield Line((Span(found["source"], "muted"), *((Span(" · anybody's words", "warn"),) if untrusted else ())), 1)
    about = {"id": found["id"]}
    buttons = [Button("Pin", Act("pin", about)), Button("Unpin", Act("pin", {**about, "off": True}))]
    if str(found["id"]).isdecimal():
        buttons += [Button("Its turn", Act("turn", about)), Button("Why?", Act("why", about))]
    if untrusted:
        buttons.append(Button("Vouch for it", Act("vouch", about)))
    elif found["vouched"]:
        buttons.append(Button("Take back my word", Act("vouch", {**about, "off": True})))
    yield Buttons((*buttons, Button("Forget …", Act("plan", about), "bad")))


def _plan(state: State) -> Iterator[Block]:
    """Every place first, then the question: it cannot be undone."""
    places: Sequence[Mapping[str, Any]] = state["plan"]
    sought = state["sought"]
    what = f"“{sought['text']}”" if "text" in sought else str(sought["thing"])
    if not places:
        yield say(f"Nothing holds {what}.", "muted")
        yield Buttons((Button("Back", Act("leave")),))
        return
    yield say(f"Forgetting {what} for good takes it out of:", "strong")
    for each in places[:_PLACES_MAX]:
        named = each["relation"] == "named"
        told = f"{each['holder']}: {each['where']}"
        yield Line((Span("· " if not named else "○ ", "muted"), Span(told, "warn" if named else "text")), 1)
        if each["next"]:
            yield say(each["next"], "muted", mono=True, indent=2)
    if len(places) > _PLACES_MAX:
        yield say(f"and {len(places) - _PLACES_MAX:,} more places", "muted", indent=1)
    yield say("It cannot be undone. What is marked ○ is yours to deal with.", "warn")
    yield Buttons((Button("Forget it for good", Act("forget"), "bad"), Button("Leave it", Act("leave"))))


def _state(society: Society) -> Iterator[Block]:
    if society.status is None:
        return
    memory = society.status["memory"]
    told = f"{memory['memories']:,} memories · {memory['vectors']:,} vectors"
    if memory["left"]:
        told += f" · {memory['left']:,} to be embedded, {memory['per_s']:.0f} a second"
    yield say(f"{told} · {memory['embedder'] or 'found by their words alone'}", "muted")
    if memory["fault"]:
        yield say(memory["fault"], "warn")


def _of_night(value: Mapping[str, Any]) -> str:
    if value["undone"]:
        return "The last night is taken back."
    merged, facts = len(value["merged"]), len(value["facts"])
    if not merged and not facts:
        return "There was nothing to merge or to distil."
    return f"{merged} duplicates merged, {facts} facts distilled."


def _calm(state: State) -> dict[str, Any]:
    """Without a plan to forget."""
    return {key: each for key, each in state.items() if key not in ("plan", "sought")}
