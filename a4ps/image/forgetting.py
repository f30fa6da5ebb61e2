"""The image as a holder of words: where it holds or derives from what is sought, and how that is forgotten for good.

A forgetting walks through three states, each a commit, so that it can go on wherever it was cut off:

    begun       a `forgetting` row says what is sought: the one place where the words are kept meanwhile
    forgotten   tombstones are in place of all that held it, that row included, and a `forgot` row names them
    done        a `scrubbed` row: the log was emptied since, so no page is left of how the image was

Between the first two, what is current and holds the words besides other things is changed as by anybody, so that it has
a change of its own. Turns go whole, and so do those that recalled one that goes, and those that recalled these.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from a4ps.errors import Conflict, UsageError
from a4ps.governance.trust import ARCHITECT
from a4ps.holders import TextPlace
from a4ps.image.changes import Part, part_name
from a4ps.image.content import Content, Slot, slot_path, unpack_record
from a4ps.image.proposal import GONE, KIND, delta_of
from a4ps.image.proto_bars import barred_content, barred_record, holding_parts, parts_of_record
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import GONE_SUFFIX, PackedRow, Row, StoredRow, pack
from a4ps.image.store import Store
from a4ps.image.tombstones import FORGETTING, FORGETTING_KINDS, FORGOT, FORGOTTEN, SCRUBBED
from a4ps.image.treatments import (
    IMAGE_TREATMENTS,
    ODD,
    TURN,
    UNKNOWN,
    Treatment,
    Treatments,
    barred_author,
    treatment_of,
)
from a4ps.sought import Sought, Thing

ProtoRule = Callable[[Mapping[str, Any], Sought], Mapping[str, Any] | None]
"""What is to become of the state of a Proto that holds what is sought; None where it is to be removed. Given a copy."""

COLUMNS_WITH_WORDS: Final = {
    "commits.author": "barred, and signed anew",
    "commits.reason": "barred, and signed anew",
    "rows.kind": "replaced with its row",
    "rows.key": "replaced with its row",
    "rows.body": "replaced by what is left of it",
    "search.text": "made anew from the rows",
}
"""Every column of the image in which a person's words can be, and what becomes of them there."""

REASON: Final = "forgotten"
"""What commits of a forgetting say by themselves: a word that cannot be sought, as it stands for what was forgotten."""

_OWN = frozenset({FORGOT, SCRUBBED})
_TRIES = 5


@dataclass(slots=True)
class _Survey:
    """What one walk through the image has met."""

    sources: dict[Thing, set[Thing]] = field(default_factory=dict)
    same: dict[Thing, set[Thing]] = field(default_factory=dict)
    wholes: dict[Thing, Thing] = field(default_factory=dict)
    says: dict[Thing, list[str]] = field(default_factory=dict)
    holding: dict[Thing, None] = field(default_factory=dict)
    parts: Counter[tuple[str, Part]] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    resting: list[tuple[str, int, Thing]] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    named_by: dict[Thing, list[str]] = field(default_factory=dict)
    left: dict[tuple[Thing, str], None] = field(default_factory=dict)
    partly: list[tuple[str, Thing]] = field(default_factory=list)

    def closure(self, sought: Sought) -> tuple[dict[Thing, None], dict[Thing, Thing]]:
        """The things that hold or are what is sought, and those that derive from them, each with its source."""
        first = self._with_same([*(thing for thing in sought.things if thing in self.says), *self.holding])
        derived: dict[Thing, Thing] = {}
        if not sought.spare_derived:
            gone = set(first)
            grown = True
            while grown:
                new = {
                    thing: min(gone & sources)
                    for thing, sources in self.sources.items()
                    if thing not in gone and gone & sources
                }
                derived.update(new)
                gone.update(new)
                grown = bool(new)
        return first, derived

    def _with_same(self, things: Iterable[Thing]) -> dict[Thing, None]:
        """Those, and what is one with them."""
        found = dict.fromkeys(things)
        new = list(found)
        while new:
            new = [other for thing in new for other in sorted(self.same.get(thing, ())) if other not in found]
            found.update(dict.fromkeys(new))
        return {thing: None for thing in found if thing in self.says}


