"""How rows of each kind are forgotten: which are one thing, what they derive from, what may be left of one. Pure.

A kind that is not named here or by whoever makes its rows is forgotten whole, with all rows of its key: nothing is left by
oversight. tests/kernel/test_holders.py fails for a kind that nobody has thought about.

What is compared with what is sought are the words in a row, not the names of its fields, which are our own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from a4ps.governance.trust import needs_promotion
from a4ps.sought import Sought, Thing

TURN: Final = "turn"


def words_of(payload: bytes) -> Iterator[str]:
    """Every text in JSON but the names of its outermost fields; of anything else all of it, as one text."""
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        yield payload.decode("utf-8", "replace")
        return
    yield from _texts(list(value.values()) if isinstance(value, dict) else value)


def no_words(payload: bytes) -> Iterable[str]:
    """Of a kind that holds numbers and names of our own only."""
    del payload
    return ()


def _no_sources(key: str, payload: bytes) -> Iterable[Thing]:
    del key, payload
    return ()


@dataclass(frozen=True, slots=True)
class Treatment:
    """Of one kind of rows.

    `thing`, given a row's key, is what the row is part of: its rows, of whatever kinds, are forgotten whole and together.
    None means the kind and the key. `same`, given key and payload, are things that are one with it, or names that it
    shares with such: who means one of them means all. `part_of` are things that it goes with, but not they with it.
    `says` is how a plan calls such a row, "" for the kind's name. `words` are the texts that somebody said or wrote.
    `sources`, given key and payload, are the things that a row derives from. `named_by` are the words by which what it
    holds is found elsewhere; `addressed`: a person can name such a row by its key. `without` makes a payload without what
    is sought, for a kind of which the rest is kept; where it raises one of ODD, the whole row goes. `leaves` are the paths
    of files that were written elsewhere by what a row tells of.
    """

    says: str = ""
    thing: Callable[[str], Thing] | None = None
    words: Callable[[bytes], Iterable[str]] = words_of
    sources: Callable[[str, bytes], Iterable[Thing]] = _no_sources
    named_by: Callable[[bytes], Iterable[str]] = no_words
    addressed: bool = False
    same: Callable[[str, bytes], Iterable[Thing]] = _no_sources
    part_of: Callable[[str, bytes], Iterable[Thing]] = _no_sources
    leaves: Callable[[bytes], Iterable[str]] = no_words
    without: Callable[[bytes, Sought], bytes] | None = None

    def words_in(self, payload: bytes) -> list[str]:
        """`words`, and where the payload is not as ours are, as one taken over from elsewhere may be, all there are."""
        try:
            return list(self.words(payload)) if payload else []
        except ODD:
            return list(words_of(payload))

    def sources_in(self, key: str, payload: bytes) -> list[Thing]:
        """`sources`, none where the payload is not as ours are."""
        try:
            return list(self.sources(key, payload)) if payload else []
        except ODD:
            return []

    def same_in(self, key: str, payload: bytes) -> list[Thing]:
        """`same`, none where the payload is not as ours are."""
        try:
            return list(self.same(key, payload)) if payload else []
        except ODD:
            return []

    def part_of_in(self, key: str, payload: bytes) -> list[Thing]:
        """`part_of`, none where the payload is not as ours are."""
        try:
            return list(self.part_of(key, payload)) if payload else []
        except ODD:
            return []

    def leaves_in(self, payload: bytes) -> list[str]:
        """`leaves`, none where the payload is not as ours are."""
        try:
            return list(self.leaves(payload)) if payload else []
        except ODD:
            return []

    def named_by_in(self, payload: bytes) -> list[str]:
        """`named_by`, none where the payload is not as ours are."""
        try:
            return list(self.named_by(payload)) if payload else []
        except ODD:
            return []


ODD: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)
"""What reading a payload may raise that is not as our writers make it."""

Treatments = Mapping[str, Treatment]
"""By kind; what ends with a colon is for all kinds that begin so."""

UNKNOWN: Final = Treatment()


def treatment_of(kind: str, treatments: Treatments) -> Treatment:
    """UNKNOWN for a kind that nobody has described."""
    family, colon, _ = kind.partition(":")
    return treatments.get(kind) or treatments.get(family + colon, UNKNOWN)


def barred_fields(payload: bytes, sought: Sought) -> bytes:
    """A JSON object, or a list of them, with bars in the values of its fields. Raises ValueError, RecursionError."""
    value = json.loads(payload)
    barred = [_barred(each, sought) for each in value] if isinstance(value, list) else _barred(value, sought)
    return packed_json(barred)


def packed_json(value: object) -> bytes:
    """As the image's own writers spell it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def barred_author(author: str, sought: Sought) -> str:
    """An author's name is what trust goes by: the Architect's and the package's are our own words, and stay."""
    return sought.barred(author) if needs_promotion(author) else author


