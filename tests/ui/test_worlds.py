import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from a4ps.errors import CallerError, DiskFull, StorageFailed
from a4ps.ui.model.arrangement import first_world
from a4ps.ui.model.geometry import Rect
from a4ps.ui.model.morph import Morph, World
from a4ps.ui.worlds import FIRST, Worlds, checked

NOTED = World().add(Morph("bread", "note", Rect(10, 50, 100, 50), {"text": "buy bread"}))


@pytest.fixture
def worlds(tmp_path: Path) -> Worlds:
    return Worlds(tmp_path / "worlds")


def test_a_world_that_was_saved_is_loaded_and_is_the_last(worlds: Worlds) -> None:
    worlds.save("evening", NOTED)
    worlds.save("Arbeit 2", NOTED)
    assert worlds.names() == ["Arbeit 2", "evening"]
    assert worlds.last() == FIRST
    loaded = worlds.load("evening", 1600, 1000)
    assert (loaded.world, loaded.found, loaded.notices) == (NOTED, True, ())
    assert worlds.last() == "evening"


def test_where_there_is_none_the_first_arrangement_is_given_and_nothing_written(worlds: Worlds) -> None:
    assert worlds.names() == ()
    loaded = worlds.load(FIRST, 800, 600)
    assert not loaded.found
    assert len(list(loaded.world.of_kind("persona"))) == 4
    assert worlds.names() == []


def test_a_world_is_fitted_into_the_window_it_is_shown_in(worlds: Worlds) -> None:
    worlds.save("wide", World().add(Morph("bread", "note", Rect(1400, 50, 100, 50), {"text": ""})))
    assert worlds.load("wide", 640, 480).world["bread"].rect.right == 640


@pytest.mark.parametrize("bad", [b"", b"\x00" * 50, b"{", b'{"a4ps-world": 1, "morphs": 3}', b'{"a4ps-world": 99}'])
def test_a_damaged_world_is_set_aside_and_told_and_never_lost(worlds: Worlds, bad: bytes) -> None:
    for number in range(3):
        worlds.folder.mkdir(exist_ok=True)
        (worlds.folder / "home.json").write_bytes(bad)
        loaded = worlds.load("home", 1600, 1000)
        (notice,) = loaded.notices
        assert notice.bad
        aside = Path(notice.next_step.removeprefix("it is kept as "))
        assert aside.read_bytes() == bad
        assert len(list(loaded.world.of_kind("persona"))) == 4
        assert len(list(worlds.folder.glob("home.*"))) == number + 1
    worlds.save("home", NOTED)
    assert worlds.load("home", 1600, 1000).world == NOTED


def test_what_was_mended_is_told(worlds: Worlds) -> None:
    worlds.folder.mkdir()
    (worlds.folder / "odd.json").write_text('{"a4ps-world": 1, "morphs": [{"id": "c", "kind": "clock"}]}')
    loaded = worlds.load("odd", 1600, 1000)
    assert loaded.found
    assert "its data is kept" in loaded.notices[0].text


@pytest.mark.parametrize(
    "name", ["", " ", "../x", "a/b", ".hidden", "-rf", "a\0b", "x" * 61, "a\nb", "dot.", "é" * 60 + "ü"]
)
def test_names_that_could_leave_the_folder_or_confuse_are_refused(worlds: Worlds, name: str) -> None:
    for act in (lambda: worlds.save(name, NOTED), lambda: worlds.load(name, 800, 600), lambda: worlds.delete(name)):
        with pytest.raises(CallerError, match="no world can be called"):
            act()
    assert not worlds.folder.exists()


def test_names_may_have_letters_of_any_language() -> None:
    assert checked(" Küche שלום 2 ") == "Küche שלום 2"


def test_a_rename_takes_no_other_worlds_name_and_keeps_the_last(worlds: Worlds) -> None:
    worlds.save("a", NOTED)
    worlds.save("b", NOTED)
    worlds.load("a", 1600, 1000)
    with pytest.raises(CallerError, match="already"):
        worlds.rename("a", "b")
    with pytest.raises(CallerError, match="no world"):
        worlds.rename("z", "y")
    worlds.rename("a", "c")
    assert worlds.names() == ["b", "c"]
    assert worlds.last() == "c"


def test_deleting_keeps_the_file_under_another_name(worlds: Worlds) -> None:
    for _ in range(2):
        worlds.save("a", NOTED)
        kept = worlds.delete("a")
        assert b"buy bread" in kept.read_bytes()
    assert worlds.names() == []
    assert len(list(worlds.folder.glob("a.bak*"))) == 2
    with pytest.raises(CallerError, match="no world"):
        worlds.delete("a")


def failing(code: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize(("code", "kind"), [(errno.ENOSPC, DiskFull), (errno.EIO, StorageFailed)])
def test_a_save_that_fails_leaves_the_file_as_it_was_and_no_draft(
    worlds: Worlds, monkeypatch: pytest.MonkeyPatch, call: str, code: int, kind: type[Exception]
) -> None:
    worlds.save("a", NOTED)
    if call == "fsync":
        monkeypatch.setattr(os, "fsync", failing(code))
    else:
        monkeypatch.setattr(Path, "replace", failing(code))
    with pytest.raises(kind):
        worlds.save("a", World())
    monkeypatch.undo()
    assert worlds.load("a", 1600, 1000).world == NOTED
    assert list(worlds.folder.glob(".draft-*")) == []


def test_a_folder_that_cannot_be_is_told_of_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailed) as refused:
        Worlds(tmp_path / "file").save("a", NOTED)
    assert refused.value.next_step


def test_a_pipe_in_a_worlds_place_is_not_waited_for(worlds: Worlds) -> None:
    worlds.folder.mkdir()
    os.mkfifo(worlds.folder / "pipe.json")
    with pytest.raises(StorageFailed, match="no file"):
        worlds.load("pipe", 800, 600)
    assert worlds.names() == []


@pytest.mark.parametrize("said", [b"", b"\xff", b"../../etc", b"x" * 5000])
def test_a_last_world_that_cannot_be_is_the_first(worlds: Worlds, said: bytes) -> None:
    worlds.folder.mkdir()
    (worlds.folder / ".last").write_bytes(said)
    assert worlds.last() == FIRST


def test_who_only_looks_changes_nothing_in_the_folder(tmp_path: Path) -> None:
    worlds = Worlds(tmp_path / "worlds")
    worlds.save("home", first_world(800, 600))
    (tmp_path / "worlds" / "bad.json").write_text("{", encoding="utf-8")
    before = {each.name: each.read_bytes() for each in (tmp_path / "worlds").iterdir()}
    looking = Worlds(tmp_path / "worlds", writes=False)
    looking.save("home", looking.load("home", 1600, 1000).world)
    with pytest.raises(CallerError):
        looking.load("bad", 800, 600)
    assert {each.name: each.read_bytes() for each in (tmp_path / "worlds").iterdir()} == before
