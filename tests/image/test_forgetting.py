"""I12: what is forgotten leaves the image for good, and leaves it whole: it verifies, folds, reverts, travels."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from a4ps.clock import ManualClock
from a4ps.errors import Forgotten, IntegrityError, UsageError
from a4ps.image import redaction
from a4ps.image.backup import dated
from a4ps.image.codec import opaque
from a4ps.image.content import MAX_DEPTH
from a4ps.image.forgetting import ImageTexts
from a4ps.image.kept_images import KeptImages, image_holds
from a4ps.image.keys import KeyFolder
from a4ps.image.proto import Proto
from a4ps.image.proto_manager import ProtoManager
from a4ps.image.restore import restore
from a4ps.image.rows import PackedRow, StoredRow, pack
from a4ps.image.salvage import salvage
from a4ps.image.store import Row, Store
from a4ps.image.tombstones import FORGETTING, FORGOT
from a4ps.image.treatments import IMAGE_TREATMENTS, Treatment, no_words
from a4ps.image.turns import Contribution, Reply, flat
from a4ps.image.verify import TAIL_COMMITS
from a4ps.sought import BAR, Sought
from tests.doubles.byte_search import found_in
from tests.image.plain_values import Point

SECRET = "Rumpelstilz 7734"
SOUGHT = Sought(texts=(SECRET,))
CODEX = {"role": "logic", "model_name": "none", "system_prompt": "Think."}


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[ProtoManager]:
    with opened(tmp_path) as manager:
        yield manager


def opened(folder: Path) -> ProtoManager:
    return ProtoManager.open(folder / "image.a4ps", keys=KeyFolder(folder / "keys"), clock=ManualClock())


def turn(
    manager: ProtoManager, number: int, question: str, *, recalled: tuple[int, ...] = (), said: str = "No."
) -> None:
    """An answered turn, as two rows."""
    asked: dict[str, object] = {"question": question, "asked_at": "2026-11-22T12:00:00+00:00", "engine": "scripted"}
    asked |= {"models": {}, "pins": {}, "everyone": False}
    manager.store.commit([json_row("turn", number, asked)], author="architect", reason="ask")
    spoken = Contribution("ALFRED", "synthesis", said, "m", 1, 1, 1.0)
    reply = flat(Reply((spoken,), None, estimated=False, rounds=0, model_ms=1.0, overhead_ms=1.0))
    reply["contributions"] = [flat(spoken)]
    reply["memories_used"] = [{"id": str(each), "score": 1.0, "source": "full text"} for each in recalled]
    text = f"{question}\n{said}"
    manager.store.commit([json_row("reply", number, reply, text)], author="ALFRED", reason="answer")


def json_row(kind: str, number: int, value: object, text: str = "") -> Row:
    return Row(kind, str(number), json.dumps(value).encode(), text)


def forget(manager: ProtoManager, sought: Sought = SOUGHT) -> ImageTexts:
    texts = ImageTexts(manager)
    texts.begin(sought)
    texts.remove(sought)
    return texts


def where(texts: ImageTexts, sought: Sought = SOUGHT) -> list[str]:
    return [place.where for place in texts.find(sought)]


def whole(manager: ProtoManager) -> bool:
    report = manager.verify(deep=True)
    assert (report.faults, report.warnings) == ((), ())
    return True


def test_a_turn_goes_whole_and_so_does_what_recalled_it(manager: ProtoManager, tmp_path: Path) -> None:
    """Also what recalled that; a turn that has nothing to do with it stays, and so does the number of one that went."""
    turn(manager, 1, "What is a hedge?")
    turn(manager, 2, f"My PIN is {SECRET}.")
    turn(manager, 3, "Is it safe?", recalled=(2,))
    turn(manager, 4, "And now?", recalled=(3, 1))
    turn(manager, 5, "Why do cats purr?", recalled=(1,))
    texts = ImageTexts(manager)
    assert [(place.where, place.relation) for place in texts.find(SOUGHT)] == [
        ("turn 2: the question, what was said", "holds"),
        ("turn 3: the question, what was said: rests on turn 2", "derives"),
        ("turn 4: the question, what was said: rests on turn 3", "derives"),
    ]
    forget(manager)
    assert [row.key for row in manager.store.newest("turn", limit=9)] == ["5", "1"]
    assert manager.store.search("rumpelstilz", kind="reply", limit=9) == []
    assert [match.key for match in manager.store.search("purr", kind="reply", limit=9)] == ["5"]
    assert whole(manager)
    assert found_in(tmp_path, SECRET) == []
    manager.close()
    assert found_in(tmp_path, "rumpelstilz") == []
    with opened(tmp_path) as again:
        assert whole(again)
        assert again.store.head("forgotten", "turn 2") is not None


def test_a_named_turn_goes_and_what_derives_from_it_can_be_spared(manager: ProtoManager) -> None:
    turn(manager, 1, f"My PIN is {SECRET}.")
    turn(manager, 2, "Is it safe?", recalled=(1,))
    texts = ImageTexts(manager)
    assert texts.thing_of("1") == ("turn", "1")
    assert texts.thing_of("3") is None
    assert texts.words_by(("turn", "1")) == [f"My PIN is {SECRET}."]
    assert len(texts.find(Sought(things=(("turn", "1"),)))) == 2
    spared = Sought(things=(("turn", "1"),), spare_derived=True)
    assert where(texts, spared) == ["turn 1: the question, what was said"]
    forget(manager, spared)
    assert [row.key for row in manager.store.newest("turn", limit=9)] == ["2"]


@pytest.mark.parametrize("between", [1, MAX_DEPTH - 1, MAX_DEPTH, 3 * MAX_DEPTH])
def test_rows_that_rest_on_a_forgotten_one_still_fold(manager: ProtoManager, tmp_path: Path, between: int) -> None:
    """Whole rows and deltas alike: every version reads as before but for the bar, now and from the disk."""
    manager.register_proto(Proto("BRICK", CODEX, state={"notes": ["tea", f"PIN {SECRET}"], "n": 0}))
    for number in range(1, between + 1):
        with manager.transaction(reason=f"n {number}") as tx:
            tx.edit("BRICK").state["n"] = number
    forget(manager)
    manager.close()
    assert found_in(tmp_path, SECRET) == []
    with opened(tmp_path) as again:
        assert whole(again)
        brick = again.get_proto("BRICK")
        assert brick.state == {"notes": ["tea", f"PIN {BAR}"], "n": between}
        changes = again.history("BRICK")
        assert [change.act for change in changes] == ["register", *["transaction"] * between, "forget"]
        assert changes[0].forgotten
        assert "forgotten in part" in str(changes[0])
        assert not changes[-1].forgotten
        for change in changes[1:-1]:
            (difference,) = again.diff(change)
            assert difference.part == ("slot", "n")
        again.revert(changes[-2])
        assert brick.state["n"] == between - 1


def test_the_present_goes_on_without_it_by_a_change_of_its_own(manager: ProtoManager) -> None:
    draft = Proto(
        "BRICK", {**CODEX, "voice": f"like {SECRET}"}, state={"kept": 1, SECRET: 2, "native": opaque(Point(SECRET, 2))}
    )
    draft.define("tell", f"def tell(self):\n    return '{SECRET}!'\n", author="architect")
    manager.register_proto(draft)
    seen: list[str] = []
    stop = manager.subscribe(lambda change: seen.append(change.act))
    forget(manager)
    brick = manager.get_proto("BRICK")
    assert brick.codex.voice == f"like {BAR}"
    assert brick.tell() == f"{BAR}!"
    assert brick.state == {"kept": 1, BAR: 2, "native": BAR}
    manager.close()
    stop()
    assert seen == ["forget"]


def test_reverting_to_it_says_forgotten(manager: ProtoManager) -> None:
    """What would bring it back is refused by name; undoing the change that brought it in is not."""
    manager.register_proto(Proto("BRICK", CODEX, state={"notes": "none", "other": 1}))
    for notes in (f"PIN {SECRET}", "nothing"):
        with manager.transaction() as tx:
            tx.edit("BRICK").state["notes"] = notes
    forget(manager)
    with pytest.raises(Forgotten, match="forgotten") as refused:
        manager.revert(3)
    assert refused.value.next_step
    with manager.transaction() as tx:
        tx.edit("BRICK").state["notes"] = manager.diff(2).differences[0].after
    manager.revert(2)
    assert manager.get_proto("BRICK").state["notes"] == "none"


def test_words_of_changes_and_commits_are_barred(manager: ProtoManager, tmp_path: Path) -> None:
    manager.register_proto(
        Proto("BRICK", CODEX), reason=f"since {SECRET}", author=f"model:{SECRET}", evidence={"why": [SECRET]}
    )
    manager.store.commit([Row("log", "1", b"x")], author="architect", reason=f"for {SECRET}")
    texts = ImageTexts(manager)
    assert where(texts) == ["BRICK: what its changes say of themselves", "what commits say of themselves, in 2 rows"]
    forget(manager)
    assert manager.get_proto("BRICK").current.record.reason == f"since {BAR}"  # nor does this process keep it
    (change,) = manager.history("BRICK")
    assert (change.reason, change.author, change.evidence) == (f"since {BAR}", f"model:{BAR}", {"why": [BAR]})
    assert [commit.reason for commit in manager.store.commits()][1] == f"for {BAR}"
    assert whole(manager)
    manager.close()
    assert found_in(tmp_path, SECRET) == []


def test_what_decides_where_a_text_runs_is_not_barred(manager: ProtoManager) -> None:
    """Our own words, such as the Architect's name in a promotion, are none that can be forgotten."""
    draft = Proto("BRICK", CODEX)
    draft.define("tell", "def tell(self):\n    return 1\n", author="model:x")
    manager.register_proto(draft)
    manager.promote(manager.get_proto("BRICK").tell, "in-process", reason=f"I read it, {SECRET}")
    for text in ("architect", "in-process", SECRET):
        forget(manager, Sought(texts=(text,)))
    assert manager.get_proto("BRICK").tell() == 1
    (trust,) = manager.promotions()
    assert (trust.level, trust.by, trust.reason) == ("in-process", "architect", f"I read it, {BAR}")


