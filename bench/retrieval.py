"""Whether the right memory comes back, and nothing else. `python -m bench.retrieval`

Two years of one person's memories in a real image (`retrieval_data.py`), and questions: what the person knows, noted or was
told; what was asked when; and what is not in memory. Put to `Scrapbook.recall` as the settings have it, without vectors and
with them, to SQLite's bm25 alone and to vectors alone; these two also with a floor that lets as many false recalls through
as ours. There is no embedding model here: the vectors are those of the lexical embedding, which know words and no meanings.

Half of the questions is held out: what is tuned, by hand or here, is tuned on the other half. It is no gate: it says what
it found and exits with 0.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from itertools import groupby
from pathlib import Path
from statistics import fmean

import numpy as np

from a4ps.clock import ManualClock
from a4ps.image.keys import KeyFolder
from a4ps.image.store import Store
from a4ps.image.turns import Contribution, Reply, Turn, TurnLog
from a4ps.inference import lexical
from a4ps.memory.following import Means
from a4ps.memory.records import MEMORY, REPLY, Records
from a4ps.memory.scrapbook import Scrapbook
from a4ps.memory.words import content_words
from a4ps.settings import Settings
from bench.machine import machine
from bench.retrieval_data import MEMORIES, NOW, Entry, Question, RetrievalSet, retrieval_set
from bench.verdict import Verdict

HITS = 5
SETTINGS = Settings()

Ranked = list[tuple[int, float]]
Ask = Callable[[Question, int], Awaitable[Ranked]]


class Lexical:
    """The lexical embedding as the model manager would call it."""

    async def embed(self, model: str, texts: Sequence[str]) -> tuple[tuple[float, ...], ...]:
        del model
        return await asyncio.to_thread(lexical.embed_all, texts)

    async def embedder_identity(self) -> str:
        return lexical.NAME


@dataclass(frozen=True, slots=True)
class Answered:
    """What a contender found for a question: places in the set, best first, with scores; and what would enter a prompt."""

    question: Question
    first: Ranked
    prompt: Ranked

    @property
    def reciprocal_rank(self) -> float:
        ranks = (rank for rank, (number, _) in enumerate(self.first, 1) if number in self.question.answers)
        return 1 / next(ranks, float("inf"))

    @property
    def out_of_place(self) -> Ranked:
        wanted = self.question.answers | self.question.related
        return [pair for pair in self.prompt if pair[0] not in wanted]


@dataclass(frozen=True, slots=True)
class Figures:
    """Over some questions. `hit` and `mrr` over those that have an answer, `false` over those that have none: the share for
    which anything was recalled. `irrelevant` memories enter a prompt for a question that has an answer, on average.
    """

    answerable: int
    hit: float
    mrr: float
    irrelevant: float
    unknown: int
    false: float

    @classmethod
    def of(cls, answered: Sequence[Answered]) -> Figures:
        known = [each for each in answered if each.question.answers]
        unknown = [each for each in answered if not each.question.answers]
        return cls(
            len(known),
            _mean([float(each.reciprocal_rank > 0) for each in known]),
            _mean([each.reciprocal_rank for each in known]),
            _mean([float(len(each.out_of_place)) for each in known]),
            len(unknown),
            _mean([float(bool(each.prompt)) for each in unknown]),
        )


Found = dict[str, list[Answered]]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.retrieval", description=__doc__.partition("\n")[0])
    parser.add_argument("--memories", type=int, default=MEMORIES, help=f"how many ({MEMORIES:,})")
    parser.add_argument(
        "--misses", action="store_true", help="name what ours got wrong of the half that may be tuned on"
    )
    parser.add_argument("--json", action="store_true", help="one object in place of the tables")
    given = parser.parse_args(arguments)
    asked = retrieval_set(given.memories)
    with tempfile.TemporaryDirectory(prefix="a4ps-bench-") as name:
        found = asyncio.run(measure(asked, Path(name)))
    verdicts = judge(found)
    if given.json:
        print(json.dumps({"machine": machine(), **_plain(asked, found), "verdicts": [str(each) for each in verdicts]}))
        return
    _tell(asked, found, verdicts)
    if given.misses:
        _tell_misses(asked, found["ours"])


async def measure(asked: RetrievalSet, folder: Path) -> Found:
    clock = ManualClock(NOW)
    with Store.open(folder / "image.a4ps", KeyFolder(folder / "keys"), clock) as store:
        log = TurnLog(store)
        records = Records(store, log)
        places = await _fill(asked.entries, records, log, clock)
        clock.at = NOW
        means = Means(Lexical(), folder / "index", clock, SETTINGS.vector_floor)
        alone, both = Scrapbook(records), Scrapbook(records, means)
        await both.even()
        if not both.has_vectors:
            raise RuntimeError(f"no vectors: {both.fault}")
        contenders = {
            "ours": _recalling(alone, places),
            "ours with vectors": _recalling(both, places),
            "full text alone": _full_text(store, places),
            "vectors alone": _vectors(records, places),
        }
        found: Found = {}
        for name, ask in contenders.items():
            found[name] = [
                Answered(each, await ask(each, HITS), await ask(each, SETTINGS.recall_limit))
                for each in asked.questions
            ]
        await both.aclose()
    let_through = Figures.of(_half(found["ours"], held_out=False)).false
    for name in ("full text alone", "vectors alone"):
        found[f"{name}, floor"] = _floored(found[name], let_through)
    return found


async def _fill(entries: Sequence[Entry], records: Records, log: TurnLog, clock: ManualClock) -> dict[str, int]:
    """Every entry into the image at its time. Returns the id of each memory → the entry's place."""
    places: dict[str, int] = {}
    for (at, kind), group in groupby(enumerate(entries), key=lambda pair: (pair[1].at, pair[1].kind)):
        some = list(group)
        texts = [entry.text for _, entry in some]
        clock.at = at
        if kind == "turn":
            ids = [await _hear(log, clock, entry.text, entry.answer) for _, entry in some]
        elif kind == "note":
            notes = [records.note(text) for text in texts]
            records.add(notes)
            ids = [note.id for note in notes]
        else:
            document = records.begin_document(kind, sha256("\n".join(texts).encode()).hexdigest(), len(texts))
            ids = [part.id for part in records.add_parts(document, texts, 1, last=True)]
        places.update(zip(ids, (number for number, _ in some), strict=True))
    return places


