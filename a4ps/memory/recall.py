"""Recall: which earlier turns belong to a question, each with a score in [0, 1] and the way it was found.

Two routes. *Full text*: the question's content words, ranked by SQLite's bm25, then scored by how many of them the turn
contains; below the floor nothing is recalled, so an unrelated memory never enters a prompt. *Time*: a question about the
conversation itself ("what did I ask before?", "yesterday") recalls the turns of that time, newest first; if it also says
what about ("what did I say about the garden last week?"), only turns of that time that full text finds, if there are any.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from textwrap import shorten

from a4ps.governance.taint import ARCHITECTS_WORDS, Taint, union
from a4ps.image.turns import Reply, Turn, TurnLog

#: Two different words share a stem only if they share this many first letters.
SHARED_MIN = 4

#: Candidates that bm25 hands to the scorer for each memory wanted; later ones hardly ever pass the floor.
CANDIDATES_EACH = 3

#: Ranks beyond this are not looked at, however many before them were of the wrong time or only rehearsed.
DEEPEST = 600

#: A recalled question is cut here, so that a long one does not push its answer out of the prompt.
QUESTION_CHARS = 120

_WORD = re.compile(r"\w+")
_STOP_WORDS = frozenset(
    """a about after all also am an and any are as at be because been before being between but by can could did do does
    doing don for from get give had has have having he her here him his how i if in into is it its just know let like
    make may me might mine more most much my need no not now of off on once one only or other our out over own please
    same say she should so some such tell than that the their them then there these they thing think this those to too
    under until up us use very was we were what when where which while who whom why will with would yes you your yours
    ask asked asking said told talk talked discuss discussed answer answered question questions earlier previously
    yesterday today last week month ago recently again remember mention mentioned""".split()
)
# A question is about the conversation when somebody of it (I, you, we) did a thing that conversations consist of.
# "Should I tell her before Friday?" is not: only what was done counts.
_CONVERSATION = re.compile(
    r"\bdid (i|we|you)\b[^.?!]{0,40}\b(ask|say|tell|talk|discuss|mention|answer|advise|recommend|decide|speak|suggest)\b"
    r"|\b(i|we|you)\b[^.?!]{0,40}\b(asked|said|told|talked|discussed|mentioned|answered|advised|recommended|decided|"
    r"spoke|spoken|suggested)\b"
    r"|\b(my|our|your) (last|previous|earlier|first) (question|questions|answer|answers|conversation|turn|topic)\b"
    r"|\b(last|previous) (question|answer|conversation|turn)\b",
    re.IGNORECASE,
)
_DATED = re.compile(
    r"\b(yesterday|today|this morning|last (?:week|month|night)|(?:\d{1,4}|a|an|two|three) (?:hours?|days?|weeks?) ago)\b",
    re.IGNORECASE,
)
_UNDATED = re.compile(
    r"\b(before|earlier|previously|recently|so far|just now|last (?:time|question|answer)|last|previous)\b",
    re.IGNORECASE,
)
_NUMBERS = {"a": 1, "an": 1, "two": 2, "three": 3}


@dataclass(frozen=True, slots=True)
class Recalled:
    """An earlier turn worth showing: its number, when, question and answer, relevance in [0, 1], the route, and the labels
    of what it was made from."""

    id: str
    at: datetime
    text: str
    score: float
    source: str
    taint: Taint = ARCHITECTS_WORDS


@dataclass(frozen=True, slots=True)
class TimeRoute:
    """A stretch of time that a question points to. `name` is the word that did."""

    name: str
    after: datetime | None
    before: datetime | None


def about_conversation(question: str) -> bool:
    """Whether a question is about what was said here, so that "nothing" is an answer to it."""
    return _CONVERSATION.search(question) is not None


def time_route(question: str, now: datetime) -> TimeRoute | None:
    """The time a question about the conversation points to, None if it is not about the conversation.

    Days are those of the user's time zone, in which `now` must be given.
    """
    word = _DATED.search(question) or _UNDATED.search(question)
    if not about_conversation(question):
        return None
    if word is None:  # "what did I ask?" names no time and nothing else to search for
        return None if content_words(question) else TimeRoute("latest", None, None)
    name = word[0].lower()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if name == "yesterday":
        return TimeRoute(name, midnight - timedelta(days=1), midnight)
    if name == "last night":
        return TimeRoute(name, midnight - timedelta(hours=6), midnight + timedelta(hours=6))
    if name in ("today", "this morning"):
        return TimeRoute(name, midnight, None)
    if name == "last week":
        monday = midnight - timedelta(days=midnight.weekday())
        return TimeRoute(name, monday - timedelta(days=7), monday)
    if name == "last month":
        first = midnight.replace(day=1)
        return TimeRoute(name, (first - timedelta(days=1)).replace(day=1), first)
    if name.endswith("ago"):
        return _ago(name, now, midnight)
    return TimeRoute(name, None, None)


def _ago(name: str, now: datetime, midnight: datetime) -> TimeRoute:
    amount, unit, _ = name.split()
    count = _NUMBERS.get(amount) or int(amount)
    if unit.startswith("hour"):
        return TimeRoute(name, now - timedelta(hours=count + 1), now - timedelta(hours=count - 1))
    day = midnight - timedelta(days=count * (7 if unit.startswith("week") else 1))
    width = 4 if unit.startswith("week") else 1
    return TimeRoute(name, day - timedelta(days=width - 1), day + timedelta(days=width))


def content_words(text: str) -> list[str]:
    """The words of `text` that say what it is about: lower case, no stop words, each once, in order."""
    words = (word.lower() for word in _WORD.findall(text))
    return list(dict.fromkeys(word for word in words if len(word) > 1 and word not in _STOP_WORDS))


def coverage(wanted: Sequence[str], text: str) -> float:
    """The share of `wanted` that `text` contains, comparing stems crudely: a common beginning but for three letters.

    One matching word of several is chance, not relevance: fewer than two matches count as none unless one was wanted.
    """
    missing = set(wanted)
    by_beginning: dict[str, list[str]] = {}
    for word in wanted:
        by_beginning.setdefault(word[:SHARED_MIN], []).append(word)
    for word in _WORD.findall(text.lower()):
        if word in missing:
            missing.discard(word)
        elif len(word) >= SHARED_MIN:
            for other in by_beginning.get(word[:SHARED_MIN], ()):
                shared = max(SHARED_MIN, max(len(word), len(other)) - 3)
                if other in missing and len(other) >= shared and word[:shared] == other[:shared]:
                    missing.discard(other)
    matches = len(wanted) - len(missing)
    return matches / len(wanted) if matches >= min(2, len(wanted)) > 0 else 0.0


def recall(
    log: TurnLog,
    question: str,
    now: datetime,
    *,
    limit: int,
    floor: float,
    rehearsed: bool,
    before: int | None = None,
) -> tuple[Recalled, ...]:
    """The turns that belong to `question`, best first.

    `rehearsed` turns are recalled only while rehearsing. With `before`, only turns of smaller numbers: a turn that is
    resumed does not remember what came after it.
    """
    if limit == 0:
        return ()
    route = time_route(question, now)
    wanted = content_words(question)

    def admitted(turn: Turn) -> bool:
        return (rehearsed or turn.engine != "rehearsal") and (before is None or int(turn.id) < before)

    found = _by_words(log, wanted, limit, floor, lambda turn: admitted(turn) and _within(turn, route)) if wanted else []
    source = "full text" if route is None else f"full text, time: {route.name}"
    memories = [_recalled(turn, reply, score, source) for turn, reply, score in found]
    if route is not None and not memories:
        spoken = _by_time(log, route, limit, admitted)
        memories = [_recalled(*pair, 1 / (1 + 0.1 * rank), f"time: {route.name}") for rank, pair in enumerate(spoken)]
    return tuple(sorted(memories, key=lambda memory: (-memory.score, -int(memory.id)))[:limit])


def _by_words(
    log: TurnLog, wanted: list[str], limit: int, floor: float, admitted: Callable[[Turn], bool]
) -> list[tuple[Turn, Reply, float]]:
    """Relevant turns with their scores. Looks further down the ranks only where relevant ones were not admitted."""
    expression = " OR ".join(f'"{word}"' for word in wanted)
    depth = limit * CANDIDATES_EACH
    found: list[tuple[Turn, Reply, float]] = []
    seen = 0
    while True:
        matches = log.search(expression, depth)
        refused = 0
        for match in matches[seen:]:
            score = coverage(wanted, match.text)
            if score >= floor:
                turn, reply = log.answered(match.key)
                if admitted(turn):
                    found.append((turn, reply, score))
                else:
                    refused += 1
        if not refused or len(found) >= limit or len(matches) < depth or depth >= DEEPEST:
            return found
        seen, depth = depth, depth * 4


def _by_time(log: TurnLog, route: TimeRoute, limit: int, admitted: Callable[[Turn], bool]) -> list[tuple[Turn, Reply]]:
    """The newest turns of a time. Looks further back only where some were not admitted."""
    depth = limit
    while True:
        spoken = log.latest(depth, after=route.after, before=route.before)
        found = [pair for pair in spoken if admitted(pair[0])]
        if len(found) >= limit or len(spoken) < depth or depth >= DEEPEST:
            return found[:limit]
        depth *= 4


def _within(turn: Turn, route: TimeRoute | None) -> bool:
    if route is None:
        return True
    after = route.after is None or turn.asked_at >= route.after
    return after and (route.before is None or turn.asked_at < route.before)


def memory_text(turn: Turn, reply: Reply) -> str:
    """An earlier turn as one line: what was asked, shortened, and what was answered."""
    return f"asked: {shorten(turn.question, QUESTION_CHARS, placeholder=' …')} · answered: {reply.answer}"


def _recalled(turn: Turn, reply: Reply, score: float, source: str) -> Recalled:
    taint = union(ARCHITECTS_WORDS, reply.taint)
    return Recalled(turn.id, turn.asked_at, memory_text(turn, reply), round(score, 2), source, taint)