def _barred(fields: dict[str, Any], sought: Sought) -> dict[str, Any]:
    return {
        name: barred_author(value, sought) if name in ("author", "by") else sought.barred_value(value)
        for name, value in fields.items()
    }


def _barred_promotion(payload: bytes, sought: Sought) -> bytes:
    """What decides where a text runs stays; a folder that cannot be named any more is no longer granted."""
    fields = json.loads(payload)
    fields["reason"] = sought.barred(fields["reason"])
    for name in ("folders", "writable"):
        if name in fields:
            fields[name] = [folder for folder in fields[name] if not sought.in_text(folder)]
    return packed_json(fields)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield str(name)
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _said(payload: bytes) -> Iterator[str]:
    """In a reply, what somebody said; who and what said it are our own words."""
    reply = json.loads(payload)
    yield from (each["text"] for each in reply["contributions"])
    yield from reply["notes"]
    yield from (mind[said] for mind in reply.get("minds", ()) for said in ("point", "before", "after"))


def _asked(payload: bytes) -> list[str]:
    return [json.loads(payload)["question"]]


def _recalled(key: str, payload: bytes) -> list[Thing]:
    del key
    return [remembered(str(memory["id"])) for memory in json.loads(payload)["memories_used"]]


def _asked_before(key: str, payload: bytes) -> list[Thing]:
    """A rerun repeats the question of another turn."""
    del key
    again = json.loads(payload).get("again")
    return [turn_of(again)] if again else []


def _numbers(payload: bytes, sought: Sought) -> bytes:
    del sought
    return payload


def turn_of(key: str) -> Thing:
    """The turn of this number."""
    return TURN, key


def remembered(id_: str) -> Thing:
    """A memory: a turn is one, under its number."""
    return turn_of(id_) if id_.isdecimal() else ("memory", id_)


def _turn_of_approval(key: str) -> Thing:
    """An approval's key is TURN.COUNT."""
    return turn_of(key.partition(".")[0])


def _turn_of_effect(key: str) -> Thing:
    """An effect's key is TURN/STEP/ORDINAL."""
    return turn_of(key.partition("/")[0])


def _written(payload: bytes) -> list[str]:
    """The file that an effect wrote, or was about to write when it was cut off."""
    action = json.loads(payload)["action"]
    return [str(action["destination"])] if action["kind"] == "file-write" else []


def _approval(key: str, payload: bytes) -> list[Thing]:
    """What was agreed to for good ends with the approval that says so."""
    del key
    return [_turn_of_approval(str(json.loads(payload)["approval"]))]


IMAGE_TREATMENTS: Final[Treatments] = {
    "turn": Treatment("the question", turn_of, _asked, _asked_before, _asked, addressed=True),
    "reply": Treatment("what was said", turn_of, _said, sources=_recalled),
    "stop": Treatment("why it ended", turn_of),
    "resume": Treatment("that it was resumed", turn_of),
    "effect": Treatment("what it did", _turn_of_effect, leaves=_written),
    "approval": Treatment("an approval", _turn_of_approval),
    "approval-kept": Treatment("an approval for good", words=no_words, sources=_approval),
    "trust": Treatment(says="a promotion", without=_barred_promotion),
    "series": Treatment("figures", words=no_words),
    "probe": Treatment("figures", words=no_words),
    "gauge": Treatment("figures", words=no_words),
    "model": Treatment(says="a model"),
    "model-context": Treatment(says="a model"),
    "loaded": Treatment(says="a takeover", words=no_words, without=_numbers),
    "loaded-history": Treatment(says="earlier changes", without=barred_fields),
    "restored": Treatment(says="a restore", without=barred_fields),
    "migrated": Treatment(says="a migration", without=barred_fields),
    "command": Treatment("a client's command", words=no_words),
}
"""The kinds that the image itself makes, but for Protos, which proto_bars.py looks into, and what tombstones.py is about."""
