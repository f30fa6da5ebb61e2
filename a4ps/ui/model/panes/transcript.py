"""A turn as it is spoken, or an earlier one: who said what, upon which memories, and who changed whose mind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.turns import Latest, Rerun, Resume, Turn
from a4ps.ui.model.blocks import Act, Bar, Block, Button, Buttons, Columns, Entry, Line, Rule, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Do, Effect, Keep, Need, Notice, Open, Outcome, Seen, Send, Stop, pane
from a4ps.ui.model.panes.parts import typed, waiting, when, with_typed
from a4ps.ui.model.projection import answered
from a4ps.ui.model.society import Society, TurnSeen

#: Steps of a turn as people call them; of a step that is not here its own name is said.
STEPS: Final[Mapping[str, str]] = {
    "plan": "plan",
    "thesis": "thesis",
    "antithesis": "antithesis",
    "word": "a further round?",
    "findings": "findings",
    "synthesis": "answer",
}
_EARLIER: Final = 200
_NAME, _WORDS = 0.2, 0.8
_REPLIES: Final = frozenset({"reply"})


@pane
class Transcript:
    """State: `turn`, the one that is looked at, "" for the one that runs or was last; `earlier`: the list is open."""

    name = "transcript"
    size = (430.0, 420.0)

    def title(self, seen: Seen) -> str:
        turn = self._seen(seen).id
        return f"Transcript: turn {turn}" if turn else "Transcript"

    def needs(self, state: State, society: Society) -> Sequence[Need]:
        needs = []
        turn = str(state.get("turn", "")) or (society.turn.id if not society.turn.running else "")
        if turn:
            needs.append(Need("turn", Turn(turn=turn), _REPLIES))
        if state.get("earlier"):
            needs.append(Need("latest", Latest(limit=_EARLIER), _REPLIES))
        return needs

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        state, turn = seen.state, self._seen(seen).id
        match act.verb:
            case "why":
                return [Open("why", {"subject": turn})]
            case "stop":
                if not state.get("again"):
                    return [Do(Act("stop"))]
                return [Stop("again"), Keep({key: each for key, each in state.items() if key != "again"})]
            case "again":
                rerun = Send(Rerun(turn=turn, attended=True), f"turn {turn} again, of today's minds", tag="again")
                return [Keep({**state, "again": True}), rerun]
            case "resume":
                return [Send(Resume(turn=turn, attended=True), f"go on with turn {turn}", tag="again")]
            case "earlier":
                return [Keep({**state, "earlier": not state.get("earlier")})]
            case "find":
                return [Keep(with_typed(state, "find", str(act.about["value"]) or None))]
            case "show":
                shown = {key: each for key, each in state.items() if key not in ("turn", "compared")}
                return [Keep({**shown, "turn": str(act.about["turn"])} if act.about["turn"] else shown)]
            case "inspect":
                return [Open("inspector", {"subject": str(act.about["proto"])})]
            case "memory":
                return [Open("memory", {"query": str(act.about["text"])})]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        if outcome.tag != "again":
            return ()
        state = {key: each for key, each in seen.state.items() if key != "again"}
        if outcome.value is None:
            return [Keep(state), *([Notice(outcome.fault, outcome.next_step, bad=True)] if outcome.fault else [])]
        return [Keep({**state, "turn": str(outcome.value["turn_id"]), "compared": outcome.value.get("compared")})]

    @staticmethod
    def _seen(seen: Seen) -> TurnSeen:
        """The turn that is shown, as far as it is known."""
        wanted = str(seen.state.get("turn", ""))
        if not wanted or wanted == seen.society.turn.id:
            return seen.society.turn
        whole = seen.answer("turn").value
        return TurnSeen(wanted) if whole is None else answered(Society(), whole).turn

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        turn = self._seen(seen)
        whole = seen.answer("turn").value
        if whole is not None and whole["turn_id"] != turn.id:
            whole = None
        if turn.id and not turn.question and whole is None:
            yield from waiting(seen.answer("turn"), f"turn {turn.id}")
        elif not turn.question:
            yield say("Nothing was asked yet.", "muted")
            yield say("Write a question below; what the four say to it is here.", "muted")
        else:
            yield _said("You", turn.question, "strong")
            yield from _speech(turn, whole)
            yield from _figures(turn, whole)
            if (compared := seen.state.get("compared")) is not None:
                like = f"{compared['likeness']:.0%} like the answer of turn {compared['turn_id']}"
                yield say(f"Run again on today's minds: {like}.", "calm")
        yield _buttons(seen.state, turn)
        yield from _earlier(seen)


def _speech(turn: TurnSeen, whole: Mapping[str, Any] | None) -> Iterator[Block]:
    """What was said, with what it rests on beneath who begins, and minds that changed beneath who changed them."""
    minds: Sequence[Mapping[str, Any]] = whole["minds_changed"] if whole is not None else ()
    if turn.ahead:
        yield say(f"Waits for {turn.ahead} before it.", "muted")
    elif turn.running and not turn.contributions:
        yield say("Sent; the first word comes soon …", "muted")
    for at, each in enumerate(turn.contributions):
        if each.step == "thesis" and each.round > 1:
            yield say(f"round {each.round}", "muted")
        words = each.text if each.done else f"{each.text}▍"
        step = STEPS.get(each.step, each.step)
        name = Span(each.persona, "strong", persona=each.persona, act=Act("inspect", {"proto": each.persona}))
        yield Columns((name, Span(words or f"{step} …", "text" if each.text else "muted")), (_NAME, _WORDS))
        if at == 0:
            for memory in turn.memories:
                yield _memory(memory)
        for mind in minds:
            if (
                mind["persona"] == each.persona
                and mind["round"] == each.round
                and each.step in ("thesis", "antithesis")
            ):
                told = f"moved by {mind['by']} on “{mind['point']}”: {mind['before']} → {mind['after']}"
                yield Columns((Span(""), Span(told, "calm")), (_NAME, _WORDS))


def _memory(memory: Mapping[str, Any]) -> Columns:
    text = str(memory.get("text", ""))
    told = f"memory {memory['id']} · {memory['score']:.2f} · {memory['source']}"
    act = Act("memory", {"text": text[:200]}) if text else None
    return Columns((Span(""), Span(told, "muted", mono=True, act=act)), (_NAME, _WORDS))


def _figures(turn: TurnSeen, whole: Mapping[str, Any] | None) -> Iterator[Block]:
    if turn.dissonance:
        way = " → ".join(f"{each:.2f}" for each in turn.dissonance)
        about = [f"dissonance {way}"]
        if whole is not None:
            if whole["dissonance_estimated"]:
                about.append("estimated")
            about.append(f"{whole['overhead_ms'] / 1000:.2f} s outside of the model")
        yield Bar(turn.dissonance[-1], " · ".join(about))
    for note in turn.notes:
        yield say(note, "muted")
    if whole is not None and "untrusted" in whole["taint"]:
        yield say("Made from words that may be anybody's.", "warn")
    if turn.fault:
        yield say(turn.fault, "bad")


def _buttons(state: State, turn: TurnSeen) -> Buttons:
    if turn.running or state.get("again"):
        return Buttons((Button("Stop", Act("stop"), "bad"),))
    buttons = []
    if turn.fault and turn.id:
        buttons.append(Button("Go on with it", Act("resume"), "good"))
    elif turn.answer:
        buttons += [Button("Why?", Act("why")), Button("Run again on today's minds", Act("again"))]
    if state.get("turn"):
        buttons.append(Button("The newest", Act("show", {"turn": ""})))
    buttons.append(Button("Earlier turns", Act("earlier")))
    return Buttons(tuple(buttons))


def _earlier(seen: Seen) -> Iterator[Block]:
    if not seen.state.get("earlier"):
        return
    yield Rule()
    wanted = typed(seen.state, "find", "")
    yield Entry("find", wanted, Act("find"), hint="find among the earlier turns", live=True)
    yield from waiting(seen.answer("latest"), "the earlier turns")
    latest = seen.answer("latest").value or {"count": 0, "turns": ()}
    found = [each for each in latest["turns"] if wanted.casefold() in each["question"].casefold()]
    for each in found:
        yield Columns(
            (
                Span(each["turn_id"], "muted", mono=True),
                Span(when(each["asked_at"]), "muted"),
                Span(each["question"]),
            ),
            (0.1, 0.3, 0.6),
            Act("show", {"turn": each["turn_id"]}),
            chosen=each["turn_id"] == seen.state.get("turn"),
        )
    if latest["turns"] and not found:
        yield say("None of them has these words; the memory window looks further.", "muted")
    if latest["count"] > len(latest["turns"]):
        yield say(f"{latest['count'] - len(latest['turns']):,} older ones: search the memory", "muted")


def _said(who: str, text: str, tone: str) -> Line:
    return Line((Span(f"{who}  ", "muted"), Span(text, "strong" if tone == "strong" else "text")))
