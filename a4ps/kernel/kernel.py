"""The runtime: accepts a message, has the society deliberate, commits the answer.

The walk of a turn: `ask` → `TurnLog.accept` (durable) → `Society.deliberate` → `TurnLog.answer` (one durable commit) →
checkpoints deleted. Whatever ends a turn early leaves it accepted and resumable.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field

from a4ps.clock import Clock
from a4ps.errors import A4PSError, NoSuchTurn, UsageError
from a4ps.image.store import Store
from a4ps.image.turns import Turn, TurnLog
from a4ps.inference.engine import Engine
from a4ps.inference.tokens import estimate_tokens
from a4ps.kernel.answered import Answered, MemoryShown
from a4ps.society.progress import Accepted, Listener
from a4ps.society.society import Society

_log = logging.getLogger(__name__)


def checked_question(text: str, num_ctx: int) -> str:
    """The question, trimmed. Raises `UsageError` if it is empty or would fill more than half of the context."""
    question = text.strip()
    if not question:
        raise UsageError("there is no question", next_step='a4ps ask "What should I read first?"')
    if "\x00" in question or (not question.isprintable() and question.encode("utf-8", "replace").decode() != question):
        raise UsageError("the question is not text (NUL or undecodable bytes)", next_step="give the question as text")
    room = num_ctx // 2
    # Counting tokens of a huge text is itself slow; no token is longer than the bytes it stands for.
    tokens = estimate_tokens(question) if len(question) <= 16 * room else len(question) // 4
    if tokens > room:
        raise UsageError(
            f"the question is about {tokens:,} tokens long; {room:,} fit (half of num_ctx, {num_ctx:,})",
            next_step="ask about a shorter text, or raise it: a4ps config set num_ctx N",
        )
    return question


@dataclass(slots=True)
class Kernel:
    """One open image with its engine and society. Made by `a4ps.kernel.wiring.open_kernel`; close with `aclose`."""

    store: Store
    log: TurnLog
    engine: Engine
    society: Society
    clock: Clock
    notice: str = ""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, text: str, listener: Listener, *, everyone: bool = False) -> Answered:
        """Answer `text`. `everyone` has all four heard even on a trifle.

        Raises `UsageError`, `PeerError`, `WorldError`. Cancelled or failed after acceptance, the turn stays open.
        """
        question = checked_question(text, self.society.settings.num_ctx)
        async with self._turn:
            aside = self.log.open_ids
            turn = await self.log.accept(
                Turn(
                    id="",
                    question=question,
                    asked_at=self.clock.now(),
                    engine=self.engine.name,
                    models=dict(self.society.models),
                    pins={name: codex.fingerprint for name, codex in self.society.codices.items()},
                    everyone=everyone,
                )
            )
            if aside:
                await self.society.deliberation.sweep(keep=())  # what was set aside starts anew if ever resumed
            listener(Accepted(turn))
            return await self._run(turn, listener)

    async def resume(self, turn_id: str | None, listener: Listener) -> Answered:
        """Go on with an open turn, the newest where none is named. Raises `NoSuchTurn` and what `ask` raises."""
        async with self._turn:
            chosen = [key for key in self.log.open_ids if turn_id in (None, key)]
            if not chosen:
                if turn_id is not None and self.log.reply(self.log.turn(turn_id).id) is not None:
                    raise NoSuchTurn(f"turn {turn_id} is already answered", next_step=f"a4ps ask --turn {turn_id}")
                raise NoSuchTurn("no turn is waiting to be resumed", next_step='a4ps ask "..."')
            turn = self.log.turn(chosen[-1])
            if turn.engine != self.engine.name:
                raise UsageError(
                    f"turn {turn.id} began with the engine {turn.engine}; {self.engine.name} cannot finish it",
                    next_step=f"make {turn.engine} available (a4ps doctor), or ask anew",
                )
            await self.log.resume(turn)
            listener(Accepted(turn, resumed=True))
            return await self._run(turn, listener, resume=True)

    async def aclose(self) -> None:
        """Close engine, checkpoints and image, in this order. Idempotent."""
        await self.engine.aclose()
        await self.society.deliberation.aclose()
        self.store.close()

    async def _run(self, turn: Turn, listener: Listener, *, resume: bool = False) -> Answered:
        try:
            reply, memories = await self.society.deliberate(turn, listener, resume=resume)
        except asyncio.CancelledError:
            await self._stop(turn, "stopped by the Architect")
            raise
        except A4PSError as error:
            await self._stop(turn, error.message)
            error.next_step = f"{error.next_step or 'try again'}; then finish this turn: a4ps ask --resume {turn.id}"
            raise
        await self.log.answer(turn, reply)
        await self.society.deliberation.forget(turn.id)
        shown = tuple(MemoryShown(memory.id, memory.text, memory.score, memory.source) for memory in memories)
        return Answered(turn, reply, shown)

    async def _stop(self, turn: Turn, why: str) -> None:
        """Record the end of a turn; where even that cannot be written, the first error is the one to report."""
        try:
            await self.log.stop(turn, why)
        except A4PSError:
            _log.exception("the end of turn %s could not be recorded", turn.id)
