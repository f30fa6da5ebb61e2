"""Recall: which memories belong to a question, each with a score in [0, 1] and the way it was found.

Three routes. *Full text*: the question's content words, the rarer the heavier, found in SQLite's index; how relevant a
memory is is the share of them that it contains. *Vectors*: what an index found near the question's vector, given by the
caller with its relevance. Below a route's floor nothing is recalled by it, so an unrelated memory never enters a prompt.
*Time*: a question about the conversation itself ("what did I ask before?", "yesterday") recalls the turns of that time,
newest first; if it also says what about ("what did I say about the garden last week?"), only memories of that time that
the others find, if there are any.

A score is relevance × agreement × weight. Agreement is 1 with full text alone; with vectors too it is reciprocal rank
fusion (Cormack, Clarke and Büttcher, SIGIR 2009), scaled to (1/2, 1] so that the first of both routes has 1, and the first
of one alone 3/4: what agrees comes first among the relevant, and never before what is far more relevant. The weight is
made of age and importance.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import count

from a4ps.governance.taint import ARCHITECTS_WORDS, Taint
from a4ps.memory.records import MEMORY, REPLY, Memory, Records

#: Two different words share a stem only if they share this many first letters.
SHARED_MIN = 4

#: Candidates that full text hands to the scorer for each memory wanted; later ones hardly ever pass the floor.
CANDIDATES_EACH = 3

#: Ranks beyond this are not looked at, however many before them were of the wrong time or only rehearsed.
DEEPEST = 600

#: The constant of reciprocal rank fusion, as its authors chose it.
RRF_K = 60

#: An old memory weighs at least `OLD_WEIGHT`; half of the difference to a new one is gone after `HALF_LIFE`.
OLD_WEIGHT = 0.9
HALF_LIFE = timedelta(days=180)

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
    """A memory worth showing: its id, when, its words, score in [0, 1], the routes that found it and where it is from.

    `taint` is that of the memory: whoever puts it into a prompt hands it on.
    """

    id: str
    at: datetime
    text: str
    score: float
    source: str
    taint: Taint = ARCHITECTS_WORDS


@dataclass(frozen=True, slots=True)
class Near:
    """What an index found near a question, best first: a memory's id, and how relevant that alone makes it, in [0, 1]."""

    id: str
    relevance: float


Nearest = Callable[[], Sequence[Near] | None]


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
    records: Records,
    question: str,
    now: datetime,
    *,
    limit: int,
    floor: float,
    rehearsed: bool,
    before: int | None = None,
    near: Nearest | None = None,
    near_floor: float = 1.0,
) -> tuple[Recalled, ...]:
    """The memories that belong to `question`, best first.

    `near` is asked once the words are looked up, and has None where there are no vectors. `rehearsed` turns are recalled
    only while rehearsing. With `before`, only turns of smaller numbers: a turn that is resumed does not remember what came
    after it.
    """
    if limit == 0:
        return ()
    route = time_route(question, now)
    wanted = content_words(question)

    def admitted(memory: Memory) -> bool:
        if memory.kind != "turn":
            return True
        return (rehearsed or memory.engine != "rehearsal") and (before is None or int(memory.id) < before)

    def timely(memory: Memory) -> bool:
        return admitted(memory) and _within(memory, route) and not records.merged_into(memory.id)

    by_words = _by_words(records, wanted, limit, floor, timely) if wanted else []
    nearest = None if near is None else near()
    by_vectors = _by_vectors(records, nearest or (), by_words, limit, near_floor, timely)
    suffix = "" if route is None else f", time: {route.name}"
    memories = _fused(by_words, by_vectors, now, suffix, both=nearest is not None)
    if route is not None and not memories:
        spoken = _by_time(records, route, limit, admitted)
        memories = [
            _recalled(memory, 1 / (1 + 0.1 * rank), f"time: {route.name}") for rank, memory in enumerate(spoken)
        ]
    best = sorted(memories, key=lambda memory: (memory.score, memory.at), reverse=True)[:limit]
    return tuple(replace(memory, score=round(min(1.0, memory.score), 2)) for memory in best)


def passage(text: str, wanted: Sequence[str], chars: int) -> str:
    """Those up to `chars` characters of `text` that say most of what is wanted, cut at words; all of a shorter one."""
    flat = " ".join(text.split())
    if len(flat) <= chars:
        return flat
    starts = [0, *(match.end() for match in re.finditer(r"[.!?…] ", flat))]
    best = max(starts, key=lambda start: (coverage(wanted, flat[start : start + chars]), -start))
    cut = flat[best : best + chars - 2].rsplit(" ", 1)[0] if best + chars - 2 < len(flat) else flat[best:]
    return f"{'…' if best else ''}{cut}{'…' if best + len(cut) < len(flat) else ''}"


