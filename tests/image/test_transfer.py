"""Saving and loading: what is loaded is all there is, nothing of it before all was verified, in one commit or not at all."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import A4PSError, CallerError, Conflict, DiskFull, IntegrityError, KeyLost, NoSuchTurn, StorageFailed
from a4ps.governance.taint import FILES
from a4ps.image.foreign import LABELLED, distrusted
from a4ps.image.handle import Handle
from a4ps.image.heads import Versions
from a4ps.image.keys import KeyFolder
from a4ps.image.portable import write_portable
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.rows import Row
from a4ps.image.snapshot import PortableImage, PortableRecord
from a4ps.image.store import Store
from a4ps.image.text_export import content_hash, import_text
from a4ps.image.transfer import rows_towards
from a4ps.image.turns import Contribution, Reply, Turn, TurnLog
from a4ps.image.verify import Tell, VerifyReport
from a4ps.memory.records import Records
from tests.image.images import an_image

CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}
AT = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def keys(tmp_path: Path) -> KeyFolder:
    return KeyFolder(tmp_path / "keys")


@pytest.fixture
def manager(tmp_path: Path, keys: KeyFolder, clock: ManualClock) -> Iterator[ProtoManager]:
    with ProtoManager.open(tmp_path / "home" / "image.a4ps", keys=keys, clock=clock) as opened:
        yield opened


@pytest.fixture
def other(tmp_path: Path, keys: KeyFolder, clock: ManualClock) -> Iterator[ProtoManager]:
    """A second image with a key in the same folder."""
    with ProtoManager.open(tmp_path / "other" / "image.a4ps", keys=keys, clock=clock) as opened:
        yield opened


def fill(manager: ProtoManager) -> Handle:
    brick = manager.register_proto(Proto("BRICK", CODEX, state={"mood": "calm", "n": 0}))
    brick.define("greet", "def greet(self):\n    return self.state['mood']\n")
    with manager.transaction(reason="a try", evidence={"turn": 1}) as tx:
        tx.edit("BRICK").state["mood"] = "cheerful"
    manager.register_proto(Proto("gone", CODEX))
    manager.remove_proto("gone")
    return brick


A_REPLY = Reply((Contribution("ALFRED", "synthesis", "Well.", "m", 1, 1, 0.0),), None, False, 0, 0.0, 0.0)


def ask(store: Store, question: str, *, answered: bool = True) -> Turn:
    log = TurnLog(store)

    async def asked() -> Turn:
        turn = await log.accept(Turn("", question, AT, "rehearsal", {}, {}))
        if answered:
            said = Contribution("ALFRED", "synthesis", f"About {question}", "m", 1, 1, 0.0)
            await log.answer(turn, Reply((said,), None, False, 0, 0.0, 0.0))
        return turn

    return asyncio.run(asked())


def hash_of(manager: ProtoManager) -> str:
    return content_hash(manager.content())


def state_of(manager: ProtoManager) -> tuple[str, int, list[str], list[str]]:
    """What a load that failed must leave as it was: content, chain, files."""
    report = manager.verify(deep=True)
    files = sorted(path.name for path in manager.store.path.parent.iterdir())
    return hash_of(manager), manager.store.generation, list(report.faults), files


# The round trip


def test_what_was_saved_and_loaded_has_the_same_content_hash(
    manager: ProtoManager, other: ProtoManager, clock: ManualClock, tmp_path: Path
) -> None:
    fill(manager)
    ask(manager.store, "rain barrels")
    clock.advance(3600)
    ask(manager.store, "juggling", answered=False)
    manager.save_image(tmp_path / "saved")
    clock.advance(86_400)
    assert other.load(tmp_path / "saved") is None
    assert hash_of(other) == hash_of(manager)
    assert other.get_proto("BRICK").greet() == "cheerful"
    assert [turn.question for turn in TurnLog(other.store).open_turns()] == ["juggling"]
    assert [match.key for match in other.store.search("barrels", kind="reply", limit=9)] == ["1"]
    other.save_image(tmp_path / "again")
    assert other.verify(deep=True).ok


def test_a_loaded_image_goes_on_and_can_be_saved_again(
    manager: ProtoManager, other: ProtoManager, tmp_path: Path
) -> None:
    """The history before the load and after it are one."""
    fill(manager)
    manager.save_image(tmp_path / "saved")
    other.load(tmp_path / "saved")
    with other.transaction(reason="later") as tx:
        tx.edit("BRICK").state["n"] = 1
    told = [line["reason"] for line in other.content().history["BRICK"]]
    assert told[-2:] == ["a try", "later"]
    assert len(told) == len(manager.content().history["BRICK"]) + 1
    other.save_image(tmp_path / "later")
    manager.load(tmp_path / "later")
    assert hash_of(manager) == hash_of(other)


def test_all_kinds_of_content_survive(manager: ProtoManager, keys: KeyFolder, tmp_path: Path) -> None:
    content = an_image()
    needed = {"role": "r", "model_name": "m", "system_prompt": ""}
    held = {
        name: replace(each, codex={**needed, **each.codex}) for name, each in content.protos.items() if name.isalpha()
    }
    content = replace(content, protos=held)
    manager.become(content)
    again = manager.content()
    assert again.records == content.records
    assert again.history == content.history
    assert {name: each.slots for name, each in again.protos.items()} == {
        name: dict(each.slots) for name, each in content.protos.items()
    }
    assert manager.get_proto("BRICK").parents == ("base",)


def test_loading_takes_away_what_the_file_does_not_have(manager: ProtoManager, tmp_path: Path) -> None:
    """Protos, turns and answers; numbers of turns go on from the file's."""
    brick = fill(manager)
    ask(manager.store, "the first")
    ask(manager.store, "the second", answered=False)
    saved = hash_of(manager)
    manager.save_image(tmp_path / "saved")
    ask(manager.store, "the third")
    manager.register_proto(Proto("NEW", CODEX))
    with manager.transaction() as tx:
        tx.edit("BRICK").state["mood"] = "angry"
    kept = manager.load(tmp_path / "saved")
    assert hash_of(manager) == saved
    assert manager.names() == ["BRICK"]
    assert brick.mood == "cheerful"
    log = TurnLog(manager.store)
    assert (log.count(), log.open_ids) == (2, ("2",))
    assert [turn.question for turn, _ in log.latest(9)] == ["the first"]
    assert manager.store.search("third", kind="reply", limit=9) == []
    assert ask(manager.store, "another third").id == "3"
    assert kept is not None
    assert kept.parent == manager.store.path.parent
    manager.revert(manager.history("NEW")[-1])
    assert manager.names() == ["BRICK", "NEW"]


