"""Recall: which memories belong to a question, each with a score in [0, 1] and the way it was found.

Three routes. *Full text*: the question's content words, the rarer the heavier, found in SQLite's index; how relevant a
memory is is the share of them that it contains. *Vectors*: what an index found near the question's vector, given by the
caller with its relevance. Below a route's floor nothing is recalled by it, so an unrelated memory never enters a prompt.
*Time*: a question about the conversation itself ("what did I ask before?", "yesterday") recalls the turns of that time,
newest first. If it also says what about ("what did I say about the garden last week?"), what the others find of that time
counts, else, where the time has a date, what they find of any; if that is nothing, too, the turns of that time, but not
those "before" to a question about what was never spoken of.

A question that says hardly anything by itself ("Why that one?"), and to which nothing else belongs, recalls the turn before
it, if that was of the same half hour.

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
from a4ps.memory.times import TimeRoute, refers_back, time_route
from a4ps.memory.words import content_words, coverage, forms

#: Candidates that full text hands to the scorer for each memory wanted; later ones hardly ever pass the floor.
CANDIDATES_EACH = 2

#: Ranks beyond this are not looked at, however many before them were of the wrong time or only rehearsed.
DEEPEST = 600

#: The constant of reciprocal rank fusion, as its authors chose it.
RRF_K = 60

#: An old memory weighs at least `OLD_WEIGHT`; half of the difference to a new one is gone after `HALF_LIFE`.
OLD_WEIGHT = 0.9
HALF_LIFE = timedelta(days=180)


#: What was said so long ago is still the same conversation; and how relevant it is to a question that only points to it.
JUST_BEFORE = timedelta(minutes=30)
FOLLOWED = 0.5


@dataclass(frozen=True, slots=True)
class Recalled:
    """A memory worth showing: its id, when, its words, score in [0, 1], the routes that found it and where it is from.

    `taint` is that of the memory: whoever puts it into a prompt hands it on. `vouched`: it would have more of it.
    """

    id: str
    at: datetime
    text: str
    score: float
    source: str
    taint: Taint = ARCHITECTS_WORDS
    vouched: bool = False


@dataclass(frozen=True, slots=True)
class Near:
    """What an index found near a question, best first: a memory's id, and how relevant that alone makes it, in [0, 1]."""

    id: str
    relevance: float


Nearest = Callable[[], Sequence[Near] | None]


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
    only while rehearsing. With `before`, only what was there before the turn of that number: one that is resumed, or asked
    again, does not remember what came after it.
    """
    if limit == 0:
        return ()
    route = time_route(question, now)
    wanted = content_words(question if route is None else route.rest)

    def admitted(memory: Memory) -> bool:
        if memory.kind != "turn":
            return before is None or records.was_before(memory.id, before)
        return (rehearsed or memory.engine != "rehearsal") and (before is None or int(memory.id) < before)

    nearest: list[Sequence[Near] | None] = []

    def about(time: TimeRoute | None) -> list[Recalled]:
        def timely(memory: Memory) -> bool:
            return admitted(memory) and _within(memory, time) and not records.merged_into(memory.id)

        by_words = _by_words(records, wanted, limit, floor, timely) if wanted else []
        if not nearest:
            nearest.append(None if near is None else near())
        by_vectors = _by_vectors(records, nearest[0] or (), by_words, limit, near_floor, timely)
        suffix = "" if time is None else f", time: {time.name}"
        return _fused(by_words, by_vectors, now, suffix, both=nearest[0] is not None)

    memories = about(route)
    if route is not None and route.dated and wanted and not memories:
        memories = about(None)  # it was said at another time, or the time was that of what was talked about
    if route is not None and not memories and (route.tells or not wanted):
        spoken = _by_time(records, route, limit, admitted)
        memories = [
            _recalled(memory, 1 / (1 + 0.1 * rank), f"time: {route.name}") for rank, memory in enumerate(spoken)
        ]
    if route is None and not memories and refers_back(question):
        before_it = TimeRoute("just before", now - JUST_BEFORE, None)
        spoken = _by_time(records, before_it, 1, admitted)
        memories = [_recalled(memory, FOLLOWED, "the turn before") for memory in spoken]
    best = sorted(memories, key=lambda memory: (memory.score, memory.at), reverse=True)[:limit]
    return tuple(replace(memory, score=round(min(1.0, memory.score), 2)) for memory in best)


def passage(text: str, wanted: Sequence[str], chars: int) -> str:
    """Those up to `chars` characters of `text` that say most of what is wanted, cut at words; all of a shorter one."""
    flat = " ".join(text.split())
    if len(flat) <= chars:
        return flat
    starts = [0, *(match.end() for match in re.finditer(r"[.!?…] |[。！？](?=.)", flat))]
    best = max(starts, key=lambda start: (coverage(wanted, flat[start : start + chars - 2]), -start))
    cut = flat[best:]
    if len(cut) > chars - 2:
        cut = cut[: chars - 2]
        space = cut.rfind(" ", chars // 2)  # a script without spaces may have one somewhere
        cut = cut[:space] if space > 0 else cut
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
        matches = records.store.search_words([forms(word) for word in wanted], kind=(REPLY, MEMORY), limit=depth)
        refused = 0
        for match in matches[seen:]:
            score = coverage(wanted, match.text)
            if score >= floor:
                memory = records.read(match.key, match.payload)
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
    named = " · ".join(filter(None, (source, memory.origin, "vouched for" if memory.vouched else "")))
    return Recalled(memory.id, memory.at, memory.text, score, named, memory.taint, memory.vouched)
