"""Why: what an answer rests on. Memories, minds at their versions, tools, the course of the argument, and the prompts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.turns import WhyRequest
from a4ps.ui.model.blocks import Act, Bar, Block, Columns, Line, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Need, Open, Outcome, Seen, pane
from a4ps.ui.model.panes.parts import evidence_blocks, waiting, when
from a4ps.ui.model.panes.transcript import STEPS
from a4ps.ui.model.society import Society

_ENDS: Final[Mapping[str, str]] = {
    "converged": "they came to agree",
    "bound": "the rounds were used up",
    "time": "the time was used up",
    "word": "ALFRED ended it",
}


@pane
class Why:
    """State: `subject`, the turn's number, "" for the newest."""

    name = "why"
    size = (430.0, 460.0)

    def title(self, seen: Seen) -> str:
        found = seen.answer("why").value
        turn = found["turn_id"] if found is not None else seen.state.get("subject", "")
        return f"Why: turn {turn}" if turn else "Why"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        return (Need("why", WhyRequest(turn=str(state.get("subject", ""))), frozenset({"reply"})),)

    def blocks(self, seen: Seen) -> Sequence[Block]:
        answer = seen.answer("why")
        found = [] if answer.value is None else list(_blocks(answer.value))
        return [*waiting(answer, "what it rests on"), *found]

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - as every pane's
        match act.verb:
            case "open":
                return [Open(str(act.about["pane"]), dict(act.about["state"]))]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:  # noqa: ARG002 - it asks for nothing to be done
        return ()


def _blocks(why: Mapping[str, Any]) -> Iterator[Block]:
    yield Line((Span("You  ", "muted"), Span(why["question"], "strong")))
    yield say(f"{when(why['asked_at'])} · answered by {why['engine']}", "muted")
    if "untrusted" in why["taint"]:
        yield say("Made from words that may be anybody's.", "warn")
    yield say("Memories", "strong")
    for each in why["memories"]:
        act = (
            _open("transcript", turn=each["id"])
            if str(each["id"]).isdecimal()
            else _open("memory", query=each["text"][:80])
        )
        figures = Span(f"{each['id']} {each['score']:.2f}", "calm", mono=True)
        yield Columns((figures, Span(each["text"]), Span(each["source"], "muted")), (0.18, 0.56, 0.26), act)
    if not why["memories"]:
        yield say("It rests on no memory.", "muted", indent=1)
    yield say("Minds", "strong")
    for voice in why["personas"]:
        yield from _voice(voice)
    if why["tool_calls"]:
        yield say("Tools", "strong")
    for call in why["tool_calls"]:
        state = {"subject": call["tool"]}
        took = f"version {call['version']}, {call['ms']:.0f} ms"
        yield Columns(
            (Span(call["tool"], mono=True), Span(call["text"]), Span(took, "muted")),
            (0.24, 0.5, 0.26),
            Act("open", {"pane": "tool_bench", "state": state}),
        )
    yield from _argument(why)
    yield say("Prompts", "strong")
    for prompt in why["prompts"]:
        shares = prompt["shares"] or {}
        parts = " · ".join(f"{name} {tokens}" for name, tokens in shares.items() if tokens)
        yield Columns(
            (
                Span(prompt["persona"], persona=prompt["persona"]),
                Span(STEPS.get(prompt["step"], prompt["step"]), "muted"),
                Span(f"{prompt['prompt_tokens']} tokens", "muted", mono=True),
                Span(parts, "muted"),
            ),
            (0.18, 0.2, 0.2, 0.42),
        )
    for note in (*why["notes"], *(f"left out for time: {each}" for each in why["dropped"])):
        yield say(note, "muted")


def _voice(voice: Mapping[str, Any]) -> Iterator[Block]:
    name = voice["persona"]
    models = ", ".join(voice["models"])
    change = voice["change"]
    made = str(change["reason"] or change["act"]) if change is not None else "as it came"
    colour = "" if voice["colour"] is None else f"{voice['colour']:.2f}"
    yield Columns(
        (
            Span(name, "strong", persona=name),
            Span(f"version {voice['version']}" if voice["version"] is not None else "", "muted"),
            Span(models, mono=True),
            Span(made, "muted"),
            Span(colour, "calm", mono=True),
        ),
        (0.16, 0.16, 0.22, 0.36, 0.1),
        _open("inspector", subject=name, tab="Evidence"),
    )
    if change is not None and change["evidence"]:
        yield from evidence_blocks(change["evidence"], 2)


def _argument(why: Mapping[str, Any]) -> Iterator[Block]:
    if not why["argued"]:
        return
    yield say("The argument", "strong")
    for number, round_ in enumerate(why["argued"], 1):
        estimated = ", estimated" if round_["estimated"] else ""
        yield Bar(round_["dissonance"], f"round {number}: dissonance {round_['dissonance']:.2f}{estimated}")
    for mind in why["minds_changed"]:
        told = f" was moved by {mind['by']} on “{mind['point']}”: {mind['before']} → {mind['after']}"
        yield Line((Span(mind["persona"], persona=mind["persona"]), Span(told)), 1)
    if why["rounds_ended"]:
        yield say(f"It ended as {_ENDS.get(why['rounds_ended'], why['rounds_ended'])}.", "muted", indent=1)


def _open(pane: str, **state: Any) -> Act:
    return Act("open", {"pane": pane, "state": state})
