"""One turn from its accepted question to its reply: the pins it began with, the graph, and the figures.

Committing is the caller's (`a4ps.kernel.kernel`): what comes back from here is not yet remembered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from a4ps.clock import Clock
from a4ps.image.turns import Contribution, MemoryUsed, Reply, Turn, TurnLog
from a4ps.inference.engine import Engine
from a4ps.memory.recall import Recalled, recall
from a4ps.personas.roster import Codex
from a4ps.settings import Settings
from a4ps.society.graph import Deliberation
from a4ps.society.nodes import Limits, TurnContext, recalled
from a4ps.society.progress import Listener, Noted
from a4ps.society.routes import Bounds
from a4ps.society.speaking import Speaker
from a4ps.society.state import TurnState


@dataclass(frozen=True, slots=True)
class Society:
    """The four and what they work with. Serves one turn at a time per `Deliberation`."""

    codices: Mapping[str, Codex]
    models: Mapping[str, str]
    engine: Engine
    settings: Settings
    deliberation: Deliberation
    log: TurnLog
    clock: Clock

    async def deliberate(
        self, turn: Turn, listener: Listener, *, resume: bool = False
    ) -> tuple[Reply, tuple[Recalled, ...]]:
        """Run `turn`; with `resume`, go on where its checkpoint stands. Returns the reply and its memories.

        Raises `PeerError` or `WorldError`; what was said up to the last whole step then remains in the checkpoint.
        """
        began_s = self.clock.monotonic_s()
        if turn.pins != {name: codex.fingerprint for name, codex in self.codices.items()}:
            listener(Noted("The personas have changed since this turn began; it goes on with those of now."))
        context = self._context(turn, listener, began_s)
        end, resumed = await self.deliberation.run(turn.id, _first_state(turn), context, resume=resume)
        wall_ms = (self.clock.monotonic_s() - began_s) * 1000
        reply = _reply(end, None if resumed else wall_ms)
        if wall_ms <= self.settings.turn_budget_s * 1000:
            return reply, recalled(end)
        late = f"The turn took {wall_ms / 1000:.0f} s, more than its {self.settings.turn_budget_s:.0f} s."
        listener(Noted(late))
        return replace(reply, notes=(*reply.notes, late)), recalled(end)

    def _context(self, turn: Turn, listener: Listener, began_s: float) -> TurnContext:
        settings = self.settings
        rehearsed = turn.engine == "rehearsal"

        def recall_for(question: str) -> tuple[Recalled, ...]:
            return recall(
                self.log,
                question,
                self.clock.now().astimezone(),
                limit=settings.recall_limit,
                floor=settings.recall_floor,
                rehearsed=rehearsed,
            )

        return TurnContext(
            codices=self.codices,
            models=turn.models,
            think=settings.think,
            limits=Limits(
                num_ctx=settings.num_ctx,
                reply_tokens=settings.reply_tokens,
                think_tokens=settings.think_tokens,
                turn_budget_s=settings.turn_budget_s,
                bounds=Bounds(settings.rounds_max, settings.converged_below),
            ),
            speaker=Speaker(self.engine, self.clock, listener),
            recall=recall_for,
            clock=self.clock,
            began_s=began_s,
        )


def _first_state(turn: Turn) -> TurnState:
    return {
        "question": turn.question,
        "everyone": turn.everyone,
        "memories": [],
        "said": [],
        "dropped": [],
        "notes": [],
        "rounds": 0,
        "dissonance": None,
        "estimated": False,
    }


def _reply(end: TurnState, wall_ms: float | None) -> Reply:
    """The reply from the last state. A resumed turn (`wall_ms` None) has no overhead to tell: part of it ran before."""
    contributions = tuple(Contribution(**said) for said in end["said"])
    model_ms = sum(contribution.ms for contribution in contributions)
    return Reply(
        contributions=contributions,
        dissonance=end["dissonance"],
        estimated=end["estimated"],
        rounds=end["rounds"],
        model_ms=round(model_ms, 1),
        overhead_ms=0.0 if wall_ms is None else round(max(0.0, wall_ms - model_ms), 1),
        memories_used=tuple(MemoryUsed(memory.id, memory.score, memory.source) for memory in recalled(end)),
        dropped=tuple(end["dropped"]),
        notes=tuple(end["notes"]),
    )
