"""The runtime: accepts a message, has the society deliberate, commits the answer.

The walk of a turn: `ask` → `TurnLog.accept` (durable) → `Society.deliberate` → `TurnLog.answer` (one durable commit) →
checkpoints deleted. Whatever ends a turn early leaves it accepted and resumable.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from a4ps.clock import Clock
from a4ps.errors import A4PSError, ApprovalRefused, EngineRefused, NoSuchTurn, UsageError
from a4ps.events import Event, Subject, event_bus
from a4ps.image.series_log import FOLD_EVERY, SeriesLog, latency_of
from a4ps.image.store import Store
from a4ps.image.turns import ARCHITECT, Reply, Turn, TurnLog, flat
from a4ps.inference.engine import Engine
from a4ps.inference.tokens import estimate_tokens
from a4ps.kernel.answered import Answered, MemoryShown
from a4ps.kernel.question import PROMPT_TOKENS, checked_question
from a4ps.kernel.telling import Telling
from a4ps.memory.consolidation import Night
from a4ps.memory.records import Records
from a4ps.personas.roster import NAMES
from a4ps.sandbox.executor import SecureCodeExecutor
from a4ps.series import Sample
from a4ps.settings import Settings
from a4ps.society.cast import Cast
from a4ps.society.drift import Probed, figures, is_due, probe
from a4ps.society.gate import Approver
from a4ps.society.progress import Accepted, InLine, Listener
from a4ps.society.sleeping import Sleeper
from a4ps.society.society import Society
from a4ps.society.speaking import Speaker

#: Open turns whose progress is kept; an older one starts anew if it is ever resumed.
KEPT_OPEN = 8

_log = logging.getLogger(__name__)


def check_voices(question: str, cast: Cast, settings: Settings) -> None:
    """Raises `UsageError` where a codex has grown so long that it leaves no room for `question` even beside summaries."""
    room = settings.num_ctx - settings.reply_tokens - PROMPT_TOKENS
    for name, codex in cast.codices.items():
        voice = codex.system_prompt + cast.states[name]
        if len(voice) + len(question) <= room:  # a cheap bound: most tokens have several characters
            continue
        tokens = estimate_tokens(voice)
        if tokens + estimate_tokens(question) > room:
            raise UsageError(
                f"{name}'s system prompt is about {tokens:,} tokens long; the question does not fit beside it",
                next_step=f"shorten it (a4ps image history {name}), or raise num_ctx ({settings.num_ctx:,})",
            )


@dataclass(slots=True)
class Kernel:
    """One open image with its engine and society. Made by `a4ps.kernel.wiring.kernel_over`; close with `aclose`.

    The sandboxes of `executor` are its caller's.

    What becomes of each turn is told to `bus`, beside the turn's own listener, which is called there and then.
    """

    store: Store
    log: TurnLog
    engine: Engine
    society: Society
    clock: Clock
    notice: str = ""
    executor: SecureCodeExecutor | None = None
    bus: Subject = event_bus
    sleeper: Sleeper | None = None
    owns_image: bool = True
    _resting: asyncio.Task[None] | None = None
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _night: asyncio.Lock = field(default_factory=asyncio.Lock)
    _in_line: int = 0
    _current: str = ""
    _colours: Mapping[str, float] | None = None

    @property
    def busy(self) -> bool:
        """Whether a turn is under way."""
        return self._turn.locked()

    def cut_off(self) -> list[Turn]:
        """Turns that a crash ended; not the one that is under way. The newest last."""
        return [turn for turn in self.log.cut_off() if turn.id != self._current]

    @property
    def records(self) -> Records:
        """What is remembered."""
        return self.society.scrapbook.records

    @property
    def series(self) -> SeriesLog:
        """The figures of all turns over time."""
        return SeriesLog(self.store)

    async def ask(
        self,
        text: str,
        listener: Listener,
        *,
        everyone: bool = False,
        approve: Approver | None = None,
        again: str = "",
        taint: Iterable[str] = (),
    ) -> Answered:
        """Answer `text`. `everyone` has all four heard even on a trifle; `approve` asks the Architect where it has to;
        `again` is the turn whose question this is (`rerun`); `taint` are the question's labels where it may be anybody's.

        Raises `UsageError`, `PeerError`, `WorldError`, `ApprovalNeeded` where nobody is there to ask. Cancelled or failed
        after acceptance, the turn stays open.
        """
        question = checked_question(text, self.society.settings)
        listener = self._telling(listener)
        async with self._turn_for(listener):
            await self._rouse()
            aside = self.log.open_ids
            cast = self.society.cast()
            check_voices(question, cast, self.society.settings)
            turn = await self.log.accept(
                Turn(
                    id="",
                    question=question,
                    asked_at=self.clock.now(),
                    engine=self.engine.name,
                    models=self.society.models_of(cast),
                    pins=cast.versions,
                    everyone=everyone,
                    again=again,
                    taint=tuple(taint),
                )
            )
            self._current = turn.id
            if aside:
                await self.society.deliberation.sweep(keep=self.log.open_ids[-KEPT_OPEN:])
            self.bus.notify(Event.TURN_BEGAN, turn)
            listener(Accepted(turn))
            return await self._run(turn, cast, listener, approve)

    async def rerun(self, turn_id: str, listener: Listener, *, approve: Approver | None = None) -> Answered:
        """Ask the question of an answered turn again, of the personas of today, who recall what was known then.

        A new turn, which names the old one. Raises `NoSuchTurn` and what `ask` raises.
        """
        turn, _ = self.log.answered(turn_id)
        return await self.ask(
            turn.question, listener, everyone=turn.everyone, approve=approve, again=turn.id, taint=turn.taint
        )

    async def resume(self, turn_id: str | None, listener: Listener, *, approve: Approver | None = None) -> Answered:
        """Go on with an open turn, the newest where none is named. Raises `NoSuchTurn` and what `ask` raises."""
        listener = self._telling(listener)
        async with self._turn_for(listener):
            await self._rouse()
            chosen = [key for key in self.log.open_ids if turn_id in (None, key)]
            if not chosen:
                if turn_id is not None and self.log.reply(self.log.turn(turn_id).id) is not None:
                    raise NoSuchTurn(f"turn {turn_id} is already answered", next_step=f"a4ps ask --turn {turn_id}")
                raise NoSuchTurn("no turn is waiting to be resumed", next_step='a4ps ask "..."')
            turn = self.log.turn(chosen[-1])
            if turn.engine != self.engine.name:
                raise UsageError(
                    f"turn {turn.id} began with the engine {turn.engine}; {self.engine.name} cannot finish it",
                    next_step=f"A4PS_ENGINE={turn.engine} a4ps ask --resume {turn.id}",
                )
            self._current = turn.id
            await self.log.resume(turn)
            self.bus.notify(Event.TURN_BEGAN, turn)
            listener(Accepted(turn, resumed=True))
            return await self._run(turn, self.society.cast(), listener, approve, resume=True)

    async def drift(self, personas: Sequence[str], listener: Listener) -> tuple[Probed, ...]:
        """Put the fixed probes to these personas as they are now, and keep the figures in their series.

        Raises `UsageError` in a rehearsal, which has no character, and what the engine and a commit raise; nothing is kept
        then.
        """
        if self.engine.name == "rehearsal":
            raise UsageError(
                "a rehearsal speaks prepared lines, so there is no drift to measure", next_step="a4ps models pull"
            )
        cast = self.society.cast()
        speaker = Speaker(self.engine, self.clock, self._telling(listener))
        models, settings = self.society.models_of(cast), self.society.settings
        probed = [each for name in personas for each in await probe(name, cast, models, settings, speaker)]
        found, at_s = figures(probed), self.clock.now().timestamp()
        async with self._turn:  # no fold meanwhile
            await self.series.keep_probe(found, at_s)
        for name, value in found.items():
            self.bus.notify(Event.SERIES, Sample(name, at_s, value))
        return tuple(probed)

    async def sleep_now(self) -> Night | None:
        """`sleep`; a night or a measurement that the rest has begun gives way to it."""
        await self._rouse()
        return await self.sleep()

    async def sleep(self) -> Night | None:
        """Consolidate memory, one night at a time; None where there was nothing to do. Raises what `Store.commit` raises."""
        async with self._night:
            night = await self.sleeper.sleep() if self.sleeper is not None else None
        if night is not None:
            self.society.scrapbook.wake()
        return night

    async def aclose(self) -> None:
        """Close memory, engine, checkpoints, and the image where it is ours, in this order. Idempotent."""
        await self._rouse()
        try:
            await self.society.scrapbook.aclose()
            await self.engine.aclose()
        finally:
            try:
                await self.society.deliberation.aclose()
            finally:
                if self.owns_image:
                    self.society.manager.close()
                    self.store.close()
                else:
                    self.society.manager.bind_invoker(None)

    @asynccontextmanager
    async def _turn_for(self, listener: Listener) -> AsyncIterator[None]:
        """One turn at a time; who has to wait is told for how many."""
        if self._in_line:
            listener(InLine(self._in_line))
        self._in_line += 1
        try:
            async with self._turn:
                try:
                    yield
                finally:
                    self._current = ""
        finally:
            self._in_line -= 1

    async def _run(
        self, turn: Turn, cast: Cast, listener: Listener, approve: Approver | None, *, resume: bool = False
    ) -> Answered:
        try:
            reply, memories = await self.society.deliberate(
                turn, cast, listener, resume=resume, approve=approve, colours=self._known_colours()
            )
            await self.log.answer(turn, reply)
            self._colours = reply.colours
            self.society.scrapbook.wake()
        except asyncio.CancelledError:
            await self._stop(turn, "stopped by the Architect", by=ARCHITECT)
            raise
        except A4PSError as error:
            await self._stop(turn, error.message, by="package")
            if not isinstance(error, EngineRefused | ApprovalRefused):  # what was refused would be refused again
                error.next_step = (
                    f"{error.next_step or 'try again'}; then finish this turn: a4ps ask --resume {turn.id}"
                )
            raise
        await self.society.deliberation.forget(turn.id)
        await self._fold_series(turn)
        self._rest()
        await self._lapse(turn)
        shown = tuple(MemoryShown(memory.id, memory.text, memory.score, memory.source) for memory in memories)
        answered = Answered(turn, reply, shown)
        self.bus.notify(Event.TURN_ANSWERED, answered)
        self._tell_load(reply)
        if reply.dissonance is not None and reply.dissonance >= self.society.settings.converged_below:
            self.bus.notify(Event.COGNITIVE_DISSONANCE, answered)
        return answered

    def _telling(self, listener: Listener) -> Telling:
        return Telling(listener, self.bus, self.clock, self._known_colours())

    def _known_colours(self) -> Mapping[str, float]:
        """The personas' colours as the newest reply has them."""
        if self._colours is None:
            newest = self.log.latest(1)
            self._colours = (newest[0][1].colours if newest else None) or {}
        return self._colours

    def _tell_load(self, reply: Reply) -> None:
        if self.bus.is_heard(Event.SERIES):
            at_s = self.clock.now().timestamp()
            for name, value in (flat(reply.load) if reply.load is not None else {}).items():
                self.bus.notify(Event.SERIES, Sample(f"load.{name}", at_s, value))
            self.bus.notify(Event.SERIES, latency_of(reply, at_s))

    async def _fold_series(self, turn: Turn) -> None:
        """Housekeeping, now and then: where it cannot be written, it is done some turns later."""
        if int(turn.id) % FOLD_EVERY == 0:
            try:
                await self.series.fold()
            except A4PSError:
                _log.exception("the series were not folded")

    async def _lapse(self, turn: Turn) -> None:
        """Housekeeping: the answer is committed, whatever the disk says to this."""
        approvals = self.society.approvals
        try:
            if approvals.asked_in(turn.id):
                await asyncio.to_thread(approvals.lapse, turn.id)
        except A4PSError:
            _log.exception("the approvals of turn %s could not be ended", turn.id)

    def _rest(self) -> None:
        """Consolidate memory, and measure drift where that is due, once nothing has been asked for a while."""
        after_s = self.society.settings.sleep_after_s
        if self.sleeper is not None and after_s > 0:
            self._resting = asyncio.create_task(self._sleep_after(after_s), name="resting")

    async def _sleep_after(self, after_s: float) -> None:
        await asyncio.sleep(after_s)
        try:
            await self.sleep()
            if await asyncio.to_thread(self._drift_is_due):
                await self.drift(NAMES, lambda _: None)
        except Exception:  # noqa: BLE001 - a background's edge: the log has it, and the next quiet tries again
            _log.exception("the rest ended early")

    def _drift_is_due(self) -> bool:
        every_s = self.society.settings.drift_every_days * 86_400
        return self.engine.name != "rehearsal" and is_due(self.series.read(), self.clock.now().timestamp(), every_s)

    async def _rouse(self) -> None:
        """End the rest, and a night or a measurement that is under way: nothing of it is kept."""
        resting, self._resting = self._resting, None
        if resting is not None:
            resting.cancel()
            await asyncio.wait([resting])

    async def _stop(self, turn: Turn, why: str, *, by: str) -> None:
        """Record the end of a turn; where even that cannot be written, the first error is the one to report."""
        try:
            await self.log.stop(turn, why, by=by)
            self.bus.notify(Event.TURN_STOPPED, turn)
        except A4PSError:
            _log.exception("the end of turn %s could not be recorded", turn.id)
