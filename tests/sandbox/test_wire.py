"""The wire: plain data comes back as what it was, and anything else is refused at small cost."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.sandbox.wire import ALIKE_MAX, DEPTH_MAX, ITEMS_MAX, WireError, decode, encode, frame, frame_length

KEYS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES: st.SearchStrategy[Any] = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.frozensets(KEYS | st.tuples(KEYS))
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types at each depth."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, dict):
        return all(same(a, b) for a, b in zip(one.items(), other.items(), strict=True))
    if isinstance(one, list | tuple):
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    return True


@given(VALUES)
def test_a_value_comes_back_as_what_it_was(value: Any) -> None:
    assert same(decode(encode(value)), value)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(body: bytes) -> None:
    try:
        value = decode(body)
    except WireError:
        return
    encode(value)


@given(VALUES, st.data())
def test_a_damaged_value_is_a_value_or_refused(value: Any, data: st.DataObject) -> None:
    body = bytearray(encode(value))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] = data.draw(st.integers(0, 255))
    for changed in (bytes(body), bytes(body[:at])):
        with suppress(WireError):
            decode(changed)


class Text(str):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [object(), Text("x"), 1j, bytearray(b"x"), range(3), {"a": [Text("x")]}, {Text("x"): 1}]
)
def test_other_types_are_refused_where_they_are(value: object) -> None:
    with pytest.raises(WireError, match="not plain data"):
        encode(value)
    with pytest.raises(WireError, match=r"^the result\['a'\]\[1\] is a .*bytearray"):
        encode({"a": [0, bytearray()]}, what="the result")


def test_depth_and_number_are_bounded_on_both_sides() -> None:
    deep: list[Any] = []
    for _ in range(DEPTH_MAX):
        deep = [deep]
    with pytest.raises(WireError, match="nested"):
        encode(deep)
    with pytest.raises(WireError, match="nested"):
        decode(b"l\0\0\0\1" * (DEPTH_MAX + 5) + b"N")
    with pytest.raises(WireError, match="parts"):
        decode(b"l" + struct.pack(">I", ITEMS_MAX + 1) + b"N" * (ITEMS_MAX + 1))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"q",
        b"q\0\0\0\0",
        b"s\xff\xff\xff\xffx",
        b"l\xff\xff\xff\xff",
        b"NN",
        b"s\0\0\0\1\xff",
        b"f\0",
        b"d\0\0\0\1lN",
    ],
)
def test_bytes_that_are_none_are_refused(body: bytes) -> None:
    with pytest.raises(WireError):
        decode(body)


def test_what_cannot_be_a_key_is_refused() -> None:
    for body in (b"d\0\0\0\1l\0\0\0\0N", b"e\0\0\0\1l\0\0\0\0", b"e\0\0\0\1t\0\0\0\1l\0\0\0\0"):
        with pytest.raises(WireError):
            decode(body)


def test_keys_that_were_made_to_collide_are_refused() -> None:
    """Numbers that are equal modulo 2^61 - 1 share their hash, and each is compared with all before it."""
    alike = [n * (2**61 - 1) for n in range(ALIKE_MAX + 1)]
    for value in (dict.fromkeys(alike), set(alike), frozenset(alike)):
        with pytest.raises(WireError, match="one hash"):
            decode(encode(value))
    many = dict.fromkeys(range(10_000))
    assert decode(encode(many)) == many


def test_a_frame_begins_with_its_length() -> None:
    assert frame(b"abc") == b"\0\0\0\3abc"
    assert frame_length(b"\0\0\1\2") == 258
