"""What a slot may hold, what it refuses and where, and what it never does: run what somebody put into its bytes."""

from __future__ import annotations

import asyncio
import io
import math
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from enum import IntEnum
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given

from a4ps.errors import CallerError, IntegrityError, Unstorable
from a4ps.image import codec, plain
from a4ps.image.codec import (
    MAX_SLOT_BYTES,
    Opaque,
    Placeholder,
    RecordMigration,
    as_foreign,
    as_own,
    decode_slot,
    encode_slot,
    opaque,
    register_record,
)
from a4ps.image.deep_pickler import DeepPickler
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from tests.image.plain_values import VALUES, Node, Point, Slotted, shape

PATH = 'state["a"]'
DEEP = 10_000
FORMATS = Path(__file__).parent.parent / "data" / "formats"


def round_trip(value: object, *, trusted: bool = False) -> Any:
    return decode_slot(encode_slot(value, PATH), PATH, trusted=trusted)


class TestPlainData:
    @given(VALUES)
    def test_comes_back_with_its_types_aliases_and_cycles(self, value: object) -> None:
        assert shape(round_trip(value)) == shape(value)
        assert shape(round_trip(value, trusted=True)) == shape(value)

    @given(VALUES)
    def test_is_written_alike_without_recursion(self, value: object) -> None:
        data = b"P\x01" + DeepPickler(plain._reduce, "a4ps.image.plain").dumps(value)
        assert shape(decode_slot(data, PATH)) == shape(value)

    def test_an_alias_stays_one_object(self) -> None:
        shared: list[object] = []
        first, second = round_trip([shared, {"again": shared}])
        assert second["again"] is first

    def test_a_tuple_may_hold_a_list_that_holds_it(self) -> None:
        inside: list[object] = []
        value = (inside,)
        inside.append(value)
        back = round_trip(value)
        assert back[0][0] is back
        data = b"P\x01" + DeepPickler(plain._reduce, "a4ps.image.plain").dumps(value)
        deep: Any = decode_slot(data, PATH)
        assert deep[0][0] is deep

    def test_a_record_may_lie_in_a_set_of_its_own(self) -> None:
        members: set[Node] = set()
        node = Node(members)
        members.add(node)
        assert round_trip(node).next.pop().next == set()

    @pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"n": inner}, lambda inner: (inner,)])
    def test_may_be_nested_as_deep_as_it_likes(self, make: Callable[[object], object]) -> None:
        value: object = None
        for _ in range(DEEP):
            value = make(value)
        back = round_trip(value)
        for _ in range(DEEP):
            back = back["n"] if isinstance(back, dict) else back[0]
        assert back is None

    @pytest.mark.parametrize("kind", [Point, Slotted])
    def test_a_chain_of_records_may_be_long(self, kind: type[Any]) -> None:
        value: Any = None
        for number in range(DEEP):
            value = kind(f"{number}", value)
        limit = sys.getrecursionlimit()
        back = round_trip(value)
        assert sys.getrecursionlimit() == limit
        for number in reversed(range(DEEP)):
            assert (back.x if kind is Point else back.name) == f"{number}"
            back = back.y if kind is Point else back.content
        assert back is None

    def test_a_refusal_deep_inside_has_its_path(self) -> None:
        value: object = threading.Lock()
        for _ in range(DEEP):
            value = [value]
        with pytest.raises(Unstorable) as refused:
            encode_slot(value, PATH)
        assert refused.value.path == PATH + "[0]" * DEEP

    def test_numpy_arrays_come_back_with_dtype_and_layout(self) -> None:
        numpy = pytest.importorskip("numpy")
        dtype = numpy.dtype([("a", "<i4"), ("b", "S3")])
        arrays = [
            numpy.arange(12, dtype="float32").reshape(3, 4),
            numpy.asfortranarray(numpy.eye(3)),
            numpy.arange(10)[::2],
            numpy.zeros((0, 3), "M8[us]"),
            numpy.array([(1, b"x")], dtype),
            numpy.array(5),
        ]
        back = round_trip([*arrays, arrays[0]])
        for array, again in zip(arrays, back, strict=False):
            assert array.dtype == again.dtype
            assert array.shape == again.shape
            assert array.tobytes() == again.tobytes()
            assert again.flags.writeable
        assert back[-1] is back[0]
        assert back[1].flags.f_contiguous
        with pytest.raises(Unstorable):
            encode_slot(numpy.array([object()]), PATH)

    def test_without_numpy_an_array_is_a_placeholder(self, monkeypatch: pytest.MonkeyPatch) -> None:
        data = (FORMATS / "slot-1-array.bin").read_bytes()
        monkeypatch.setitem(sys.modules, "numpy", None)
        kept = decode_slot(data, PATH)
        assert isinstance(kept, Placeholder)
        assert "numpy" in kept.why

    def test_a_slot_has_a_greatest_size(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(codec, "MAX_SLOT_BYTES", 100)
        with pytest.raises(Unstorable, match="more than the 100"):
            encode_slot("x" * 100, PATH)
        with pytest.raises(IntegrityError):
            decode_slot(b"P\x01" + bytes(100), PATH)
        assert MAX_SLOT_BYTES == 128 * 1024 * 1024

    def test_starts_with_its_tag_and_version(self) -> None:
        assert encode_slot(1, PATH)[:2] == b"P\x01"
        assert encode_slot(opaque(1), PATH)[:2] == b"O\x01"


class Foreign:
    def __init__(self) -> None:
        self.lock = threading.Lock()


class Shade(IntEnum):
    DARK = 1


class OwnZone(tzinfo):
    def utcoffset(self, at: datetime | None) -> None:
        return None

    dst = tzname = utcoffset


class ListOfMine(list[object]):
    pass


Pair = namedtuple("Pair", "a b")


def a_generator() -> Iterator[int]:
    yield 1


@dataclass(frozen=True)
class Unregistered:
    x: int


REFUSED: list[tuple[Callable[[], object], str, str]] = [
    (lambda: [1, {3: threading.Lock()}], "[1][3]", "on_wake"),
    (lambda: {"a": [0, 0, 0, Point(1, threading.RLock())]}, '["a"][3].y', "on_wake"),
    (lambda: [Slotted("x", threading.Thread())], "[0].content", "on_wake"),
    (lambda: {"g": a_generator()}, '["g"]', "on_wake"),
    (lambda: (io.TextIOWrapper(io.BytesIO()),), "[0]", "on_wake"),
    (lambda: {"t": threading.Event()}, '["t"]', "on_wake"),
    (lambda: [os], "[0]", "define"),
    (lambda: [len], "[0]", "define"),
    (lambda: {"f": a_generator}, '["f"]', "define"),
    (lambda: {"f": a_generator.__code__}, '["f"]', "define"),
    (lambda: {"c": datetime}, '["c"]', "define"),
    (lambda: {"c": Point}, '["c"]', "define"),
    (lambda: {1: {2: int}}, "[1][2]", "define"),
    (lambda: [Foreign()], "[0]", "opaque"),
    (lambda: [Shade.DARK], "[0]", "plain data"),
    (lambda: [Pair(1, 2)], "[0]", "plain data"),
    (lambda: [ListOfMine()], "[0]", "plain data"),
    (lambda: [OrderedDict()], "[0]", "plain data"),
    (lambda: [datetime(2026, 1, 1, tzinfo=OwnZone())], "[0].tzinfo", "plain data"),
    (lambda: [...], "[0]", "plain data"),
    (lambda: [pickle.PickleBuffer(b"x")], "[0]", "plain data"),
    (lambda: [memoryview(b"x")], "[0]", "plain data"),
    (lambda: [range(3)], "[0]", "plain data"),
    (lambda: {Unregistered(1): 1}, ".keys()[0]", "register_record"),
    (lambda: {frozenset([Unregistered(1)]): 1}, ".keys()[0].members()[0]", "register_record"),
    (lambda: {(1, 2): [Unregistered(1)]}, "[<key 0>][0]", "register_record"),
    (lambda: [1, opaque(2)], "[1]", "slot of its own"),
    (lambda: [Placeholder(b"P\x01N.", PATH, "")], "[0]", "slot of its own"),
    (lambda: opaque({"x": Foreign()}), '["x"].lock', "on_wake"),
    (lambda: opaque(Point([Foreign()])), ".x[0].lock", "on_wake"),
    (lambda: opaque([a_generator()]), "[0]", "on_wake"),
    (lambda: opaque(threading.RLock()), "", "on_wake"),
]


class TestRefusals:
    @pytest.mark.parametrize(("make", "place", "advice"), REFUSED)
    def test_name_the_very_place_and_what_to_do(self, make: Callable[[], object], place: str, advice: str) -> None:
        with pytest.raises(Unstorable) as refused:
            encode_slot(make(), PATH)
        assert refused.value.path == PATH + place
        assert refused.value.message.startswith(PATH + place)
        assert advice in refused.value.next_step

    def test_cover_sockets_and_tasks(self) -> None:
        async def body() -> None:
            task = asyncio.create_task(asyncio.sleep(0))
            with pytest.raises(Unstorable) as refused:
                encode_slot({"task": [task]}, PATH)
            assert refused.value.path == PATH + '["task"][0]'
            assert "on_wake" in refused.value.next_step
            await task

        asyncio.run(body())
        with socket.socket() as open_socket:
            for value in ([open_socket], opaque([open_socket])):
                with pytest.raises(Unstorable) as refused:
                    encode_slot(value, PATH)
                assert refused.value.path == PATH + "[0]"

    def test_of_dill_itself_are_told(self) -> None:
        chain: object = None
        for _ in range(3000):
            chain = [chain]
        with pytest.raises(Unstorable, match="dill cannot keep"):
            encode_slot(opaque(chain), PATH)

    def test_survive_attributes_that_raise(self) -> None:
        class Trap:
            __slots__ = ("inner", "other")

            def __init__(self) -> None:
                self.inner = threading.Lock()

        with pytest.raises(Unstorable) as refused:
            encode_slot(opaque(Trap()), PATH)
        assert refused.value.path == PATH + ".inner"


class TestOpaque:
    def test_comes_back_where_its_row_was_verified(self) -> None:
        back = round_trip(opaque(lambda number: number + 1), trusted=True)
        assert isinstance(back, Opaque)
        assert callable(back.value)
        assert back.value(2) == 3

    def test_is_a_placeholder_that_keeps_its_bytes_where_it_was_not(self) -> None:
        data = encode_slot(opaque({1, 2}), PATH)
        kept = decode_slot(data, PATH)
        assert isinstance(kept, Placeholder)
        assert "not verified" in kept.why
        assert encode_slot(kept, 'state["elsewhere"]') == data

    def test_of_another_python_is_never_loaded(self) -> None:
        data = b"O\x01\x032.7" + encode_slot(opaque(1), PATH)[7:]
        kept = decode_slot(data, PATH, trusted=True)
        assert isinstance(kept, Placeholder)
        assert "Python 2.7" in kept.why
        assert encode_slot(kept, PATH) == data

    def test_of_a_foreign_image_is_never_loaded(self) -> None:
        data = encode_slot(opaque(1), PATH)
        foreign = as_foreign(data)
        kept = decode_slot(foreign, PATH, trusted=True)
        assert isinstance(kept, Placeholder)
        assert "foreign" in kept.why
        assert as_own(foreign) == data
        assert as_own(data) == data
        plain_slot = encode_slot(1, PATH)
        assert as_foreign(plain_slot) == plain_slot

    def test_whose_loading_fails_is_a_placeholder(self) -> None:
        data = encode_slot(opaque(1), PATH)[:-1]
        kept = decode_slot(data, PATH, trusted=True)
        assert isinstance(kept, Placeholder)
        assert "failed" in kept.why

    def test_cut_off_in_its_head_is_damage(self) -> None:
        for length in range(7):
            with pytest.raises(IntegrityError):
                decode_slot(encode_slot(opaque(1), PATH)[:length], PATH)

    def test_dill_is_imported_for_opaque_slots_only(self) -> None:
        program = (
            "import sys\n"
            "from a4ps.image.codec import *\n"
            "decode_slot(encode_slot([1], 's'), 's')\n"
            "import a4ps.image.portable, a4ps.image.text_export\n"
            "assert 'dill' not in sys.modules and 'numpy' not in sys.modules\n"
            "encode_slot(opaque(1), 's')\n"
            "assert 'dill' in sys.modules\n"
        )
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


class TestRecords:
    def test_must_be_frozen_dataclasses(self) -> None:
        @dataclass
        class Loose:
            x: int

        class Sub(Point):
            pass

        for cls in (Loose, Foreign, Sub):
            with pytest.raises(CallerError, match="frozen"):
                register_record(cls)

    def test_whose_class_is_not_registered_are_placeholders_that_keep_their_bytes(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = encode_slot([Point(1)], PATH)
        monkeypatch.setattr(plain, "_records", {})
        kept = decode_slot(data, PATH, trusted=True)
        assert isinstance(kept, Placeholder)
        assert kept.path == PATH
        assert "Point" in kept.why
        assert encode_slot(kept, PATH) == data

    def test_take_defaults_for_fields_they_gained(self) -> None:
        data = evolved({"x": object}, {"x": object, "tags": (list, field(default_factory=list)), "n": (int, 7)})
        records: Any = decode_slot(data, PATH)
        first, second = records
        assert (first.x, first.tags, first.n) == (1, [], 7)
        assert first.tags is not second.tags

    @pytest.mark.parametrize(("before", "after"), [({"x": object}, {"y": object}), ({"x": object}, {"x": 0, "y": 0})])
    def test_with_fields_they_lost_or_cannot_fill_are_placeholders(
        self, before: dict[str, Any], after: dict[str, Any]
    ) -> None:
        assert isinstance(decode_slot(evolved(before, after), PATH, trusted=True), Placeholder)

    def test_half_made_are_refused(self) -> None:
        with pytest.raises(Unstorable):
            encode_slot([object.__new__(Point)], PATH)


class TestMigrations:
    STEP = RecordMigration(
        ("x",), "2026-11-30", "x became a pair of unit and amount", lambda old: {"unit": "m", "amount": old["x"]}
    )
    AFTER: ClassVar = {"unit": str, "amount": object}

    def test_are_given_the_old_values(self) -> None:
        """What is read is a record of today, made from what was kept."""
        records: Any = decode_slot(evolved({"x": object}, self.AFTER, self.STEP), PATH)
        assert [(record.unit, record.amount) for record in records] == [("m", 1), ("m", [2])]

    def test_are_lazy(self, tmp_path: Path) -> None:
        """Reading changes nothing on the disk; the next change of the slot writes it as it is today."""
        old = register_record(a_record({"x": object}))
        keys = KeyFolder(tmp_path / "keys")
        codex = {"role": "r", "model_name": "m", "system_prompt": "s"}
        with ProtoManager.open(tmp_path / "image.a4ps", keys=keys) as manager:
            manager.register_proto(Proto("P", codex, state={"a": old(1), "n": 1}))
        new = register_record(a_record(self.AFTER), migrations=[self.STEP])
        with ProtoManager.open(tmp_path / "image.a4ps", keys=keys) as manager:
            kept = manager.get_proto("P").current.content.slots["a"].data
            with manager.transaction() as tx:
                draft = tx.edit("P")
                assert draft.state["a"] == new("m", 1)
                draft.state["n"] = 2
            assert manager.get_proto("P").current.content.slots["a"].data == kept
            with manager.transaction() as tx:
                tx.edit("P").state["a"] = new("km", 1)
            assert b"amount" in manager.get_proto("P").current.content.slots["a"].data

    @pytest.mark.parametrize(
        "upgrade", [lambda old: {"unit": old["none"]}, lambda old: {"unit": "m"}, lambda old: None]
    )
    def test_that_fail_leave_a_placeholder(self, upgrade: Callable[[dict[str, object]], Any]) -> None:
        step = RecordMigration(("x",), "2026-11-30", "", upgrade)
        data = evolved({"x": object}, self.AFTER, step)
        kept = decode_slot(data, PATH)
        assert isinstance(kept, Placeholder)
        assert "2026-11-30" in kept.why
        assert encode_slot(kept, PATH) == data

    def test_concern_the_very_fields_that_they_name(self) -> None:
        step = RecordMigration(("z",), "2026-11-30", "", self.STEP.upgrade)
        assert isinstance(decode_slot(evolved({"x": object}, self.AFTER, step), PATH, trusted=True), Placeholder)


def evolved(before: dict[str, Any], after: dict[str, Any], *migrations: RecordMigration) -> bytes:
    """Two records, written when their class had the fields `before`; it now has those of `after`."""
    old = register_record(a_record(before))
    data = encode_slot([old(1), old([2])], PATH)
    register_record(a_record(after), migrations=migrations)
    return data


def a_record(fields: dict[str, Any]) -> type[Any]:
    annotations = {name: kind[0] if isinstance(kind, tuple) else kind for name, kind in fields.items()}
    defaults = {name: kind[1] for name, kind in fields.items() if isinstance(kind, tuple)}
    made = type("Evolving", (), {"__annotations__": annotations, **defaults, "__module__": __name__})
    return dataclass(frozen=True)(made)


class TestBytes:
    @pytest.mark.parametrize("data", [b"", b"P", b"P\x00N.", b"X\x01\x80\x05N.", b"p\x01", b"\x80\x05N."])
    def test_that_are_no_slot_are_damage(self, data: bytes) -> None:
        for trusted in (True, False):
            with pytest.raises(IntegrityError, match="state"):
                decode_slot(data, PATH, trusted=trusted)

    @pytest.mark.parametrize("tag", [b"P", b"O", b"F"])
    def test_of_a_newer_version_are_kept(self, tag: bytes) -> None:
        kept = decode_slot(tag + b"\x02new", PATH, trusted=True)
        assert isinstance(kept, Placeholder)
        assert "newer" in kept.why
        assert encode_slot(kept, PATH) == tag + b"\x02new"

    def test_cut_anywhere_are_damage(self) -> None:
        data = encode_slot({"a": [1, "text", Point(2.5, (None,))], "long": "x" * 300, "b": b"y" * 300}, PATH)
        for length in range(len(data)):
            with pytest.raises(IntegrityError):
                decode_slot(data[:length], PATH)
            if length > 1:
                assert isinstance(decode_slot(data[:length], PATH, trusted=True), Placeholder)


class TestFormatOne:
    """Bytes that the first format wrote are read for ever."""

    def test_plain(self) -> None:
        value = decode_slot((FORMATS / "slot-1-plain.bin").read_bytes(), PATH)
        assert shape(value) == shape(fixture_value())

    def test_deep(self) -> None:
        value: Any = decode_slot((FORMATS / "slot-1-deep.bin").read_bytes(), PATH)
        assert value == [[[{"a": (1, 2)}]]]

    def test_opaque(self) -> None:
        kept = decode_slot((FORMATS / "slot-1-opaque.bin").read_bytes(), PATH, trusted=True)
        if sys.version_info[:2] == (3, 11):
            assert kept == Opaque({"opaque": [1, 2, 3]})
        else:
            assert isinstance(kept, Placeholder)

    def test_array(self) -> None:
        numpy = pytest.importorskip("numpy")
        array: Any = decode_slot((FORMATS / "slot-1-array.bin").read_bytes(), PATH)
        assert array.dtype == numpy.dtype("<f4")
        assert array.tolist() == [[0, 1, 2], [3, 4, 5]]


def fixture_value() -> object:
    """What slot-1-plain.bin holds."""
    from datetime import UTC, date, time, timedelta, timezone
    from decimal import Decimal
    from uuid import UUID
    from zoneinfo import ZoneInfo

    shared = ["shared"]
    return {
        "atoms": [None, True, 7, -1, 2**80, 1.5, math.inf, 1j, "text", b"bytes", bytearray(b"array")],
        "times": [
            datetime(2026, 11, 22, 11, 30, tzinfo=UTC),
            datetime(2026, 10, 25, 2, 30, fold=1),
            date(2026, 11, 22),
            time(11, 30, tzinfo=timezone(timedelta(hours=1), "MEZ")),
            timedelta(days=1, microseconds=5),
            ZoneInfo("UTC"),
        ],
        "others": [Decimal("1.20"), UUID(int=5), {1, 2}, frozenset(["a"]), (1, (2,))],
        "records": [Point(1, "a"), Point([shared], shared), Slotted("s", {"k": 1})],
        ("tuple", "key"): shared,
    }
