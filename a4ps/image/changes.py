"""Changes as values: what one was, how two contents differ, and how three are brought together slot by slot. Pure."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from a4ps.image.codex import Codex
from a4ps.image.content import Content, Record, Slot, Written, slot_path
from a4ps.image.json_data import canonical
from a4ps.image.methods import Method

NO_DIFFERENCE = "no difference"

Part = tuple[str, str]
"""("codex", ""), ("parents", ""), ("slot", name) or ("method", name): what two changes may touch without a conflict."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one Proto. Its id is `generation`, the commit's number; a commit may change several Protos.

    `base` is the generation of the version before, 0 where the Proto was new. `inherited` marks an ancestor's change in
    a descendant's history. `author`, `reason` and `evidence` are as they were given. `forgotten` says that something of
    it, or of what it made, was forgotten.
    """

    generation: int
    name: str
    base: int
    act: str
    author: str
    reason: str
    at: datetime
    evidence: object = field(default=None, hash=False)
    inherited: bool = False
    forgotten: bool = False

    @classmethod
    def of(
        cls,
        name: str,
        generation: int,
        record: Record | Written,
        at: datetime,
        *,
        inherited: bool = False,
        forgotten: bool = False,
    ) -> Change:
        said = (record.base, record.act, record.author, record.reason)
        return cls(generation, name, *said, at, record.evidence, inherited, forgotten)

    def __str__(self) -> str:
        via = (", inherited" if self.inherited else "") + (", forgotten in part" if self.forgotten else "")
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.generation} {self.at:%Y-%m-%d %H:%M:%S} {self.name} {self.act} by {self.author}{via}{reason}"


@dataclass(frozen=True, slots=True)
class Difference:
    """One part before and after; None where it was not there. Slots are shown by their values."""

    proto: str
    part: Part
    before: object
    after: object

    @property
    def place(self) -> str:
        return part_name(self.proto, self.part)

    @property
    def texts(self) -> tuple[str | None, str | None]:
        """Before and after as texts: a method as its source, a codex as JSON, anything else as Python would write it."""
        return _text_of(self.before), _text_of(self.after)

    def __str__(self) -> str:
        return difference_text(self.proto, self.part, *self.texts)


@dataclass(frozen=True, slots=True)
class Diff:
    """What a change changed; printing it shows it. Empty where before and after are the same."""

    differences: tuple[Difference, ...]

    def __str__(self) -> str:
        return "\n".join(str(each) for each in self.differences) or NO_DIFFERENCE

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.differences)

    def __len__(self) -> int:
        return len(self.differences)


@dataclass(frozen=True, slots=True)
class Merged:
    """The outcome of a merge: a content, or the parts that both sides changed."""

    content: Content | None
    clashes: tuple[Part, ...] = ()


def diff(proto: str, before: Content | None, after: Content | None) -> Diff:
    """The parts in which two contents of one Proto differ: codex, parents, slots, methods; None has no parts."""
    return Diff(
        tuple(
            Difference(proto, part, _value(proto, part, was), _value(proto, part, became))
            for part, was, became in differing(before, after)
        )
    )


def differing(before: Content | None, after: Content | None) -> Iterator[tuple[Part, object, object]]:
    """Each part in which two contents differ, as it was and as it became; a slot is a Slot."""
    old, new = _parts(before), _parts(after)
    for part in dict.fromkeys((*old, *new)):
        if old.get(part) != new.get(part):
            yield part, old.get(part), new.get(part)


def merge(base: Content, mine: Content, theirs: Content) -> Merged:
    """Apply to `theirs` what was done between `base` and `mine`, part by part.

    A part that both changed since `base` is a clash even where both made it the same: two that counted one up have
    counted two, not one.
    """
    was, wanted, merged = _parts(base), _parts(mine), _parts(theirs)
    changed = [part for part in dict.fromkeys((*was, *wanted)) if was.get(part) != wanted.get(part)]
    clashes = tuple(part for part in changed if merged.get(part) != was.get(part))
    if clashes:
        return Merged(None, clashes)
    for part in changed:
        if part in wanted:
            merged[part] = wanted[part]
        else:
            del merged[part]
    return Merged(_content(merged))


def part_name(proto: str, part: Part) -> str:
    """How a part is spelt in messages: BRICK.state["mood"]."""
    kind, name = part
    if kind == "slot":
        return slot_path(proto, name)
    return f"{proto}.{name}" if kind == "method" else f"{proto}.{kind}"


def difference_text(proto: str, part: Part, before: str | None, after: str | None) -> str:
    """How a part became another, for people, from the texts of a `Difference`."""
    place = part_name(proto, part)
    if part[0] == "method":
        return "\n".join((f"{place}:", *_lines((before or "").splitlines(), (after or "").splitlines())))
    was, became = ((None if text is None else _codex(part, text)) for text in (before, after))
    if was is not None and became is not None:
        return "\n".join(_codex_lines(place, was, became))
    lines = [f"{place}:"]
    if before is not None:
        lines.append(f"- {before if was is None else was}")
    if after is not None:
        lines.append(f"+ {after if became is None else became}")
    return "\n".join(lines)


def _codex(part: Part, text: str) -> dict[str, object] | None:
    return dict(json.loads(text)) if part[0] == "codex" else None


def _text_of(value: object) -> str | None:
    if value is None or isinstance(value, Method):
        return None if value is None else value.source
    return json.dumps(value.to_mapping(), ensure_ascii=False) if isinstance(value, Codex) else shown(value)


def _parts(content: Content | None) -> dict[Part, object]:
    if content is None:
        return {}
    parts: dict[Part, object] = {("codex", ""): content.codex, ("parents", ""): content.parents}
    parts.update({("slot", name): slot for name, slot in content.slots.items()})
    parts.update({("method", name): method for name, method in content.methods.items()})
    return parts


def _content(parts: Mapping[Part, Any]) -> Content:
    return Content(
        parts["codex", ""],
        parts["parents", ""],
        {name: value for (kind, name), value in parts.items() if kind == "method"},
        {name: value for (kind, name), value in parts.items() if kind == "slot"},
    )


def _value(proto: str, part: Part, value: object) -> object:
    return value.shown(slot_path(proto, part[1])) if isinstance(value, Slot) else value


def shown(value: object) -> str:
    """A value as Python would write it, or why it cannot be."""
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - nested too deeply, a number too long, or an opaque value's own code
        return f"<{type(value).__name__} that cannot be written out: {type(error).__name__}>"


def _lines(before: list[str], after: list[str]) -> list[str]:
    return [line for line in difflib.ndiff(before, after) if not line.startswith("? ")]


def _codex_lines(place: str, before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    lines = []
    for name, old in before.items():
        new = after[name]
        if isinstance(old, str) and isinstance(new, str) and old != new:
            lines += [f"{place}.{name}:", *_lines(old.splitlines(), new.splitlines())]
        elif canonical(old) != canonical(new):
            lines += [f"{place}.{name}:", f"- {old!r}", f"+ {new!r}"]
    return lines
