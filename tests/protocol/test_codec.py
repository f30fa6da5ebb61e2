"""Messages as bytes: each survives the trip, and whatever bytes come, there is one kind of error."""

from __future__ import annotations

import random
import tracemalloc
from typing import Any, get_args

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import ProtocolError
from a4ps.protocol import codec, messages
from a4ps.protocol.codec import MAX_BYTES, checked, encode, from_backend, from_client, packed, published
from a4ps.protocol.messages import Command, Hello, Message, Ping, Result
from a4ps.protocol.requests import request_of

CLIENTS = get_args(get_args(messages.FromClient)[0])
BACKENDS = get_args(get_args(messages.FromBackend)[0])
PUBLISHED = get_args(get_args(messages.Published)[0])

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
INTS = st.integers(-(1 << 63), (1 << 64) - 1)
PLAIN = st.recursive(
    st.none() | st.booleans() | INTS | st.floats(allow_nan=False) | WORDS | st.binary(max_size=20),
    lambda below: st.lists(below, max_size=4) | st.dictionaries(WORDS, below, max_size=4),
    max_leaves=12,
)
PLAIN_MAP = st.dictionaries(WORDS, PLAIN, max_size=4)
KEYS = st.from_regex(r"\A[A-Za-z0-9_.-]{8,64}\Z")
FAULTS = st.builds(messages.Fault, kind=WORDS, message=WORDS, next=WORDS, log=WORDS, exit_code=INTS, details=PLAIN_MAP)
MOMENTS = st.floats(allow_nan=False, allow_infinity=False)

MESSAGES: dict[type[Message], st.SearchStrategy[Any]] = {
    messages.Hello: st.builds(
        messages.Hello, protocol=st.just(messages.PROTOCOL_VERSION), package=WORDS, client=WORDS, token=WORDS
    ),
    messages.Command: st.builds(
        messages.Command, key=KEYS, request=PLAIN_MAP, deadline_s=st.none() | st.floats(0.001, 86_400)
    ),
    messages.Cancel: st.builds(messages.Cancel, key=KEYS),
    messages.Ping: st.builds(messages.Ping),
    messages.Bye: st.builds(messages.Bye),
    messages.Welcome: st.builds(
        messages.Welcome,
        protocol=INTS,
        package=WORDS,
        role=st.sampled_from(["guest", "client", "architect"]),
        epoch=WORDS,
        sequence=INTS,
        settings=WORDS,
        fleeting=st.booleans(),
        busy=st.booleans(),
    ),
    messages.Refused: st.builds(messages.Refused, fault=FAULTS, key=WORDS),
    messages.Accepted: st.builds(messages.Accepted, key=WORDS),
    messages.Step: st.builds(messages.Step, key=WORDS, number=INTS, step=PLAIN_MAP),
    messages.Result: st.builds(messages.Result, key=WORDS, value=PLAIN_MAP),
    messages.Failure: st.builds(messages.Failure, key=WORDS, fault=FAULTS),
    messages.Pong: st.builds(messages.Pong, epoch=WORDS, sequence=INTS),
    messages.Durable: st.builds(
        messages.Durable,
        epoch=WORDS,
        sequence=INTS,
        at=MOMENTS,
        author=WORDS,
        rows=st.lists(st.tuples(WORDS, WORDS), max_size=4),
    ),
    messages.Provisional: st.builds(
        messages.Provisional, epoch=WORDS, number=INTS, events=st.lists(PLAIN_MAP, max_size=3)
    ),
    messages.Beat: st.builds(messages.Beat, epoch=WORDS, sequence=INTS),
}
#: What can come where a value is meant.
WEIRD: list[Any] = [
    None, True, -1, 1 << 63, 1.5, float("nan"), float("inf"), "", "x" * 300, "\ud800", b"\xff", [], [[]], {},
    {"kind": "ping"},     {"\ud800": 1}, msgpack.ExtType(5, b"x"), msgpack.Timestamp(1, 2), {b"bytes": 1},
]  # fmt: skip


def decoded(kind: type[Message], data: bytes) -> Message:
    if kind in CLIENTS:
        return from_client(data)
    return from_backend(data) if kind in BACKENDS else published(data)


def refused(data: bytes) -> ProtocolError:
    """The one error that bytes may lead to; it can be sent on as it is."""
    with pytest.raises(ProtocolError) as caught:
        from_client(data)
    fine(caught.value)
    return caught.value


