"""Reading without pickle: the same values as pickle gives, and from any other bytes plain data or our own error."""

from __future__ import annotations

import ast
import inspect
import json
import pickle
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from a4ps.errors import IntegrityError
from a4ps.image import codec, opcodes, plain, typed_json, unpickled
from a4ps.image.codec import Opaque, decode_slot, encode_slot
from a4ps.image.deep_pickler import DeepPickler
from tests.image.plain_values import VALUES, Node, Point, Slotted, shape

HEADER = b"\x80\x05"
PLAIN_DATA = frozenset(
    "NoneType bool int float complex str bytes bytearray list tuple dict set frozenset datetime date time timedelta "
    "timezone ZoneInfo Decimal UUID Point Slotted Node Stranger".split()
)


@given(VALUES)
def test_it_reads_what_pickle_reads(value: object) -> None:
    data = plain.dumps(value)
    assert shape(unpickled.loads(data, 0)) == shape(plain.loads(data, 0)) == shape(value)


@given(VALUES)
def test_it_reads_what_the_pickler_of_deep_values_writes(value: object) -> None:
    data = DeepPickler(plain._reduce, plain.MODULE).dumps(value)
    assert shape(unpickled.loads(data, 0)) == shape(value)


@given(VALUES)
def test_every_stream_that_pickle_could_write_shorter_or_longer(value: object) -> None:
    """`pickletools.optimize` leaves marks of the memo out; the rest must read the same."""
    data = plain.dumps([value, "a long text " * 30, b"long bytes" * 30, -(2**3000), 2.5])
    assert shape(unpickled.loads(b"junk" + data, 4)) == shape(plain.loads(data, 0))


def test_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.asfortranarray(numpy.arange(6.0).reshape(2, 3))
    back: Any = unpickled.loads(plain.dumps([array, array]), 0)
    assert back[0] is back[1]
    assert (back[0] == array).all()
    assert back[0].flags.f_contiguous


def test_values_of_any_depth() -> None:
    value: object = 1
    for number in range(100_000):
        value = [value] if number % 2 else (value,)
    back: Any = unpickled.loads(plain.dumps(value), 0)
    for _ in range(100_000):
        (back,) = back
    assert back == 1


def test_a_record_that_is_a_member_of_what_it_holds() -> None:
    members: set[object] = set()
    node = Node(members)
    members.add(node)
    back: Any = unpickled.loads(plain.dumps(node), 0)
    assert back.next == {back}


class TestARecordOfAnUnknownClass:
    """It is kept as a Stranger: its name and fields can be read, and it is written as what it was."""

    VALUE = (Point(1, [Slotted("a", {Point("key"): 2})]), Node(3))

    def stranger(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        data = plain.dumps(self.VALUE)
        with monkeypatch.context() as without:
            without.setattr(plain, "_records", {})
            without.setattr(plain, "_writers", {})
            return unpickled.loads(data, 0)

    def test_reads_as_text(self, monkeypatch: pytest.MonkeyPatch) -> None:
        value = self.stranger(monkeypatch)
        assert type(value[0]) is plain.Stranger
        assert typed_json.to_json(value) == typed_json.to_json(self.VALUE)

    def test_is_written_as_what_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        again = plain.dumps(self.stranger(monkeypatch))
        assert shape(plain.loads(again, 0)) == shape(self.VALUE)

    def test_that_has_lost_a_field_too(self) -> None:
        data = plain.dumps(Point(1, 2)).replace(b"\x8c\x01y", b"\x8c\x01z")
        with pytest.raises(plain.Lacking):
            plain.loads(data, 0)
        value: Any = unpickled.loads(data, 0)
        assert (value.schema.fields, value.values) == (("x", "z"), (1, 2))


# Hostile bytes

VALID = plain.dumps(
    {"a": [1, 2.5, Point("x", [None]), {3: (4, 5)}], "s": {1, (2, 3)}, "t": ("long" * 90, b"b" * 300, -(2**70))}
)


def read(data: bytes) -> object:
    """The value, of which every part is plain data, or None where the bytes are refused with our own error."""
    imported = set(sys.modules)
    try:
        value = unpickled.loads(data, 0)
    except (IntegrityError, plain.Lacking):
        value = None
    assert set(sys.modules) - imported <= {"numpy"} or any(name.startswith("numpy") for name in sys.modules)
    pending, seen = [value], set()
    while pending:
        part: Any = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        assert type(part).__name__ in PLAIN_DATA, type(part)
        if isinstance(part, dict):
            pending += [*part, *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            pending += part
        elif (schema := plain.schema_of(part)) is not None:
            pending += schema.values(part)
    return value


@settings(max_examples=400)
@given(st.data())
def test_a_changed_stream_is_refused_or_plain_data(data: st.DataObject) -> None:
    changed = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(2, len(changed) - 1))
        how = data.draw(st.sampled_from(["set", "cut", "insert", "repeat"]))
        if how == "set":
            changed[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del changed[at : at + data.draw(st.integers(1, 9))]
        elif how == "insert":
            changed[at:at] = data.draw(st.binary(min_size=1, max_size=4))
        else:
            changed[at:at] = changed[at : at + data.draw(st.integers(1, 40))]
        if len(changed) < 4:
            break
    read(bytes(changed))


ALLOWED = sorted(code for code in range(256) if bytes([code]) in opcodes._ALONE or code in unpickled._STEPS)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(ALLOWED), max_size=40), st.binary(min_size=64, max_size=64))
def test_any_row_of_allowed_instructions_is_refused_or_plain_data(codes: list[int], content: bytes) -> None:
    widths = {
        **dict.fromkeys(b"KhC\x8c\x8a", 1),
        ord("M"): 2,
        **dict.fromkeys(b"JjXB\x8b", 4),
        **dict.fromkeys(b"G\x95", 8),
    }
    body = b"".join(
        bytes([code]) + (bytes(8) if code in b"\x8d\x8e\x96" else content[: widths.get(code, 0)]) for code in codes
    )
    read(HEADER + body + b".")