class ImageTexts:
    """A HolderOfText over one open image. `rules` say by the beginning of a Proto's name what else is to become of it."""

    name = "image"

    def __init__(
        self,
        manager: ProtoManager,
        treatments: Treatments = IMAGE_TREATMENTS,
        rules: Mapping[str, ProtoRule] | None = None,
    ) -> None:
        self._manager = manager
        self._store = manager.store
        self._treatments = treatments
        self._rules = rules or {}

    @property
    def store(self) -> Store:
        return self._store

    def holds_file(self, path: Path) -> bool:
        own = self._store.path
        return path in {own.with_name(own.name + suffix) for suffix in ("", "-wal", "-shm", ".lock")}

    def thing_of(self, key: str) -> Thing | None:
        """The thing that a person names by `key`, such as a turn by its number; None where there is none."""
        for kind, treatment in self._treatments.items():
            if treatment.addressed and self._store.head(kind, key) is not None:
                return _thing(kind, key, treatment)
        return None

    def words_by(self, thing: Thing) -> list[str]:
        """The words by which what `thing` holds is found elsewhere."""
        return self._survey(Sought(things=(thing,))).named_by.get(thing, [])

    def going_with(self, sought: Sought) -> dict[Thing, list[str]]:
        """All things that are forgotten with what is sought; of turns, the words by which each is found elsewhere."""
        survey = self._survey(sought)
        first, derived = survey.closure(sought)
        return {thing: survey.named_by.get(thing, []) if thing[0] == TURN else [] for thing in (*first, *derived)}

    def find(self, sought: Sought) -> list[TextPlace]:
        """Raises UsageError where what is sought is in the name of a Proto that is there."""
        self._need_no_names(sought)
        survey = self._survey(sought)
        first, derived = survey.closure(sought)
        places = [
            *(self._place(what, "holds") for what in _all_spelt(first, survey)),
            *(
                self._place(f"{_spelt(thing, survey)}: rests on {' '.join(source)}", "derives")
                for thing, source in derived.items()
            ),
            *(self._place(_versions(name, part, count), "holds") for (name, part), count in survey.parts.items()),
            *(self._place(f"{what}{_times(count)}", "holds") for what, count in survey.others.items()),
        ]
        gone = {**first, **derived}
        counted = Counter(f"{says}: rests on {' '.join(source)}" for says, source in survey.partly if source in gone)
        places += [self._place(f"{what}{_times(count)}", "derives") for what, count in counted.items()]
        for name, generation, thing in survey.resting:
            if thing in gone:
                step = f"look at it: a4ps image diff {generation}; and undo it: a4ps image revert {generation}"
                where = f"change {generation} of {name} rests on {' '.join(thing)}"
                places.append(TextPlace(self.name, where, "named", step))
        for thing in first:
            if thing[0] != TURN:
                places.extend(self._staying(thing, source) for source in sorted(survey.sources[thing] - gone.keys()))
        for thing, path in survey.left:
            if thing in gone:
                where = f"{path}, which {' '.join(thing)} had written"
                places.append(TextPlace(self.name, where, "named", f"look at it, and remove it: rm {path}"))
        return places

    def begin(self, sought: Sought, *, reason: str = REASON) -> None:
        """Record durably that a forgetting has begun. Raises UsageError as `find`; nothing has begun then."""
        self._need_no_names(sought)
        # A name of its own, so that of two that begin at once neither is taken for the older of one.
        name = secrets.token_hex(8)
        self._store.commit([Row(FORGETTING, name, sought.to_json())], author=ARCHITECT, reason=reason)

    def begun(self) -> list[Sought]:
        """What was begun to be forgotten and is not yet, oldest first."""
        rows = self._store.newest(FORGETTING, limit=1_000_000)
        return [Sought.from_json(row.payload) for row in sorted(rows, key=lambda row: row.place)]

    @property
    def unfinished(self) -> bool:
        """Whether a forgetting was cut off."""
        return is_unfinished(self._store)

    def remove(self, sought: Sought, *, reason: str = REASON) -> None:
        """Forget what is sought, and that it was begun; nothing is left when this returns, but for a Proto's name that
        came into use meanwhile. `reason` is for the history.

        Raises Conflict where others go on changing the same Protos, IntegrityError, DiskFull, StorageFailed; what was
        begun stays so then.
        """
        self._change_the_present(sought, reason)
        first, derived = self._survey(sought).closure(sought)
        in_use = frozenset(self._manager.names())
        redaction = _Redaction(sought, frozenset({**first, **derived}), in_use, self._treatments)
        self._store.forget(redaction, author=ARCHITECT, reason=reason)
        self.finish()

    def finish(self) -> None:
        """Take the last step of what was forgotten and not scrubbed yet."""
        open_keys = self._store.keys_without(FORGOT, SCRUBBED)
        if open_keys:
            self._store.scrub()
            rows = [Row(SCRUBBED, key, b"") for key in open_keys]
            self._store.commit(rows, author=ARCHITECT, reason=REASON)

    def _staying(self, thing: Thing, source: Thing) -> TextPlace:
        """What a fact was made of says as much as the fact; it is the person's to decide."""
        where = f"{' '.join(source)}, which {' '.join(thing)} was made of, stays"
        return TextPlace(self.name, where, "named", f"forget it as well: a4ps memory forget {source[1]}")

    def _place(self, where: str, relation: Any) -> TextPlace:
        return TextPlace(self.name, where, relation)

    def _survey(self, sought: Sought) -> _Survey:
        survey = _Survey()
        for row, text in self._store.walk():
            if row.kind == KIND:
                self._survey_proto(survey, row, sought)
            elif row.kind not in _OWN and row.kind not in (FORGETTING, FORGOTTEN):
                self._survey_row(survey, row, text, sought)
        for commit in self._store.commits():
            left = _words_left(commit.author, commit.reason, sought)
            if left != (commit.author, commit.reason):
                survey.others["what commits say of themselves"] += 1
        return survey

    def _survey_row(self, survey: _Survey, row: StoredRow, text: str, sought: Sought) -> None:
        treatment = treatment_of(row.kind, self._treatments)
        holds = row_holds(row.kind, row.key, row.payload, text, self._treatments, sought)
        if treatment.without is not None or row.kind.endswith(GONE_SUFFIX):
            says = treatment.says or row.kind
            if holds:
                survey.others[says] += 1
            elif treatment.without is not None:
                survey.partly.extend((says, source) for source in set(treatment.sources_in(row.key, row.payload)))
            return
        thing = _thing(row.kind, row.key, treatment)
        survey.says.setdefault(thing, []).append(treatment.says or row.kind)
        survey.sources.setdefault(thing, set()).update(treatment.sources_in(row.key, row.payload))
        for other in treatment.same_in(row.key, row.payload):
            survey.same.setdefault(thing, set()).add(other)
            survey.same.setdefault(other, set()).add(thing)
        for whole in treatment.part_of_in(row.key, row.payload):
            survey.same.setdefault(whole, set()).add(thing)
            survey.wholes[thing] = whole
        survey.left.update(dict.fromkeys((thing, path) for path in treatment.leaves_in(row.payload)))
        if thing in sought.things or thing[0] == TURN:
            survey.named_by.setdefault(thing, []).extend(treatment.named_by_in(row.payload))
        if holds:
            survey.holding[thing] = None

    def _survey_proto(self, survey: _Survey, row: StoredRow, sought: Sought) -> None:
        if sought.in_text(row.key):
            survey.others["a Proto that was removed"] += 1
            return
        for part in parts_of_record(row.payload, sought):
            survey.parts[row.key, part] += 1
        for thing in _turns_in(unpack_record(row.payload).evidence):
            survey.resting.append((row.key, row.generation, thing))

    def _need_no_names(self, sought: Sought) -> None:
        named = [name for name in self._manager.names() if sought.in_text(name)]
        if named:
            raise UsageError(
                f"this is in the name of {', '.join(named)}, which is in use",
                next_step="remove it first (a tool: a4ps tools remove NAME), or look for other words",
            )

    def _change_the_present(self, sought: Sought, reason: str) -> None:
        for attempt in range(_TRIES):
            pin = self._manager.pin()
            deltas = []
            for name, proto in pin.items():
                base = proto.current
                content = self._content_without(name, base.content, sought)
                if content is not base.content:
                    deltas.append(delta_of(name, base, content, act="forget", author=ARCHITECT, reason=reason))
            if not deltas:
                return
            try:
                self._manager.commit(deltas, ARCHITECT, reason)
            except Conflict:
                if attempt == _TRIES - 1:
                    raise

    def _content_without(self, name: str, content: Content, sought: Sought) -> Content | None:
        if not any(True for _ in holding_parts(content, sought)):
            return content
        for prefix, rule in self._rules.items():
            if name.startswith(prefix):
                state = {slot: kept.fresh(slot_path(name, slot)) for slot, kept in content.slots.items()}
                left = rule(state, sought)
                if left is None:
                    return None
                slots = {
                    slot: content.slots[slot] if value is state.get(slot) else Slot.of(value, slot_path(name, slot))
                    for slot, value in left.items()
                }
                content = Content(content.codex, content.parents, content.methods, slots)
        return barred_content(content, sought)


