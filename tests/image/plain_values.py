"""Plain values of every kind for Hypothesis, and a comparison that also sees types, aliases and cycles."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

from a4ps.image.codec import register_record


@register_record
@dataclass(frozen=True)
class Point:
    x: object
    y: object = None


@register_record
@dataclass(frozen=True, slots=True)
class Slotted:
    name: str
    content: object = ()


@register_record
@dataclass(frozen=True, eq=False)
class Node:
    """Hashed by identity, so it may be a member of what it holds."""

    next: object


ZONES = [UTC, timezone(timedelta(hours=-3)), timezone(timedelta(seconds=1), "odd"), ZoneInfo("UTC")]


def _closed_on_itself(values: list[Any]) -> list[Any]:
    values.append({"self": values})
    return values


ATOMS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**200), 2**200),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters()),
    st.binary(),
    st.binary().map(bytearray),
    st.datetimes(timezones=st.sampled_from([None, *ZONES])),
    st.dates(),
    st.times(),
    st.times(timezones=st.just(UTC)),
    st.timedeltas(),
    st.sampled_from(ZONES),
    st.decimals(),
    st.uuids(),
    st.builds(datetime, st.just(2026), st.just(10), st.just(25), fold=st.just(1)),
)
HASHABLE = st.one_of(
    st.integers(), st.text(), st.tuples(st.text(), st.booleans()), st.dates(), st.builds(Point, st.text())
)

VALUES: st.SearchStrategy[Any] = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.text(), inner, max_size=4),
        st.dictionaries(HASHABLE, inner, max_size=3),
        st.sets(HASHABLE, max_size=4),
        st.frozensets(HASHABLE, max_size=4),
        st.builds(Point, inner, inner),
        st.builds(Slotted, st.text(), inner),
        st.builds(Node, inner),
        inner.map(lambda value: [value, value]),
        inner.map(lambda value: ((value, 1), value)),
        st.lists(inner, max_size=2).map(_closed_on_itself),
    ),
    max_leaves=25,
)


def shape(value: object) -> list[object]:
    """The value as a flat list of types, atoms and numbers of objects met before, which two equal graphs share.

    Sets are put in the order of their members' own shapes. Identity counts where it can be told: in lists, dicts, sets,
    bytearrays and records.
    """
    told: list[object] = []
    numbers: dict[int, int] = {}
    waiting: list[object] = [value]
    while waiting:
        item: Any = waiting.pop()
        kind = type(item)
        if kind in (list, dict, set, bytearray, Point, Slotted, Node):
            if id(item) in numbers:
                told.append(("again", numbers[id(item)]))
                continue
            numbers[id(item)] = len(numbers)
        parts = list(_parts(item))
        told.append((kind, len(parts)) if parts or kind in (list, dict, tuple, set, frozenset) else _atom(item))
        waiting.extend(reversed(parts))
    return told


def _parts(item: Any) -> Iterable[object]:
    if isinstance(item, dict):
        return [part for pair in item.items() for part in pair]
    if isinstance(item, set | frozenset):
        return sorted(item, key=lambda member: repr(shape(member)))
    if isinstance(item, list | tuple):
        return item
    if isinstance(item, Point):
        return (item.x, item.y)
    if isinstance(item, Slotted):
        return (item.name, item.content)
    return (item.next,) if isinstance(item, Node) else ()


def _atom(item: Any) -> tuple[object, ...]:
    if isinstance(item, float):
        return (float, "nan" if math.isnan(item) else item.hex())
    if isinstance(item, complex):
        return (complex, _atom(item.real), _atom(item.imag))
    if isinstance(item, Decimal):
        return (Decimal, str(item))
    if isinstance(item, datetime | time):
        return (type(item), item.replace(tzinfo=None), item.fold, _atom(item.tzinfo))
    if isinstance(item, timezone | ZoneInfo | UUID | date | timedelta):
        return (type(item), repr(item))
    return (type(item), item)