def test_every_instruction_that_the_check_lets_through_is_known() -> None:
    counted = set(opcodes._COUNTED)
    alone = {code[0] for code in opcodes._ALONE}
    short = {
        code[0]
        for code in (
            pickle.SHORT_BINUNICODE, pickle.SHORT_BINBYTES, pickle.LONG1, pickle.BININT1, pickle.BINGET, pickle.BININT2,
            pickle.BININT, pickle.LONG_BINGET, pickle.BINFLOAT, pickle.FRAME,
        )
    }  # fmt: skip
    assert set(unpickled._STEPS) == counted | alone | short


MAKE = b"\x8c\x10a4ps.image.plain\x8c"
SCHEMA = MAKE + b"\x0bMake.schema\x93\x8c\x01R\x8c\x01x\x85\x86R\x94"


@pytest.mark.parametrize(
    "body",
    [
        MAKE + b"\x09Make.uuid\x93",
        b"]" + MAKE + b"\x09Make.uuid\x93a",
        b"}K\x01" + MAKE + b"\x09Make.uuid\x93s",
        b"\x8f(" + MAKE + b"\x09Make.uuid\x93\x90",
        b"(" + MAKE + b"\x09Make.uuid\x93\x91",
        b"](" + MAKE + b"\x09Make.uuid\x93\x85\x85e",
        SCHEMA,
        b"]" + SCHEMA + b"a",
        SCHEMA + SCHEMA + b"\x85R",
        MAKE + b"\x0aMake.blank\x93" + SCHEMA + b"\x85R",
        MAKE + b"\x09Make.fill\x93\x94" + MAKE + b"\x0aMake.blank\x93" + SCHEMA + b"\x85R\x94"
        b"h\x00h\x02h\x01h\x00\x85\x86\x86R0",
    ],
)  # fmt: skip
def test_names_schemas_and_unfilled_records_are_no_values(body: bytes) -> None:
    with pytest.raises(IntegrityError):
        unpickled.loads(HEADER + body + b".", 0)


def test_a_key_of_shared_tuples_that_would_be_hashed_for_ever_is_refused() -> None:
    shared = b"K\x01\x85\x94" + b"".join(b"h%c\x86\x94" % number for number in range(60))
    with pytest.raises(IntegrityError, match="key"):
        unpickled.loads(HEADER + b"}" + shared + b"Ns.", 0)
    assert isinstance(unpickled.loads(HEADER + shared + b".", 0), tuple)


def test_a_key_that_would_overflow_the_stack_is_refused() -> None:
    for instructions in (b"}%bNs", b"\x8f(%b\x90", b"(%b\x91"):
        with pytest.raises(IntegrityError, match="key"):
            unpickled.loads(HEADER + instructions % (b"K\x01" + b"\x85" * 300_000) + b".", 0)


def test_more_containers_than_memory_can_be_asked_for_are_left_as_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpickled, "MAX_CONTAINERS", 1000)
    data = b"P\x01" + HEADER + b"(" + b"\x8f" * 1001 + b"t."
    kept = decode_slot(data, "slot")
    assert isinstance(kept, codec.Placeholder)
    assert kept.data == data


def test_sets_in_sets_are_written_in_time_that_grows_with_them() -> None:
    value: object = 1
    for number in range(50):
        value = frozenset((value, number))
    assert json.dumps(typed_json.to_json(value)) == json.dumps(
        typed_json.to_json(typed_json.from_json(typed_json.to_json(value)))
    )


def test_untrusted_slots_reach_no_unpickler(monkeypatch: pytest.MonkeyPatch) -> None:
    """I2: `pickle` reads only what a MAC vouches for."""

    def caught(*_: object) -> None:
        raise AssertionError("pickle was asked to read")

    data = encode_slot([Point(1), {"a": (1, 2)}], "slot")
    opaque = encode_slot(Opaque({1}), "slot")
    monkeypatch.setattr(plain, "_Unpickler", caught)
    monkeypatch.setattr(codec, "_decode_opaque", lambda *_: caught)
    assert shape(decode_slot(data, "slot")) == shape([Point(1), {"a": (1, 2)}])
    assert isinstance(decode_slot(codec.as_foreign(opaque), "slot"), codec.Placeholder)


def test_the_reader_uses_nothing_of_pickle_but_its_numbers() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(unpickled)))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "pickle"
    }
    assert {type(getattr(pickle, name)) for name in used} == {bytes}