def is_unfinished(store: Store) -> bool:
    """Whether a forgetting was cut off in an image."""
    return bool(store.newest(FORGETTING, limit=1) or store.keys_without(FORGOT, SCRUBBED))


class _Redaction:
    """See redaction.Redaction."""

    def __init__(
        self, sought: Sought, things: frozenset[Thing], in_use: frozenset[str], treatments: Treatments
    ) -> None:
        self._sought = sought
        self._things = things
        self._in_use = in_use
        self._treatments = treatments

    def row(self, row: StoredRow, text: str) -> PackedRow | None:
        sought = self._sought
        if row.kind in _OWN:
            return None
        if row.kind == FORGETTING:
            # Another one that was begun still has to be finished.
            return self._nothing_of(row) if row.payload == sought.to_json() else None
        if row.kind == FORGOTTEN:
            return self._nothing_of(row) if sought.in_text(row.key) else None
        if row.kind in (KIND, GONE):
            if sought.in_text(row.key) and row.key not in self._in_use:
                return self._nothing_of(row)
            if row.kind == KIND and any(True for _ in parts_of_record(row.payload, sought)):
                return pack(Row(row.kind, row.key, barred_record(row.payload, sought)))
            return None
        treatment = treatment_of(row.kind, self._treatments)
        holds = row_holds(row.kind, row.key, row.payload, text, self._treatments, sought)
        if treatment.without is None:
            return self._nothing_of(row) if holds or _thing(row.kind, row.key, treatment) in self._things else None
        if not holds and self._things.isdisjoint(treatment.sources_in(row.key, row.payload)):
            return None
        try:
            payload = treatment.without(row.payload, replace(sought, things=tuple(self._things)))
        except ODD:
            return self._nothing_of(row)
        return pack(Row(row.kind, sought.barred(row.key), payload, sought.barred(text)))

    def words(self, author: str, reason: str) -> tuple[str, str]:
        return _words_left(author, reason, self._sought)

    def _nothing_of(self, row: StoredRow) -> PackedRow:
        named = row.kind if self._sought.in_text(row.key) else f"{row.kind} {row.key}"
        if not _is_ours(row.kind, self._treatments) and self._sought.in_text(row.kind):
            named = ""
        return pack(Row(FORGOTTEN, named, b""))