def test_names_of_fields_are_no_words(manager: ProtoManager) -> None:
    turn(manager, 1, "What is a hedge?")
    manager.register_proto(Proto("BRICK", CODEX, state={"slots": 1}))
    texts = ImageTexts(manager)
    for text in ("question", "contributions", "memories_used", "codex", "methods", "turn", "proto", "forget"):
        assert where(texts, Sought(texts=(text,))) == [], text


def test_a_proto_in_use_is_not_forgotten_by_its_name_but_one_that_is_gone_is(
    manager: ProtoManager, tmp_path: Path
) -> None:
    name = f"friend {SECRET}"
    manager.register_proto(Proto(name, CODEX))
    with pytest.raises(UsageError, match="in use"):
        ImageTexts(manager).find(SOUGHT)
    change = manager.remove_proto(name)
    forget(manager)
    assert manager.history() == []
    with pytest.raises(Forgotten):
        manager.changes(change.generation)
    assert whole(manager)
    manager.close()
    assert found_in(tmp_path, SECRET) == []


def test_a_change_that_rests_on_a_forgotten_turn_is_named(manager: ProtoManager) -> None:
    turn(manager, 1, f"My PIN is {SECRET}.")
    manager.register_proto(Proto("BRICK", CODEX))
    with manager.transaction(evidence={"turns": [1]}) as tx:
        tx.edit("BRICK").state["likes"] = "numbers"
    *_, named = ImageTexts(manager).find(SOUGHT)
    assert (named.where, named.relation) == ("change 4 of BRICK rests on turn 1", "named")
    assert "a4ps image revert 4" in named.next_step


