"""Salvage: what an image file without its key, or a damaged one, still holds comes home as a stranger's plain data."""

from __future__ import annotations

import asyncio
import json
import os
import random
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack  # type: ignore[import-untyped]
import pytest

from a4ps.clock import ManualClock
from a4ps.errors import CallerError, ImageHeld, ImageTooNew, IntegrityError, KeyLost, MethodRefused, StorageFailed
from a4ps.image import rows
from a4ps.image.codec import Placeholder, opaque
from a4ps.image.image_file import FORMAT
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import Row, pack, place_of
from a4ps.image.salvage import Limits, Salvaged, salvage
from a4ps.image.turns import Contribution, Reply, Turn, TurnLog
from tests.image.plain_values import Point

pytestmark = pytest.mark.slow

FORMATS = Path(__file__).parent.parent / "data" / "formats"
CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think.", "extra": {"deep": {"n": 1}}}
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)
STATE = {"mood": "calm", "points": [Point(1, {"x": b"\x00"})], "seen": {1, 2}, "when": AT}


def ask(manager: ProtoManager, question: str, *, answered: bool = True) -> None:
    log = TurnLog(manager.store)

    async def asked() -> None:
        turn = await log.accept(Turn("", question, AT, "rehearsal", {"ALFRED": "m"}, {"BRICK": 1}))
        if answered:
            said = Contribution("ALFRED", "synthesis", f"About {question}", "m", 1, 1, 0.0)
            await log.answer(turn, Reply((said,), None, False, 0, 0.0, 0.0))

    asyncio.run(asked())


def fill(manager: ProtoManager) -> None:
    manager.register_proto(Proto("base", CODEX, state={"inherited": 1}))
    brick = manager.register_proto(Proto("BRICK", CODEX, parents=("base",), state=dict(STATE)))
    brick.define("greet", "def greet(self):\n    return self.state['mood']\n")
    with manager.transaction(reason="a try", evidence={"turn": 1}) as tx:
        tx.edit("BRICK").state["mood"] = "cheerful"
        tx.edit("BRICK").state["native"] = opaque(print)
    manager.register_proto(Proto("gone", CODEX))
    manager.remove_proto("gone")
    ask(manager, "rain barrels")
    ask(manager, "juggling", answered=False)


RECORD: dict[str, Any] = {
    "format": 1, "codex": CODEX, "parents": [], "methods": {}, "slots": {}, "base": 0, "act": "swap", "author": "a",
    "reason": "", "evidence": None,
}  # fmt: skip


class World:
    """An image that was made elsewhere, closed, and a home to bring it to, with keys of its own."""

    def __init__(self, folder: Path) -> None:
        self.source = folder / "elsewhere" / "image.a4ps"
        self.source_keys = KeyFolder(folder / "elsewhere-keys")
        self.image = folder / "home" / "image.a4ps"
        self.keys = KeyFolder(folder / "keys")
        self.clock = ManualClock()

    def make(self, fill: Callable[[ProtoManager], None] = fill) -> None:
        with ProtoManager.open(self.source, keys=self.source_keys, clock=self.clock) as manager:
            fill(manager)

    def make_asking(self, *questions: str) -> None:
        def asks(manager: ProtoManager) -> None:
            for question in questions:
                ask(manager, question)

        self.make(asks)

    def salvage(self, **options: Any) -> Salvaged:
        return salvage(self.image, self.source, self.keys, self.clock, author="architect", **options)

    def home(self) -> ProtoManager:
        return ProtoManager.open(self.image, keys=self.keys, clock=self.clock)

    def harm(self, *statements: str | tuple[str, tuple[object, ...]]) -> None:
        connection = sqlite3.connect(self.source)
        for statement in statements:
            connection.execute(*((statement,) if isinstance(statement, str) else statement))
        connection.commit()
        connection.close()

    def put(self, kind: str, key: str, payload: bytes, text: str = "") -> None:
        """A row of a new commit, as someone without the key would write it."""
        connection = sqlite3.connect(self.source)
        (newest,) = connection.execute("SELECT max(generation) FROM commits").fetchone()
        at_us = 1_700_000_000_000_000 + newest
        connection.execute("INSERT INTO commits VALUES (?, x'00', ?, 'a', '', x'00', x'00')", (newest + 1, at_us))
        values = {"place": place_of(newest + 1, 0), "kind": kind, "key": key, "at": at_us, "salt": b"", "mac": b""}
        values["body"] = pack(Row(kind, key, payload, text)).body
        columns = [found[1] for found in connection.execute("PRAGMA table_info(rows)")]
        marks = ", ".join("?" * len(columns))
        connection.execute(f"INSERT INTO rows VALUES ({marks})", tuple(values[column] for column in columns))
        connection.commit()
        connection.close()


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.make()
    return world


