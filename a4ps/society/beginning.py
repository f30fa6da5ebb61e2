"""How a turn begins or goes on: with its checkpoint where that is right, else from its question.

It begins anew where a persona has changed since (I3), and where its checkpoint is lost or not what was stored. If it had
reached out of A4PS by then, the Architect is asked first; what it did is on record and is not done again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from a4ps.errors import ApprovalRefused
from a4ps.governance.approvals import Action, Where
from a4ps.governance.taint import ARCHITECTS_WORDS
from a4ps.governance.ways_out import is_way_out
from a4ps.image.effects import Effect
from a4ps.image.turns import Turn
from a4ps.society.cast import Cast
from a4ps.society.gate import Fate, Gate, Means
from a4ps.society.graph import Deliberation

#: The step of a turn's ledger under which its being begun anew is recorded, and who asks about it.
RESTART = "restart"
ASKER = "ALFRED"


@dataclass(frozen=True, slots=True)
class Beginning:
    """One turn that is about to run with `cast`."""

    deliberation: Deliberation
    gate: Gate
    turn: Turn
    cast: Cast

    async def settle(self, *, resume: bool) -> list[str]:
        """Leave the turn with a checkpoint that it can go on from, or with none. Returns what the user should know.

        Raises ApprovalNeeded, and ApprovalRefused where the Architect does not want it begun anew.
        """
        turn = self.turn
        standing = await self.deliberation.standing(turn.id)
        changed = turn.pins != self.cast.versions
        if standing == ("whole" if resume else "none") and not changed:
            return []
        effects = self._effects()
        if any(is_way_out(effect.action.kind) for effect in effects):
            await self._agree(effects)
        await self.deliberation.forget(turn.id)
        notes = []
        if changed:
            notes.append("The personas have changed since this turn began; it was begun anew with those of now.")
        if standing == "false":
            notes.append(
                "What was kept of this turn is not what was stored; none of it was used, and it was begun anew."
            )
        return notes

    def _effects(self) -> list[Effect]:
        ledger = self.gate.effects
        return [effect for where in ledger.of_turn(self.turn.id) if (effect := ledger.at(where)) is not None]

    async def _agree(self, effects: list[Effect]) -> None:
        restarts = sum(effect.where.step == RESTART and effect.state == "done" for effect in effects)
        done = [effect.action for effect in effects if effect.where.step != RESTART]

        async def built(before: Action | None) -> Action:
            del before
            did = {f"effect {place}": repr(str(action)) for place, action in enumerate(done, 1)}
            return Action("turn-restart", self.turn.id, did, versions=self.cast.as_parts)

        async def do(action: Action) -> Any:
            return str(action)

        async def found(action: Action) -> Any:
            del action
            return Fate.NOT_DONE

        outcome = await replace(self.gate, author=ASKER).act(
            Where(self.turn.id, RESTART, restarts),
            Means(built, do, found),
            taint=ARCHITECTS_WORDS,
            claim="What it had come to is lost. What it did is on record, and is not done again.",
        )
        if outcome.refused:
            raise ApprovalRefused(
                f"turn {self.turn.id} has acted, and was not to be begun anew", next_step='ask again: a4ps ask "..."'
            )