def test_a_kind_that_nobody_knows_goes_whole(manager: ProtoManager, tmp_path: Path) -> None:
    """Whatever its payload is: nothing is left by oversight."""
    manager.store.commit(
        [Row("new", "1", b"\x00\xff" + SECRET.encode()), Row("new", SECRET, b"x"), Row("new", "2", b"y", SECRET)],
        author="x",
        reason="y",
    )
    forget(manager)
    assert manager.store.heads("new") == {}
    assert whole(manager)
    manager.close()
    assert found_in(tmp_path, SECRET) == []


def test_rows_of_several_kinds_are_one_thing_where_a_treatment_says_so(manager: ProtoManager) -> None:
    """Such as a note, the numbers that were made of it by any model, and what was concluded from it."""

    def note(key: str) -> tuple[str, str]:
        return "note", key

    treatments = {
        **IMAGE_TREATMENTS,
        "note": Treatment("a note", sources=lambda key, payload: [("note", key.partition(".")[0])], addressed=True),
        "vector:": Treatment("a vector", note, no_words),
    }
    rows = [Row("note", "n1", SECRET.encode()), Row("note", "n1.1", b"x"), Row("note", "n2", b"y")]
    rows += [Row(f"vector:{model}", key, SECRET.encode()) for model in "ab" for key in ("n1", "n1.1", "n2")]
    manager.store.commit(rows, author="x", reason="y")
    texts = ImageTexts(manager, treatments)
    assert texts.thing_of("n2") == ("note", "n2")
    assert where(texts) == ["note n1: a note, a vector", "note n1.1: a note, a vector: rests on note n1"]
    texts.begin(SOUGHT)
    texts.remove(SOUGHT)
    for kind in ("note", "vector:a", "vector:b"):
        assert [row.key for row in manager.store.newest(kind, limit=9)] == ["n2"]


