"""Models: who speaks with what, and what is in the card's memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.models import InMemory, UseModel
from a4ps.protocol.requests.protos import Protos
from a4ps.ui.model.blocks import Act, Bar, Block, Button, Buttons, Columns, Entry, Line, Rule, Span, Tone, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Refresh, Seen, Send, pane
from a4ps.ui.model.panes.parts import fault_of, typed, waiting, with_fault, with_typed
from a4ps.ui.model.society import BY_PROFILE, Persona, Society

_GB: Final = 1e9
_KNOWN_SHOWN: Final = 8


@pane
class Models:
    """State: `persona`, who is given another model; what is typed for a persona, by its name."""

    name = "models"
    size = (400.0, 340.0)

    def title(self, seen: Seen) -> str:  # noqa: ARG002 - as every pane's
        return "Models"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        return (
            Need("memory", InMemory(), frozenset({"reply", "model"})),
            Need("protos", Protos(), frozenset({"proto"})),
        )

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(_blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        persona = str(act.about.get("persona", ""))
        match act.verb:
            case "use":
                model = str(act.about["value"]).strip()
                use = UseModel(persona=persona, model=model or None)
                said = f"{persona} speaks with {_said(model or BY_PROFILE)}"
                return [Keep(with_typed(seen.state, persona, model)), Send(use, said, undoes=True, tag=persona)]
            case "choose":
                return [Keep({**seen.state, "persona": "" if persona == seen.state.get("persona") else persona})]
            case "look":
                return [Refresh()]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        if outcome.value is None:
            return [Keep(with_fault(seen.state, outcome.tag, outcome))] if outcome.fault else []
        used = outcome.value
        when = "from the next turn on" if used["change"] is not None else "already"
        return [
            Keep(with_typed(seen.state, outcome.tag, None)),
            Notice(f"{used['persona']} speaks with {_said(used['model'])} {when}."),
        ]


def _blocks(seen: Seen) -> Iterator[Block]:
    yield from waiting(seen.answer("memory"), "what is in memory")
    memory = seen.answer("memory").value
    engine = ((seen.society.status or {}).get("engine") or {}).get("name", "")
    if engine == "rehearsal":
        yield say("No model is here: the four say prepared lines.", "warn")
        yield Line((Span("Fetch models: ", "muted"), Span("a4ps models pull", mono=True)))
    elif memory is not None:
        yield from _in_memory(memory)
    yield Rule()
    yield say("Who speaks with what", "strong")
    yield from waiting(seen.answer("protos"), "the personas")
    protos = {each["name"]: each for each in (seen.answer("protos").value or {"protos": ()})["protos"]}
    known = _known(seen, [_own(each["model"]) for each in protos.values()])
    for name, persona in seen.society.personas.items():
        if name in protos:
            yield from _persona(persona, _own(protos[name]["model"]), known, seen)
    if seen.state.get("persona") in protos:
        yield say("Return: from the next turn on. Empty: what the profile gives.", "muted")
    elif protos:
        yield say("Press one to give it a model of its own.", "muted")
    yield Buttons((Button("Look again", Act("look")),))


def _in_memory(memory: Mapping[str, Any]) -> Iterator[Block]:
    residents, budget = memory["residents"], memory["budget_bytes"]
    held = sum(each["vram_bytes"] or each["size_bytes"] for each in residents)
    yield Line((Span("run by ", "muted"), Span(memory["engine"] or "no engine yet", mono=True)))
    if budget:
        yield Bar(min(1.0, held / budget), f"{held / _GB:.1f} of {budget / _GB:.1f} GB")
    for each in residents:
        where, tone = _placed(each)
        size = Span(f"{each['size_bytes'] / _GB:.1f} GB", "muted", mono=True)
        yield Columns((Span(each["name"], mono=True), size, Span(where, tone)), (0.5, 0.16, 0.34))
    if not residents:
        yield say("No model is in memory; the next question loads one.", "muted")


def _placed(resident: Mapping[str, Any]) -> tuple[str, Tone]:
    if not resident["vram_bytes"]:
        return "in RAM", "muted"
    if resident["vram_bytes"] < resident["size_bytes"]:
        return f"{100 * resident['vram_bytes'] // resident['size_bytes']} % on the card", "warn"
    return "on the card", "ok"


def _persona(persona: Persona, own: str, known: Sequence[str], seen: Seen) -> Iterator[Block]:
    name, chosen = persona.name, persona.name == seen.state.get("persona")
    now = persona.model if persona.model != BY_PROFILE else ""
    yield Columns(
        (
            Span(name, "strong", persona=name),
            Span(own or now or "not heard yet", mono=True),
            Span("its own" if own else "by the profile", "muted"),
        ),
        (0.2, 0.5, 0.3),
        Act("choose", {"persona": name}),
        chosen=chosen,
    )
    fault = fault_of(seen.state, name)
    if chosen or fault:
        text = typed(seen.state, name, own)
        yield Entry(name, text, Act("use", {"persona": name}), label="model", hint=BY_PROFILE, mono=True, fault=fault)
    if chosen and known:
        yield Buttons(tuple(Button(each, Act("use", {"persona": name, "value": each})) for each in known))


def _said(model: str) -> str:
    return "what the profile gives" if model == BY_PROFILE else model


def _own(model: str) -> str:
    """A model that a persona was given itself, "" where the profile gives it."""
    return "" if model == BY_PROFILE else model


def _known(seen: Seen, owned: Sequence[str]) -> Sequence[str]:
    """The models that are known of here: in memory, given to somebody, or spoken with."""
    memory = seen.answer("memory").value or {"residents": ()}
    spoken = [_own(each.model) for each in seen.society.personas.values()]
    found = (*(each["name"] for each in memory["residents"]), *owned, *spoken)
    return [each for each in dict.fromkeys(found) if each][:_KNOWN_SHOWN]