class TestAnImageWithoutItsKey:
    def test_comes_home_with_all_its_plain_data(self, world: World) -> None:
        with ProtoManager.open(world.source, keys=world.source_keys, clock=world.clock) as source:
            was = {name: source.get_proto(name) for name in source.names()}
            states = {name: {slot: was[name].state[slot] for slot in was[name].state} for name in was}
            codices = {name: was[name].codex for name in was}
            history = source.content().history
        shutil.rmtree(world.source_keys.path)
        done = world.salvage()
        assert (done.protos, done.turns, done.others, done.kept) == (("BRICK", "base"), 2, 0, None)
        assert (done.found.skipped, done.found.notes) == (0, ())
        with world.home() as manager:
            assert {name: manager.get_proto(name).codex for name in manager.names()} == codices
            brick = manager.get_proto("BRICK")
            assert set(brick.state) == set(states["BRICK"])
            for slot in ("mood", "seen", "when", "inherited"):
                assert brick.state[slot] == states["BRICK"][slot]
            assert brick.state["points"][0] == Point(1, {"x": b"\x00"})
            assert manager.content().history == history
            log = TurnLog(manager.store)
            turn, reply = log.answered("1")
            assert (turn.question, turn.asked_at, reply.answer) == ("rain barrels", AT, "About rain barrels")
            assert [open_.question for open_ in log.open_turns()] == ["juggling"]
            assert [match.key for match in log.search("barrels", 9)] == ["1"]
            assert manager.verify(deep=True).ok

    def test_runs_no_method_before_it_is_defined_anew(self, world: World) -> None:
        world.salvage()
        with world.home() as manager:
            brick = manager.get_proto("BRICK")
            assert brick.greet.method.author == "import:architect"
            with pytest.raises(MethodRefused, match="import:architect"):
                brick.greet()
            brick.define("greet", brick.greet.source)
            assert brick.greet() == "cheerful"

    def test_brings_no_promotion_along(self, world: World) -> None:
        source = "def shout(self):\n    return 1\n"

        def promoted(manager: ProtoManager) -> None:
            brick = manager.register_proto(Proto("BRICK", CODEX))
            brick.define("shout", source, author="model:m")
            manager.promote(brick.shout.method, "in-process")
            assert brick.shout() == 1

        world.source = world.source.with_name("promoted.a4ps")
        world.make(promoted)
        assert world.salvage().others == 0
        with world.home() as manager, pytest.raises(MethodRefused):
            manager.get_proto("BRICK").shout()

    def test_loads_nothing_opaque_but_keeps_its_bytes(self, world: World) -> None:
        world.salvage()
        with world.home() as manager:
            native = manager.get_proto("BRICK").state["native"]
            assert isinstance(native, Placeholder)
            assert b"print" in native.data

    def test_is_left_as_it_is(self, world: World) -> None:
        before = {path.name: path.read_bytes() for path in world.source.parent.iterdir()}
        world.salvage()
        assert {path.name: path.read_bytes() for path in world.source.parent.iterdir()} == before
        assert not list(world.image.parent.glob(".salvage-*"))

    def test_that_is_the_present_image_is_set_aside_under_a_dated_name(self, world: World) -> None:
        world.image, was = world.source, world.source.read_bytes()
        with pytest.raises(KeyLost, match="key") as lost:
            world.home()
        assert "import --salvage" in lost.value.next_step
        done = world.salvage()
        assert done.kept is not None
        assert done.kept.read_bytes() == was
        with world.home() as manager:
            assert manager.names() == ["BRICK", "base"]
        world.source = done.kept
        assert world.salvage().protos == done.protos

    def test_takes_the_place_of_what_was_there_which_is_backed_up(self, world: World) -> None:
        with world.home() as manager:
            manager.register_proto(Proto("present", CODEX))
        done = world.salvage()
        assert done.protos == ("BRICK", "base")
        assert done.kept is not None
        for witness in world.keys.path.glob("*.witness"):
            witness.unlink()
        with ProtoManager.open(done.kept, keys=world.keys, clock=world.clock) as backup:
            assert backup.names() == ["present"]

    def test_with_a_log_that_a_crash_left_is_read_to_the_log_s_end(self, world: World, tmp_path: Path) -> None:
        with ProtoManager.open(world.source, keys=world.source_keys, clock=world.clock) as manager:
            ask(manager, "the last words")
            crashed = tmp_path / "crashed"
            shutil.copytree(world.source.parent, crashed)
        assert (crashed / "image.a4ps-wal").stat().st_size > 0
        world.source = crashed / "image.a4ps"
        assert world.salvage().turns == 3

    def test_that_somebody_has_open_is_refused(self, world: World) -> None:
        with (
            ProtoManager.open(world.source, keys=world.source_keys, clock=world.clock),
            pytest.raises(ImageHeld),
        ):
            world.salvage()


