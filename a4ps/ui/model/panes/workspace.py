"""The Workspace: code is done, printed and inspected in the living image, and what it changed can be taken back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from a4ps.ui.model.blocks import Act, Block
from a4ps.ui.model.morph import State
from a4ps.ui.model.pane import Effect, Keep, Need, Open, Outcome, Seen, pane
from a4ps.ui.model.panes.evaluating import evaluating_acted, evaluating_blocks, evaluating_told, is_evaluating
from a4ps.ui.model.panes.parts import subject_of, with_typed
from a4ps.ui.model.panes.sound import soundly
from a4ps.ui.model.society import Society


@pane
class Workspace:
    """State: `subject`, the Proto that `self` is, where there is one; what is typed and what was evaluated."""

    name = "workspace"
    size = (520.0, 420.0)

    def title(self, seen: Seen) -> str:
        seen = soundly(seen)
        proto = subject_of(seen.state)
        return f"Workspace: self is {proto}" if proto else "Workspace"

    def needs(self, state: State, society: Society) -> Sequence[Need]:  # noqa: ARG002 - as every pane's
        return ()

    def blocks(self, seen: Seen) -> Sequence[Block]:
        return list(self._blocks(soundly(seen)))

    def acted(self, act: Act, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        if act.verb == "typed":
            return [Keep(with_typed(seen.state, str(act.about["key"]), str(act.about.get("value", ""))))]
        if act.verb == "open-proto":
            return [Open("inspector", {"subject": str(act.about["proto"])})]
        if is_evaluating(act.verb):
            return evaluating_acted(act, seen, subject_of(seen.state))
        return []

    def told(self, outcome: Outcome, seen: Seen) -> Sequence[Effect]:
        seen = soundly(seen)
        return evaluating_told(outcome, seen) or ()

    @staticmethod
    def _blocks(seen: Seen) -> Iterator[Block]:
        yield from evaluating_blocks(seen, subject_of(seen.state), lines=5)
