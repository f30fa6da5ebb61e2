"""The Browser: Protos, their methods, and each method's versions side by side; a text is edited, tested and accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final

from a4ps.protocol.requests.image import Revert
from a4ps.protocol.requests.protos import Proto, Protos, Versions
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Columns, Entry, Rule, Span, Tone, say
from a4ps.ui.model.compared import side_by_side
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Open, Outcome, Seen, Send, pane
from a4ps.ui.model.panes.methods import editing_acted, editing_blocks, editing_told, method_named, without_trial
from a4ps.ui.model.panes.parts import PROTO_ROWS, subject_of, typed, waiting, when, with_typed
from a4ps.ui.model.panes.sound import sound, soundly
from a4ps.ui.model.society import Society

_ROWS_MAX: Final = 200
_SHARES: Final = (0.24, 0.28, 0.48)
_NOTHING: Final = Span("")


@pane
class Browser:
    """State: `subject`, the Proto; `method`; `change`, the version that stands beside the text; what is typed."""

    name = "browser"
    size = (760.0, 560.0)

    def title(self, seen: Seen) -> str:
        seen = soundly(seen)
        proto, method = subject_of(seen.state), seen.state.get("method", "")
        return f"Browser: {proto}.{method}" if proto and method else f"Browser: {proto}" if proto else "Browser"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        state = sound(state)
        proto, method = subject_of(state), str(state.get("method", ""))
        needs = [Need("protos", Protos(), PROTO_ROWS)]
        if proto:
            needs.append(Need("proto", Proto(proto=proto), PROTO_ROWS))
        if proto and method:
            needs.append(Need("versions", Versions(proto=proto, method=method), PROTO_ROWS))
        return needs

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(soundly(seen)))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        state, proto = seen.state, subject_of(seen.state)
        name = str(state.get("method", ""))
        match act.verb:
            case "choose-proto":
                kept = {each: value for each, value in without_trial(state).items() if each not in ("method", "proto")}
                return [Keep({**kept, "subject": str(act.about["name"]), "change": 0})]
            case "choose-method":
                return [Keep({**without_trial(state), "method": str(act.about["name"]), "change": 0})]
            case "choose-version":
                change = 0 if act.about["change"] == state.get("change") else int(act.about["change"])
                return [Keep({**state, "change": change})]
            case "take":
                source = str((self._chosen(seen) or {}).get("source") or "")
                return [Keep(with_typed(state, "source", source), undoable=True, label="take an earlier text")]
            case "revert":
                change = int(act.about["change"])
                return [Send(Revert(change=change), f"revert change {change}", tag="reverting")]
            case "debug":
                return [Open("debugger", {"subject": proto, "method": name})]
            case "inspect":
                return [Open("inspector", {"subject": proto})]
        return editing_acted(act, proto, name, method_named(seen.answer("proto").value, name), state) or ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        if outcome.tag == "reverting":
            if outcome.value is None:
                return [Notice(outcome.fault, outcome.next_step, bad=True)]
            return [Notice("Reverted.")]
        return editing_told(outcome, seen.state) or ()

    @staticmethod
    def _chosen(seen: Seen) -> Mapping[str, Any] | None:
        versions = (seen.answer("versions").value or {}).get("versions", ())
        return next((each for each in versions if each["change"] == seen.state.get("change")), None)

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state, proto, name = seen.state, subject_of(seen.state), str(seen.state.get("method", ""))
        yield Entry(
            "find",
            typed(state, "find", ""),
            Act("typed", {"key": "find"}),
            label="find a Proto",
            hint="BRICK",
            live=True,
        )
        yield from waiting(seen.answer("protos"), "the Protos")
        if proto:
            yield from waiting(seen.answer("proto"), proto)
        yield Columns((Span("Protos", "muted"), Span("methods", "muted"), Span("versions", "muted")), _SHARES)
        for cells in list(
            zip_longest(self._protos(seen), self._methods(seen), self._versions(seen), fillvalue=_NOTHING)
        )[:_ROWS_MAX]:
            yield Columns(cells, _SHARES)
        if proto:
            yield Buttons((Button(f"Inspect {proto}", Act("inspect")),))
        method = method_named(seen.answer("proto").value, name)
        if method is None:
            return
        yield Rule()
        yield from editing_blocks(proto, name, method, state)
        yield from self._beside(seen, method)

    @staticmethod
    def _protos(seen: Seen) -> Iterator[Span]:
        sought = typed(seen.state, "find", "").casefold()
        for each in (seen.answer("protos").value or {}).get("protos", ()):
            if sought not in each["name"].casefold():
                continue
            is_chosen = each["name"] == subject_of(seen.state)
            tone: Tone = "strong" if is_chosen else "bad" if each["failed"] else "link"
            act = Act("choose-proto", {"name": each["name"]})
            yield Span(f"{'▸ ' if is_chosen else ''}{each['name']}  {each['methods'] or ''}".rstrip(), tone, act=act)

    @staticmethod
    def _methods(seen: Seen) -> Iterator[Span]:
        for each in (seen.answer("proto").value or {}).get("methods", ()):
            is_chosen = each["name"] == seen.state.get("method")
            otherwise: Tone = "muted" if each["inherited"] else "link"
            tone: Tone = "strong" if is_chosen else "bad" if each["failed"] else otherwise
            act = Act("choose-method", {"name": each["name"]})
            yield Span(f"{'▸ ' if is_chosen else ''}{each['name']}", tone, mono=True, act=act)

    @staticmethod
    def _versions(seen: Seen) -> Iterator[Span]:
        name = str(seen.state.get("method", ""))
        for each in (seen.answer("versions").value or {}).get("versions", ()):
            if f"method {name}" not in each["parts"]:
                continue
            is_chosen = each["change"] == seen.state.get("change")
            said = f"{each['change']}  {when(each['at'])}  {each['author']}"
            act = Act("choose-version", {"change": each["change"]})
            yield Span(f"{'▸ ' if is_chosen else ''}{said}", "strong" if is_chosen else "link", act=act)

    def _beside(self, seen: Seen, method: Mapping[str, Any]) -> Iterator[Block]:
        """The version that is chosen, and the text as it is now or is typed."""
        chosen = self._chosen(seen)
        if chosen is None:
            return
        now = typed(seen.state, "source", method["source"])
        what = "what you typed" if now != method["source"] else "now"
        yield Rule()
        yield say(f"Change {chosen['change']} by {chosen['author']}: {chosen['reason'] or chosen['act']}", "muted")
        if chosen["source"] is None:
            yield say("It was taken away in that change.", "muted")
        yield side_by_side(chosen["source"], now, (f"change {chosen['change']}", what))
        buttons = [Button(f"Revert change {chosen['change']}", Act("revert", {"change": chosen["change"]}), "bad")]
        if chosen["source"] is not None:
            buttons.insert(0, Button("Take this text", Act("take")))
        yield Buttons(tuple(buttons))