def test_loading_back_and_forth_always_gives_what_was_saved(
    manager: ProtoManager, other: ProtoManager, tmp_path: Path
) -> None:
    """Turns of two images under the same numbers, answered in one and open in the other."""
    for each, answers in ((manager, (True, False, True)), (other, (False, True))):
        each.register_proto(Proto("BRICK", CODEX, state={"n": len(answers)}))
        for answered in answers:
            ask(each.store, f"{each.store.path.parent.name} {answered}", answered=answered)
    files = {}
    for number, each in enumerate((manager, other)):
        files[number] = (tmp_path / f"{number}", hash_of(each), TurnLog(each.store).open_ids)
        each.save_image(tmp_path / f"{number}")
    for number in (1, 0, 0, 1, 0):
        path, wanted, open_ids = files[number]
        manager.load(path)
        assert hash_of(manager) == wanted
        log = TurnLog(manager.store)
        assert log.open_ids == open_ids
        assert [int(turn.id) for turn, _ in log.latest(9)] == sorted(
            {1, 2, 3 - number} - {int(each) for each in open_ids}, reverse=True
        )
    assert manager.verify(deep=True).ok


def test_a_turn_that_was_stopped_stays_so(manager: ProtoManager, other: ProtoManager, tmp_path: Path) -> None:
    """Stopped, resumed and stopped again: after a load all of that is one commit."""
    turn = ask(manager.store, "long", answered=False)
    log = TurnLog(manager.store)
    for act in (log.stop(turn, "enough"), log.resume(turn), log.stop(turn, "again")):
        asyncio.run(act)
    assert log.cut_off() == []
    manager.save_image(tmp_path / "saved")
    other.load(tmp_path / "saved")
    assert TurnLog(other.store).cut_off() == []
    assert TurnLog(other.store).open_ids == ("1",)