def cut_to_passage(memory: Recalled, question: str, chars: int) -> Recalled:
    """A memory whose id is no turn's, with the passage of its text that has most to do with the question."""
    if memory.id.isdecimal():
        return memory
    return replace(memory, text=passage(memory.text, content_words(question), chars))


Found = dict[str, tuple[Memory, float]]


def _fused(
    by_words: Sequence[tuple[Memory, float]],
    by_vectors: Sequence[tuple[Memory, float]],
    now: datetime,
    suffix: str,
    *,
    both: bool,
) -> list[Recalled]:
    """One list of two, in no order."""
    relevance: Found = {}
    fused: dict[str, float] = {}
    sources: dict[str, list[str]] = {}
    for name, route in (("full text", by_words), ("vectors", by_vectors)):
        for rank, (memory, relevant) in zip(count(1), route):
            _, so_far = relevance.get(memory.id, (memory, 0.0))
            relevance[memory.id] = memory, max(so_far, relevant)
            fused[memory.id] = fused.get(memory.id, 0.0) + 1 / (RRF_K + rank)
            sources.setdefault(memory.id, []).append(name)
    best = 2 / (RRF_K + 1)
    return [
        _recalled(
            memory,
            relevant * (0.5 + 0.5 * fused[id_] / best if both else 1.0) * weight(memory, now),
            " + ".join(sources[id_]) + suffix,
        )
        for id_, (memory, relevant) in relevance.items()
    ]


def weight(memory: Memory, now: datetime) -> float:
    """What age and importance make of a memory: 1 for a turn of just now, at most 1.2. A time to come counts as now."""
    age = max(timedelta(), now - memory.at) / HALF_LIFE
    newness: float = 0.5**age
    return (OLD_WEIGHT + (1 - OLD_WEIGHT) * newness) * (0.8 + 0.4 * memory.importance)


def _by_words(
    records: Records, wanted: list[str], limit: int, floor: float, admitted: Callable[[Memory], bool]
) -> list[tuple[Memory, float]]:
    """Relevant memories with their relevance, in the order of full text.

    Looks further down the ranks only where relevant ones were not admitted.
    """
    depth = limit * CANDIDATES_EACH
    found: list[tuple[Memory, float]] = []
    seen = 0
    while True:
        matches = records.store.search_words(wanted, kind=(REPLY, MEMORY), limit=depth)
        refused = 0
        for match in matches[seen:]:
            score = coverage(wanted, match.text)
            if score >= floor:
                memory = records.find(match.key)
                if memory is not None and admitted(memory):
                    found.append((memory, score))
                else:
                    refused += 1
        if not refused or len(found) >= limit or len(matches) < depth or depth >= DEEPEST:
            return found
        seen, depth = depth, depth * 4


def _by_vectors(
    records: Records,
    near: Sequence[Near],
    by_words: Sequence[tuple[Memory, float]],
    limit: int,
    floor: float,
    admitted: Callable[[Memory], bool],
) -> list[tuple[Memory, float]]:
    """Those of `near` that are relevant by their vectors, in the order given; what is in `by_words` is not read again."""
    known = {memory.id: memory for memory, _ in by_words}
    found: list[tuple[Memory, float]] = []
    for each in near:
        if each.relevance < floor or len(found) >= limit * CANDIDATES_EACH:
            break
        memory = known.get(each.id) or records.find(each.id)
        if memory is not None and (memory.id in known or admitted(memory)):
            found.append((memory, each.relevance))
    return found


def _by_time(records: Records, route: TimeRoute, limit: int, admitted: Callable[[Memory], bool]) -> list[Memory]:
    """The newest turns of a time. Looks further back only where some were not admitted."""
    depth = limit
    while True:
        spoken = records.latest_turns(depth, after=route.after, before=route.before)
        found = [memory for memory in spoken if admitted(memory)]
        if len(found) >= limit or len(spoken) < depth or depth >= DEEPEST:
            return found[:limit]
        depth *= 4


def _within(memory: Memory, route: TimeRoute | None) -> bool:
    if route is None:
        return True
    after = route.after is None or memory.at >= route.after
    return after and (route.before is None or memory.at < route.before)


def _recalled(memory: Memory, score: float, source: str) -> Recalled:
    named = f"{source} · {memory.origin}" if memory.origin else source
    return Recalled(memory.id, memory.at, memory.text, score, named, memory.taint)
