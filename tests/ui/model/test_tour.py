import pytest
from hypothesis import given
from hypothesis import strategies as st

from a4ps.ui.model.arrangement import first_world, fitted
from a4ps.ui.model.blocks import Buttons
from a4ps.ui.model.furniture import furniture
from a4ps.ui.model.hit import seen_in_world
from a4ps.ui.model.morph import World
from a4ps.ui.model.script import read, written
from a4ps.ui.model.tour import (
    STOPS,
    TOUR,
    arrow,
    begun,
    blocks,
    did,
    ended,
    placed,
    stop_of,
    wanted,
    went_back,
    went_on,
)


def test_the_tour_begins_by_itself_once_and_never_again_after_it_was_taken_or_skipped() -> None:
    world = first_world(1600, 1000)
    assert wanted(world)
    world = begun(world)
    assert not wanted(world)
    for _ in STOPS:
        world = went_on(world)
    assert TOUR not in world
    assert not wanted(world)
    assert not wanted(ended(begun(first_world(1600, 1000))))
    assert not wanted(read(written(world)).world)
    assert stop_of(begun(world)) == 0


def test_it_is_short_and_each_stop_is_too() -> None:
    assert 5 <= len(STOPS) <= 6
    assert all(len(each.text) < 240 for each in STOPS)


@given(st.integers(320, 3840), st.integers(240, 2160))
def test_at_each_stop_the_note_is_in_the_room_and_where_there_is_room_it_hides_not_what_it_speaks_of(
    width: int, height: int
) -> None:
    world = begun(first_world(width, height))
    room = furniture(width, height).room
    while stop_of(world) is not None:
        note = seen_in_world(world, TOUR)
        assert note.x >= room.x - 0.01
        assert note.y >= room.y - 0.01
        if width >= 900 and height >= 700:
            assert note.right <= room.right + 0.01
            assert note.bottom <= room.bottom + 0.01
            line = arrow(world)
            assert line is not None
            assert not note.contains(line[1])
        world = went_on(world)


def test_doing_what_it_speaks_of_takes_it_on_and_nothing_else_does() -> None:
    world = went_on(begun(first_world(1600, 1000)))
    assert did(world, "halo") is world
    world = did(world, "asked")
    assert stop_of(world) == 2
    assert stop_of(did(world, "halo")) == 3
    assert did(first_world(800, 600), "asked") == first_world(800, 600)


def test_back_goes_back_and_not_before_the_first() -> None:
    world = begun(first_world(1600, 1000))
    assert went_back(world) is world
    assert stop_of(went_back(went_on(world))) == 0


def test_where_it_stands_outlives_a_restart() -> None:
    world = went_on(begun(first_world(1600, 1000)))
    assert stop_of(read(written(world)).world) == 1


@pytest.mark.parametrize("number", range(len(STOPS)))
def test_each_stop_has_its_buttons(number: int) -> None:
    buttons = next(each for each in blocks(number) if isinstance(each, Buttons))
    labels = [each.label for each in buttons.buttons]
    assert labels[0] == ("Done" if number == len(STOPS) - 1 else "Next")
    assert ("Back" in labels) == (number > 0)
    assert ("Skip" in labels) == (number < len(STOPS) - 1)


def test_a_world_without_what_it_speaks_of_has_a_tour_all_the_same() -> None:
    world = begun(World())
    for _ in STOPS:
        arrow(world)
        world = went_on(world)
    assert stop_of(world) is None


def test_in_a_first_world_no_note_hides_a_face() -> None:
    world = begun(first_world(1600, 1000))
    while stop_of(world) is not None:
        note = seen_in_world(world, TOUR)
        faces = [seen_in_world(world, each.id) for each in world.of_kind("persona")]
        hidden = [
            each
            for each in faces
            if note.x < each.right and each.x < note.right and note.y < each.bottom and each.y < note.bottom
        ]
        assert not hidden
        world = went_on(world)


def test_a_note_is_as_high_as_its_words_need() -> None:
    world = begun(first_world(1600, 1000))
    heights = {}
    while (number := stop_of(world)) is not None:
        heights[len(STOPS[number].text)] = seen_in_world(world, TOUR).height
        world = went_on(world)
    assert heights[max(heights)] > heights[min(heights)]


def test_in_another_room_the_note_lies_by_what_it_speaks_of_again() -> None:
    small = fitted(begun(first_world(1600, 1000)), 1280, 800)
    assert placed(small)[TOUR].rect == begun(small)[TOUR].rect
    assert placed(small, 1.5)[TOUR].rect.width == 1.5 * placed(small)[TOUR].rect.width
    assert placed(first_world(800, 600)) == first_world(800, 600)