async def test_turns_go_on_over_a_load(manager: ProtoManager, tmp_path: Path) -> None:
    """Numbers are not given twice, and an answer never goes to another turn of the same number."""
    log = TurnLog(manager.store)
    first = await log.accept(Turn("", "first", AT, "rehearsal", {}, {}))
    manager.save_image(tmp_path / "one open")
    await log.answer(first, A_REPLY)
    manager.save_image(tmp_path / "one answered")
    second = await log.accept(Turn("", "second", AT, "rehearsal", {}, {}))
    manager.load(tmp_path / "one answered")
    with pytest.raises(NoSuchTurn):
        await log.answer(second, A_REPLY)
    with pytest.raises(NoSuchTurn):
        await log.stop(second, "no")
    other = await log.accept(Turn("", "other", AT, "rehearsal", {}, {}))
    assert other.id == "2"
    with pytest.raises(NoSuchTurn):
        await log.answer(second, A_REPLY)
    await log.answer(other, A_REPLY)
    manager.load(tmp_path / "one open")
    await log.answer(first, A_REPLY)
    assert log.open_ids == ()


def test_an_export_is_imported_with_the_same_content_hash(
    manager: ProtoManager, other: ProtoManager, tmp_path: Path
) -> None:
    fill(manager)
    ask(manager.store, "rain barrels")
    manager.export_text(tmp_path / "texts")
    other.import_text(tmp_path / "texts")
    assert hash_of(other) == hash_of(manager)
    with pytest.raises(CallerError):
        other.get_proto("BRICK").greet()
    assert other.get_proto("BRICK").methods["greet"].author == "import:architect"


@pytest.mark.slow
def test_large_content_is_saved_and_loaded(manager: ProtoManager, other: ProtoManager, tmp_path: Path) -> None:
    manager.register_proto(Proto("BIG", CODEX, state={"all": list(range(100_000)), "raw": bytes(8 << 20)}))
    manager.store.commit([Row("note", str(n), b"x" * 10) for n in range(20_000)], author="t", reason="t")
    manager.save_image(tmp_path / "saved")
    other.load(tmp_path / "saved")
    assert hash_of(other) == hash_of(manager)


# The process's own image


class AHome:
    def __init__(self, path: Path, keys: KeyFolder) -> None:
        self.path, self.folder = path, keys

    def open_manager(self) -> ProtoManager:
        return ProtoManager.open(self.path, keys=self.folder)

    def keys(self) -> KeyFolder:
        return self.folder


def test_load_image_returns_the_manager_of_the_process(manager: ProtoManager, keys: KeyFolder, tmp_path: Path) -> None:
    fill(manager)
    manager.save_image(tmp_path / "saved")
    ProtoManager.bind_default(AHome(tmp_path / "own" / "image.a4ps", keys))
    try:
        with ProtoManager.load_image(tmp_path / "saved") as own:
            assert own is ProtoManager()
            assert hash_of(own) == hash_of(manager)
    finally:
        ProtoManager.bind_default(None)


# Faults


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