async def _hear(log: TurnLog, clock: ManualClock, question: str, answer: str) -> str:
    turn = await log.accept(Turn("", question, clock.now(), "llamacpp", {}, {}))
    said = Contribution("ALFRED", "synthesis", answer, "none", 1, 1, 1.0)
    await log.answer(turn, Reply((said,), None, False, 1, 1.0, 0.0))
    return turn.id


def _recalling(scrapbook: Scrapbook, places: dict[str, int]) -> Ask:
    async def ask(question: Question, limit: int) -> Ranked:
        found = await scrapbook.recall(question.text, NOW, limit=limit, floor=SETTINGS.recall_floor, rehearsed=False)
        return [(places[memory.id], memory.score) for memory in found]

    return ask


def _full_text(store: Store, places: dict[str, int]) -> Ask:
    """Any of the question's words, ranked by SQLite's bm25; no floor."""

    async def ask(question: Question, limit: int) -> Ranked:
        match = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", question.text))
        return [(places[each.key], each.score) for each in store.search(match, kind=(REPLY, MEMORY), limit=limit)]

    return ask


def _vectors(records: Records, places: dict[str, int]) -> Ask:
    """The greatest cosines, by looking at all; no floor."""
    memories = list(records.walk())
    matrix = np.asarray(lexical.embed_all([memory.text for memory in memories]), np.float32)

    async def ask(question: Question, limit: int) -> Ranked:
        cosines = matrix @ np.asarray(lexical.embed(question.text), np.float32)
        best = np.argsort(-cosines, kind="stable")[:limit]
        return [(places[memories[place].id], float(cosines[place])) for place in best]

    return ask


def _floored(answered: Sequence[Answered], false: float) -> list[Answered]:
    """With the lowest floor under which the half that may be tuned on has at most that share of false recalls."""
    unknown = [each for each in _half(answered, held_out=False) if not each.question.answers]
    scores = sorted((each.prompt[0][1] for each in unknown if each.prompt), reverse=True)
    let_through = round(false * len(unknown))
    floor = scores[let_through] if let_through < len(scores) else float("-inf")

    def above(ranked: Ranked) -> Ranked:
        return [pair for pair in ranked if pair[1] > floor]

    return [Answered(each.question, above(each.first), above(each.prompt)) for each in answered]


def judge(found: Found) -> list[Verdict]:
    """On the half that is held out. The issue asks to be compared with either alone; the last three bars are ours."""
    held = {name: Figures.of(_half(answered, held_out=True)) for name, answered in found.items()}
    ours, both, bare = held["ours"], held["ours with vectors"], held["full text alone"]
    words, vectors = held["full text alone, floor"], held["vectors alone, floor"]
    return [
        Verdict("hit@5 of ours less full text alone with a floor", ours.hit - words.hit, ">=", 0.0),
        Verdict("hit@5 of ours less vectors alone with a floor", ours.hit - vectors.hit, ">=", 0.0),
        Verdict("hit@5 with vectors less that without", both.hit - ours.hit, ">=", 0.0, "lexical vectors"),
        Verdict("hit@5 of ours to full text alone without a floor", ours.hit / bare.hit, ">=", 0.9),
        Verdict("false recalls, share of what is not in memory", ours.false, "<=", 0.1),
        Verdict("irrelevant memories in a prompt, a question", ours.irrelevant, "<=", 0.5),
    ]


