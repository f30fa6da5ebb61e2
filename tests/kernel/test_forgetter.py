"""I12: a forgetting finds every place, is whole wherever it is cut off, and leaves nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from a4ps.errors import Forgotten, NoSuchTurn, StorageFailed, UsageError
from a4ps.image.rows import Row
from a4ps.image.turns import Turn, TurnLog
from a4ps.kernel.forgetter import Forgetter
from a4ps.memory.consolidation import Consolidation
from a4ps.memory.records import Document, Records
from a4ps.sought import BAR, Sought
from tests.doubles.byte_search import found_in
from tests.doubles.lived_in import OTHER, QUESTION, SECRET, asked, checkpoint, forgetter, lived_in, opened

HOLDING = {
    "home/image.a4ps",
    "home/image.a4ps: rows",
    "home/image.a4ps: commits",
    "home/image-20261122-100000.a4ps",
    "home/image-20261122-100000.a4ps: rows",
    "home/image-20261122-100000.a4ps: commits",
    "home/chat_history",
    "home/worlds/home.json",
    "home/worlds/old.damaged",
    "home/cache/checkpoints.sqlite",
    "home/cache/checkpoints.sqlite: writes",
    "home/.a4ps-draft.dead/file",
    "home/.salvage-dead/report.json",
    "state/a4ps.log",
    "state/a4ps.log.1",
    "state/crashes/crash-1.txt",
}


def test_every_place_is_found_and_none_is_left(tmp_path: Path) -> None:
    """I12: the home and the state folder, deflated and deleted content included."""
    places = lived_in(tmp_path)
    assert set(found_in(tmp_path, SECRET)) == HOLDING
    with opened(places) as manager:
        forgetting = forgetter(places, manager)
        plan = forgetting.plan(Forgetter.by_text(SECRET))
        assert [(place.holder, place.where) for place in plan.going] == [
            ("image", "turn 1: the question, what was said"),
            ("image", "turn 2: the question, what was said: rests on turn 1"),
            ("image", "BRICK: what its changes say of themselves"),
            ("image", 'BRICK.state["notes"]'),
            ("image", "the use of a tool"),
            ("image", "what commits say of themselves"),
            ("chat history", "1 line that was typed"),
            ("worlds", "home.json"),
            ("worlds", "old.damaged"),
            ("log", "a4ps.log"),
            ("log", "a4ps.log.1"),
            ("crash reports", "crash-1.txt"),
            ("checkpoints", "the progress of turns that wait to be resumed, which begin anew"),
            ("earlier images", "image-20261122-100000.a4ps, which is removed whole"),
            ("left over", ".a4ps-draft.dead"),
            ("left over", ".salvage-dead"),
        ]
        assert [place.holder for place in plan.named] == ["other files"]
        forgetting.forget(plan.sought)
        assert forgetting.plan(plan.sought).going == ()
        assert manager.verify(deep=True).ok
        assert manager.get_proto("BRICK").state["notes"] == ["tea", f"My bank PIN is {BAR}, where do I keep it?"]
    assert found_in(tmp_path, SECRET) == []
    assert found_in(tmp_path, OTHER)
    assert places.chat_history.read_text() == f"\n# 2026-11-22 12:00:00\n+{OTHER}\n"
    assert places.log.read_text() == f"one line\nanother with {BAR} in it\n"


def test_a_turn_is_forgotten_with_what_was_typed(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name("1"))
        assert TurnLog(manager.store).turn("3").question == OTHER
        for number in ("1", "2"):
            with pytest.raises(Forgotten):
                TurnLog(manager.store).turn(number)
            with pytest.raises(Forgotten):
                forgetting.by_name(number)
        asked(manager, "A new one?")
        assert TurnLog(manager.store).turn("4").question == "A new one?"
    assert found_in(tmp_path, QUESTION) == []


def test_a_log_of_turns_that_is_open_notices(tmp_path: Path) -> None:
    """The number of the newest turn is not given to another one when that was forgotten."""
    places = lived_in(tmp_path)
    with opened(places) as manager:
        log = TurnLog(manager.store)
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name("3"))
        asked(manager, "A new one?")
        assert [turn.id for turn, _ in log.latest(9)] == ["4", "2", "1"]
        assert TurnLog(manager.store).count() == 4


def test_a_short_question_is_forgotten_where_it_is_all_that_was_typed(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        asked(manager, "hello")
        places.chat_history.write_text("\n# x\n+hello\n\n# y\n+hello world\n")
        forgetting = forgetter(places, manager)
        sought = forgetting.by_name("4")
        assert sought.texts == ()
        forgetting.forget(sought)
    assert places.chat_history.read_text() == "\n# y\n+hello world\n"


def test_files_of_a_person_are_named_and_stay(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        manager.backup(places.home / "mine" / "backup.a4ps")
        manager.save_image(places.home / "mine" / "saved")
        manager.export_text(places.home / "mine" / "exported")
        (places.home / "notes.txt").write_text("x" * (1 << 20) + SECRET)
        places.models.mkdir()
        (places.models / "big.gguf").write_text(SECRET)
        forgetting = forgetter(places, manager)
        named = {
            place.where: place.next_step
            for place in forgetting.plan(Forgetter.by_text(SECRET)).named
            if place.where.startswith(str(places.home))
        }
        mine = places.home / "mine"
        exported = f"a4ps image export {mine / 'exported'} writes it anew"
        assert named == {
            f"{mine}/backup.a4ps": f"rm {mine}/backup.a4ps; and for a new one: a4ps image backup FILE",
            f"{mine}/saved": f"a4ps image save {mine}/saved writes it anew",
            f"{mine}/exported/protos/BRICK/history.jsonl": exported,
            f"{mine}/exported/protos/BRICK/state.json": exported,
            f"{mine}/exported/turns.jsonl": exported,
            f"{places.home}/notes.txt": f"rm {places.home}/notes.txt",
        }
        before = sorted(mine.rglob("*"))
        forgetting.forget(Forgetter.by_text(SECRET))
        assert sorted(mine.rglob("*")) == before
        assert (places.home / "notes.txt").exists()


@pytest.mark.parametrize("text", ["", "  ab ", "京", "forgotten", "GOTTEN⟧"])
def test_what_cannot_be_looked_for_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        Forgetter.by_text(text)
    assert refused.value.next_step


def test_two_characters_of_a_script_of_words_can_be_looked_for() -> None:
    assert Forgetter.by_text("東京").texts == ("東京",)


def test_what_is_not_there_cannot_be_named(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        for name in ("9", "x", "²"):
            with pytest.raises(NoSuchTurn):
                forgetter(places, manager).by_name(name)


def test_what_was_cut_off_is_finished_before_anything_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        forgetting = forgetter(places, manager)

        def fail() -> None:
            raise StorageFailed("the disk is gone")

        monkeypatch.setattr(manager.store, "scrub", fail)
        with pytest.raises(StorageFailed):
            forgetting.forget(Forgetter.by_text(SECRET))
        monkeypatch.undo()
        asked(manager, "What is a hedge?")
    with opened(places) as manager:
        forgetting = forgetter(places, manager)
        forgetting.forget(Forgetter.by_text("hedge"))
        assert forgetting.finish() == ()
        assert manager.verify(deep=True).ok
    assert found_in(tmp_path, SECRET) == found_in(tmp_path, "hedge") == []


def test_nothing_is_forgotten_where_a_proto_in_use_has_the_name(tmp_path: Path) -> None:
    """And nothing is begun, either."""
    places = lived_in(tmp_path)
    with opened(places) as manager:
        forgetting = forgetter(places, manager)
        with pytest.raises(UsageError):
            forgetting.plan(Sought(texts=("brick",)))
        with pytest.raises(UsageError):
            forgetting.forget(Sought(texts=("brick",)))
        assert forgetting.finish() == ()


def test_what_says_the_same_goes_too(tmp_path: Path) -> None:
    """A duplicate that a night has put out of sight, in another spelling and too short to be looked for by its words."""
    places = lived_in(tmp_path)
    with opened(places) as manager:
        records = Records(manager.store, TurnLog(manager.store))
        notes = [records.note(text) for text in ("PIN 4821", "pin  4821!", "PIN 4821")]
        records.add(notes)
        nights = Consolidation(records)
        assert nights.keep(nights.duplicates(), (), ()) is not None
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name(notes[0].id))
        assert nights.undo() is not None
        assert manager.verify(deep=True).ok
    assert found_in(tmp_path, "4821") == []


def test_of_two_turns_that_were_merged_only_the_one_that_holds_it_goes(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        into = json.dumps({"into": "3"}).encode()
        manager.store.commit([Row("merged", "2", into)], author="ALFRED", reason="memory was consolidated")
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name("1"))
        assert TurnLog(manager.store).turn("3").question == OTHER


def test_a_document_goes_with_its_earlier_states_and_copies(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        records = Records(manager.store, TurnLog(manager.store))
        earlier = document(records, "/a.md", "old", "the marmoset key is 12")
        records.drop_document(earlier)
        newer = document(records, "/a.md", "new", "there is no marmoset")
        document(records, "/copy.md", "new", "there is no marmoset")
        other = document(records, "/b.md", "else", "of other things")
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name(newer.id))
        assert list(records.documents().values()) == [other]
    assert found_in(tmp_path, "marmoset") == []


def test_a_turn_under_way_rests_on_what_it_recalled(tmp_path: Path) -> None:
    """Before its answer its rows do not say so: its progress does, which holds a passage and not the whole."""
    places = lived_in(tmp_path)
    with opened(places) as manager:
        records = Records(manager.store, TurnLog(manager.store))
        page = document(records, "/a.md", "x", "Cats. The vault opens at midnight, says the page.")
        log = TurnLog(manager.store)
        waiting = asyncio.run(log.accept(Turn("", "What does it say?", manager.store.clock.now(), "scripted", {}, {})))
        claim = b'{"claim": "The vault opens at midnight"}'
        manager.store.commit([Row("approval", f"{waiting.id}.1", claim)], author="package", reason="asked")
        memory = {"id": f"{page.id}.1", "text": "The vault opens at midnight"}
        checkpoint(places, waiting.id, JsonPlusSerializer().dumps_typed({"memories": [memory]})[1])
        forgetting = forgetter(places, manager)
        spared = forgetting.plan(forgetting.by_name(page.id, spare_derived=True))
        assert [place.where for place in spared.going] == [
            "document d1: a document, in 1 part",
            ".a4ps-draft.dead",
            ".salvage-dead",
        ]
        plan = forgetting.plan(forgetting.by_name(page.id))
        assert f"turn {waiting.id}: the question, an approval" in [place.where for place in plan.going]
        assert "checkpoints" in [place.holder for place in plan.going]
        forgetting.forget(plan.sought)
        with pytest.raises(Forgotten):
            log.turn(waiting.id)
    assert found_in(tmp_path, "vault") == []


def test_what_was_typed_goes_with_its_turn_also_where_that_only_derives(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        places.chat_history.write_text("\n# x\n+Is that safe?\n\n# y\n+Why do cats purr?\n")
        forgetting = forgetter(places, manager)
        forgetting.forget(forgetting.by_name("1"))
    assert places.chat_history.read_text() == "\n# y\n+Why do cats purr?\n"


def test_what_a_fact_was_made_of_is_named_and_stays(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        records = Records(manager.store, TurnLog(manager.store))
        fact = records.note("Cats purr, the Architect asked", kind="fact", turn="3", links=("3",))
        records.add([fact])
        forgetting = forgetter(places, manager)
        plan = forgetting.plan(forgetting.by_name(fact.id))
        assert ("turn 3, which memory m1 was made of, stays", "forget it as well: a4ps memory forget 3") in [
            (place.where, place.next_step) for place in plan.named
        ]
        forgetting.forget(plan.sought)
        assert records.find(fact.id) is None
        assert records.find("3") is not None


def test_a_file_that_a_turn_had_written_is_named(tmp_path: Path) -> None:
    places = lived_in(tmp_path)
    with opened(places) as manager:
        action = {"kind": "file-write", "destination": "/outbox/note.txt"}
        done = json.dumps({"state": "done", "action": action, "taint": [], "result": {}}).encode()
        manager.store.commit([Row("effect", "2/use_tool/1", done)], author="package", reason="done")
        forgetting = forgetter(places, manager)
        named = [(place.where, place.next_step) for place in forgetting.plan(forgetting.by_name("1")).named]
        assert ("/outbox/note.txt, which turn 2 had written", "look at it, and remove it: rm /outbox/note.txt") in named
        assert not any("/outbox" in place.where for place in forgetting.plan(forgetting.by_name("3")).named)


def document(records: Records, path: str, sha256: str, text: str) -> Document:
    """One of one part."""
    begun = records.begin_document(path, sha256, 1)
    records.add_parts(begun, [text], 1, last=True)
    return replace(begun, whole=True)
