"""I2, the second line: bytes made by hand to do something. None runs anything; all end as our own errors.

The first line is the MAC: nothing is decoded before it was verified. These bytes stand for a caller who forgot.
"""

from __future__ import annotations

import pickle
import struct
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.errors import A4PSError, IntegrityError
from a4ps.image import plain
from a4ps.image.codec import Placeholder, decode_slot, encode_slot, opaque
from tests.image.plain_values import Point

PATH = 'state["a"]'
RAN: list[str] = []
MODULE = b"a4ps.image.plain"
HERE = __name__.encode()


def ran(*_: object) -> list[str]:
    """What every attack wants to be called."""
    RAN.append("ran")
    return RAN


class Victim:
    """What attacks want to be made: each way to make or fill it is noticed."""

    def __init__(self, *_: object, **__: object) -> None:
        ran()

    def __setstate__(self, state: object) -> None:
        ran()


def text(content: bytes) -> bytes:
    return b"\x8c" + bytes([len(content)]) + content


def named(module: bytes, name: bytes) -> bytes:
    return text(module) + text(name) + b"\x93"


def make(name: bytes) -> bytes:
    return named(MODULE, b"Make." + name)


RAN_NAME = named(HERE, b"ran")
VICTIM = named(HERE, b"Victim")
SCHEMA = make(b"schema") + text(b"tests.image.plain_values.Point") + text(b"x") + text(b"y") + b"\x86\x86R"