def _half(answered: Sequence[Answered], *, held_out: bool) -> list[Answered]:
    return [each for each in answered if each.question.held_out is held_out]


GROUPS = (
    "fact, most words alike",
    "fact, some words alike",
    "fact, hardly a word alike",
    "about the conversation",
    "not in memory",
)


def group_of(question: Question, entries: Sequence[Entry]) -> str:
    """What kind of question it is; a fact's by how many of its content words its memory has as they are."""
    if question.kind != "fact":
        return GROUPS[3] if question.kind == "time" else GROUPS[4]
    (answer,) = question.answers
    words = content_words(question.text)
    said = set(content_words(f"{entries[answer].text} {entries[answer].answer}"))
    share = sum(word in said for word in words) / max(1, len(words))
    return GROUPS[0] if share > 0.5 else GROUPS[1] if share > 0.2 else GROUPS[2]


def _by_group(asked: RetrievalSet, answered: Sequence[Answered]) -> dict[str, Figures]:
    return {
        group: Figures.of([each for each in answered if group_of(each.question, asked.entries) == group])
        for group in GROUPS
    }


def _plain(asked: RetrievalSet, found: Found) -> dict[str, object]:
    halves = {
        half: {name: asdict(Figures.of(_half(answered, held_out=held))) for name, answered in found.items()}
        for half, held in (("tuned", False), ("held_out", True))
    }
    groups = {
        name: {group: asdict(each) for group, each in _by_group(asked, _half(answered, held_out=True)).items()}
        for name, answered in found.items()
    }
    counts = {"memories": len(asked.entries), "by_hand": asked.by_hand, "questions": len(asked.questions)}
    return {**counts, "embedder": lexical.NAME, "figures": halves, "held_out_by_group": groups}


def _tell(asked: RetrievalSet, found: Found, verdicts: Sequence[Verdict]) -> None:
    print("\n".join(f"{name:8} {value}" for name, value in machine().items()))
    print(f"\n{len(asked.entries):,} memories, {asked.by_hand} of them by hand; {len(asked.questions)} questions")
    print("vectors: the lexical embedding, words hashed; no embedding model is here\n")
    for title, held in (("the half that may be tuned on", False), ("the half that is held out", True)):
        halves = {name: Figures.of(_half(answered, held_out=held)) for name, answered in found.items()}
        ours = halves["ours"]
        print(f"{title:32}{'hit@5':>8}{'MRR':>8}{'irrelevant':>12}{'false':>8}")
        for name, each in halves.items():
            print(f"{name:32}{each.hit:>8.3f}{each.mrr:>8.3f}{each.irrelevant:>12.2f}{each.false:>8.3f}")
        print(f"{ours.answerable} questions with an answer, {ours.unknown} without\n")
    names = [name for name in found if "," not in name]
    print(f"{'hit@5, held out':32}{'questions':>10}" + "".join(f"{name:>19}" for name in names))
    groups = {name: _by_group(asked, _half(found[name], held_out=True)) for name in names}
    for group in GROUPS[:-1]:
        hits = "".join(f"{groups[name][group].hit:>19.3f}" for name in names)
        print(f"{group:32}{groups['ours'][group].answerable:>10}{hits}")
    print(
        f"\nirrelevant: of the {SETTINGS.recall_limit} memories at most that enter a prompt, those of another thread, a "
        "question; false: the share of\nquestions without an answer for which anything is recalled; floor: one that "
        "lets as many false recalls through as ours\non the half that may be tuned on.\n"
    )
    print("\n".join(map(str, verdicts)))


def _tell_misses(asked: RetrievalSet, answered: Sequence[Answered]) -> None:
    """Only of the half that may be looked at."""

    def line(number: int) -> str:
        entry = asked.entries[number]
        return f"{entry.at:%Y-%m-%d} {entry.text} {entry.answer}"

    for each in _half(answered, held_out=False):
        question = each.question
        if question.answers and not each.reciprocal_rank:
            print(f"\nmissed: {question.text}\n        {line(min(question.answers))}")
        if each.out_of_place:
            print(f"\n{'irrelevant' if question.answers else 'false'}: {question.text}")
            print("\n".join(f"  {score:.2f}  {line(number)}" for number, score in each.out_of_place))


def _mean(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


if __name__ == "__main__":
    main()