def test_no_page_keeps_what_was_overwritten(tmp_path: Path) -> None:
    """Neither the image's free space nor its log: the stored bytes of each row are looked for, deflated ones too."""
    chance = random.Random(5)
    with opened(tmp_path) as manager:
        for number in range(400):
            size = chance.choice((10, 300, 3000, 9000))
            filler = "".join(chance.choices("abcdefgh ", k=size))
            words = f"{filler} {SECRET}" if number % 3 == 0 else filler
            manager.store.commit([Row("memory", str(number), words.encode(), words)], author="x", reason="y")
    with closing(sqlite3.connect(tmp_path / "image.a4ps")) as connection:
        bodies = [body for (body,) in connection.execute("SELECT body FROM rows WHERE CAST(key AS INTEGER) % 3 = 0")]
    with opened(tmp_path) as manager:
        forget(manager)
        for suffix in ("", "-wal"):
            data = (tmp_path / f"image.a4ps{suffix}").read_bytes()
            left = [body for body in bodies if body[1:40] in data or body[-40:] in data]
            assert left == [], suffix
    data = (tmp_path / "image.a4ps").read_bytes()
    assert not any(body[1:40] in data for body in bodies)
    assert found_in(tmp_path, "rumpelstilz") == []


def test_what_was_begun_is_finished_after_a_cut(manager: ProtoManager, tmp_path: Path) -> None:
    """The words are in the record of what was begun until then, and nowhere after."""
    turn(manager, 1, f"My PIN is {SECRET}.")
    ImageTexts(manager).begin(SOUGHT)
    manager.close()
    with opened(tmp_path) as again:
        texts = ImageTexts(again)
        assert texts.begun() == [SOUGHT]
        report = again.verify(deep=True)
        assert report.ok
        assert "a4ps memory forget" in report.warnings[0]
        texts.remove(SOUGHT)
        assert not texts.unfinished
        assert again.store.heads(FORGETTING) == {}
        assert whole(again)
    assert found_in(tmp_path, SECRET) == []