# By what they try. Each is a body between PROTO 5 and STOP.
ATTACKS: dict[str, bytes] = {
    "reduce os.system": named(b"os", b"system") + text(b"true") + b"\x85R",
    "reduce posix.system": named(b"posix", b"system") + text(b"true") + b"\x85R",
    "reduce a function of ours": RAN_NAME + b")R",
    "reduce builtins.eval": named(b"builtins", b"eval") + text(b"1") + b"\x85R",
    "reduce builtins.exec": named(b"builtins", b"exec") + text(b"1") + b"\x85R",
    "reduce __import__": named(b"builtins", b"__import__") + text(b"os") + b"\x85R",
    "reduce getattr": named(b"builtins", b"getattr") + text(b"a") + text(b"upper") + b"\x86R",
    "reduce bytearray of a terabyte": named(b"builtins", b"bytearray") + b"\x8a\x06" + bytes(5) + b"\x01\x85R",
    "reduce subprocess.Popen": named(b"subprocess", b"Popen") + text(b"true") + b"\x85R",
    "reduce copyreg._reconstructor": named(b"copyreg", b"_reconstructor") + VICTIM + b"NN\x87R",
    "reduce dill's code maker": named(b"dill._dill", b"_create_code") + b")R",
    "reduce dill's type maker": named(b"dill._dill", b"_create_type") + b")R",
    "reduce functools.partial": named(b"functools", b"partial") + RAN_NAME + b"\x85R",
    "a maker's attribute": named(MODULE, b"Make.datetime.__class__") + b")R",
    "a function behind the makers": named(MODULE, b"register_record") + VICTIM + b"\x85R",
    "a module behind the makers": named(MODULE, b"pickle.loads") + b"C\x02N.\x85R",
    "dunder path": named(MODULE, b"Make.__init__.__globals__") + b".",
    "the makers themselves": named(MODULE, b"MAKERS"),
    "another module's name": named(b"a4ps.image.codec", b"Make.datetime") + b")R",
    "empty names": named(b"", b""),
    "global by text": b"cos\nsystem\n" + text(b"true") + b"\x85R",
    "global of getattr": b"cbuiltins\ngetattr\n",
    "global of an allowed name by text": b"ca4ps.image.plain\nMake.uuid\n",
    "inst": b"(" + text(b"true") + b"ios\nsystem\n",
    "inst of a victim": b"(K\x01i" + HERE + b"\nVictim\n",
    "obj": b"(" + VICTIM + b"K\x01o",
    "obj of an allowed name": b"(" + make(b"decimal") + text(b"1") + b"o",
    "newobj": VICTIM + b")\x81}b",
    "newobj of an allowed name": make(b"datetime") + b")\x81",
    "newobj_ex": VICTIM + b")}\x92}b",
    "newobj_ex of an allowed name": make(b"complex") + b")}\x92",
    "build of a victim": VICTIM + b")\x81}b",
    "build of a class": make(b"decimal") + b"N}" + text(b"real") + b"K\x01s\x86b",
    "build of a function": make(b"uuid") + b"}" + text(b"__wrapped__") + b"K\x01sb",
    "build of a record": SCHEMA + b"\x94" + make(b"blank") + b"h\x00\x85R}" + text(b"x") + b"K\x01sb",
    "build of a list": b"]}" + text(b"append") + b"Nsb",
    "extension code 1": b"\x82\x01",
    "extension code 2": b"\x83\x01\x00",
    "extension code 4": b"\x84\x01\x00\x00\x00",
    "persistent id by text": b"P1\n",
    "persistent id": b"K\x01Q",
    "next buffer": b"\x97",
    "read-only buffer": b"\x97\x98",
    "nested in a list": b"](K\x01" + RAN_NAME + b")Re",
    "nested as a key": b"}" + RAN_NAME + b")RNs",
    "nested as a record's field": SCHEMA + RAN_NAME + b")RN\x86R",
    "a pickle in a pickle": named(b"_pickle", b"loads") + b"C\x02N.\x85R",
    "calling what is no function": b"K\x01)R",
    "calling a value of ours": make(b"uuid") + b"C\x10" + bytes(16) + b"\x85R)R",
    "blank of no schema": make(b"blank") + text(b"x") + b"\x85R",
    "fill of no record": SCHEMA + b"\x94" + make(b"fill") + b"Nh\x00)\x86\x86R",
    "too many values": SCHEMA + b"(NNNtR",
    "too few values": SCHEMA + b")R",
    "schema with fields that are no texts": make(b"schema") + text(b"tests.image.plain_values.Point") + b"K\x01\x86R",
    "zone outside its folder": make(b"zone") + text(b"../../../../etc/passwd") + b"\x85R",
    "zone of an absolute path": make(b"zone") + text(b"/etc/passwd") + b"\x85R",
    "uuid of three bytes": make(b"uuid") + b"C\x03abc\x85R",
    "a decimal of nonsense": make(b"decimal") + text(b"one") + b"\x85R",
    "datetime of nonsense": make(b"datetime") + b"C\x0a" + bytes(10) + b"\x85R",
    "timezone of nonsense": make(b"timezone") + b"K\x01\x85R",
    "a memo of four thousand million entries": b"Nr\xff\xff\xff\xff",
    "a memo of a thousand million entries": b"Nr\xff\xff\xff\x3f",
    "a memo of entries by text": b"Np99999999\n",
    "a memo of one byte": b"Nq\x00h\x00",
    "a memo entry that is not there": b"h\x07",
    "a far memo entry that is not there": b"j\xff\xff\xff\x7f",
    "text of 2**62 bytes": b"\x8d" + struct.pack("<Q", 1 << 62),
    "text of 2**64 - 1 bytes": b"\x8d" + struct.pack("<Q", (1 << 64) - 1),
    "bytes of 2**40 bytes": b"\x8e" + struct.pack("<Q", 1 << 40),
    "bytearray of 2**40 bytes": b"\x96" + struct.pack("<Q", 1 << 40),
    "text of 4 GiB": b"X\xff\xff\xff\xff",
    "an int of 2 GiB": b"\x8b\xff\xff\xff\x7f",
    "an int of a negative length": b"\x8b\xff\xff\xff\xff",
    "a frame of 2**60 bytes": b"\x95" + struct.pack("<Q", 1 << 60) + b"N",
    "text that is not UTF-8": b"\x8c\x01\xff",
    "int by text": b"I01\n",
    "long by text": b"L1L\n",
    "float by text": b"F1.0\n",
    "string by text": b"S'x'\n",
    "unicode by text": b"Vx\n",
    "dict by mark": b"(NNd",
    "list by mark": b"(Nl",
    "a copy of the top": b"]2\x86",
    "another protocol inside": b"\x80\x02N",
    "nothing on the stack": b"",
    "an empty stack popped": b"0N",
    "a mark without its end": b"(",
    "an end without its mark": b"]e",
    "pairs that are odd": b"}(Nu",
    "an unhashable key": b"}]Ns",
    "an unhashable member": b"\x8f(]\x90",
    "append to an int": b"K\x01Na",
    "an unknown instruction": b"\xff",
    "a second value after the end": b"N.N",
    "dill's own main": named(b"__main__", b"__builtins__"),
}


