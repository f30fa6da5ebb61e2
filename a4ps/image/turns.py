"""Turns as the image keeps them: accepted before anything runs, answered or stopped later, never rewritten.

The rows of a turn share its number as their key: `turn` (the question and what it began with), `reply` (all that was
said, and the figures), `stop` (why it ended without an answer), `resume` (it runs again). A turn without a `reply` is open
and can be resumed; one that was not stopped either, or not since it was resumed, was cut off by a crash.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from a4ps.errors import A4PSError, Forgotten, IntegrityError, NoSuchTurn
from a4ps.image.rows import Row, StoredRow
from a4ps.image.store import Match, Store
from a4ps.image.tombstones import FORGOT, FORGOTTEN
from a4ps.image.transfer import LOADED

ARCHITECT = "architect"


@dataclass(frozen=True, slots=True)
class Turn:
    """One accepted message of the Architect. `pins` are the versions of the personas it began with.

    `again` names the turn whose question this one asks anew, "" where it is nobody's rerun. `taint` are the labels of the
    question where it may not be the Architect's own: it came with an import, or through a pipe.
    """

    id: str
    question: str
    asked_at: datetime
    engine: str
    models: Mapping[str, str]
    pins: Mapping[str, int]
    everyone: bool = False
    again: str = ""
    taint: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one persona said in one step. `role` is the step ("thesis"); `ms` is wall time spent in the model; `taint` are
    the labels of all that it was made from (governance/taint.py).

    `character` is how far it was from the persona's codex, in [0, 1], None where that could not be told. `shares` is what
    its prompt was made of: part → tokens, estimated.
    """

    persona: str
    role: str
    text: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    ms: float
    taint: tuple[str, ...] = ()
    character: float | None = None
    shares: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Round:
    """One pass of thesis and antithesis: its dissonance, and ROBIN's stances as (point, stance, weight), none where the
    dissonance was `estimated`. The points are those of the round's thesis, numbered from 1.
    """

    dissonance: float
    estimated: bool
    stances: tuple[tuple[int, str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Mind:
    """A mind that was changed: `persona`'s, by `by`, in `round`, on `point`, from `before` to `after`."""

    persona: str
    by: str
    round: int
    point: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Load:
    """What a turn asked of the machine at its busiest: tokens in flight, the part of the context filled, calls
    waiting for others or for their model."""

    tokens: int
    fill: float
    queue: int


@dataclass(frozen=True, slots=True)
class MemoryUsed:
    """An earlier turn that entered this one's prompts: which, how relevant in [0, 1], and how it was found."""

    id: str
    score: float
    source: str


@dataclass(frozen=True, slots=True)
class Reply:
    """All of an answered turn but its question. The answer is the last contribution; it is stored once.

    `dissonance` is in [0, 1], or None where nobody disagreed because only ALFRED spoke; `estimated` marks one measured
    on the text. `dropped` names steps left out for time; `notes` are sentences the user was shown. `pins` are the
    versions that made the reply where they are not those of the turn. `overhead_ms` is that of the run which finished it.
    `taint` are the labels of all that was in the turn.

    `argued` are the rounds, `minds` those that were changed in them, `ended` why there was no further one ("converged",
    "bound", "time", "word"; "" where nobody argued). `colours` is each persona's distance from its codex, smoothed over its
    contributions up to this turn's.
    """

    contributions: tuple[Contribution, ...]
    dissonance: float | None
    estimated: bool
    rounds: int
    model_ms: float
    overhead_ms: float
    memories_used: tuple[MemoryUsed, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    pins: Mapping[str, int] | None = None
    taint: tuple[str, ...] = ()
    argued: tuple[Round, ...] = ()
    minds: tuple[Mind, ...] = ()
    ended: str = ""
    colours: Mapping[str, float] | None = None
    load: Load | None = None

    @property
    def answer(self) -> str:
        return self.contributions[-1].text

    @property
    def alone(self) -> bool:
        """Whether ALFRED answered by himself."""
        return len(self.contributions) == 1


def contribution_of(plain: Mapping[str, Any]) -> Contribution:
    """A contribution from its fields as JSON data; those of before there was taint have none."""
    return Contribution(**{**plain, "taint": tuple(plain.get("taint", ()))})


def flat(record: Turn | Contribution | MemoryUsed | Reply | Round | Mind | Load) -> dict[str, Any]:
    """The fields of a record as they are, without copying what they hold."""
    return {name: getattr(record, name) for name in record.__slots__}


TURN_KINDS = frozenset(("turn", "reply", "stop", "resume"))


def check_row(row: StoredRow) -> None:
    """Raise (whatever it may be) where `row`, of TURN_KINDS and verified by nobody, is none that a TurnLog wrote."""
    if not row.key.isascii() or not row.key.isdecimal() or str(int(row.key)) != row.key:
        raise IntegrityError(f"{row.key!r} is not the number of a turn")
    if row.kind == "turn":
        turn = _turn(row)
        texts = [turn.question, turn.engine, *turn.models, *turn.models.values(), *turn.pins, *turn.taint]
        if turn.asked_at.tzinfo is None or not all(type(pin) is int for pin in turn.pins.values()):
            raise IntegrityError(f"turn {row.key} has odd figures")
    elif row.kind == "reply":
        reply = reply_of(row)
        said, used = reply.contributions, reply.memories_used
        texts = [reply.answer, *reply.notes, *reply.dropped, *(memory.id for memory in used)]
        texts += [text for each in said for text in (each.persona, each.role, each.text, each.model, *each.taint)]
        texts += reply.taint
        texts += [text for mind in reply.minds for text in (mind.persona, mind.by, mind.point, mind.before, mind.after)]
        figures = [*(each.character for each in said), *(reply.colours or {}).values(), *(reply.pins or {}).values()]
        figures += [each.dissonance for each in reply.argued]
        if not all(figure is None or type(figure) in (int, float) for figure in figures):
            raise IntegrityError(f"the reply of turn {row.key} has odd figures")
    else:
        return
    if not all(type(text) is str for text in texts):
        raise IntegrityError(f"the {row.kind} of turn {row.key} holds what is no text")


@dataclass(frozen=True, slots=True)
class TurnStatistics:
    """Turns: answered and stopped since the log was opened, and those that wait for an answer now."""

    answered: int
    stopped: int
    open: int


class TurnLog:
    """The turns of one open store. Safe to use from one event loop; reads may come from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._writing = asyncio.Lock()
        self._answered_count = self._stopped_count = 0
        self._read_back()

    async def accept(self, turn: Turn) -> Turn:
        """Make `turn` durable before it runs and give it its number; turns cut off earlier are set aside with it."""
        async with self._changing():
            accepted = replace(turn, id=str(self._last + 1))
            cut_off = self._cut_off()
            aside = [_row("stop", key, {"why": "set aside for a new question"}) for key in cut_off]
            await self._store.commit_async(
                [_row("turn", accepted.id, _plain(accepted)), *aside], author=ARCHITECT, reason="ask"
            )
            self._last += 1
            self._open.append(accepted.id)
            self._stopped.update(cut_off)
        return accepted

    async def answer(self, turn: Turn, reply: Reply) -> None:
        """The turn's one durable commit: everything said, searchable at once."""
        text = f"{turn.question}\n{reply.answer}"
        row = _row("reply", turn.id, _plain_reply(reply), text=text)
        async with self._changing(turn):
            await self._store.commit_async([row], author="ALFRED", reason="answer")
            self._open.remove(turn.id)
            self._stopped.discard(turn.id)
            self._answered_count += 1

    async def stop(self, turn: Turn, why: str, *, by: str = ARCHITECT) -> None:
        """Record that a turn ended without an answer, and who ended it. It stays open to `resume`."""
        async with self._changing(turn):
            await self._store.commit_async([_row("stop", turn.id, {"why": why})], author=by, reason="stop")
            self._stopped.add(turn.id)
            self._stopped_count += 1

    async def resume(self, turn: Turn) -> None:
        """Record that a stopped turn runs again, so that a crash from here on is told from the stop before."""
        if turn.id in self._stopped:
            async with self._changing(turn):
                await self._store.commit_async([_row("resume", turn.id, {})], author=ARCHITECT, reason="resume")
                self._stopped.discard(turn.id)

    async def look_again(self) -> None:
        """Another content may have been loaded: what is known of the turns is read anew."""
        async with self._writing:
            self._read_back()

    @property
    def open_ids(self) -> tuple[str, ...]:
        """The numbers of the turns without an answer, the newest last."""
        return tuple(self._open)

    def open_turns(self) -> list[Turn]:
        """Turns without an answer, the newest last."""
        return [self.turn(key) for key in self._open]

    def cut_off(self) -> list[Turn]:
        """Turns that a crash ended: accepted, neither answered nor stopped. The newest last."""
        return [self.turn(key) for key in self._cut_off()]

    def turn(self, turn_id: str) -> Turn:
        """Raises `NoSuchTurn`, `Forgotten`."""
        row = self._store.head("turn", turn_id) if turn_id.isdecimal() else None
        if row is None and turn_id.isdecimal() and self._store.head(FORGOTTEN, f"turn {turn_id}") is not None:
            raise Forgotten(
                f"turn {turn_id} was forgotten", next_step="a4ps chat, then /last, lists what is remembered"
            )
        if row is None:
            step = f"turns are numbered 1 to {self._last}" if self._last else 'none was asked yet: a4ps ask "..."'
            named = turn_id if turn_id.isprintable() else ascii(turn_id)
            raise NoSuchTurn(f"there is no turn {named}", next_step=step)
        return _turn(row)

    def reply(self, turn_id: str) -> Reply | None:
        """The reply of a turn, None while it is open."""
        row = self._store.head("reply", turn_id)
        return None if row is None else reply_of(row)

    def latest(
        self, limit: int, *, after: datetime | None = None, before: datetime | None = None
    ) -> list[tuple[Turn, Reply]]:
        """Answered turns, newest first, within the times given."""
        rows = self._store.newest("reply", limit=limit, after=after, before=before)
        return [(self.turn(row.key), reply_of(row)) for row in rows]

    def search(self, match: str, limit: int) -> list[Match]:
        """Answered turns that an FTS5 expression finds, best first: number, score, and question with answer as text."""
        return self._store.search(match, kind="reply", limit=limit)

    def answered(self, turn_id: str) -> tuple[Turn, Reply]:
        """A turn and its reply. Raises `NoSuchTurn` where there is none or it has no reply yet."""
        turn = self.turn(turn_id)
        reply = self.reply(turn_id)
        if reply is None:
            raise NoSuchTurn(f"turn {turn_id} has no answer yet", next_step=f"a4ps ask --resume {turn_id}")
        return turn, reply

    def count(self) -> int:
        """How many turns were ever accepted."""
        return self._last

    def statistics(self) -> TurnStatistics:
        """How many there are. Reads nothing."""
        return TurnStatistics(self._answered_count, self._stopped_count, len(self._open))

    @property
    def generation(self) -> int:
        """The number of the image's newest commit."""
        return self._store.generation

    @asynccontextmanager
    async def _changing(self, turn: Turn | None = None) -> AsyncIterator[None]:
        """One change at a time. A commit that was cancelled or failed may be there all the same, so it is looked up.

        Raises `NoSuchTurn` where `turn` is no longer the open one of its number: another content was loaded meanwhile, or
        it was forgotten.
        """
        async with self._writing:
            if self._replaced() != self._loaded:
                self._read_back()
            if turn is not None and self._loaded and (turn.id not in self._open or self.turn(turn.id) != turn):
                raise NoSuchTurn(f"turn {turn.id} is no longer in the image", next_step="ask again")
            try:
                yield
            except BaseException:
                with suppress(A4PSError):
                    self._read_back()
                raise

    def _read_back(self) -> None:
        self._loaded = self._replaced()
        newest = self._store.newest("turn", limit=1)
        forgotten = (key.removeprefix("turn ") for key in self._store.heads(FORGOTTEN) if key.startswith("turn "))
        # No number is given twice: what names a turn that was forgotten must not mean another one.
        self._last = max(
            [int(row.key) for row in newest] + [int(key) for key in forgotten if key.isdecimal()], default=0
        )
        self._open = self._store.keys_without("turn", "reply")
        self._stopped = {key for key in self._open if self._was_stopped(key)}

    def _replaced(self) -> dict[tuple[str, str], int]:
        """What tells that turns went or came otherwise than by this log."""
        return {(kind, key): at for kind in (LOADED, FORGOT) for key, at in self._store.heads(kind).items()}

    def _cut_off(self) -> Sequence[str]:
        return [key for key in self._open if key not in self._stopped]

    def _was_stopped(self, key: str) -> bool:
        stopped = self._store.head("stop", key)
        resumed = self._store.head("resume", key)
        return stopped is not None and (resumed is None or resumed.place < stopped.place)


def _plain(turn: Turn) -> dict[str, Any]:
    fields = flat(turn)
    del fields["id"]
    return {**_without(fields, "again", "taint"), "asked_at": turn.asked_at.isoformat()}


def _plain_reply(reply: Reply) -> dict[str, Any]:
    fields = _without(flat(reply), *_LATER)
    fields["contributions"] = [_without(flat(said), "character", "shares") for said in reply.contributions]
    fields["memories_used"] = [flat(memory) for memory in reply.memories_used]
    if reply.argued:
        fields["argued"] = [_without(flat(each), "stances") for each in reply.argued]
    if reply.minds:
        fields["minds"] = [flat(mind) for mind in reply.minds]
    if reply.load is not None:
        fields["load"] = flat(reply.load)
    return fields


#: Fields that replies of earlier versions do not have.
_LATER = ("argued", "minds", "ended", "colours", "load")


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    """`fields` less those of `names` that say nothing."""
    return {name: value for name, value in fields.items() if name not in names or value not in (None, "", ())}


def _row(kind: str, key: str, payload: Mapping[str, Any], text: str = "") -> Row:
    encoded = json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return Row(kind, key, encoded, text.encode("utf-8", "replace").decode())


def _turn(row: StoredRow) -> Turn:
    fields = json.loads(row.payload)
    asked_at, taint = datetime.fromisoformat(fields["asked_at"]), tuple(fields.get("taint", ()))
    return Turn(id=row.key, **{**fields, "asked_at": asked_at, "taint": taint})


def answer_of(payload: bytes) -> tuple[str, tuple[str, ...]]:
    """The answer and the taint of a reply, without the rest of it."""
    fields = json.loads(payload)
    return fields["contributions"][-1]["text"], tuple(fields.get("taint", ()))


def reply_of(row: StoredRow) -> Reply:
    """The reply that a row of that kind holds."""
    fields = json.loads(row.payload)
    fields["contributions"] = tuple(contribution_of(entry) for entry in fields["contributions"])
    fields["memories_used"] = tuple(MemoryUsed(**entry) for entry in fields["memories_used"])
    fields["argued"] = tuple(_round(entry) for entry in fields.get("argued", ()))
    fields["minds"] = tuple(Mind(**entry) for entry in fields.get("minds", ()))
    fields["load"] = Load(**fields["load"]) if fields.get("load") is not None else None
    lists = {name: tuple(fields.get(name, ())) for name in ("dropped", "notes", "taint")}
    return Reply(**{**fields, **lists})


def _round(entry: Mapping[str, Any]) -> Round:
    stances = tuple((int(point), str(stance), float(weight)) for point, stance, weight in entry.get("stances", ()))
    return Round(entry["dissonance"], entry["estimated"], stances)