class TestADamagedImage:
    """Its key may be here all the same."""

    @pytest.fixture(autouse=True)
    def with_its_key(self, world: World) -> None:
        world.keys = world.source_keys

    def test_that_is_whole_is_refused_because_restoring_keeps_trust(self, world: World) -> None:
        before = sorted(world.keys.path.iterdir())
        with pytest.raises(CallerError, match="nothing to salvage") as refused:
            world.salvage()
        assert "image restore" in refused.value.next_step
        assert not world.image.exists()
        assert sorted(world.keys.path.iterdir()) == before

    def test_with_a_changed_signature_comes_home(self, world: World) -> None:
        world.harm("UPDATE rows SET mac = zeroblob(32)")
        assert world.salvage().turns == 2

    def test_takes_the_version_before_a_row_that_is_damaged(self, world: World) -> None:
        world.harm("UPDATE rows SET body = zeroblob(length(body)) WHERE kind = 'proto' AND key = 'BRICK' AND place = "
                   "(SELECT max(place) FROM rows WHERE kind = 'proto' AND key = 'BRICK')")  # fmt: skip
        done = world.salvage()
        assert done.found.skipped == 1
        with world.home() as manager:
            assert manager.get_proto("BRICK").state["mood"] == "calm"

    def test_leaves_out_versions_that_rest_on_a_lost_one(self, world: World, tmp_path: Path) -> None:
        """What they changed is known, and of what is not: a mixture would be a version that never was."""
        world.source = tmp_path / "long.a4ps"

        def changes(manager: ProtoManager) -> None:
            manager.register_proto(Proto("A", CODEX, state={"n": 0, "m": 0}))
            for number in range(1, 60):
                with manager.transaction() as tx:
                    tx.edit("A").state["n" if number % 2 else "m"] = number

        world.make(changes)
        world.harm("UPDATE rows SET body = zeroblob(length(body)) WHERE place >> 20 = 50")
        done = world.salvage()
        with world.home() as manager:
            assert dict(manager.get_proto("A").state) == {"n": 47, "m": 48}
        assert done.found.skipped == 60 - 49

    def test_leaves_out_what_refers_to_what_is_lost(self, world: World) -> None:
        world.harm("DELETE FROM rows WHERE key = 'base'", "DELETE FROM rows WHERE kind = 'turn' AND key = '1'")
        done = world.salvage()
        assert (done.protos, done.turns) == (("BRICK",), 1)
        assert done.found.notes == ("BRICK has lost its parent base", "the reply of turn 1: its question is lost")

    def test_without_its_search_index_or_its_commits(self, world: World) -> None:
        world.harm("DROP TABLE search", "DELETE FROM commits", "DELETE FROM meta")
        assert world.salvage().turns == 2

    def test_cut_short_keeps_what_is_before_the_cut(self, world: World, tmp_path: Path) -> None:
        world.source = tmp_path / "long.a4ps"
        world.make_asking(*(f"question {number} {random.Random(number).getrandbits(4000):x}" for number in range(60)))
        os.truncate(world.source, world.source.stat().st_size * 2 // 3)
        done = world.salvage()
        assert 5 < done.turns < 60
        assert done.found.skipped > 0

    @pytest.mark.parametrize("seed", range(12))
    def test_with_pages_of_noise_gives_what_was_stored_or_an_error(
        self, world: World, tmp_path: Path, seed: int
    ) -> None:
        world.source = tmp_path / "noisy.a4ps"
        words = [f"question {number} {random.Random(number).getrandbits(4000):x}" for number in range(40)]
        world.make_asking(*words)
        chance = random.Random(seed)
        data = bytearray(world.source.read_bytes())
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(1, len(data) // 4096) * 4096
            data[at : at + 4096] = chance.randbytes(4096)
        world.source.write_bytes(data)
        try:
            world.salvage()
        except IntegrityError:
            return
        with world.home() as manager:
            log = TurnLog(manager.store)
            for turn, reply in log.latest(100):
                assert turn.question == words[int(turn.id) - 1]
                assert reply.answer == f"About {turn.question}"
            ask(manager, "and on it goes")
            assert manager.verify(deep=True).ok


class TestAHostileImage:
    """Nothing in it is used as what it claims to be, and the rest of it is kept."""

    @pytest.mark.parametrize(
        ("kind", "key", "payload"),
        [
            ("proto", "EVIL", b"\xc1"),
            ("proto", "EVIL", b"\x80"),
            ("proto", "EVIL\n", msgpack.packb(RECORD)),
            ("proto", "EVIL", msgpack.packb({**RECORD, "codex": 1})),
            ("proto", "EVIL", msgpack.packb({**RECORD, "parents": [1]})),
            ("proto", "EVIL", msgpack.packb({**RECORD, "reason": b"x"})),
            ("proto", "EVIL", msgpack.packb({**RECORD, "slots": {"x": "text"}})),
            ("proto", "EVIL", msgpack.packb({**RECORD, "methods": {"m": [1, "a", [], [], ""]}})),
            ("proto", "EVIL", msgpack.packb({**RECORD, "format": 9})),
            ("turn", "x", b"{}"),
            ("turn", "07", b"{}"),
            ("turn", "9", b"not json"),
            ("turn", "9", b'{"question":5,"asked_at":"2026-01-01T00:00:00Z","engine":"e","models":{},"pins":{}}'),
            ("turn", "9", b'{"question":"q","asked_at":"2026-01-01T00:00:00","engine":"e","models":{},"pins":{}}'),
            ("turn", "9", b"[" * 10_000),
            ("reply", "1", b"{}"),
            ("loaded-history", "BRICK", b"5"),
            ("loaded-history", "BRICK", b"[5]"),
            ("loaded", "", msgpack.packb([1, 2, 3, 4, 5, 6, 7, 8])),
        ],
    )  # fmt: skip
    def test_rows_that_nobody_can_have_written_are_skipped(
        self, world: World, kind: str, key: str, payload: bytes
    ) -> None:
        world.put(kind, key, payload)
        done = world.salvage()
        assert (done.protos, done.turns, done.found.skipped) == (("BRICK", "base"), 2, 1)
        with world.home() as manager:
            ask(manager, "and on it goes")
            assert TurnLog(manager.store).answered("3")

    @pytest.mark.parametrize("kind", ["proto-gone", "restored", "migrated", "trust", "turn-gone-gone"])
    def test_kinds_that_a_stranger_may_not_bring_are_not_taken_over(self, world: World, kind: str) -> None:
        world.put(kind, "1", b"anything")
        done = world.salvage()
        assert (done.turns, done.others) == (2, 0)

    def test_other_records_are_kept_as_they_are(self, world: World) -> None:
        world.put("memory", "a", b"\x00\xff", "words")
        assert world.salvage().others == 1
        with world.home() as manager:
            (record,) = [record for record in manager.content().records if record.kind == "memory"]
            assert (record.payload, record.text) == (b"\x00\xff", "words")

    def test_slots_that_would_run_code_are_left_out_and_named(self, world: World, tmp_path: Path) -> None:
        trace = tmp_path / "ran"
        code = b"P\x01\x80\x05cos\nsystem\n(U" + bytes([len(f"touch {trace}")]) + f"touch {trace}".encode() + b"tR."
        world.put("proto", "EVIL", msgpack.packb({**RECORD, "slots": {"bad": code, "good": b"P\x01\x80\x05K\x07."}}))
        done = world.salvage()
        assert [note.partition(":")[0] for note in done.found.notes] == ['EVIL.state["bad"]']
        with world.home() as manager:
            assert dict(manager.get_proto("EVIL").state) == {"good": 7}
        assert not trace.exists()

    def test_history_and_codex_that_no_export_can_hold_are_left_out(self, world: World) -> None:
        deep: object = {}
        for _ in range(300):
            deep = {"a": deep}
        world.put("proto", "EVIL", msgpack.packb({**RECORD, "evidence": b"bytes"}))
        world.put("proto", "DEEP", msgpack.packb({**RECORD, "codex": {**CODEX, "extra": deep}}))
        done = world.salvage()
        assert "EVIL" in done.protos
        assert {note.partition(":")[0] for note in done.found.notes} >= {"a change of EVIL"}

    def test_a_body_is_not_unpacked_further_than_a_row_may_go(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rows, "MAX_BODY_BYTES", 1000)
        good, bomb = (b"\x01" + zlib.compress(bytes(4) + b"x" * length) for length in (900, 1000))
        assert rows.unpack_unverified(good) == (b"", "x" * 900)
        with pytest.raises(IntegrityError, match="end"):
            rows.unpack_unverified(bomb)

    @pytest.mark.parametrize("body", [b"", b"\x00", b"\x02\x00\x00\x00\x00", b"\x01junk", b"\x00\x00\x00\x00\x09a"])
    def test_a_body_that_nobody_packed_is_refused(self, body: bytes) -> None:
        with pytest.raises(IntegrityError):
            rows.unpack_unverified(body)

    def test_a_file_that_takes_too_long_is_given_up(self, world: World) -> None:
        with pytest.raises(IntegrityError, match="took longer"):
            world.salvage(limits=Limits(2 << 30, 0.001))
        assert not world.image.exists()

    def test_a_file_that_takes_too_much_memory_is_given_up(self, world: World) -> None:
        world.put("turn", "9", bytes(100 << 20))
        with pytest.raises((StorageFailed, IntegrityError)):
            world.salvage(limits=Limits(100 << 20, 60))
        assert not world.image.exists()

    def test_views_in_the_place_of_tables_are_refused(self, world: World) -> None:
        world.harm("ALTER TABLE rows RENAME TO others", "CREATE VIEW rows AS SELECT * FROM others")
        with pytest.raises(IntegrityError, match="tables"):
            world.salvage()

    def test_columns_that_compute_are_refused(self, world: World) -> None:
        world.harm(
            "DROP TABLE rows",
            "CREATE TABLE rows (place INTEGER PRIMARY KEY, kind TEXT, key TEXT, at INTEGER, salt BLOB, mac BLOB, "
            "body BLOB GENERATED ALWAYS AS (hex(key)) VIRTUAL)",
        )
        with pytest.raises(IntegrityError, match="tables"):
            world.salvage()

    def test_parents_in_a_circle_are_refused_whole(self, world: World) -> None:
        for name, parent in (("ONE", "TWO"), ("TWO", "ONE")):
            world.put("proto", name, msgpack.packb({**RECORD, "parents": [parent]}))
        with pytest.raises(CallerError):
            world.salvage()
        with world.home() as manager:
            assert manager.names() == []


class TestTheFirstFormat:
    def test_takes_the_times_of_rows_from_their_commits(self, world: World) -> None:
        world.harm("ALTER TABLE rows DROP COLUMN at", "PRAGMA user_version = 1")
        assert world.salvage().turns == 2
        with world.home() as manager:
            ats = [record.at for record in manager.content().records]
        assert ats == [world.clock.now()] * 3

    def test_as_it_was_written_then(self, world: World, tmp_path: Path) -> None:
        world.source = tmp_path / "old" / "image.a4ps"
        shutil.copytree(FORMATS / "image-1", world.source.parent)
        protos = world.salvage().protos
        with (
            world.home() as manager,
            ProtoManager.open(
                world.source, keys=KeyFolder(world.source.parent / "keys"), clock=world.clock
            ) as migrated,
        ):
            assert manager.names() == migrated.names() == list(protos)
            for name in protos:
                assert manager.get_proto(name).codex == migrated.get_proto(name).codex
                assert set(manager.get_proto(name).state) == set(migrated.get_proto(name).state)
            assert manager.content().history == migrated.content().history


class TestWhatIsNoImage:
    @pytest.mark.parametrize(
        ("content", "kind", "said"),
        [
            (b"", IntegrityError, "empty"),
            (b"some text that is long enough", IntegrityError, "is not an image"),
            (b"A4PSport" + bytes(100), IntegrityError, "key only"),
            (b"SQLite format 3\x00" + bytes(4096), IntegrityError, "damaged"),
        ],
    )
    def test_is_refused(self, world: World, content: bytes, kind: type[Exception], said: str) -> None:
        world.source.write_bytes(content)
        with pytest.raises(kind, match=said) as refused:
            world.salvage()
        assert refused.value.next_step  # type: ignore[attr-defined]
        assert "image.a4ps" in str(refused.value)
        assert ".salvage-" not in str(refused.value)
        assert not world.image.exists()

    def test_another_database(self, world: World) -> None:
        world.source.unlink()
        world.harm("CREATE TABLE rows (place INTEGER PRIMARY KEY)")
        with pytest.raises(IntegrityError, match="not an A4PS image"):
            world.salvage()

    def test_an_image_of_a_later_format(self, world: World) -> None:
        world.harm(f"PRAGMA user_version = {FORMAT + 1}")
        with pytest.raises(ImageTooNew):
            world.salvage()

    @pytest.mark.parametrize(("make", "said"), [(True, "folder"), (False, "not there")])
    def test_no_file(self, world: World, make: bool, said: str) -> None:
        world.source = world.source.with_name("other")
        if make:
            world.source.mkdir()
        with pytest.raises(CallerError, match=said):
            world.salvage()

    def test_nothing_in_it_is_an_empty_image(self, world: World, tmp_path: Path) -> None:
        world.source = tmp_path / "new.a4ps"
        world.make(lambda manager: None)
        assert world.salvage().protos == ()


def test_what_a_killed_salvage_left_is_removed_by_the_next(world: World) -> None:
    left = world.image.parent / ".salvage-killed"
    left.mkdir(parents=True)
    (left / "image.a4ps").write_bytes(b"private")
    world.salvage()
    assert not left.exists()


def test_the_reader_gets_no_environment(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that would bring its own modules is not looked into."""
    evil = world.image.parent.parent / "evil"
    evil.mkdir()
    (evil / "msgpack.py").write_text("raise SystemExit(9)")
    monkeypatch.setenv("PYTHONPATH", str(evil))
    monkeypatch.chdir(evil)
    assert world.salvage().turns == 2
    assert json.dumps(world.salvage().found.notes) == "[]"