@pytest.fixture(autouse=True)
def untouched() -> Iterator[None]:
    """Nothing was run, and nothing that attacks could reach was changed."""
    RAN.clear()
    before = {name: dict(vars(maker)) for name, maker in plain.MAKERS.items() if hasattr(maker, "__dict__")}
    before_uuid = dict(vars(UUID))
    yield
    assert RAN == []
    assert {name: dict(vars(maker)) for name, maker in plain.MAKERS.items() if hasattr(maker, "__dict__")} == before
    assert dict(vars(UUID)) == before_uuid


@pytest.mark.parametrize("attack", list(ATTACKS))
def test_every_attack_is_refused(attack: str) -> None:
    data = b"P\x01\x80\x05" + ATTACKS[attack] + b"."
    with pytest.raises(A4PSError) as refused:
        decode_slot(data, PATH)
    assert isinstance(refused.value, IntegrityError)
    assert PATH in refused.value.message


@pytest.mark.parametrize("attack", [name for name in ATTACKS if not name.startswith(("a memo of", "build of"))])
def test_none_runs_with_the_right_signature_either(attack: str) -> None:
    """The names are held to the makers even where the caller vouches; resources and shapes are not, then."""
    decode_slot(b"P\x01\x80\x05" + ATTACKS[attack] + b".", PATH, trusted=True)


@pytest.mark.parametrize("protocol", range(5))
def test_other_protocols_are_refused(protocol: int) -> None:
    with pytest.raises(IntegrityError):
        decode_slot(b"P\x01" + pickle.dumps([1], protocol), PATH)


def test_the_attacks_would_work_on_pickle_itself() -> None:
    """Or they would prove nothing."""
    for attack in ("reduce a function of ours", "inst of a victim", "obj", "newobj", "newobj_ex", "nested in a list"):
        RAN.clear()
        pickle.loads(b"\x80\x05" + ATTACKS[attack] + b".")
        assert RAN == ["ran"], attack
    RAN.clear()


@given(st.binary(max_size=200))
def test_noise_is_refused_or_plain(noise: bytes) -> None:
    with suppress(IntegrityError):
        decode_slot(b"P\x01\x80\x05" + noise, PATH)


VALID = encode_slot({"a": [1, 2.5, Point("x", [None])], "s": {1, 2}, "t": ("long" * 90, b"b" * 300, -(2**70))}, PATH)


@given(st.data())
def test_a_changed_stream_is_refused_or_plain(data: st.DataObject) -> None:
    changed = bytearray(VALID)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(2, len(VALID) - 1))] = data.draw(st.integers(0, 255))
    with suppress(IntegrityError):
        decode_slot(bytes(changed), PATH)


def test_deep_hostile_lists_neither_overflow_nor_run() -> None:
    value = decode_slot(b"P\x01\x80\x05" + b"]" * 100_000 + b"a" * 99_999 + b".", PATH)
    assert isinstance(value, list)
    with pytest.raises(IntegrityError):
        decode_slot(b"P\x01\x80\x05" + b"]" * 100_000 + RAN_NAME + b")R" + b"a" * 100_000 + b".", PATH)


def test_an_opaque_slot_of_hostile_bytes_is_not_loaded() -> None:
    attack = encode_slot(opaque(1), PATH)[:7] + b"\x80\x05" + ATTACKS["reduce a function of ours"] + b"."
    assert isinstance(decode_slot(attack, PATH), Placeholder)
