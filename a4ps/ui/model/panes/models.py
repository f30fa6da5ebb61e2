"""Models: who speaks with what, and what is in the card's memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from a4ps.protocol.requests.models import InMemory, UseModel
from a4ps.protocol.requests.protos import Protos
from a4ps.ui.model.blocks import Act, Bar, Block, Button, Buttons, Columns, Entry, Line, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Refresh, Seen, Send, pane
from a4ps.ui.model.panes.parts import fault_of, typed, waiting, with_fault, with_typed
from a4ps.ui.model.society import Society

_GB: Final = 1e9


@pane
class Models:
    """State: what is typed for a persona, by its name."""

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
                said = f"{persona} speaks with {model or 'what the profile gives'}"
                return [Keep(with_typed(seen.state, persona, model)), Send(use, said, undoes=True, tag=persona)]
            case "look":
                return [Refresh()]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        if outcome.value is None:
            return [Keep(with_fault(seen.state, outcome.tag, outcome))] if outcome.fault else []
        used = outcome.value
        return [
            Keep(with_typed(seen.state, outcome.tag, None)),
            Notice(f"{used['persona']} speaks with {used['model']} from the next turn on."),
        ]


def _blocks(seen: Seen) -> Iterator[Block]:
    yield from waiting(seen.answer("memory"), "the models in memory")
    memory = seen.answer("memory").value
    if memory is not None:
        budget = memory["budget_bytes"]
        used = sum(each["vram_bytes"] for each in memory["residents"])
        yield Line((Span("engine ", "muted"), Span(memory["engine"], mono=True)))
        if budget:
            yield Bar(used / budget, f"{used / _GB:.1f} of {budget / _GB:.1f} GB")
        for each in memory["residents"]:
            size = f"{each['size_bytes'] / _GB:.1f} GB"
            spilled = each["vram_bytes"] < each["size_bytes"]
            yield Columns(
                (
                    Span(each["name"], mono=True),
                    Span(size, "muted", mono=True),
                    Span("spilled out of the card" if spilled else "resident", "warn" if spilled else "ok"),
                ),
                (0.5, 0.18, 0.32),
            )
        if not memory["residents"]:
            rehearses = memory["engine"] == "rehearsal"
            yield say("No model is here yet: a4ps models pull" if rehearses else "No model is loaded now.", "muted")
    yield say("Who speaks with what", "strong")
    protos = (seen.answer("protos").value or {"protos": ()})["protos"]
    by_name = {each["name"]: each for each in protos}
    for name, persona in seen.society.personas.items():
        kept = by_name.get(name, {}).get("model", "")
        yield Entry(
            name,
            typed(seen.state, name, kept if kept != "profile" else ""),
            Act("use", {"persona": name}),
            label=name,
            hint=persona.model or "by profile",
            mono=True,
            fault=fault_of(seen.state, name),
        )
    yield say("Return uses it from the next turn on; an empty field is what the profile gives.", "muted")
    yield Buttons((Button("Look again", Act("look")),))
