"""The Inspector: one living Proto. Slots are edited in place, methods accepted after a test, changes taken back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from a4ps.protocol.requests.image import Diff, History, Revert
from a4ps.protocol.requests.protos import Proto, Slot
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Entry, Line, Plot, Rule, Span, Tabs, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Open, Outcome, Refresh, Seen, Send, pane
from a4ps.ui.model.panes.evaluating import KEY, evaluating_acted, evaluating_blocks, evaluating_told, is_evaluating
from a4ps.ui.model.panes.methods import (
    editing_acted,
    editing_blocks,
    editing_told,
    method_named,
    method_row,
    without_trial,
)
from a4ps.ui.model.panes.parts import (
    PROTO_ROWS,
    change_row,
    difference_blocks,
    evidence_blocks,
    fault_of,
    sentence,
    subject_of,
    typed,
    waiting,
    when,
    with_fault,
    with_typed,
)
from a4ps.ui.model.panes.plots import figure, in_units
from a4ps.ui.model.panes.slots import (
    codex_blocks,
    opened_paths,
    slot_blocks,
    slots_acted,
    slots_told,
    value_blocks,
    whole_blocks,
)
from a4ps.ui.model.panes.sound import sound, soundly
from a4ps.ui.model.society import BY_PROFILE, Society
from a4ps.ui.model.views import OWN, views_of

_CHANGES_MAX: Final = 200
#: Series of all four that belong beside a persona's own.
_EVERYBODYS: Final = ("dissonance", "load.tokens", "tokens_per_s", "vram_bytes", "latency", "swaps")
#: Tabs in which a Proto is changed; of one that is pinned they are to be looked at.
_EDITED: Final = ("Slots", "Codex", "Methods")


@pane
class Inspector:
    """State: `subject`, the Proto, and `tab`; or `value`, a text that is shown as a tree, and `of`, whence it came.

    Besides what is typed: `opened` (paths), `whole` (a path), `method`, `change`; `pinned`, the version that it stays at.
    """

    name = "inspector"
    size = (460.0, 560.0)

    def title(self, seen: Seen) -> str:
        seen = soundly(seen)
        proto = subject_of(seen.state)
        if not proto:
            return "Inspector"
        shown = seen.answer("proto").value
        if shown is None:
            return f"Inspector: {proto}"
        return f"Inspector: {proto}, version {shown['version']}{', pinned' if seen.state.get('pinned') else ''}"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        state = sound(state)
        proto = subject_of(state)
        if not proto:
            return ()
        pinned = int(state.get("pinned", 0)) or None
        needs = [Need("proto", Proto(proto=proto, version=pinned, opened=opened_paths(state)), PROTO_ROWS)]
        tab = _tab(state)
        if tab == "Slots" and "whole" in state:
            needs.append(Need("whole", Slot(proto=proto, path=list(state["whole"])), PROTO_ROWS))
        if tab in ("History", "Evidence"):
            needs.append(Need("history", History(proto=proto), PROTO_ROWS))
            if state.get("change"):
                needs.append(Need("diff", Diff(change=int(state["change"])), PROTO_ROWS))
        return needs

    def blocks(self, seen: Seen) -> Sequence[Block]:
        seen = soundly(seen)
        blocks = list(self._blocks(seen))
        return list(_to_look_at(blocks)) if seen.state.get("pinned") and _tab(seen.state) in _EDITED else blocks

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        state, proto = seen.state, subject_of(seen.state)
        if is_evaluating(act.verb):
            return evaluating_acted(act, seen, proto)
        on_slots = slots_acted(act, proto, state, seen.answer("whole"))
        if on_slots is not None:
            return on_slots
        match act.verb:
            case "pin":
                return [Keep({**without_trial(state), "pinned": int(act.about["version"])})]
            case "tab":
                return [Keep({**state, "tab": str(act.about["value"])})]
            case "method":
                name = "" if act.about["name"] == state.get("method") else str(act.about["name"])
                return [Keep({**without_trial(state), "method": name})]
            case "new-method":
                return self._new_method(str(act.about["value"]).strip(), state)
            case "browse":
                return [Open("browser", {"subject": proto, "method": str(state.get("method", ""))})]
            case "debug":
                return [Open("debugger", {"subject": proto, "method": str(state.get("method", ""))})]
            case "open-proto":
                return [Open("inspector", {"subject": str(act.about["proto"])})]
            case "change":
                change = 0 if act.about["change"] == state.get("change") else int(act.about["change"])
                return [Keep({**state, "change": change})]
            case "revert":
                change = int(act.about["change"])
                return [Send(Revert(change=change), f"revert change {change}", tag="reverting")]
            case "look-again":
                return [Refresh()]
        name = str(state.get("method", ""))
        return editing_acted(act, proto, name, method_named(seen.answer("proto").value, name), state) or ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        if outcome.tag == "reverting":
            if outcome.value is None:
                return [Notice(outcome.fault, outcome.next_step, bad=True)]
            changes = ", ".join(str(each["change"]) for each in outcome.value["changes"])
            return [Notice(f"Reverted: change {changes}." if changes else "There was nothing left to revert.")]
        for told in (
            evaluating_told(outcome, seen),
            slots_told(outcome, seen.state),
            editing_told(outcome, seen.state),
        ):
            if told is not None:
                return told
        return ()

    @staticmethod
    def _new_method(name: str, state: State) -> Sequence[Effect]:
        if not name.isidentifier():
            refused = Outcome("", fault="a method's name is a Python name", next_step="write one, such as greet")
            return [Keep(with_fault(with_typed(state, "new-method", name), "new-method", refused))]
        return [Keep({**with_typed(without_trial(state), "new-method", None), "method": name})]

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state, proto, answer = seen.state, subject_of(seen.state), seen.answer("proto")
        if not proto:
            if "value" in state:
                yield from value_blocks(str(state["value"]), str(state.get("of", "")))
            else:
                yield say("Nothing is inspected here.", "muted")
                yield say("Inspect a morph by its halo, or a value in a workspace.", "muted")
            return
        yield from waiting(answer, proto)
        shown = answer.value
        if shown is None:
            return
        yield self._head(shown, pinned=bool(state.get("pinned")))
        own = views_of(shown)
        names = (*OWN, *(each.title for each in own))
        tab = _tab(state) if _tab(state) in names else OWN[0]
        yield Tabs(names, tab, Act("tab"))
        match tab:
            case "Slots":
                if "whole" in state:
                    yield from whole_blocks(seen.answer("whole"), state)
                else:
                    yield from slot_blocks(shown, state, editable=True)
            case "Codex":
                yield from codex_blocks(shown, state)
            case "Methods":
                yield from self._methods(shown, state)
            case "Plots":
                yield from self._plots(proto, seen.society)
            case "History":
                yield from self._history(seen)
            case "Evidence":
                yield from self._evidence(shown, seen)
            case _:
                yield from next(each for each in own if each.title == tab).blocks(shown)
        yield Rule()
        yield from evaluating_blocks(seen, proto, lines=2)

    @staticmethod
    def _head(shown: Mapping[str, Any], *, pinned: bool) -> Line:
        codex = shown["codex"]
        spans = [Span(shown["name"], "strong", persona=shown["name"]), Span(f"  {codex['role']}  ", "muted")]
        if codex["model_name"] == BY_PROFILE:
            spans.append(Span("model by profile", "muted"))
        elif codex["model_name"]:
            spans.append(Span(codex["model_name"], mono=True))
        for at, parent in enumerate(shown["parents"]):
            spans.append(Span("  from " if at == 0 else ", ", "muted"))
            spans.append(Span(parent, "link", act=Act("open-proto", {"proto": parent})))
        pin = Act("pin", {"version": 0 if pinned else shown["version"]})
        spans.append(Span("  follow it again" if pinned else "  pin this version", "link", act=pin))
        return Line(tuple(spans))

    @staticmethod
    def _methods(shown: Mapping[str, Any], state: State) -> Iterator[Block]:
        chosen = str(state.get("method", ""))
        for method in shown["methods"]:
            is_chosen = method["name"] == chosen
            yield method_row(method, Act("method", {"name": method["name"]}), chosen=is_chosen)
            if is_chosen:
                yield from editing_blocks(shown["name"], chosen, method, state)
                yield Buttons((Button("Its versions", Act("browse")),))
        if not shown["methods"]:
            yield say("It has no methods yet.", "muted")
        if chosen and method_named(shown, chosen) is None:
            yield say(f"{chosen} is new", "strong", mono=True)
            yield from editing_blocks(shown["name"], chosen, None, state)
        yield Entry(
            "new-method",
            typed(state, "new-method", ""),
            Act("new-method"),
            label="a new method",
            hint="greet",
            mono=True,
            fault=fault_of(state, "new-method"),
        )

    @staticmethod
    def _plots(proto: str, society: Society) -> Iterator[Block]:
        names = [name for name in society.series if name.split(".", 1)[-1].removesuffix(".judged") == proto]
        if proto in society.personas:
            names += [name for name in _EVERYBODYS if name in society.series]
        for name in names:
            title, unit, low, high = figure(name)
            yield Plot(name, title, in_units(name, society.series[name]), unit, low, high)
        if not names:
            yield say("There are no figures of it in the last ten minutes.", "muted")
            yield say("They come with the next turn.", "muted")

    @staticmethod
    def _history(seen: Seen) -> Iterator[Block]:
        yield from waiting(seen.answer("history"), "its history")
        changes: Sequence[Mapping[str, Any]] = (seen.answer("history").value or {}).get("changes", ())
        chosen = seen.state.get("change")
        for change in list(reversed(changes))[:_CHANGES_MAX]:
            number = change["change"]
            yield change_row(change, Act("change", {"change": number}), chosen=number == chosen)
            if number == chosen:
                yield from _diff(seen)
                yield Buttons((Button(f"Revert change {number}", Act("revert", {"change": number}), "bad"),))
        if len(changes) > _CHANGES_MAX:
            yield say(f"{len(changes) - _CHANGES_MAX:,} older ones: a4ps image history", "muted")

    @staticmethod
    def _evidence(shown: Mapping[str, Any], seen: Seen) -> Iterator[Block]:
        """What its behaviour rests on: the change that made this version, or the one that is chosen."""
        yield from waiting(seen.answer("history"), "its history")
        changes: Sequence[Mapping[str, Any]] = (seen.answer("history").value or {}).get("changes", ())
        chosen = seen.state.get("change") or shown["version"]
        one = next((each for each in changes if each["change"] == chosen and not each["inherited"]), None)
        if one is None:
            one = next((each for each in changes if each["change"] == chosen), None)
        if one is not None:
            yield Line(
                (Span(f"Change {one['change']} ", "strong"), Span(f"by {one['author']}, {when(one['at'])}", "muted"))
            )
            yield say(one["reason"] or "no reason was given")
            if one["evidence"]:
                yield say("What it rests on", "strong")
                yield from evidence_blocks(one["evidence"], 1)
            else:
                yield say("No test or evidence was recorded with it: it is the word of its author.", "muted")
            if seen.state.get("change"):
                yield from _diff(seen)
            else:
                yield Buttons((Button("What it changed", Act("change", {"change": one["change"]})),))
        others = [each for each in reversed(changes) if each["evidence"] and each["change"] != chosen]
        if others:
            yield say("Other changes that rest on evidence", "strong")
        for each in others[:_CHANGES_MAX]:
            yield change_row(each, Act("change", {"change": each["change"]}))


def _diff(seen: Seen) -> Iterator[Block]:
    answer = seen.answer("diff")
    if answer.fault:
        yield say(sentence(answer.fault, answer.next_step), "bad")
    elif answer.value is None:
        yield say("Reading what it changed …", "muted")
    else:
        yield from difference_blocks(answer.value["differences"])


def _to_look_at(blocks: Sequence[Block]) -> Iterator[Block]:
    """Blocks of a version that is past, in which nothing is changed."""
    for block in blocks:
        if isinstance(block, Entry) and block.key != KEY:
            yield replace(block, read_only=True)
        elif not isinstance(block, Buttons) or any(each.act.verb == "print" for each in block.buttons):
            yield block


def _tab(state: State) -> str:
    """The tab's title, however it is spelt."""
    tab = str(state.get("tab") or OWN[0])
    return next((name for name in OWN if name.lower() == tab.lower()), tab)
