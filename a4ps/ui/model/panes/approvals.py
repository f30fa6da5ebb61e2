"""Approvals: what would happen, as code has found it out, and what a persona says of it; the Architect decides here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from a4ps.protocol.requests.approvals import Approvals as ApprovalsRequest
from a4ps.protocol.requests.approvals import Decide, EditApproval
from a4ps.protocol.requests.turns import Resume
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Columns, Entry, Line, Rule, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Notice, Outcome, Seen, Send, pane
from a4ps.ui.model.panes.parts import fault_of, typed, waiting, when, with_fault, with_typed
from a4ps.ui.model.society import Society

_ROWS: Final = frozenset({"approval", "approval-kept", "reply", "stop"})
_DECIDED_MAX: Final = 100
#: The title where nothing waits.
AT_REST: Final = "Approvals"


@pane
class Approvals:
    """State: `subject`, the one that is looked at; `remember`, one of which a yes counts from now on; `everything`: decided
    ones too; what is typed for an argument, by approval and name.
    """

    name = "approvals"
    size = (430.0, 360.0)

    def title(self, seen: Seen) -> str:
        waits = len(_of_state(seen, "waiting"))
        return "Approval needed" if waits == 1 else f"{waits} approvals needed" if waits else AT_REST

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        return (Need("approvals", ApprovalsRequest(everything=bool(state.get("everything"))), _ROWS),)

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(seen))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        state = seen.state
        match act.verb:
            case "choose":
                return [Keep({**_without_typed(state), "subject": str(act.about["id"])})]
            case "typed":
                return [Keep(with_typed(state, str(act.about["key"]), str(act.about["value"])))]
            case "remember":
                id = str(act.about["id"])
                return [Keep({**state, "remember": "" if _is_remembered(state, id) else id})]
            case "everything":
                return [Keep({**state, "everything": not state.get("everything")})]
        found = _found(seen, str(act.about.get("id", "")))
        if found is None:
            return ()
        action = found["action"]
        match act.verb:
            case "approve":
                # Bound to what is shown here: where it became another meanwhile, the backend refuses.
                decide = Decide(
                    id=found["id"],
                    step="approve",
                    digest=action["hash"],
                    remember=_is_remembered(state, found["id"]) and not found["taint"],
                )
                return [Send(decide, f"allow it to {action['text']}", tag="decided")]
            case "deny":
                return [Send(Decide(id=found["id"], step="deny"), f"forbid it to {action['text']}", tag="decided")]
            case "edit":
                changes = [f"{name}={text}" for name, text in _edited(found, state).items()]
                edit = EditApproval(id=found["id"], changes=changes)
                return [Send(edit, f"change what {found['id']} asks for", tag="edited")] if changes else []
            case "resume":
                go_on = Resume(turn=found["turn_id"], attended=True)
                return [Send(go_on, f"go on with turn {found['turn_id']}", tag="resumed")]
        return ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        state = seen.state
        match outcome.tag:
            case "edited" if outcome.value is None:
                shown = _chosen(seen, _of_state(seen, "waiting"))
                keys = [_key(shown, name) for name in _edited(shown, state)] if shown is not None else []
                if not keys:
                    return [Notice(outcome.fault, outcome.next_step, bad=True)]
                return [Keep(with_fault(state, keys[0], outcome))]  # which of several it was, its words say
            case "edited":
                assert outcome.value is not None
                return [Keep({**_without_typed(state), "subject": outcome.value["id"]})]
            case "decided" if outcome.value is not None:
                left = {key: each for key, each in _without_typed(state).items() if key != "remember"}
                return [Keep({**left, "last": str(outcome.value["id"])})]
            case "decided" | "resumed" if outcome.fault:
                return [Notice(outcome.fault, outcome.next_step, bad=True)]
        return ()

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        answer = seen.answer("approvals")
        yield from waiting(answer, "what waits")
        waits = _of_state(seen, "waiting")
        chosen = _chosen(seen, waits)
        if chosen is not None:
            yield from _one(chosen, seen)
        elif answer.value is not None:
            yield say("Nothing waits for your approval.", "muted")
            yield say("What a persona may not do by itself is asked for here.", "muted")
        others = [each for each in waits if each is not chosen]
        if others:
            yield Rule()
            yield say("Waiting besides", "muted")
        for each in others:
            yield Line(
                (Span(f"{each['asked_by']} ", persona=each["asked_by"]), Span(each["action"]["text"])),
                act=Act("choose", {"id": each["id"]}),
            )
        last = _found(seen, str(seen.state.get("last", "")))
        if last is not None and last["state"] in ("approved", "denied") and last["turn_id"]:
            yield Buttons((Button(f"Go on with turn {last['turn_id']}", Act("resume", {"id": last["id"]})),))
        yield Rule()
        shown = bool(seen.state.get("everything"))
        yield Buttons((Button("Hide those decided" if shown else "Show those decided", Act("everything")),))
        decided = [each for each in _all(seen) if each["state"] != "waiting"]
        if shown and answer.value is not None and not decided:
            yield say("Nothing was decided yet.", "muted")
        for each in list(reversed(decided))[:_DECIDED_MAX]:
            yield Columns(
                (
                    Span(each["id"], "muted", mono=True),
                    Span(each["state"], "ok" if each["state"] in ("approved", "used") else "muted"),
                    Span(when(each["decided_at"] or each["asked_at"]), "muted"),
                    Span(each["action"]["text"]),
                ),
                (0.1, 0.16, 0.28, 0.46),
                Act("choose", {"id": each["id"]}),
            )


def _one(found: Mapping[str, Any], seen: Seen) -> Iterator[Block]:
    """All of one: what code found out first, the persona's own words last and as a quotation."""
    action, state = found["action"], seen.state
    waits = found["state"] == "waiting"
    yield Line(
        (
            Span(f"{found['asked_by']} ", "strong", persona=found["asked_by"]),
            Span(f"wants to {action['text']}", "strong"),
        )
    )
    facts = [found["why"]] if found["why"] else []
    if action["attempt"] > 1:
        facts.append(f"attempt {action['attempt']}")
    facts += [f"{name} {version}" for name, version in action["versions"].items()]
    if facts:
        yield say(" · ".join(facts), "muted")
    size = f"{action['size_bytes']:,} bytes" if action["size_bytes"] else ""
    reach = " · ".join(part for part in (f"to {action['destination']}" if action["destination"] else "", size) if part)
    if reach:
        yield say(reach, "warn", mono=True)
    if found["taint"]:
        yield say(f"In what it was made from there is: {', '.join(found['taint'])}. It cannot be remembered.", "warn")
    for name, value in action["arguments"].items():
        key = _key(found, name)
        yield Entry(
            key,
            typed(state, key, value),
            Act("typed", {"key": key}),
            label=name,
            mono=True,
            lines=min(6, 1 + value.count("\n")),
            fault=fault_of(state, key),
            live=True,
            read_only=not waits,
        )
    if action["diff"]:
        yield Code(action["diff"])
    if found["claim"]:
        yield Line((Span(f"{found['asked_by']} says: ", "muted"), Span(f"“{found['claim']}”")))
    yield say(
        f"{action['hash'][:16]} · asked {when(found['asked_at'])} · until {when(found['expires_at'])}",
        "muted",
        mono=True,
    )
    if not waits:
        yield say(found["state"], "muted")
        return
    about = {"id": found["id"]}
    edited = bool(_edited(found, state))
    buttons = [
        Button("Approve", Act("approve", about), "good", enabled=not edited),
        Button("Deny", Act("deny", about), "bad"),
    ]
    if edited:
        buttons.append(Button("Ask for this instead", Act("edit", about)))
    elif not found["taint"]:
        kept = "Only this once" if _is_remembered(state, found["id"]) else "Remember a yes"
        buttons.append(Button(kept, Act("remember", about)))
    remembered = _is_remembered(state, found["id"]) and not found["taint"]
    note = Span("a yes counts from now on", "warn") if remembered else None
    yield Buttons(tuple(buttons), note)