def absent(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(("harm", "error"), [(cut, IntegrityError), (flip, IntegrityError), (absent, StorageFailed)])
def test_a_damaged_file_changes_nothing(
    manager: ProtoManager, harm: Callable[[Path], None], error: type[A4PSError], tmp_path: Path
) -> None:
    fill(manager)
    manager.save_image(tmp_path / "saved")
    with manager.transaction() as tx:
        tx.edit("BRICK").state["mood"] = "later"
    before = state_of(manager)
    harm(tmp_path / "saved")
    with pytest.raises(error):
        manager.load(tmp_path / "saved")
    assert state_of(manager) == before


def test_a_foreign_file_is_refused_with_the_way_to_take_it_over(manager: ProtoManager, tmp_path: Path) -> None:
    fill(manager)
    with ProtoManager.open(tmp_path / "there" / "image.a4ps", keys=KeyFolder(tmp_path / "their keys")) as theirs:
        fill(theirs)
        theirs.save_image(tmp_path / "saved")
    before = state_of(manager)
    with pytest.raises(KeyLost) as refused:
        manager.load(tmp_path / "saved")
    assert "a4ps image import" in refused.value.next_step
    assert state_of(manager) == before


def test_a_signed_file_with_what_cannot_be_held_changes_nothing(
    manager: ProtoManager, keys: KeyFolder, tmp_path: Path
) -> None:
    fill(manager)
    before = state_of(manager)
    image = manager.content()
    brick = image.protos["BRICK"]
    wrong = [
        replace(image, protos={"BRICK": replace(brick, codex={"role": "r"})}),
        replace(image, protos={"BRICK": replace(brick, parents=("nobody",))}),
        replace(image, protos={"BRICK": replace(brick, parents=("BRICK",))}),
        replace(image, protos={"a\nb": replace(brick, name="a\nb")}),
        *(
            replace(image, records=(PortableRecord(kind, "x", b"", AT),))
            for kind in ("proto", "proto-gone", "loaded", "loaded-history", "restored", "turn-gone", "")
        ),
        replace(image, records=(PortableRecord("turn", "1", b"", AT), PortableRecord("turn", "1", b"x", AT))),
    ]
    for number, content in enumerate(wrong):
        write_portable(tmp_path / str(number), content, keys, manager.store.image_id)
        with pytest.raises(CallerError):
            manager.load(tmp_path / str(number))
        assert state_of(manager) == before


@pytest.mark.parametrize("error", [DiskFull("full"), StorageFailed("broken")])
def test_a_backup_that_fails_changes_nothing(
    manager: ProtoManager, error: A4PSError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(manager)
    manager.save_image(tmp_path / "saved")
    before = state_of(manager)

    def fail(self: Store, path: Path, *, tell: Tell) -> None:
        raise error

    monkeypatch.setattr(Store, "backup", fail)
    with pytest.raises(type(error)):
        manager.load(tmp_path / "saved")
    assert state_of(manager) == before


def test_a_commit_meanwhile_is_a_conflict(
    manager: ProtoManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that was acknowledged between looking and loading is lost."""
    fill(manager)
    manager.save_image(tmp_path / "saved")

    def interrupted(now: PortableImage, wanted: PortableImage) -> object:
        manager.store.commit([Row("note", "1", b"meanwhile")], author="t", reason="t")
        return rows_towards(now, wanted)

    monkeypatch.setattr("a4ps.image.proto_manager.rows_towards", interrupted)
    with pytest.raises(Conflict):
        manager.load(tmp_path / "saved")
    assert manager.store.head("note", "1") is not None
    assert [path for path in manager.store.path.parent.iterdir() if path.name.startswith("image-")] == []


def test_a_commit_that_is_durable_and_not_shown_yet_is_a_conflict(
    manager: ProtoManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is loaded is all there is: a Proto that the file has as it was a moment ago is not taken for what it is now."""
    brick = fill(manager)
    manager.save_image(tmp_path / "saved")
    durable, go = threading.Event(), threading.Event()
    show, back_up = manager.store._writer.flip, Store.backup
    assert show is not None

    def held(versions: Versions) -> None:
        durable.set()
        assert go.wait(30)
        show(versions)

    def last(self: Store, path: Path, *, tell: Tell) -> VerifyReport:
        go.set()
        return back_up(self, path, tell=tell)

    monkeypatch.setattr(manager.store._writer, "flip", held)
    monkeypatch.setattr(Store, "backup", last)
    draft = brick.clone()
    draft.state["n"] = 1
    with ThreadPoolExecutor(1) as pool:
        swapped = pool.submit(manager.atomic_swap, draft)
        assert durable.wait(30)
        with pytest.raises(Conflict):
            manager.load(tmp_path / "saved")
        assert swapped.result().generation == manager.store.generation
    assert brick.n == 1
    manager.load(tmp_path / "saved")
    assert brick.n == 0


def test_two_loads_at_once_take_turns(manager: ProtoManager, tmp_path: Path) -> None:
    """In the same second too: each keeps what was there before it under a name of its own."""
    fill(manager)
    manager.save_image(tmp_path / "saved")
    begin = threading.Barrier(4)

    def load(_: int) -> Path | None:
        begin.wait(30)
        return manager.load(tmp_path / "saved")

    with ThreadPoolExecutor(4) as pool:
        kept = set(pool.map(load, range(4)))
    assert len(kept) == 4
    assert {path for path in manager.store.path.parent.iterdir() if path.name.startswith("image-")} == kept


def test_saving_over_the_image_itself_is_refused(manager: ProtoManager) -> None:
    path = manager.store.path
    for target in (path, path.with_name("image.a4ps-wal"), path.parent / ".." / path.parent.name / path.name):
        with pytest.raises(CallerError, match="itself"):
            manager.save_image(target)


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """I4, on a real disk of 8 MiB: the load fails with DiskFull and works once there is space."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        pytest.skip("an own mount namespace is not permitted here (needs root or CAP_SYS_ADMIN)")
    played = subprocess.run(
        [
            *("unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.faults.full_disk_load"),
            *(str(tmp_path), str(Path("/proc/self/ns/mnt").readlink())),
        ],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    if played.returncode == 77:
        pytest.skip("mounting a tmpfs is not permitted here")
    assert (played.returncode, played.stdout.split()) == (0, ["refused", "same"] * 2 + ["loaded"]), played.stderr


# Taint (I13)


def labels(manager: ProtoManager) -> dict[str, list[str]]:
    """By kind and key, the labels of whatever names some."""
    named = ((f"{each.kind} {each.key}", each.payload) for each in manager.content().records if each.kind in LABELLED)
    return {name: json.loads(payload).get("taint", []) for name, payload in named}


def test_what_an_export_brings_is_untrusted_whatever_it_says(
    manager: ProtoManager, other: ProtoManager, tmp_path: Path
) -> None:
    fill(manager)
    ask(manager.store, "rain barrels")
    ask(manager.store, "an open one", answered=False)
    records = Records(manager.store, TurnLog(manager.store))
    records.add([records.note("The key is under the mat.")])
    manager.register_proto(Proto("tool:t", CODEX, state={"taint": ["private"]}))
    manager.export_text(tmp_path / "texts")
    ask(other.store, "one of its own")
    other.import_text(tmp_path / "texts")
    assert labels(other) == {key: ["private", "untrusted"] for key in ("turn 1", "turn 2", "reply 1", "memory m1")}
    assert other.get_proto("tool:t").state["taint"] == ["private", "untrusted"]
    log = TurnLog(other.store)
    assert log.turn("2").taint == ("private", "untrusted")
    assert {said.taint for said in log.answered("1")[1].contributions} == {("private", "untrusted")}
    assert Records(other.store, log).get("m1").taint == FILES
    assert hash_of(other) == hash_of(manager)


def test_what_an_export_brings_back_to_the_letter_keeps_its_labels(manager: ProtoManager, tmp_path: Path) -> None:
    """It was written here; only what was changed on the way is anybody's."""
    ask(manager.store, "rain barrels")
    ask(manager.store, "roofs")
    manager.export_text(tmp_path / "texts")
    before = labels(manager)
    manager.import_text(tmp_path / "texts")
    assert labels(manager) == before
    file = tmp_path / "texts" / "turns.jsonl"
    file.write_text(file.read_text().replace("About roofs", "Send all roofs away"))
    manager.import_text(tmp_path / "texts")
    assert labels(manager) == {**before, "reply 2": ["private", "untrusted"]}


def test_the_architect_may_vouch_for_all_of_it(manager: ProtoManager, other: ProtoManager, tmp_path: Path) -> None:
    ask(manager.store, "rain barrels")
    manager.export_text(tmp_path / "texts")
    other.become(replace(import_text(tmp_path / "texts"), foreign=False))
    assert labels(other) == labels(manager)


def test_an_export_neither_has_nor_brings_what_was_vouched_for(manager: ProtoManager, tmp_path: Path) -> None:
    records = Records(manager.store, TurnLog(manager.store))
    records.add([records.note("From a page.", taint=FILES)])
    records.vouch(["m1"])
    manager.export_text(tmp_path / "texts")
    manager.import_text(tmp_path / "texts")
    assert records.get("m1").taint == FILES
    line = {"kind": "vouched", "key": "m1", "at": AT.isoformat(), "payload": {}}
    with (tmp_path / "texts" / "records.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(CallerError, match="your word"):
        manager.import_text(tmp_path / "texts")


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"contributions": 3}', b'{"contributions": ["x"]}'])
def test_what_nobody_can_read_is_taken_over_as_it_is_or_marked(payload: bytes) -> None:
    image = PortableImage(AT, {}, records=(PortableRecord("reply", "1", payload, AT),), foreign=True)
    (record,) = distrusted(image, PortableImage(AT, {})).records
    assert record.payload == payload or json.loads(record.payload)["taint"] == ["private", "untrusted"]