def fine(error: ProtocolError) -> None:
    """It is short, and can be sent on."""
    assert len(error.message) < 500
    assert len(error.key) <= 64
    encode(messages.Refused(fault=messages.Fault(kind="x", message=error.message), key=error.key))


def test_every_message_is_tried_here() -> None:
    assert set(MESSAGES) == {*CLIENTS, *BACKENDS, *PUBLISHED}


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
@given(data=st.data())
def test_a_message_comes_as_it_was_sent(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(MESSAGES[kind])
    assert decoded(kind, encode(message)) == message


@given(st.binary(max_size=400))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    for read in (from_client, from_backend, published):
        try:
            read(data)
        except ProtocolError as error:
            fine(error)


@given(PLAIN | PLAIN_MAP)
def test_any_plain_data_is_a_message_or_a_protocol_error(value: Any) -> None:
    for read in (from_client, from_backend, published):
        try:
            read(packed(value))
        except ProtocolError as error:
            fine(error)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
@given(data=st.data())
def test_a_cut_message_is_none(kind: type[Message], data: st.DataObject) -> None:
    whole = encode(data.draw(MESSAGES[kind]))
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    with pytest.raises(ProtocolError):
        decoded(kind, cut)


@pytest.mark.parametrize("kind", MESSAGES, ids=lambda kind: str(kind.__name__))
def test_a_field_of_another_type_is_refused_or_kept(kind: type[Message]) -> None:
    """Nothing is converted: what is taken is what was sent."""
    chance = random.Random(7)
    for _ in range(5):
        whole = _example(kind, chance)
        for name in whole:
            for value in WEIRD:
                try:
                    data = msgpack.packb({**whole, name: value}, unicode_errors="surrogatepass")
                    message = decoded(kind, data)
                except ProtocolError as error:
                    fine(error)
                else:
                    kept = message.model_dump()[name]
                    assert kept == value or value != value or isinstance(message, Hello)


def _example(kind: type[Message], chance: random.Random) -> dict[str, Any]:
    examples: dict[type[Message], dict[str, Any]] = {
        messages.Hello: {"protocol": 1, "package": "1", "client": "t", "token": "t", "settings": ""},
        messages.Command: {"key": "k" * 8, "request": {"do": "status"}, "deadline_s": 1.0},
        messages.Cancel: {"key": "k" * 8},
        messages.Welcome: {
            "protocol": 1, "package": "1", "role": "guest", "epoch": "e", "sequence": chance.randrange(9),
            "settings": "", "fleeting": True, "busy": False,
        },
        messages.Refused: {"fault": {"kind": "k", "message": "m"}, "key": ""},
        messages.Accepted: {"key": "k"},
        messages.Step: {"key": "k", "number": 1, "step": {}},
        messages.Result: {"key": "k", "value": {}},
        messages.Failure: {"key": "k", "fault": {"kind": "k", "message": "m"}},
        messages.Pong: {"epoch": "e", "sequence": 1},
        messages.Durable: {"epoch": "e", "sequence": 1, "at": 1.0, "author": "a", "rows": [["k", "x"]]},
        messages.Provisional: {"epoch": "e", "number": 1, "events": [{}]},
        messages.Beat: {"epoch": "e", "sequence": 1},
    }  # fmt: skip
    return {"kind": kind.model_fields["kind"].default, **examples.get(kind, {})}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"kind": "nonsense"},
        {"kind": "\ud800"},
        {"kind": "x" * 5_000_000},
        {"kind": ["ping"]},
        {"kind": "ping", "more": 1},
        {"kind": "ping", "\ud800": 1},
        {b"kind": b"ping"},
        {"kind": "welcome"},
        {"kind": "command", "key": "short", "request": {}},
        {"kind": "command", "key": "\ud800" * 9, "request": {}},
        {"kind": "command", "key": "k" * 9, "request": {b"do": 1}},
        {"kind": "command", "key": "k" * 9, "request": {"do": 1}, "deadline_s": float("nan")},
        {"kind": "hello", "protocol": 1, "package": "p", "client": "\udcff", "token": "t"},
        {"kind": "hello", "protocol": True, "package": "p", "client": "c", "token": "t"},
        {"kind": "hello", "protocol": "2", "package": "p", "client": "c", "token": "t"},
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_is_no_message_of_a_client(value: Any) -> None:
    refused(packed(value))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91" * 100_000 + b"\x01",
        b"\x81\xa1a" * 5_000 + b"\x01",
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\x81\x01\x02",
        b"\x81\xc0\x02",
        b"\xa1\xff",
        encode(Ping()) + b"\x01",
        b"\0" * (MAX_BYTES + 1),
    ],
    ids=lambda data: repr(data[:12]),
)
def test_bytes_that_are_no_message_pack(data: bytes) -> None:
    refused(data)


