"""Scripts of worlds as holders of words: what goes, what stays, and that an open window brings nothing back."""

from __future__ import annotations

import json
import stat
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from a4ps.errors import StorageFailed
from a4ps.kernel import held_worlds
from a4ps.kernel.held_worlds import WorldTexts
from a4ps.places import WORLDS_LOCK
from a4ps.sought import BAR, Sought
from a4ps.ui.desk import Desk
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import Morph
from a4ps.ui.model.script import read
from a4ps.ui.worlds import Worlds
from tests.ui.fake_link import FakeLink

SECRET = Sought(texts=("secret words",))


def morph(id: str, kind: str, state: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": id, "kind": kind, "x": 1, "y": 2, "width": 300, "height": 200, "state": state, **more}


def script(*morphs: Mapping[str, Any], **state: Any) -> str:
    return json.dumps({"a4ps-world": 1, "width": 1600, "height": 1000, "morphs": list(morphs), "state": state})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "worlds"
    folder.mkdir()
    return folder


def forget(folder: Path, sought: Sought = SECRET) -> None:
    holder = WorldTexts(folder)
    assert holder.find(sought)
    holder.remove(sought)
    assert holder.find(sought) == []
    for path in folder.rglob("*"):
        assert not sought.in_text(path.name)
        assert path.is_dir() or not sought.in_bytes(path.read_bytes()), path


def test_a_word_is_barred_wherever_it_is_in_a_script_which_stays_one(folder: Path) -> None:
    (folder / "home.json").write_text(
        script(
            morph("a", "note", {"text": "tea\nmy SECRET words\nmilk"}),
            morph("b", "window", {"pane": "workspace", "text": "x = 'secret words'", "files": {"secret words": [1]}}),
            morph("c", "hologram", {"lines": ["secret words", 5]}, more="secret words"),
            morph("d", "note", {"text": "nothing of it"}),
            draft="secret words",
        )
    )
    forget(folder)
    found = read((folder / "home.json").read_bytes(), None)
    assert found.world["a"].state["text"] == f"tea\nmy {BAR}\nmilk"
    assert found.world["d"].state["text"] == "nothing of it"
    assert found.world["b"].state["pane"] == "workspace"
    assert found.world["c"].kind == "placeholder"
    assert stat.S_IMODE((folder / "home.json").stat().st_mode) == 0o600


def test_the_programs_own_words_stay(folder: Path) -> None:
    """They are nobody's: forgetting one that a kind of morph is called by takes no window away."""
    text = script(morph("a", "note", {"text": "tea"}), morph("b", "window", {"pane": "workspace"}))
    (folder / "home.json").write_text(text)
    for word in ("note", "workspace", "width", "a4ps-world", "state"):
        assert WorldTexts(folder).find(Sought(texts=(word,))) == []
    assert (folder / "home.json").read_text() == text


@pytest.mark.parametrize("name", ["home.json", "home.damaged", "home.bak-2", ".last", ".draft-x1"])
def test_what_is_no_script_is_barred_as_well(name: str, folder: Path) -> None:
    (folder / name).write_bytes(b'{"a4ps-world": 1, "morphs": [{"text": "secret words \xff')
    forget(folder)


def test_the_name_of_a_world_goes_too(folder: Path) -> None:
    for name in ("my secret words.json", "secret words.json", "forgotten.json", "my secret words.bak"):
        (folder / name).write_text(script())
    forget(folder)
    assert sorted(path.name for path in folder.iterdir() if path.name != WORLDS_LOCK) == [
        "forgotten 2.json", "forgotten 3.json", "forgotten.bak", "forgotten.json",
    ]  # fmt: skip


def test_what_holds_nothing_stays_to_the_byte(folder: Path) -> None:
    (folder / "home.json").write_text(script(morph("a", "note", {"text": "tea"})))
    before = (folder / "home.json").read_bytes(), (folder / "home.json").stat().st_ino
    (folder / "other.json").write_text(script(morph("a", "note", {"text": "secret words"})))
    forget(folder)
    assert ((folder / "home.json").read_bytes(), (folder / "home.json").stat().st_ino) == before


def test_without_worlds_there_is_nothing_to_do(tmp_path: Path) -> None:
    holder = WorldTexts(tmp_path / "worlds")
    assert holder.find(SECRET) == []
    holder.remove(SECRET)
    assert list(tmp_path.iterdir()) == []


def test_one_that_is_being_written_without_end_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("a4ps.log_file.LOCK_TRIES", 1)
    monkeypatch.setattr("a4ps.log_file.LOCK_PAUSE_S", 0)
    (folder / "home.json").write_text(script(morph("a", "note", {"text": "secret words"})))
    with WorldTexts(folder)._alone(), pytest.raises(StorageFailed, match="does not end"):
        WorldTexts(folder).remove(SECRET)
    assert held_worlds._barred("", SECRET) == ""


class Window:
    """An open window over the folder, with a note in it. Time goes by as the test wants."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.desk = Desk(FakeLink(), worlds=Worlds(folder), size=(1600, 1000), now=lambda: self.now_s)

    def note(self, text: str) -> None:
        with self.desk.settling():
            before = self.desk.world
            note = Morph("n", "note", Rect(0, 0, 200, 100), state={"text": text})
            after = before.put(replace(before["n"], state=note.state)) if "n" in before else before.add(note)
            self.desk.undoing.stepped("Note", before, after)

    def text(self) -> str:
        return str(self.desk.world["n"].state["text"])

    def settle(self) -> None:
        while self.desk.scene.due_s is not None:
            self.now_s = max(self.now_s, self.desk.scene.due_s)
            self.desk.pump()


def test_an_open_window_brings_nothing_back(folder: Path) -> None:
    """Neither what it has not saved yet, nor by undoing, nor when it is closed."""
    window = Window(folder)
    window.note("my secret words")
    window.settle()
    assert SECRET.in_bytes((folder / "home.json").read_bytes())
    window.note("my secret words, and more")
    forget(folder)
    window.settle()
    assert BAR in window.text()
    window.desk.key("ctrl-z")
    window.settle()
    window.desk.close()
    assert WorldTexts(folder).find(SECRET) == []


def test_an_idle_window_shows_what_is_left_once_it_hears_of_it(folder: Path) -> None:
    window = Window(folder)
    window.note("my secret words")
    window.settle()
    forget(folder)
    window.desk.scene.committed(frozenset({"turn"}))
    assert window.text() == "my secret words"
    window.desk.scene.committed(frozenset({"forgot"}))
    assert BAR in window.text()
    window.desk.close()
    assert WorldTexts(folder).find(SECRET) == []


def test_a_window_that_is_closed_first_writes_nothing_over(folder: Path) -> None:
    window = Window(folder)
    window.note("my secret words")
    window.settle()
    window.note("my secret words, and more")
    forget(folder)
    assert window.desk.close() is None
    assert WorldTexts(folder).find(SECRET) == []
