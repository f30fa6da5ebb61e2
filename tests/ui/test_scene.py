"""The world as a whole: kept on the disk by itself, several by name, its look, and the tour."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from a4ps.ui.desk import Desk
from a4ps.ui.keeping import SAVE_AFTER_S
from a4ps.ui.model.blocks import Act
from a4ps.ui.model.geometry import Point
from a4ps.ui.model.gestures import Pointer
from a4ps.ui.model.morph import World
from a4ps.ui.model.palette import LIGHT
from a4ps.ui.model.pane import Notice
from a4ps.ui.model.tour import STOPS, TOUR
from a4ps.ui.worlds import Worlds
from tests.ui.fake_link import FakeLink


class Kept:
    """A desk that keeps its world in a folder, and its clock."""

    def __init__(self, folder: Path) -> None:
        self.link, self.now_s, self.folder = FakeLink(), 0.0, folder
        self.desk = self.open()

    def open(self) -> Desk:
        """Another start of the program."""
        return Desk(self.link, worlds=Worlds(self.folder), size=(1600, 1000), now=lambda: self.now_s)

    def reopen(self) -> None:
        assert self.desk.close() is None
        self.desk = self.open()

    def written(self) -> None:
        """Time goes by until nothing is due and nothing is being written any more."""
        while self.desk.scene.due_s is not None:
            self.now_s = max(self.now_s, self.desk.scene.due_s)
            self.desk.pump()

    def names(self) -> set[str]:
        return {each.name for each in self.folder.glob("*.json")}

    def drag(self, id: str, by: Point) -> None:
        at = self.desk.world.rect(id).centre
        self.desk.pointer(Pointer("press", at))
        self.desk.pointer(Pointer("move", at + by))
        self.desk.pointer(Pointer("release", at + by))


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    found = Kept(tmp_path / "worlds")
    yield found
    found.desk.close()


def places(world: World) -> dict[str, Point]:
    return {each.id: world.corner(each.id) for each in world.under()}


def test_the_four_are_there_at_first(kept: Kept) -> None:
    assert {str(each.state["name"]) for each in kept.desk.world.of_kind("persona")} == {
        "ALFRED",
        "BRICK",
        "ROBIN",
        "BABS",
    }


def test_a_world_is_saved_by_itself_soon_after_a_change_and_restored(kept: Kept) -> None:
    kept.drag("robin", Point(30, -20))
    world = kept.desk.world
    assert kept.names() == set()  # not with every step
    assert kept.link.woken_in_s is not None
    assert kept.link.woken_in_s <= SAVE_AFTER_S
    kept.now_s += SAVE_AFTER_S
    kept.desk.pump()
    kept.desk.close()  # which waits for what is being written
    assert kept.names() == {"home.json"}
    kept.desk = kept.open()
    assert places(kept.desk.world) == places(world)
    assert not kept.desk.undoing.history.undo_label


def test_what_was_changed_last_is_kept_when_the_window_closes(kept: Kept) -> None:
    kept.drag("robin", Point(30, -20))
    world = kept.desk.world
    kept.reopen()
    assert places(kept.desk.world) == places(world)


def test_a_change_while_the_one_before_is_being_written_is_kept_too(kept: Kept) -> None:
    for by in (Point(10, 0), Point(20, 0), Point(30, 0)):
        kept.drag("robin", by)
        kept.now_s += SAVE_AFTER_S
        kept.desk.pump()
    kept.written()
    saved = Worlds(kept.folder).load("home", 1600, 1000).world
    assert places(saved) == places(kept.desk.world)


def test_a_folder_that_cannot_be_written_is_said_once_and_returned_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "worlds"
    folder.write_text("a file where the folder should be")
    kept = Kept(folder)
    told: list[Notice] = []
    monkeypatch.setattr(kept.desk.notes, "add", told.append)
    for _ in range(3):
        kept.drag("robin", Point(10, 0))
        kept.now_s += 100
        kept.desk.pump()
        while kept.desk.scene.writing:
            kept.desk.pump()
    assert len([each for each in told if each.bad]) == 1
    assert kept.desk.close() is not None


def test_several_worlds_each_keep_their_own_places(kept: Kept) -> None:
    kept.drag("robin", Point(30, -20))
    home = places(kept.desk.world)
    kept.desk.say("/world work")
    assert kept.desk.scene.name == "work"
    assert places(kept.desk.world) != home
    kept.drag("robin", Point(-50, 0))
    work = places(kept.desk.world)
    kept.desk.act("", Act("worlds"))
    assert kept.desk.menu is not None
    assert [each.label for each in kept.desk.menu.items][:2] == ["work (shown)", "home"]
    kept.desk.key("down")
    kept.desk.key("enter")
    assert places(kept.desk.world) == home
    kept.desk.say("/world work")
    assert places(kept.desk.world) == work
    kept.reopen()
    assert kept.desk.scene.name == "work"


def test_a_world_is_saved_under_another_name_and_goes_on_under_it(kept: Kept) -> None:
    kept.drag("robin", Point(30, -20))
    before = places(kept.desk.world)
    kept.desk.say("/world save quiet")
    assert kept.desk.scene.name == "quiet"
    assert places(kept.desk.world) == before
    kept.desk.say("/world save quiet")
    assert kept.desk.notices[-1].bad
    kept.desk.say("/world ../outside")
    assert kept.desk.notices[-1].bad
    assert kept.names() == {"home.json", "quiet.json"}


def test_theme_and_type_are_the_worlds_own_and_are_kept(kept: Kept) -> None:
    told: list[frozenset[str]] = []
    kept.desk.on_change(told.append)
    kept.desk.act("", Act("theme"))
    assert "theme" in told[-1]
    for _ in range(20):
        kept.desk.key("ctrl-+")
    largest = kept.desk.font_scale
    assert largest > 1.5
    kept.reopen()
    assert (kept.desk.theme, kept.desk.font_scale) == (LIGHT, largest)
    kept.desk.key("ctrl-0")
    assert kept.desk.font_scale == 1.0


def test_the_tour_begins_once_and_goes_on_as_the_user_does_what_it_says(kept: Kept) -> None:
    kept.desk.scene.begin_tour_once()
    assert kept.desk.world[TOUR].state[TOUR] == 0
    kept.desk.act(TOUR, Act("tour-next"))
    kept.desk.say("Who are you?")
    assert kept.desk.world[TOUR].state[TOUR] == 2
    robin = kept.desk.world.rect("robin").centre
    kept.desk.pointer(Pointer("press", robin, "middle"))
    assert kept.desk.world[TOUR].state[TOUR] == 3
    kept.desk.act("", Act("inspect", {"morph": "robin"}))
    kept.desk.act(TOUR, Act("tour-next"))
    kept.desk.key("ctrl-p")
    assert TOUR not in kept.desk.world
    kept.reopen()
    kept.desk.scene.begin_tour_once()
    assert TOUR not in kept.desk.world
    kept.desk.act("", Act("tour"))
    assert kept.desk.world[TOUR].state[TOUR] == 0
    assert len(STOPS) == 6


def test_a_note_is_made_written_and_undone(kept: Kept) -> None:
    focused: list[str] = []
    kept.desk.hands.focus = focused.append
    kept.desk.act("", Act("note"))
    assert focused == ["note"]
    kept.desk.act("note", Act("written", {"value": "Buy tea"}))
    assert kept.desk.world["note"].state["text"] == "Buy tea"
    kept.desk.key("ctrl-z")
    kept.desk.key("ctrl-z")
    assert "note" not in kept.desk.world


def test_tidying_up_is_undone_as_one_step(kept: Kept) -> None:
    kept.drag("robin", Point(30, -20))
    kept.desk.act("", Act("theme"))
    before = places(kept.desk.world)
    kept.desk.act("", Act("arrange"))
    assert places(kept.desk.world) != before
    assert kept.desk.theme == LIGHT
    kept.desk.key("ctrl-z")
    assert places(kept.desk.world) == before


def test_another_size_keeps_everything_within_reach(kept: Kept) -> None:
    kept.desk.resized(640, 480)
    root = kept.desk.world.root.rect
    assert (root.width, root.height) == (640, 480)
    for each in kept.desk.world.of_kind("persona"):
        assert root.contains(kept.desk.world.rect(each.id).centre)
