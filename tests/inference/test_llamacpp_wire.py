"""Frames: every message comes back as it was sent, and what is none is an error of one kind, whatever the bytes."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import get_args

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.inference import llamacpp_wire as wire

_INTS = st.integers(-(2**63), 2**63 - 1)
st.register_type_strategy(int, _INTS)
MESSAGES = st.one_of([st.from_type(kind) for kind in get_args(wire.Message)])


def body(frame: bytes) -> bytes:
    assert wire.frame_length(frame[: wire.LENGTH_BYTES]) == len(frame) - wire.LENGTH_BYTES
    return frame[wire.LENGTH_BYTES :]


@given(MESSAGES)
def test_every_message_comes_back_as_it_was(message: wire.Message) -> None:
    assert repr(wire.decode(body(wire.encode(message)))) == repr(message)


@given(st.binary(max_size=200) | st.recursive(st.none() | _INTS | st.text(), st.lists).map(msgpack.packb))
def test_what_is_no_message_is_one_kind_of_error(raw: bytes) -> None:
    with suppress(wire.WireError):
        assert isinstance(wire.decode(raw), get_args(wire.Message))


@given(MESSAGES, st.data())
def test_a_field_of_another_kind_is_refused(message: wire.Message, data: st.DataObject) -> None:
    parts = msgpack.unpackb(body(wire.encode(message)))
    at = data.draw(st.integers(1, len(parts) - 1))
    parts[at] = {"not": "this"}
    with pytest.raises(wire.WireError):
        wire.decode(msgpack.packb(parts))
    with pytest.raises(wire.WireError):
        wire.decode(msgpack.packb([*parts[:at], *parts[at + 1 :]]))


def test_a_bool_is_no_number_and_a_number_no_bool() -> None:
    with pytest.raises(wire.WireError):
        wire.decode(msgpack.packb(["Cancel", True]))
    with pytest.raises(wire.WireError):
        wire.decode(msgpack.packb(["Piece", 1, 1, "x"]))


def test_an_unknown_reason_is_refused() -> None:
    with pytest.raises(wire.WireError):
        wire.decode(msgpack.packb(["Ended", 1, "bored", 1, 1]))


def test_a_frame_that_claims_too_much_is_refused_before_it_is_read() -> None:
    with pytest.raises(wire.WireError):
        wire.frame_length(struct.pack(">I", wire.FRAME_BYTES + 1))


def test_half_a_character_is_sent_as_a_question_mark() -> None:
    sent = wire.decode(body(wire.encode(wire.Piece(1, False, "a\ud83d"))))
    assert isinstance(sent, wire.Piece)
    assert sent.text == "a?"
