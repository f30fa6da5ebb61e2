"""A slot's value as a tree: what is set at a path is found there, all else stays, and what cannot be is refused."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from a4ps.errors import CallerError
from a4ps.image.codec import opaque
from a4ps.image.slot_tree import (
    CHILDREN_MAX,
    NODES_MAX,
    SlotPath,
    found,
    is_literal,
    nodes,
    read_value,
    whole_text,
    with_value,
    without,
)

ATOMS = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    ATOMS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=4) | st.integers(), inner, max_size=4)
    ),
    max_leaves=25,
)


def paths(value: object) -> list[SlotPath]:
    """Every path there is, found by opening all of them."""
    known: set[SlotPath] = {("slot",)}
    while True:
        more = {node.path for node in nodes("slot", value, known) if node.path}
        if more <= known:
            return sorted(known, key=repr)
        known |= more


@given(VALUES, st.data())
def test_what_is_set_is_there_and_all_else_stays(value: Any, data: st.DataObject) -> None:
    before = copy.deepcopy(value)
    path = data.draw(st.sampled_from(paths(value)))
    was = found(value, path)
    new = {str: "new", int: 77, bool: not was, type(None): 1}.get(type(was), was)
    after = with_value(value, path, new)
    assert found(after, path) == new
    assert value == before, "the old value is nobody's to change"
    for other in paths(after):
        if other[: len(path)] != path and path[: len(other)] != other:
            assert found(after, other) == found(value, other)


@given(VALUES, st.data())
def test_what_is_taken_out_is_gone(value: Any, data: st.DataObject) -> None:
    inside = [path for path in paths(value) if len(path) > 1]
    assume(inside)
    path = data.draw(st.sampled_from(inside))
    parent = found(value, path[:-1])
    if type(parent) is tuple:
        with pytest.raises(CallerError):
            without(value, path)
    else:
        assert len(found(without(value, path), path[:-1])) == len(parent) - 1


@given(VALUES)
def test_what_is_shown_whole_can_be_entered_again(value: Any) -> None:
    assume(is_literal(value))
    text, cut = whole_text(value)
    assume(not cut and "…" not in text)
    assert read_value(text, plain=isinstance(value, str)) == value


def test_a_kind_stays() -> None:
    for old, new in (("x", 1), (1, "x"), (1, True), ([1], {}), ({}, None)):
        with pytest.raises(CallerError, match="slot"):
            with_value(old, ("slot",), new)
        with pytest.raises(CallerError, match="slot"):
            with_value({"a": [old]}, ("slot", "a", 0), new)
    assert with_value(1, ("slot",), 1.5) == 1.5
    assert with_value(None, ("slot",), "x") == "x"


def test_lists_and_dicts_grow_by_one_step_and_no_more() -> None:
    assert with_value([1], ("slot", 1), "x") == [1, "x"]
    assert with_value({"a": 1}, ("slot", "b"), []) == {"a": 1, "b": []}
    for path in (("slot", 2), ("slot", -1), ("slot", "0"), ("slot", 0, 0)):
        with pytest.raises(CallerError):
            with_value([1], path, "x")


def test_a_key_that_is_no_text_and_no_number_is_shown_and_not_reached() -> None:
    shown = list(nodes("slot", {(1, 2): "x", True: "y", 1.5: "z"}, {("slot",)}))
    assert [(node.name, node.path, node.editable) for node in shown[1:]] == [
        ("(1, 2)", (), False),
        ("True", (), False),
        ("1.5", (), False),
    ]


def test_what_is_no_literal_is_not_edited() -> None:
    values: tuple[object, ...] = (float("nan"), float("inf"), object, opaque(3), {1: object}, set(), [0] * 30_000)
    for value in values:
        assert not is_literal(value)
    assert is_literal({"a": [1, (2.5, {3})], b"x": None})


def test_a_tree_is_bounded() -> None:
    wide = {f"k{at}": [0] * 300 for at in range(300)}
    opened = {("slot",), *(("slot", f"k{at}") for at in range(300))}
    shown = list(nodes("slot", wide, opened))
    assert len(shown) == NODES_MAX
    assert shown[0].left == 300 - CHILDREN_MAX
    assert shown[1].left == 300 - CHILDREN_MAX
    assert shown[0].size == 300


@pytest.mark.parametrize("text", ["", "  ", "x", "f()", "[1", "1 + 1j if", "(" * 9_000, "9" * 10_000, "{[]: 1}", "\0"])
def test_what_is_no_value_is_refused(text: str) -> None:
    with pytest.raises(CallerError) as refused:
        read_value(text, plain=False)
    assert refused.value.next_step
