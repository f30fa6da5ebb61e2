"""The retrieval set: two years of one person's memories, and questions with the memories that answer them. Files in `data/`.

    life.txt         what the person asked and noted, in threads (`## boiler`), each with the questions it answers (`? ...`)
    documents.txt    parts of files that were taken in (`# name date`), likewise
    distractors.txt  what shares words with a question and answers none
    everyday.toml    what fills the days, made of written pieces, seeded
    unknown.txt      questions that nothing answers
    asked.txt        questions about the conversation: which time they mean, and which thread

A memory is `date turn | question | answer` or `date note | text`. What is written by hand is never made of pieces. Each
question belongs to one of two halves, by a digest of its text: what is tuned is tuned on the first, and judged on the other.
"""

from __future__ import annotations

import random
import re
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from hashlib import blake2b
from pathlib import Path

MEMORIES = 2_200
FIRST = date(2024, 11, 24)
NOW = datetime(2026, 11, 22, 22, 0, tzinfo=UTC)  # a Sunday

_SLOT = re.compile(r"{(\w+)}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One memory to be: `kind` is "turn", "note", or the name of a document. `answer` is a turn's."""

    at: datetime
    kind: str
    thread: str
    text: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """`kind` is "fact", "time" or "unknown"; the numbers are places in the list of entries.

    `related` do not answer it and are not out of place beside its answer: the other memories of the thread.
    """

    text: str
    kind: str
    answers: frozenset[int]
    related: frozenset[int] = frozenset()

    @property
    def held_out(self) -> bool:
        return blake2b(self.text.encode(), digest_size=1).digest()[0] % 2 == 1


@dataclass(frozen=True, slots=True)
class RetrievalSet:
    entries: tuple[Entry, ...]
    questions: tuple[Question, ...]
    by_hand: int


def retrieval_set(memories: int = MEMORIES) -> RetrievalSet:
    """The set, the same on every machine. Entries are in the order of their times, parts of a document in theirs."""
    rng = random.Random(11)
    told = [*_life(rng), *_documents(rng)]
    written = [*told, *((entry, ()) for entry in _distractors(rng))]
    everyday = [(entry, ()) for entry in _everyday(rng, memories - len(written))]
    ordered = sorted([*written, *everyday], key=lambda pair: pair[0].at)
    entries = tuple(entry for entry, _ in ordered)
    threads: dict[str, set[int]] = {}
    for number, entry in enumerate(entries):
        if entry.thread:
            threads.setdefault(entry.thread, set()).add(number)
    questions = [
        Question(text, "fact", frozenset({number}), frozenset(threads[entry.thread] - {number}))
        for number, (entry, asked) in enumerate(ordered)
        for text in asked
    ]
    unknown = [Question(line, "unknown", frozenset()) for line in _lines("unknown.txt")]
    about_time = [_about_time(line, entries, threads) for line in _lines("asked.txt") if not line.startswith("#")]
    return RetrievalSet(entries, (*questions, *about_time, *unknown), len(written))


Told = tuple[Entry, Sequence[str]]


def _life(rng: random.Random) -> list[Told]:
    told: list[tuple[Entry, list[str]]] = []
    thread = ""
    for line in _lines("life.txt"):
        if line.startswith("## "):
            thread = line[3:]
        elif line.startswith("? "):
            told[-1][1].append(line[2:])
        else:
            told.append((_entry(line, thread, rng), []))
    return list(told)


def _documents(rng: random.Random) -> list[Told]:
    told: list[tuple[Entry, list[str]]] = []
    name, at = "", datetime.now(UTC)
    for line in _lines("documents.txt"):
        if line.startswith("# "):
            name, day = line[2:].rsplit(" ", 1)
            at = _on(date.fromisoformat(day), rng)
        elif line.startswith("? "):
            told[-1][1].append(line[2:])
        else:
            told.append((Entry(at, name, name, line), []))
    return list(told)


def _distractors(rng: random.Random) -> list[Entry]:
    return [_entry(line, "", rng) for line in _lines("distractors.txt")]


def _everyday(rng: random.Random, count: int) -> Iterator[Entry]:
    """`count` entries, no two alike, of all frames alike."""
    plain = tomllib.loads(_read("everyday.toml"))
    words: dict[str, list[str]] = plain["words"]
    frames: list[dict[str, list[str]]] = plain["frames"]
    days = (NOW.date() - FIRST).days
    seen: set[str] = set()
    while len(seen) < count:
        frame = rng.choice(frames)
        text = _filled(rng.choice(frame.get("q") or frame["n"]), words, rng)
        answer = _filled(rng.choice(frame["a"]), words, rng) if "a" in frame else ""
        if text + answer not in seen:
            seen.add(text + answer)
            at = _on(FIRST + timedelta(rng.randrange(days + 1)), rng)
            yield Entry(at, "turn" if answer else "note", "", text, answer)


def _filled(piece: str, words: dict[str, list[str]], rng: random.Random) -> str:
    text = _SLOT.sub(lambda slot: rng.choice(words[slot[1]]), piece)
    return text[:1].upper() + text[1:]


def _about_time(line: str, entries: Sequence[Entry], threads: dict[str, set[int]]) -> Question:
    text, *meant = (part.strip() for part in line.split("|"))
    if meant == ["none"]:
        return Question(text, "unknown", frozenset())
    span, thread = meant
    first, last = (date.fromisoformat(day) for day in span.split(".."))
    turns = {
        number for number, entry in enumerate(entries) if entry.kind == "turn" and first <= entry.at.date() <= last
    }
    if thread == "*":
        return Question(text, "time", frozenset(turns))
    return Question(text, "time", frozenset(turns & threads[thread]), frozenset(threads[thread] - turns))


def _entry(line: str, thread: str, rng: random.Random) -> Entry:
    day, kind, rest = re.split(r"[ |]+", line, maxsplit=2)
    text, _, answer = rest.partition(" | ")
    return Entry(_on(date.fromisoformat(day), rng), kind, thread, text, answer)


def _on(day: date, rng: random.Random) -> datetime:
    """Some time between seven in the morning and nine in the evening."""
    return datetime.combine(day, time(7), UTC) + timedelta(seconds=rng.randrange(14 * 3_600))


def _lines(name: str) -> list[str]:
    return [line for line in _read(name).splitlines() if line]


def _read(name: str) -> str:
    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")