def test_two_that_begin_at_once_are_both_begun(manager: ProtoManager, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut off, both are gone on with: the campaign of kills once met two of one name."""
    other = Sought(texts=("something else",))
    monkeypatch.setattr(Store, "generation", 5)  # what both may see before either has committed
    texts = ImageTexts(manager)
    texts.begin(SOUGHT)
    texts.begin(other)
    monkeypatch.undo()
    assert texts.begun() == [SOUGHT, other]
    texts.remove(SOUGHT)
    assert texts.begun() == [other]


class TestWithTombstones:
    """Everything that an image can go through, with something forgotten in it."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "home"
        with opened(folder) as manager:
            manager.register_proto(Proto("BRICK", CODEX, state={"notes": f"PIN {SECRET}", "n": 0}))
            turn(manager, 1, f"My PIN is {SECRET}.")
            turn(manager, 2, "Why do cats purr?")
            with manager.transaction(reason=SECRET) as tx:
                tx.edit("BRICK").state["n"] = 1
            forget(manager)
        return folder

    @staticmethod
    def check(manager: ProtoManager) -> None:
        assert whole(manager)
        assert manager.get_proto("BRICK").state == {"notes": f"PIN {BAR}", "n": 1}
        assert [row.key for row in manager.store.newest("turn", limit=9)] == ["2"]
        assert [match.key for match in manager.store.search("purr", kind="reply", limit=9)] == ["2"]
        assert where(ImageTexts(manager)) == []

    def test_backup_and_restore(self, folder: Path, tmp_path: Path) -> None:
        with opened(folder) as manager:
            assert manager.backup(tmp_path / "backup.a4ps").ok
            with manager.transaction() as tx:
                tx.edit("BRICK").state["n"] = 2
        restore(folder / "image.a4ps", tmp_path / "backup.a4ps", KeyFolder(folder / "keys"), ManualClock(), author="x")
        with opened(folder) as manager:
            self.check(manager)
        assert found_in(tmp_path, SECRET) == []

    def test_save_and_load(self, folder: Path, tmp_path: Path) -> None:
        with opened(folder) as manager:
            manager.save_image(tmp_path / "saved")
        (tmp_path / "other").mkdir()
        shutil.copytree(folder / "keys", tmp_path / "other" / "keys")
        for witness in (tmp_path / "other" / "keys").glob("*.witness"):
            witness.unlink()
        with opened(tmp_path / "other") as other:
            other.load(tmp_path / "saved")
            self.check(other)
        with opened(folder) as manager:
            manager.load(tmp_path / "saved")
            self.check(manager)

    def test_export_and_import(self, folder: Path, tmp_path: Path) -> None:
        with opened(folder) as manager:
            manager.export_text(tmp_path / "exported")
        with opened(tmp_path / "other") as other:
            other.import_text(tmp_path / "exported")
            self.check(other)
        assert found_in(tmp_path, SECRET) == []

    def test_salvage(self, folder: Path, tmp_path: Path) -> None:
        shutil.rmtree(folder / "keys")
        done = salvage(
            tmp_path / "new" / "image.a4ps",
            folder / "image.a4ps",
            KeyFolder(tmp_path / "new" / "keys"),
            ManualClock(),
            author="architect",
        )
        assert (done.found.skipped, done.found.notes) == (0, ())
        with opened(tmp_path / "new") as manager:
            self.check(manager)

    def test_forgetting_again(self, folder: Path) -> None:
        """What is left of a row can be forgotten as well, and the chain is whole after it."""
        with opened(folder) as manager:
            forget(manager, Sought(texts=("PIN",)))
            assert whole(manager)
            assert manager.get_proto("BRICK").state == {"notes": f"{BAR} {BAR}", "n": 1}
            forget(manager, Sought(things=(("turn", "2"),)))
            assert whole(manager)
            assert len(manager.store.heads(FORGOT)) == 3
        with opened(folder) as manager:
            assert whole(manager)

    def test_without_its_witness_or_behind_it(self, folder: Path) -> None:
        """An image from before the forgetting does not open in the place of the one after it."""
        with opened(folder) as manager:
            manager.backup(folder / "before.a4ps")
            forget(manager, Sought(texts=("PIN",)))
        shutil.copyfile(folder / "before.a4ps", folder / "image.a4ps")
        with pytest.raises(IntegrityError, match="missing"):
            opened(folder)

    @pytest.mark.parametrize(
        "statements",
        [
            "UPDATE rows SET body = x'0000000000' WHERE length(salt) = 40 AND kind = 'proto'",
            "UPDATE rows SET key = 'turn 3' WHERE kind = 'forgotten' AND key = 'turn 1'",
            "UPDATE rows SET salt = (SELECT salt FROM rows WHERE key = 'turn 1'), body = x'0000000000', kind = 'forgotten' "
            "WHERE kind = 'turn' AND key = '2'",
            "UPDATE rows SET mac = zeroblob(32) WHERE kind = 'forgotten'",
            "UPDATE rows SET salt = zeroblob(16) WHERE kind = 'forgotten'",
            "UPDATE commits SET reason = 'other' WHERE generation IN (SELECT generation FROM tombstones)",
            "UPDATE tombstones SET forgotten = forgotten + 1",
            "UPDATE tombstones SET mac = zeroblob(32)",
            "DELETE FROM tombstones",
            "INSERT INTO tombstones SELECT 1, forgotten, mac FROM tombstones",
            "INSERT INTO tombstones SELECT 999, forgotten, mac FROM tombstones",
            "DELETE FROM rows WHERE kind = 'forgotten'",
            "UPDATE rows SET kind = 'forgot-x' WHERE kind = 'forgot'",
        ],
    )
    def test_a_forged_tombstone_is_found(self, folder: Path, statements: str) -> None:
        """I2: at opening, or by a deep check; and nothing forged is returned."""
        with closing(sqlite3.connect(folder / "image.a4ps")) as connection, connection:
            assert connection.execute(statements).rowcount > 0
        try:
            with opened(folder) as manager:
                assert manager.verify(deep=True).faults
        except IntegrityError:
            pass

    def test_a_forgotten_row_that_was_put_back_is_found(self, tmp_path: Path) -> None:
        """Its old bytes verify, but the commit that forgot it says otherwise."""
        with opened(tmp_path) as manager:
            turn(manager, 1, f"My PIN is {SECRET}.")
        with closing(sqlite3.connect(tmp_path / "image.a4ps")) as connection:
            old = connection.execute("SELECT kind, key, salt, body, place FROM rows WHERE kind = 'turn'").fetchone()
        with opened(tmp_path) as manager:
            forget(manager)
        with closing(sqlite3.connect(tmp_path / "image.a4ps")) as connection, connection:
            connection.execute("UPDATE rows SET kind = ?, key = ?, salt = ?, body = ? WHERE place = ?", old)
        with opened(tmp_path) as manager:
            assert "is there again" in str(manager.verify(deep=True).faults)

    def test_a_tombstone_that_no_commit_orders_is_found(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Signed with the key itself, say by a version that had a fault."""

        def silent(value: object, **options: Any) -> str:
            return json.dumps({"rows": [], "commits": []}, **options)

        with opened(folder) as manager:
            monkeypatch.setattr(redaction, "json", SimpleNamespace(dumps=silent))
            manager.store.forget(Turns(), author="x", reason="y")
            assert "does not say so" in str(manager.verify(deep=True).faults)


class Turns:
    """A redaction of all of them."""

    def row(self, row: StoredRow, text: str) -> PackedRow | None:
        return pack(Row("forgotten", f"turn {row.key}", b"")) if row.kind == "turn" else None

    def words(self, author: str, reason: str) -> tuple[str, str]:
        return author, reason


def test_a_forgetting_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    """One damaged row before the newest commits, and all stays as it was, to be mended first."""
    with opened(tmp_path) as manager:
        manager.store.commit([Row("memory", "0", b"whole")], author="x", reason="y")
        turn(manager, 1, f"My PIN is {SECRET}.")
        for number in range(TAIL_COMMITS):
            manager.store.commit([Row("log", str(number), b"")], author="x", reason="y")
    with closing(sqlite3.connect(tmp_path / "image.a4ps")) as connection, connection:
        connection.execute("UPDATE rows SET body = x'0000000000' WHERE kind = 'memory'")
    with opened(tmp_path) as manager:
        with pytest.raises(IntegrityError):
            forget(manager)
        assert manager.store.search("rumpelstilz", kind="reply", limit=9)
        assert ImageTexts(manager).begun() == [SOUGHT]
        manager.store.commit([Row("log", "after", b"")], author="x", reason="y")


def test_what_an_image_file_holds_is_told_without_its_key(manager: ProtoManager, tmp_path: Path) -> None:
    turn(manager, 1, f"My PIN is {SECRET}.")
    manager.register_proto(Proto("BRICK", CODEX, state={"notes": "tea"}))
    manager.backup(tmp_path / "kept.a4ps")
    kept = tmp_path / "kept.a4ps"
    assert image_holds(kept, SOUGHT) is True
    assert image_holds(kept, Sought(whole=(f"My PIN is {SECRET}.",))) is True
    assert image_holds(kept, Sought(texts=("tea",))) is True
    assert image_holds(kept, Sought(texts=("coffee", "question"))) is False
    assert [path.name for path in tmp_path.glob("kept*")] == ["kept.a4ps"]
    kept.write_bytes(kept.read_bytes()[:5000])
    assert image_holds(kept, SOUGHT) is None


def test_only_images_that_a4ps_kept_are_removed(manager: ProtoManager, tmp_path: Path) -> None:
    """By their names; one that a person put beside the image is somebody else's to name."""
    turn(manager, 1, f"My PIN is {SECRET}.")
    kept = [dated(manager.store.path, manager.store.clock.now()), tmp_path / "image-format-1.a4ps"]
    kept += [tmp_path / "image-20261122-120000-1.a4ps", tmp_path / "image.a4ps.migrating"]
    mine = [tmp_path / "image-mine.a4ps", tmp_path / "image-2026.a4ps", tmp_path / "other.a4ps"]
    for path in (*kept, *mine):
        manager.backup(path)
    holder = KeptImages(manager.store.path)
    assert len(holder.find(SOUGHT)) == len(kept)
    assert holder.find(Sought(texts=("something else",))) == []
    assert [holder.holds_file(path) for path in (*kept, *mine)] == [True] * len(kept) + [False] * len(mine)
    holder.remove(SOUGHT)
    assert not any(path.exists() for path in kept)
    assert all(path.exists() for path in mine)
