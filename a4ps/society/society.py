"""One turn from its accepted question to its reply: the cast it began with, the graph, and the figures.

Committing is the caller's (`a4ps.kernel.kernel`): what comes back from here is not yet remembered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from a4ps.clock import Clock
from a4ps.errors import Forgotten, NoSuchTurn
from a4ps.governance.taint import ARCHITECTS_WORDS, as_plain, union
from a4ps.image.approvals import Approvals
from a4ps.image.effects import Effects
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.series_log import smoothed
from a4ps.image.turns import Contribution, Load, MemoryUsed, Mind, Reply, Round, Turn, contribution_of
from a4ps.inference.engine import Engine
from a4ps.inference.model_manager import Busy, ModelManager
from a4ps.memory.recall import Recalled
from a4ps.memory.scrapbook import Scrapbook
from a4ps.personas.character import distance
from a4ps.personas.prompting import SNIPPET_CHARS
from a4ps.settings import Settings
from a4ps.society.beginning import Beginning
from a4ps.society.cast import Cast
from a4ps.society.gate import Approver, Gate
from a4ps.society.graph import Deliberation
from a4ps.society.nodes import TOOL, Limits, TurnContext, recalled
from a4ps.society.progress import Listener, Noted
from a4ps.society.routes import Bounds
from a4ps.society.speaking import Speaker
from a4ps.society.state import TurnState
from a4ps.society.toolbox import Toolbox
from a4ps.tools.tool_forge import ToolForge


@dataclass(frozen=True, slots=True)
class Society:
    """The four and what they work with. Serves one turn at a time per `Deliberation`.

    `approvals` and `effects` are those of the manager's image.
    """

    manager: ProtoManager
    models: Mapping[str, str]
    engine: Engine
    settings: Settings
    deliberation: Deliberation
    scrapbook: Scrapbook
    clock: Clock
    forge: ToolForge | None = None
    approvals: Approvals = field(init=False)
    effects: Effects = field(init=False)

    def __post_init__(self) -> None:
        store = self.manager.store
        object.__setattr__(self, "approvals", Approvals(store, hours=self.settings.approval_hours))
        object.__setattr__(self, "effects", Effects(store))

    def cast(self) -> Cast:
        """The four as they are now."""
        return Cast.of(self.manager.pin())

    def models_of(self, cast: Cast) -> dict[str, str]:
        """The model with which each of a cast speaks. A rehearsal has one for all."""
        return dict(self.models) if self.engine.name == "rehearsal" else cast.models(self.models)

    async def deliberate(
        self,
        turn: Turn,
        cast: Cast,
        listener: Listener,
        *,
        resume: bool = False,
        approve: Approver | None = None,
        colours: Mapping[str, float] | None = None,
    ) -> tuple[Reply, tuple[Recalled, ...]]:
        """Run `turn` with `cast`; with `resume`, go on where its checkpoint stands. Returns the reply and its memories.

        `colours` are those before this turn. A reply is made by one version of each persona (I3): where one has changed
        since, or the checkpoint cannot be gone on with, the turn begins anew (`beginning`). Raises `PeerError`,
        `WorldError`, or `ApprovalNeeded`; what was said up to the last whole step then remains in the checkpoint.
        """
        changed = turn.pins != cast.versions
        gate = Gate(self.approvals, self.effects, self.settings.policies, self.clock, approve)
        notes = await Beginning(self.deliberation, gate, turn, cast).settle(resume=resume)
        for note in notes:
            listener(Noted(note))
        began_s = self.clock.monotonic_s()
        context = self._context(turn, cast, listener, began_s, gate)
        end, _ = await self.deliberation.run(turn.id, _first_state(turn), context, resume=resume)
        wall_ms = (self.clock.monotonic_s() - began_s - sum(context.idle_s)) * 1000
        if wall_ms > self.settings.turn_budget_s * 1000:
            notes.append(f"The turn took {wall_ms / 1000:.0f} s, more than its {self.settings.turn_budget_s:.0f} s.")
            listener(Noted(notes[-1]))
        contributions = tuple(map(contribution_of, end["said"]))
        memories = recalled(end)
        reply = Reply(
            contributions=contributions,
            dissonance=end["dissonance"],
            estimated=end["estimated"],
            rounds=end["rounds"],
            model_ms=round(sum(said.ms for said in contributions if said.role != TOOL), 1),
            overhead_ms=round(max(0.0, wall_ms - sum(context.speaker.calls_ms)), 1),
            memories_used=tuple(MemoryUsed(memory.id, memory.score, memory.source) for memory in memories),
            dropped=tuple(end["dropped"]),
            notes=(*end["notes"], *context.summarised, *notes),
            pins=cast.versions if changed else None,
            argued=tuple(
                Round(each["dissonance"], each["estimated"], tuple((*stance,) for stance in each["stances"]))
                for each in end["argued"]
            ),
            minds=tuple(Mind(**mind) for each in end["argued"] for mind in each["minds"]),
            ended=end.get("ended", ""),
            colours=coloured(colours or {}, contributions),
            load=self._load(contributions),
            taint=tuple(end["taint"]),
        )
        return reply, memories

    def _load(self, contributions: Sequence[Contribution]) -> Load:
        """What the turn asked at its busiest. A contribution of several attempts counts with all their tokens."""
        busiest = self.engine.take_busiest() if isinstance(self.engine, ModelManager) else Busy()
        most = max(said.prompt_tokens + said.completion_tokens for said in contributions)
        return Load(busiest.tokens, round(min(1.0, most / self.settings.num_ctx), 3), busiest.waiting)

    def _asked_first(self, turn: Turn) -> Turn:
        """The turn whose question this one asks again, or itself."""
        try:
            return self.scrapbook.records.log.turn(turn.again) if turn.again else turn
        except (NoSuchTurn, Forgotten):
            return replace(turn, id=turn.again)

    def _context(self, turn: Turn, cast: Cast, listener: Listener, began_s: float, gate: Gate) -> TurnContext:
        settings = self.settings
        rehearsed = turn.engine == "rehearsal"
        # Asked again or gone on with, a question means the days that it meant, and knows what there was then.
        first = self._asked_first(turn)

        async def recall_for(question: str) -> tuple[Recalled, ...]:
            return await self.scrapbook.recall(
                question,
                first.asked_at.astimezone(),
                limit=settings.recall_limit,
                floor=settings.recall_floor,
                rehearsed=rehearsed,
                before=int(first.id),
                passage_chars=SNIPPET_CHARS,
            )

        def character(persona: str, text: str) -> float | None:
            return distance(persona, cast.codices[persona], text)

        return TurnContext(
            codices=cast.codices,
            states=cast.states,
            models=self.models_of(cast),
            think=settings.think,
            limits=Limits(
                num_ctx=settings.num_ctx,
                reply_tokens=settings.reply_tokens,
                think_tokens=settings.think_tokens,
                turn_budget_s=settings.turn_budget_s,
                bounds=Bounds(settings.rounds_max, settings.converged_below),
            ),
            speaker=Speaker(self.engine, self.clock, listener, character),
            recall=recall_for,
            clock=self.clock,
            began_s=began_s,
            turn=turn.id,
            toolbox=None if self.forge is None or rehearsed else Toolbox(self.forge, gate, cast.as_parts),
        )


def coloured(before: Mapping[str, float], said: Sequence[Contribution]) -> dict[str, float]:
    """The personas' colours after these contributions."""
    colours = dict(before)
    for each in said:
        if each.character is not None:
            colours[each.persona] = smoothed(colours.get(each.persona), each.character)
    return colours


def _first_state(turn: Turn) -> TurnState:
    return {
        "question": turn.question,
        "everyone": turn.everyone,
        "memories": [],
        "said": [],
        "argued": [],
        "dropped": [],
        "notes": [],
        "taint": as_plain(union(ARCHITECTS_WORDS, turn.taint)),
        "rounds": 0,
        "dissonance": None,
        "estimated": False,
        "ended": "",
    }