def _words_left(author: str, reason: str, sought: Sought) -> tuple[str, str]:
    return barred_author(author, sought), sought.barred(reason)


def row_holds(kind: str, key: str, payload: bytes, text: str, treatments: Treatments, sought: Sought) -> bool:
    """Whether a row of another kind than Protos holds what is sought."""
    words = treatment_of(kind, treatments).words_in(payload)
    named = (key,) if _is_ours(kind, treatments) else (kind, key)
    return any(map(sought.in_text, (*named, text, *words)))


def _is_ours(kind: str, treatments: Treatments) -> bool:
    """Whether a kind is one of our own words, and not one that came with somebody else's image."""
    described = treatment_of(kind.removesuffix(GONE_SUFFIX), treatments) is not UNKNOWN
    return described or kind in FORGETTING_KINDS or kind in (KIND, GONE)


def _thing(kind: str, key: str, treatment: Treatment) -> Thing:
    return (kind, key) if treatment.thing is None else treatment.thing(key)


def _turns_in(evidence: object) -> Iterable[Thing]:
    """The turns that a change names as its evidence: {"turn": 1} or {"turns": [1, 2]}."""
    if not isinstance(evidence, Mapping):
        return []
    named = evidence.get("turns")
    turns = [evidence.get("turn"), *(named if isinstance(named, Sequence) and not isinstance(named, str) else ())]
    return [(TURN, str(turn)) for turn in turns if isinstance(turn, int | str)]


def _spelt(thing: Thing, survey: _Survey) -> str:
    says = dict.fromkeys(survey.says.get(thing, ()))
    kind, key = thing
    return f"{kind} {key}: {', '.join(says)}" if set(says) != {kind} else f"{kind} {key}"


def _all_spelt(things: Mapping[Thing, None], survey: _Survey) -> Iterable[str]:
    """Each in a line, but for the parts of what goes as well."""
    parts = Counter(whole for thing in things if (whole := survey.wholes.get(thing)) in things)
    for thing in things:
        if survey.wholes.get(thing) not in things:
            count = parts[thing]
            yield _spelt(thing, survey) + (f", in {count:,} part{'' if count == 1 else 's'}" if count else "")


def _versions(name: str, part: Part, count: int) -> str:
    if part[0] == "change":
        return f"{name}: what its changes say of themselves{_times(count)}"
    return f"{part_name(name, part)}{_times(count)}"


def _times(count: int) -> str:
    return f", in {count:,} rows" if count > 1 else ""
