"""Read-only views read like what they show and are written nowhere."""

from __future__ import annotations

import copy
import pickle
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import NotInTransaction
from a4ps.image.readonly import Path, holds_view, readonly

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | st.tuples(inner, inner)
        | st.sets(st.integers(), max_size=3)
    ),
    max_leaves=10,
)
Point = namedtuple("Point", "x y")


@dataclass(frozen=True)
class Note:
    text: str
    tags: list[str]


def view(value: object) -> Any:
    return readonly(value, Path("BRICK.state").item("slot"))


@given(PLAIN)
def test_a_view_equals_what_it_shows(value: object) -> None:
    shown = view(value)
    assert shown == value
    assert repr(shown) == repr(value)


@given(PLAIN)
def test_a_deep_copy_of_a_view_is_plain_again(value: object) -> None:
    copied = copy.deepcopy(view(value))
    assert copied == value
    assert type(copied) is type(value)
    assert not holds_view(copied)


WRITES: list[Callable[[Any], object]] = [
    lambda v: v["list"].append(1),
    lambda v: v["list"].extend([1]),
    lambda v: v["list"].insert(0, 1),
    lambda v: v["list"].sort(),
    lambda v: v["list"].reverse(),
    lambda v: v["list"].clear(),
    lambda v: v["list"].pop(),
    lambda v: v["list"].remove(1),
    lambda v: v["list"].__setitem__(0, 2),
    lambda v: v["list"].__delitem__(0),
    lambda v: v["list"].__iadd__([1]),
    lambda v: v["list"].__imul__(2),
    lambda v: v["dict"].update(a=1),
    lambda v: v["dict"].setdefault("b", 1),
    lambda v: v["dict"].pop("a"),
    lambda v: v["dict"].popitem(),
    lambda v: v["dict"].clear(),
    lambda v: v["dict"].__ior__({}),
    lambda v: v["set"].add(3),
    lambda v: v["set"].discard(3),
    lambda v: v["set"].update([3]),
    lambda v: v["set"].__ior__({3}),
    lambda v: v["tuple"][0].append(1),
    lambda v: v["note"].tags.append("x"),
    lambda v: v["point"].x.append("x"),
    lambda v: next(iter(v["list of lists"])).append(1),
    lambda v: v["list of lists"][:][0].append(1),
    lambda v: dict(v.items())["list"].append(1),
]


@pytest.mark.parametrize("write", WRITES)
def test_no_write_gets_through_at_any_depth(write: Callable[[Any], object]) -> None:
    value = {
        "list": [1],
        "dict": {"a": 1},
        "set": {1},
        "tuple": ([],),
        "note": Note("n", []),
        "point": Point([], 1),
        "list of lists": [[]],
    }
    before = copy.deepcopy(value)
    with pytest.raises(NotInTransaction, match=r"transaction\(\)"):
        write(view(value))
    assert value == before


def test_the_error_names_the_place_and_what_to_do() -> None:
    with pytest.raises(NotInTransaction) as refused:
        view({"moods": [{"now": []}]})["moods"][0]["now"].append("calm")
    assert refused.value.path == 'BRICK.state["slot"]["moods"][0]["now"]'
    assert "transaction(" in refused.value.next_step


def test_records_and_named_tuples_keep_their_class() -> None:
    shown = view([Note("n", ["a"]), Point([1], 2)])
    assert isinstance(shown[0], Note)
    assert isinstance(shown[1], Point)
    assert shown[0].tags == ["a"]


def test_what_cannot_be_written_is_shown_itself() -> None:
    point = Point((1, "a"), 2.0)
    assert view(point) is point


def test_a_long_chain_of_unchangeable_records_needs_no_recursion() -> None:
    chain: object = None
    for _ in range(20_000):
        chain = Point(1, chain)
    assert view(chain) is chain
    while chain is not None:  # taken apart here, link by link
        chain = chain.y  # type: ignore[attr-defined]


def test_operators_that_make_new_values_make_plain_ones() -> None:
    more = [2]
    assert type(view([1]) + more) is list
    assert type(view({"a": [1]}) | {"b": 2}) is dict
    assert type(view({1}) | {2}) is set
    grown = view([[1]]) + more
    grown[0].append(2)
    assert grown == [[1, 2], 2]


def test_a_view_is_not_pickled_by_mistake() -> None:
    with pytest.raises(TypeError, match="read-only"):
        pickle.dumps(view([1]))


def test_arrays_are_marked_unwritable() -> None:
    class Array:
        writable = True

        def setflags(self, *, write: bool) -> None:
            self.writable = write

    array = Array()
    assert view(array) is array
    assert not array.writable


def test_a_copy_of_what_is_nested_deeper_than_pythons_recursion() -> None:
    chain: list[object] = []
    for _ in range(10_000):
        chain = [chain]
    copied = copy.deepcopy(view(chain))
    depth = 0
    while copied:
        copied, depth = copied[0], depth + 1
    assert depth == 10_000