def test_the_key_of_a_garbled_command_is_told() -> None:
    assert refused(packed({"kind": "command", "key": "abcdefgh", "request": 5})).key == "abcdefgh"
    assert refused(packed({"kind": "command", "key": 5, "request": {}})).key == ""
    assert refused(packed({"kind": "command", "key": "k" * 65, "request": {}})).key == ""


def test_what_is_built_of_a_message_is_bounded() -> None:
    """Eight million empty maps in eight million bytes would be half a gigabyte."""
    maps = b"\xdd" + (8).to_bytes(4) + (b"\xdd" + (900_000).to_bytes(4) + b"\x80" * 900_000) * 8
    assert len(maps) < MAX_BYTES
    tracemalloc.start()
    try:
        refused(maps)
        assert tracemalloc.get_traced_memory()[1] < 40_000_000
    finally:
        tracemalloc.stop()


def test_a_greeting_of_another_version_is_read_as_far_as_its_version() -> None:
    told = {"kind": "hello", "protocol": 2, "package": "9.9", "token": {"new": "shape"}, "more": [1]}
    assert from_client(packed(told)) == Hello(protocol=2, package="9.9", client="", token="")
    unnamed = from_client(packed({"kind": "hello", "protocol": -5, "package": "\ud800" * 300}))
    assert isinstance(unnamed, Hello)
    assert unnamed.protocol == -5


def test_what_cannot_be_sent_is_refused_before_it_is() -> None:
    deep: Any = []
    for _ in range(5_000):
        deep = [deep]
    for value in (object(), deep, {1, 2}):
        with pytest.raises(ProtocolError, match="cannot be sent"):
            encode(Result(key="k", value={"v": value}))
    for long in (1 << 64, -(1 << 63) - 1):
        with pytest.raises(ProtocolError, match="cannot be sent"):
            checked(Command(key="k" * 8, request={"do": "ask", "text": long}))
    with pytest.raises(ProtocolError, match="at most"):
        checked(Command(key="k" * 8, request={"do": "ask", "text": "ü" * MAX_BYTES}))


@given(
    st.integers() | st.integers(0, 20_000).map(lambda bits: 1 << bits) | st.integers(0, 20_000).map(lambda n: -(1 << n))
)
def test_a_result_may_hold_an_integer_of_any_length(value: int) -> None:
    message = Result(key="k", value={"v": [value]})
    assert from_backend(encode(message)) == message


def test_a_client_sends_no_long_integers() -> None:
    """What a float or a length would be made of, who checks it would not survive."""
    long = msgpack.ExtType(codec.LONG_INTEGER, b"\x7f" * 1_000)
    with pytest.raises(ProtocolError):
        from_client(packed({"kind": "command", "key": "k" * 8, "request": {}, "deadline_s": long}))


def test_an_answer_may_be_longer_than_a_question() -> None:
    message = Result(key="k", value={"text": "x" * (MAX_BYTES + 1), "many": [{}] * (codec.MAX_CONTAINERS + 1)})
    assert from_backend(encode(message)) == message


@given(PLAIN_MAP)
def test_any_request_is_one_of_ours_or_a_protocol_error(wire: dict[str, Any]) -> None:
    for fields in (wire, {**wire, "do": "ask"}, {**wire, "do": "down"}):
        try:
            request_of(fields)
        except ProtocolError as error:
            fine(error)


def test_requests_with_strange_names() -> None:
    deep: Any = []
    for _ in range(1_000):
        deep = [deep]
    for name in (deep, None, 5, "\ud800", "x" * 1_000_000, {"a": 1}, b"ask"):
        with pytest.raises(ProtocolError, match="there is no request"):
            request_of({"do": name})
