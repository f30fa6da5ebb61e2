"""The Debugger: where a call of a live method failed. Its text is edited, tried again with the same arguments, accepted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from a4ps.protocol.requests.protos import Failures, Proto, Retry
from a4ps.ui.model.blocks import Act, Block, Button, Buttons, Code, Line, Rule, Span, say
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Open, Outcome, Refresh, Seen, Send, pane
from a4ps.ui.model.panes.methods import editing_acted, editing_told, method_named, without_trial
from a4ps.ui.model.panes.parts import (
    PROTO_ROWS,
    accept_buttons,
    arguments_entry,
    frame_line,
    locals_lines,
    source_entry,
    subject_of,
    trial_blocks,
    typed,
    waiting,
    when,
)
from a4ps.ui.model.panes.sound import sound, soundly
from a4ps.ui.model.society import Society


@pane
class Debugger:
    """State: `subject` and `method` of the call, the newest failed one where they are not given; `frame`, counted from the
    innermost; what is typed.
    """

    name = "debugger"
    size = (640.0, 560.0)

    def title(self, seen: Seen) -> str:
        seen = soundly(seen)
        call = self._call(seen)
        return f"Debugger: {call['proto']}.{call['method']}" if call is not None else "Debugger"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        state = sound(state)
        needs = [Need("failures", Failures(), PROTO_ROWS | {"failed"})]
        proto = subject_of(state)
        if proto:
            needs.append(Need("proto", Proto(proto=proto), PROTO_ROWS))
        return needs

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(soundly(seen)))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        state, call = seen.state, self._call(seen)
        match act.verb:
            case "look-again":
                return [Refresh()]
            case "choose":
                chosen = {"subject": str(act.about["proto"]), "method": str(act.about["method"]), "frame": 0}
                return [Keep({**without_trial(state), **chosen})]
            case "frame":
                return [Keep({**state, "frame": int(act.about["frame"])})]
        if call is None:
            return ()
        proto, name = call["proto"], call["method"]
        method = method_named(seen.answer("proto").value, name) or self._as_method(call)
        match act.verb:
            case "open-frame":
                frame = self._frame(call, state)
                return [Open("browser", {"subject": frame["proto"], "method": frame["method"]})]
            case "retry":
                source = typed(state, "source", method["source"])
                begun = {name: each for name, each in state.items() if name not in ("trial", "done")}
                request = Retry(proto=proto, method=name, source=source)
                return [Keep(begun), Send(request, f"Retrying {proto}.{name}", tag="retry")]
            case "inspect":
                return [Open("inspector", {"subject": proto})]
        return editing_acted(act, proto, name, method, state) or ()

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        return editing_told(outcome, seen.state) or ()

    @staticmethod
    def _failures(seen: Seen) -> Sequence[Mapping[str, Any]]:
        found: Sequence[Mapping[str, Any]] = (seen.answer("failures").value or {}).get("failures", ())
        return found

    def _call(self, seen: Seen) -> Mapping[str, Any] | None:
        """The failed call that is shown."""
        proto, method = subject_of(seen.state), seen.state.get("method")
        fitting = [
            each
            for each in self._failures(seen)
            if (not proto or each["proto"] == proto) and (not method or each["method"] == method)
        ]
        return fitting[0] if fitting else None

    @staticmethod
    def _frame(call: Mapping[str, Any], state: State) -> Mapping[str, Any]:
        frames = list(reversed(call["frames"]))
        frame: Mapping[str, Any] = frames[min(int(state.get("frame", 0)), len(frames) - 1)]
        return frame

    @staticmethod
    def _as_method(call: Mapping[str, Any]) -> Mapping[str, Any]:
        """The text that failed, where the Proto is not read yet."""
        text = next((each["text"] for each in call["frames"] if each["method"] == call["method"]), "")
        return {"source": text, "reads": [], "writes": [], "signature": "()"}

    def _blocks(self, seen: Seen) -> Iterator[Block]:
        state, call = seen.state, self._call(seen)
        yield from waiting(seen.answer("failures"), "what has failed")
        if call is None:
            if seen.answer("failures").value is not None:
                yield say("No failed call is known.", "muted")
                yield say(
                    "When a live method raises, it is shown here, with its frames and what its names held.", "muted"
                )
            yield Buttons((Button("Look again", Act("look-again")),))
            return
        yield from self._head(call)
        yield from self._frames(call, state)
        method = method_named(seen.answer("proto").value, call["method"]) or self._as_method(call)
        yield Rule()
        if method.get("hash") not in (None, call["hash"]):
            yield say("Its text has changed since it failed; this is the one of now.", "warn")
        yield source_entry(state, method["source"])
        is_edited = typed(state, "source", method["source"]) != method["source"]
        yield Buttons(
            (Button("Retry on a copy", Act("retry"), "good", call["again"]),),
            Span(
                "with the same arguments" if call["again"] else "its arguments are not kept: try it with your own",
                "muted",
            ),
        )
        yield arguments_entry(state, method["signature"])
        yield accept_buttons(edited=is_edited)
        if "trial" in state:
            yield from trial_blocks(state["trial"], str(state.get("done", "")))
        yield from self._others(seen, call)

    @staticmethod
    def _head(call: Mapping[str, Any]) -> Iterator[Block]:
        yield Line((Span(f"{call['kind']}: ", "bad"), Span(call["message"], "bad")))
        ran = f"{call['proto']}.{call['method']}({call['arguments']})"
        yield Line((Span(ran, mono=True), Span(f"  {when(call['at'])}, {call['level']}, by {call['author']}", "muted")))
        if call["next"]:
            yield say(call["next"], "muted")
        if not call["last"]:
            yield say("It has worked since.", "ok")
        if call["output"]:
            yield say("printed", "muted")
            yield Code(call["output"].rstrip("\n"))

    def _frames(self, call: Mapping[str, Any], state: State) -> Iterator[Block]:
        frames = list(reversed(call["frames"]))
        if not frames:
            yield say(
                "Where it stood is not known: it was refused before it ran, or raised nothing of its own.", "muted"
            )
            return
        chosen = self._frame(call, state)
        for at, frame in enumerate(frames):
            yield frame_line(frame, Act("frame", {"frame": at}), chosen=frame is chosen)
        if chosen["text"]:
            yield Code(chosen["text"].rstrip("\n"), marked=(chosen["line"],))
        if chosen["locals"]:
            yield from locals_lines(chosen["locals"])
        else:
            yield say("What its names held is known of methods that run in this process only.", "muted")
        if chosen["method"] and (chosen["proto"], chosen["method"]) != (call["proto"], call["method"]):
            yield Buttons((Button(f"Browse {chosen['proto']}.{chosen['method']}", Act("open-frame")),))

    def _others(self, seen: Seen, call: Mapping[str, Any]) -> Iterator[Block]:
        others = [each for each in self._failures(seen) if each is not call]
        if others:
            yield Rule()
            yield say("Other failed calls", "strong")
        for each in others:
            yield Line(
                (
                    Span(f"{each['proto']}.{each['method']}", "link", mono=True),
                    Span(f"  {each['kind']}: {each['message'][:100]}", "muted"),
                ),
                act=Act("choose", {"proto": each["proto"], "method": each["method"]}),
            )
        yield Buttons((Button("Look again", Act("look-again")), Button(f"Inspect {call['proto']}", Act("inspect"))))