def _key(found: Mapping[str, Any], argument: str) -> str:
    """Of one approval alone: what was typed for it must not be taken for another's."""
    return f"{found['id']} {argument}"


def _edited(found: Mapping[str, Any], state: State) -> dict[str, str]:
    """The arguments that are others than what is asked for."""
    texts = {name: typed(state, _key(found, name), value) for name, value in found["action"]["arguments"].items()}
    return {name: text for name, text in texts.items() if text != found["action"]["arguments"][name]}


def _is_remembered(state: State, id: str) -> bool:
    return state.get("remember") == id


def _all(seen: Seen) -> Sequence[Mapping[str, Any]]:
    value = seen.answer("approvals").value
    return seen.society.approvals if value is None else value["approvals"]


def _of_state(seen: Seen, state: str) -> list[Mapping[str, Any]]:
    return [each for each in _all(seen) if each["state"] == state]


def _found(seen: Seen, id: str) -> Mapping[str, Any] | None:
    return next((each for each in _all(seen) if each["id"] == id), None)


def _chosen(seen: Seen, waits: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The one that was chosen, else the oldest that waits."""
    chosen = _found(seen, str(seen.state.get("subject", "")))
    if chosen is not None and (chosen["state"] == "waiting" or seen.state.get("everything")):
        return chosen
    return waits[0] if waits else None


def _without_typed(state: State) -> dict[str, Any]:
    return {key: each for key, each in state.items() if key not in ("typed", "faults", "subject")}
