"""The wire: plain data comes back as what it was, and anything else is refused at small cost."""

from __future__ import annotations

import copy
import struct
from contextlib import suppress
from datetime import date, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.sandbox import wire_kinds
from a4ps.sandbox.wire import ALIKE_MAX, DEPTH_MAX, ITEMS_MAX, WireError, decode, encode, frame, frame_length
from a4ps.sandbox.wire_kinds import Record, name_and_fields

ZONES = st.none() | st.timezones() | st.builds(timezone, st.timedeltas(timedelta(hours=-23), timedelta(hours=23)))
DECIMALS = st.decimals(allow_nan=False).filter(lambda value: not value.is_finite() or abs(value.adjusted()) < 9_000)
OTHERS = (
    st.complex_numbers(allow_nan=False)
    | st.dates()
    | st.times(timezones=ZONES)
    | st.datetimes(timezones=ZONES, allow_imaginary=False)
    | st.timedeltas()
    | ZONES
    | DECIMALS
    | st.uuids()
)
KEYS = OTHERS | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
VALUES: st.SearchStrategy[Any] = st.recursive(
    KEYS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(KEYS, inner)
        | st.sets(KEYS)
        | st.binary().map(bytearray)
        | st.dictionaries(st.sampled_from(["x", "y", "class_"]), inner).map(lambda fields: Record("a.B", fields))
        | st.frozensets(KEYS | st.tuples(KEYS))
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types at each depth."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, Record):
        return same(name_and_fields(one), name_and_fields(other))
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


class Later(date):
    __slots__ = ()


@pytest.mark.parametrize(
    "value", [object(), Text("x"), range(3), {"a": [Text("x")]}, {Text("x"): 1}, Decimal("1e99999"), Later(2026, 1, 1)]
)
def test_other_types_are_refused_where_they_are(value: object) -> None:
    with pytest.raises(WireError, match="not plain data"):
        encode(value)
    with pytest.raises(WireError, match=r"^the result\['a'\]\[1\] is a .*range"):
        encode({"a": [0, range(3)]}, what="the result")


@pytest.mark.parametrize("dtype", ["?", "i1", ">u2", "f4", "f8", "c16", "M8[ns]", "m8[D]", "f2"])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_an_array_comes_back_as_what_it_was(dtype: str, shape: tuple[int, ...]) -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(int(numpy.prod(shape))).reshape(shape).astype(dtype)
    for sent in (array, numpy.asfortranarray(array), array[::-1] if shape else array):
        back = decode(encode({"a": [sent]}))["a"][0]
        assert type(back) is numpy.ndarray
        assert (back.dtype, back.shape, back.tolist()) == (sent.dtype, sent.shape, sent.tolist())
        assert back.flags.writeable


@pytest.mark.parametrize("dtype", ["U3", "S3", "O", "i4,f8", "V8", "g"])
def test_an_array_of_something_else_is_refused(dtype: str) -> None:
    numpy = pytest.importorskip("numpy")
    with pytest.raises(WireError, match="not plain data"):
        encode(numpy.zeros(2, dtype))


@pytest.mark.parametrize(
    "parts",
    [
        (),
        ("object",),
        (7,),
        ("complex", 1, 2.0),
        ("complex", "1j", 0.0),
        ("date", 2026, 13, 1),
        ("date", 2026, 1),
        ("date", True, 1, 1),
        ("datetime", b"\x07\xea\x01\x01\x00\x00\x00\x00\x00\x00"),
        ("datetime", 2026, 1, 1, 0, 0, 0, 0, 2, None),
        ("datetime", 2026, 1, 1, 0, 0, 0, 0, 0, "UTC"),
        ("time", 0, 0, 0, 1 << 70, 0, None),
        ("timedelta", 1 << 50, 0, 0),
        ("timezone", 86_400_000_000, None),
        ("timezone", 0, 5),
        ("zone", "../../etc/passwd"),
        ("zone", "/etc/localtime"),
        ("zone", "Europe"),
        ("zone", "No/Where"),
        ("zone", "a" * 10_000),
        ("decimal", "1e999999999"),
        ("decimal", "sNaN"),
        ("decimal", "x"),
        ("decimal", "1" * 20_000),
        ("uuid", b"short"),
        ("array", "O", (1,), "C", bytes(8)),
        ("array", "<i8", (1 << 61, 8), "C", b""),
        ("array", "<i8", (-1,), "C", b""),
        ("array", "<i8", (2,), "C", bytes(8)),
        ("array", "<i8", (1,), "K", bytes(8)),
        ("array", "<M8[s]x", (1,), "C", bytes(8)),
        ("array", "<M8[zz]", (1,), "C", bytes(8)),
        ("array", "<i8", [1], "C", bytes(8)),
        ("array", "<i8", (0,) * 33, "C", b""),
        ("record", "a.B", ("x", "x"), (1, 2)),
        ("record", "a.B", ("x",), ()),
        ("record", "a.B", ("x y",), (1,)),
        ("record", 7, (), ()),
        ("record", "a.B", ("x", []), (1, 2)),
    ],
)
def test_parts_that_make_no_such_value_are_refused(parts: tuple[Any, ...]) -> None:
    with pytest.raises(WireError):
        decode(b"k" + encode(parts))
    with pytest.raises(WireError, match="without parts"):
        decode(b"k" + encode(list(parts)))


def test_a_kind_takes_a_level_for_its_parts() -> None:
    with pytest.raises(WireError):
        decode(b"k" * 100_000)
    with pytest.raises(WireError, match="nested"):
        decode(b"kt\0\0\0\1" * (DEPTH_MAX + 5) + b"N")


def test_a_bool_of_an_array_is_one_or_none() -> None:
    pytest.importorskip("numpy")
    back = decode(b"k" + encode(("array", "|b1", (3,), "C", b"\0\1\x80")))
    assert back.tobytes() == b"\0\1\1"


def test_a_record_is_read_by_name_and_does_not_change() -> None:
    record = Record("some.Point", {"x": 1, "y": [2]})
    assert (record.x, record.y, repr(record)) == (1, [2], "Point(x=1, y=[2])")
    assert record.replaced(x=3) == Record("some.Point", {"x": 3, "y": [2]})
    assert copy.deepcopy(record) == record
    assert copy.deepcopy(record).y is not record.y
    for change in (
        lambda: setattr(record, "x", 2),
        lambda: delattr(record, "x"),
        lambda: record.z,
        lambda: record.replaced(z=1),
    ):
        with pytest.raises(AttributeError):
            change()
    with pytest.raises(wire_kinds.BadKind):
        wire_kinds.made_of(["record"])


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
